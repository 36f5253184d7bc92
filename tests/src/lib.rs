//! The harness of the client stories: a real `sigbox` process on free ports, the official
//! clients as their projects released them, and helpers to run both and to damage bundles.
//!
//! Left out on purpose: any code of the servers. A story sees what a user sees: a
//! process, its output, its ports and its files. `tests/run` installs the clients.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

pub mod bundle;
pub mod clients;
pub mod entries;
pub mod grpc;
pub mod http;
pub mod issuer;
pub mod log;
pub mod postgres;
pub mod reads;
pub mod receipts;
pub mod softhsm;
pub mod stack;
pub mod strace;
pub mod vault;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a finished command left behind, as text.
#[derive(Debug)]
pub struct Ran {
    /// The command line, for messages.
    pub line: String,
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Both outputs, standard output first.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs a command to its end with no standard input.
pub fn run(command: &mut Command) -> Ran {
    let line = format!("{command:?}");
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{line}: {e}; `tests/run install` installs the clients"));
    Ran {
        line,
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Runs a command that must succeed.
#[track_caller]
pub fn ok(command: &mut Command) -> Ran {
    let ran = run(command);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.line, ran.text());
    ran
}

/// Runs a command that must refuse, and does so by exit code rather than by a signal.
#[track_caller]
pub fn refused(command: &mut Command) -> Ran {
    let ran = run(command);
    assert!(
        ran.code.is_some_and(|c| c != 0),
        "accepted: {}\n{}",
        ran.line,
        ran.text()
    );
    ran
}

/// The same command on a terminal of its own, whose keyboard and screen are standard input and output. The environment is left to
/// the caller.
pub fn on_a_terminal(command: &Command) -> Command {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
    if let Some(folder) = command.get_current_dir() {
        terminal.current_dir(folder);
    }
    terminal
}

/// The binary under test: `SIGBOX_BIN`, else the release build.
pub fn sigbox() -> PathBuf {
    let path = std::env::var_os("SIGBOX_BIN").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/sigbox")),
        PathBuf::from,
    );
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --release` first",
        path.display()
    );
    path
}

/// Checks a data folder with `sigbox fsck`, as an operator would.
///
/// # Errors
/// What it said, where it found anything.
pub fn fsck(data: &Path) -> Result<(), String> {
    let mut command = Command::new(sigbox());
    let ran = run(command.arg("fsck").arg("--data").arg(data));
    match ran.code {
        Some(0) => Ok(()),
        _ => Err(format!("{}: exit code {:?}\n{}", ran.line, ran.code, ran.text())),
    }
}

/// A P-256 key pair as openssl makes it, PEM: the private key at `key`, the public one at `public`.
pub fn openssl_key_pair(key: &Path, public: &Path) {
    let curve = [
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-out",
    ];
    ok(Command::new("openssl").args(curve).arg(key));
    ok(Command::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(key)
        .arg("-out")
        .arg(public));
}

/// A line for whoever runs the tests: a count, or progress. Not captured, so that it is seen when all is well.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// An official client, as `tests/run install` put it there.
pub fn tool(name: &str) -> PathBuf {
    let folder = std::env::var_os("SIGBOX_TOOLS").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/sigbox-tools"),
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is missing: run `tests/run install` first",
        path.display()
    );
    path
}
