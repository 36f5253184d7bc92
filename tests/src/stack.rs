//! One running `sigbox up`.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
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

/// A stack of our own, stopped when dropped.
pub struct Stack {
    child: Child,
    said: Arc<Mutex<String>>,
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

    /// On a folder that outlives the process, at ports that stay the same.
    pub fn at(data: &Path, ports: &Ports) -> Self {
        Self::spawn(&mut up(data, ports))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let reader = drain(child.stderr.take().unwrap(), Arc::clone(&said));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|e| {
            let _ = child.kill();
            let _ = reader.join();
            panic!(
                "`sigbox up --json` printed {line:?} ({e}) and on standard error:\n{}",
                said.lock().unwrap()
            )
        });
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Self {
            child,
            said,
            ready,
            work: TempDir::new().unwrap(),
            http: reqwest::Client::new(),
        }
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
        self.said.lock().unwrap().clone()
    }

    /// Asks the stack to stop and waits; the exit code, or `None` if it did not stop in time.
    pub fn interrupt(&mut self) -> Option<i32> {
        self.signal("INT");
        self.wait(Duration::from_secs(15))
    }

    /// The power cut that a process can simulate.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.wait(Duration::from_secs(15));
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
    }

    fn wait(&mut self, limit: Duration) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        // SIGTERM first: `--ephemeral` promises that nothing is left behind.
        self.signal("TERM");
        if self.wait(Duration::from_secs(10)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Three ports that were free a moment ago.
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
        let held: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let port = |i: usize| held[i].local_addr().unwrap().port();
        Self {
            http: port(0),
            tls: port(1),
            metrics: port(2),
        }
    }
}

/// `sigbox up --json` on a folder and ports.
pub fn up(data: &Path, ports: &Ports) -> Command {
    let mut command = Command::new(sigbox());
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
fn drain(stderr: ChildStderr, said: Arc<Mutex<String>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
        }
    })
}
