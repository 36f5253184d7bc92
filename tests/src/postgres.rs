//! A PostgreSQL server of one's own: the Debian package's programs on a temporary folder, reached by a Unix socket,
//! with `fsync` on, stopped and removed when it is dropped. It can be killed like a machine.

use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::ok;

const USER: &str = "sigbox";
/// With what a URL has to encode.
const PASSWORD: &str = "not/a@secret";
const PASSWORD_IN_URL: &str = "not%2Fa%40secret";
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub struct Server {
    /// Parent of the data and of the socket; owned by whom the server runs as.
    folder: TempDir,
    programs: PathBuf,
    /// Whom the server runs as when we are root, which PostgreSQL refuses to be.
    identity: Option<(u32, u32)>,
    settings: Vec<String>,
    postmaster: Option<Child>,
    databases: Mutex<u32>,
}

impl Server {
    /// A server that tests of one process share; it stops when the last of them lets go of it.
    pub fn shared() -> Arc<Self> {
        static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start(&[]));
            *running = Arc::downgrade(&server);
            server
        })
    }

    /// A new server with these settings (`fsync=off`) beside its own.
    pub fn start(settings: &[&str]) -> Self {
        let programs = programs();
        let identity = am_root().then(|| passwd("postgres").or_else(|| passwd("nobody")).unwrap());
        let folder = tempfile::Builder::new().prefix("sigbox-pg-").tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        if let Some((user, group)) = identity {
            chown(folder.path(), Some(user), Some(group)).unwrap();
            chown(&password, Some(user), Some(group)).unwrap();
        }
        let mut server = Self {
            folder,
            programs,
            identity,
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            postmaster: None,
            databases: Mutex::new(0),
        };
        let mut initdb = server.command("initdb");
        initdb.args([
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
            "-U",
            USER,
        ]);
        initdb.arg("--pwfile").arg(&password).arg("-D").arg(server.data());
        ok(&mut initdb);
        server.restart();
        server
    }

    /// URL of a database on it.
    pub fn url(&self, database: &str) -> String {
        let socket = self.folder.path().display();
        format!("postgres://{USER}:{PASSWORD_IN_URL}@localhost/{database}?host={socket}")
    }

    /// What must never be in a message.
    pub fn password(&self) -> [&'static str; 2] {
        [PASSWORD, PASSWORD_IN_URL]
    }

    /// A new, empty database; its name.
    pub fn database(&self) -> String {
        let mut count = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        let name = format!("test_{count}");
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Runs statements with `psql`; what they print, without decoration.
    #[track_caller]
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet"])
            .args([
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                USER,
                "-d",
                database,
                "-c",
                statements,
            ])
            .arg("-h")
            .arg(self.folder.path())
            .env("PGPASSWORD", PASSWORD)
            .env_remove("PGOPTIONS");
        ok(&mut psql).stdout
    }

    /// Kills every process of the server at once, as a power cut would, except that the disk keeps what it was given.
    pub fn kill(&mut self) {
        let Some(mut postmaster) = self.postmaster.take() else {
            return;
        };
        let id = postmaster.id();
        // Stopped first, so that it starts no further process and cannot say goodbye to the others.
        signal("STOP", &[id]);
        let mut all = children(id);
        all.push(id);
        signal("KILL", &all);
        postmaster.wait().unwrap();
        let end = Instant::now() + PATIENCE;
        while all.iter().any(|id| Path::new(&format!("/proc/{id}")).exists()) {
            assert!(Instant::now() < end, "processes of the server survive kill -9");
            sleep(Duration::from_millis(5));
        }
    }

    /// Starts it, or starts it anew: then it is stopped in an orderly way first.
    pub fn restart(&mut self) {
        self.stop();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let mut postgres = self.command("postgres");
        postgres
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.folder.path());
        for setting in [
            "listen_addresses=",
            "fsync=on",
            "max_connections=60",
            "shared_buffers=32MB",
        ] {
            postgres.args(["-c", setting]);
        }
        for setting in &self.settings {
            postgres.args(["-c", setting]);
        }
        postgres
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.postmaster = Some(postgres.spawn().unwrap());
        let end = Instant::now() + PATIENCE;
        while !self.is_ready() {
            let exited = self
                .postmaster
                .as_mut()
                .and_then(|child| child.try_wait().unwrap());
            assert!(
                exited.is_none() && Instant::now() < end,
                "PostgreSQL does not start ({exited:?}):\n{}",
                self.log()
            );
            sleep(Duration::from_millis(20));
        }
    }

    /// Starts it anew as a standby of a server that is not there: it answers reads and takes no writes.
    pub fn become_standby(&mut self) {
        self.stop();
        std::fs::write(self.data().join("standby.signal"), "").unwrap();
        self.restart();
    }

    /// What the server wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn is_ready(&self) -> bool {
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready
            .arg("-q")
            .arg("-h")
            .arg(self.folder.path())
            .args(["-d", "postgres"]);
        ready.status().is_ok_and(|status| status.success())
    }

    fn stop(&mut self) {
        let Some(mut postmaster) = self.postmaster.take() else {
            return;
        };
        // Fast shutdown: sessions are ended, a checkpoint is written.
        signal("INT", &[postmaster.id()]);
        let end = Instant::now() + PATIENCE;
        while postmaster.try_wait().is_ok_and(|status| status.is_none()) {
            if Instant::now() > end {
                let _ = postmaster.kill();
                let _ = postmaster.wait();
                return;
            }
            sleep(Duration::from_millis(10));
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        if let Some((user, group)) = self.identity {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where the server's programs are: Debian keeps them out of `PATH`, one folder for each version.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|version| version.unwrap().path().join("bin"))
        .collect();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    let all = ["postgres", "initdb", "psql", "pg_isready"];
    folders
        .into_iter()
        .find(|folder| all.iter().all(|program| folder.join(program).exists()))
        .unwrap_or_else(|| {
            panic!("PostgreSQL is missing: run `tests/run install` first (Debian: postgresql)")
        })
}

fn am_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// User and group number of a name.
fn passwd(name: &str) -> Option<(u32, u32)> {
    let table = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = table.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut numbers = line.split(':').skip(2).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Processes that this one started.
fn children(parent: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    list.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

fn signal(name: &str, processes: &[u32]) {
    let mut line = format!("kill -{name}");
    for process in processes {
        write!(line, " {process}").unwrap();
    }
    // One of them may have ended meanwhile.
    let _ = Command::new("sh")
        .args(["-c", &line])
        .stderr(Stdio::null())
        .status();
}
