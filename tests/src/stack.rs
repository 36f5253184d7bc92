//! One running `sigbox up`.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;

use crate::{ok, sigbox};

/// The line that `up --json` prints once everything answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// Origin of all services over plain HTTP.
    pub url: String,
    /// The same over TLS.
    pub tls_url: String,
    /// Root of the TUF repository.
    pub tuf_url: String,
    /// Issuer of the development tokens.
    pub issuer: String,
    /// Prometheus listener.
    pub metrics_url: String,
    /// Where keys, logs and trust are kept.
    pub data_dir: PathBuf,
    /// Where the trust files are exported to.
    pub trust_dir: PathBuf,
    /// Process of the stack.
    pub pid: u32,
}

/// The longest a start may take, on a machine that is busy with other tests.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// The longest an orderly end may take: as long as the drain.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// A stack of our own, stopped when dropped.
pub struct Stack {
    process: Process,
    /// What it said when it was ready.
    pub ready: Ready,
    /// Scratch folder of the story: artifacts, bundles, homes of the clients.
    pub work: TempDir,
    /// Client of the story's own requests.
    pub http: reqwest::Client,
}

impl Stack {
    /// Everything in a temporary folder on free ports.
    pub fn ephemeral() -> Self {
        Self::spawn(Command::new(sigbox()).args(["up", "--ephemeral", "--json"]))
    }

    /// As [`Stack::ephemeral`], with more on the command line.
    pub fn with(args: &[&str]) -> Self {
        Self::spawn(
            Command::new(sigbox())
                .args(["up", "--ephemeral", "--json"])
                .args(args),
        )
    }

    /// The same with the issuers of a file.
    pub fn with_issuers(file: &Path) -> Self {
        Self::with_issuers_and_log(file, "warn")
    }

    /// The same with a log of that level, in place of the default.
    pub fn with_issuers_and_log(file: &Path, level: &str) -> Self {
        let mut command = Command::new(sigbox());
        Self::spawn(
            command
                .env("SIGBOX_LOG", level)
                .args(["up", "--ephemeral", "--json", "--fulcio-config"])
                .arg(file),
        )
    }

    /// On a folder that outlives the process, at ports that stay the same.
    pub fn at(data: &Path, ports: &Ports) -> Self {
        Self::spawn(&mut up(data, ports))
    }

    fn spawn(command: &mut Command) -> Self {
        Launch::new(command)
            .ready(READY_LIMIT)
            .unwrap_or_else(|not| panic!("{not}"))
    }

    /// `url` with a path appended.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.ready.url)
    }

    /// A path in the scratch folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// Writes a file into the scratch folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// An identity token for `email`, from the development issuer, by the command a user runs.
    pub fn token(&self, email: &str) -> String {
        let mut command = Command::new(sigbox());
        command.args(["token", "--url", &self.ready.url, "--email", email]);
        ok(&mut command).stdout.trim().to_owned()
    }

    /// What the process wrote to standard error so far, its log included.
    pub fn said(&self) -> String {
        self.process.said()
    }

    /// Asks the stack to stop and waits; the exit code, or `None` if it did not stop in time.
    pub fn interrupt(&mut self) -> Option<i32> {
        self.signal("INT");
        self.process.wait(STOP_LIMIT).and_then(|status| status.code())
    }

    /// Asks the stack to stop, and ends it when it does not; how it ended, `None` for the latter.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.signal("INT");
        let ended = self.process.wait(STOP_LIMIT);
        if ended.is_none() {
            self.process.kill();
        }
        ended
    }

    /// The power cut that a process can simulate.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }
}

/// A process that may not be ready yet.
pub struct Launch {
    process: Process,
    line: mpsc::Receiver<String>,
}

/// A process that did not come to its ready line.
#[derive(Debug)]
pub struct NotReady {
    /// How it ended; `None` if it was still running at the limit and was ended.
    pub status: Option<ExitStatus>,
    /// Its standard error.
    pub said: String,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self
            .status
            .map_or("not ready in time".to_owned(), |s| s.to_string());
        write!(
            f,
            "`sigbox up --json`: {ended}; on standard error:\n{}",
            self.said
        )
    }
}

impl Launch {
    /// Starts the command.
    pub fn new(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let drained = drain(child.stderr.take().unwrap(), Arc::clone(&said));
        let (send, line) = mpsc::channel();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut line = String::new();
            // At its end without a line, `send` is dropped and the receiver learns of it.
            if stdout.read_line(&mut line).is_ok_and(|read| read > 0) {
                let _ = send.send(line);
            }
        });
        Self {
            process: Process {
                child,
                said,
                drained: Some(drained),
            },
            line,
        }
    }

    /// Waits for the ready line.
    ///
    /// # Errors
    /// When the process ends before, or does not come to it within the limit.
    pub fn ready(mut self, limit: Duration) -> Result<Stack, NotReady> {
        let line = self.line.recv_timeout(limit);
        let ready = line.ok().and_then(|line| serde_json::from_str(&line).ok());
        let Some(ready) = ready else {
            let status = self.process.wait(STOP_LIMIT.min(limit));
            self.process.kill();
            return Err(NotReady {
                status,
                said: self.process.said(),
            });
        };
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Ok(Stack {
            process: self.process,
            ready,
            work: TempDir::new().unwrap(),
            http: reqwest::Client::new(),
        })
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }
}

/// A child that is stopped when dropped.
struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
    drained: Option<JoinHandle<()>>,
}

impl Process {
    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Everything it said if it has ended, else what it said so far.
    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // The pipe may hold more than was read when the process ended.
                if let Some(drained) = self.drained.take() {
                    let _ = drained.join();
                }
                return Some(status);
            }
            if start.elapsed() >= limit {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        // SIGTERM first: `--ephemeral` promises that nothing is left behind.
        self.signal("TERM");
        if self.wait(Duration::from_secs(10)).is_none() {
            self.kill();
        }
    }
}

/// Sends a signal by name to a process that this test started.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// Three ports that were free a moment ago.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Plain HTTP.
    pub http: u16,
    /// TLS.
    pub tls: u16,
    /// Metrics.
    pub metrics: u16,
}

impl Ports {
    /// Asks the kernel for three.
    pub fn free() -> Self {
        Self {
            http: free_port(),
            tls: free_port(),
            metrics: free_port(),
        }
    }
}

/// A port that nobody has, below those that Linux gives to outgoing connections (`ip_local_port_range`, from 32,768 on): one of
/// them could take it before a server does, or between two starts of it.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id() % 12_000;
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + u16::try_from((begin + next) % 12_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// `sigbox up --json` on a folder and ports.
pub fn up(data: &Path, ports: &Ports) -> Command {
    up_under(Command::new(sigbox()), data, ports)
}

/// The same, as the last part of a command line that ends with the binary.
pub fn up_under(mut command: Command, data: &Path, ports: &Ports) -> Command {
    command.arg("up").arg("--json").arg("--data").arg(data);
    command.arg("--listen").arg(format!("localhost:{}", ports.http));
    command
        .arg("--tls-listen")
        .arg(format!("localhost:{}", ports.tls));
    command
        .arg("--metrics-listen")
        .arg(format!("localhost:{}", ports.metrics));
    command
}

/// Keeps the pipe empty, so that a chatty server never blocks on it, and what it said at hand.
fn drain(stderr: ChildStderr, said: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
        }
    })
}
