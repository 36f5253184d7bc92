//! The instance under load: one that runs already, or one of our own.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use url::Url;

use super::process::{self, Processes};
use crate::console::Console;

/// The longest a start may take.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The longest an orderly stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// The ready line is a few hundred bytes.
const LINE_LIMIT: u64 = 16 << 10;

/// Why there is nothing to measure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// Not a URL that can be measured.
    #[error("expected http://host[:port] without a path, got {0:?}")]
    Url(String),
    /// Nobody listens.
    #[error("{url} does not answer ({cause}); is `sigbox up` running there?")]
    NoAnswer {
        /// The URL.
        url: String,
        /// The transport's finding.
        cause: std::io::Error,
    },
    /// An instance of our own could not be run.
    #[error("an instance could not be started: {0}")]
    Start(#[from] std::io::Error),
    /// It did not become ready.
    #[error("the instance did not become ready within {} s: its messages are above", START_LIMIT.as_secs())]
    NotReady,
    /// It became ready in an unknown way.
    #[error("expected a line of JSON with url and pid from the instance: {0}")]
    Line(#[from] serde_json::Error),
    /// It did not end in order.
    #[error("the instance did not stop in order: {0}")]
    Stop(String),
}

/// Where the load goes.
#[derive(Debug)]
pub(crate) struct Target {
    url: String,
    authority: String,
    address: SocketAddr,
    processes: Processes,
    child: Option<Child>,
}

impl Target {
    /// An instance that runs already. Without `pids`, its process is looked for behind its port when it is on this machine.
    ///
    /// # Errors
    /// [`TargetError`] when nobody listens there.
    pub(crate) async fn attach(url: &str, pids: &[u32]) -> Result<Target, TargetError> {
        let wrong = || TargetError::Url(url.to_owned());
        let parsed = Url::parse(url).map_err(|_| wrong())?;
        let bare = parsed.path() == "/" && parsed.query().is_none() && parsed.fragment().is_none();
        if parsed.scheme() != "http" || !bare || !parsed.username().is_empty() {
            return Err(wrong());
        }
        let host = parsed.host_str().ok_or_else(wrong)?;
        let port = parsed.port_or_known_default().ok_or_else(wrong)?;
        let authority = parsed.authority().to_owned();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let connected = TcpStream::connect((name, port))
            .await
            .and_then(|stream| stream.peer_addr());
        let address = connected.map_err(|cause| TargetError::NoAnswer {
            url: url.to_owned(),
            cause,
        })?;
        let mut processes = Processes(pids.to_vec());
        if pids.is_empty() && address.ip().is_loopback() {
            processes.0.extend(process::listener(port));
        }
        let url = url.trim_end_matches('/').to_owned();
        Ok(Target {
            url,
            authority,
            address,
            processes,
            child: None,
        })
    }

    /// An instance of this very executable that leaves nothing behind.
    ///
    /// # Errors
    /// [`TargetError`] when it does not become ready.
    pub(crate) async fn start(console: Console) -> Result<Target, TargetError> {
        console.remark("starting an instance for the occasion");
        Target::start_with(&["up", "--ephemeral", "--json"]).await
    }

    /// This very executable with other arguments, among them `--json`.
    ///
    /// # Errors
    /// [`TargetError`] when it does not become ready.
    pub(crate) async fn start_with(arguments: &[&str]) -> Result<Target, TargetError> {
        #[derive(Deserialize)]
        struct Ready {
            url: String,
            pid: u32,
        }
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            let mut out = BufReader::new(out.take(LINE_LIMIT));
            let read = tokio::time::timeout(START_LIMIT, out.read_line(&mut line)).await;
            read.map_err(|_| TargetError::NotReady)??;
        }
        if line.is_empty() {
            return Err(TargetError::NotReady);
        }
        let Ready { url, pid } = serde_json::from_str(&line)?;
        let target = Target::attach(&url, &[pid]).await?;
        Ok(Target {
            child: Some(child),
            ..target
        })
    }

    /// Without trailing slash.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Host and port as requests name them.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Where to connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's processes, as far as they are known.
    pub(crate) fn processes(&self) -> &Processes {
        &self.processes
    }

    /// Ends an instance of our own by SIGTERM and waits for it, so that its folder is gone too.
    ///
    /// # Errors
    /// [`TargetError::Stop`] when it does not end, or not with success; it is killed then.
    pub(crate) async fn stop(self) -> Result<(), TargetError> {
        let Some(mut child) = self.child else {
            return Ok(());
        };
        if let Some(pid) = child.id() {
            // The standard library sends SIGKILL only; `kill` is part of every POSIX shell.
            let _ = Command::new("sh")
                .args(["-c", "kill -TERM \"$0\"", &pid.to_string()])
                .status()
                .await;
        }
        match tokio::time::timeout(STOP_LIMIT, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(TargetError::Stop(status.to_string())),
            Ok(Err(error)) => Err(TargetError::Stop(error.to_string())),
            Err(_) => Err(TargetError::Stop(format!(
                "it still ran after {} s",
                STOP_LIMIT.as_secs()
            ))),
        }
    }
}
