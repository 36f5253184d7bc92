//! How commands reach the running instance of a data folder: one question and its answers over a Unix socket.
//!
//! The socket lies in a folder that only the owner may enter, so whoever can connect may already read every key. A
//! question is one line of JSON; answers are lines of JSON, the last of which says how it ended.

use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fulcio_ca::Asker;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::disk;
use crate::keys::{KeysError, read_registry, runner};
use crate::layout::Layout;
use crate::rotate::Keeper;
use crate::rotate::command::Ask;

/// Longest question.
const QUESTION_LIMIT: u64 = 64 << 10;
/// Longest answer: a preview has every trust file twice.
const ANSWER_LIMIT: u64 = 64 << 20;
/// How long a question may take to arrive.
const QUESTION_TIME: Duration = Duration::from_secs(10);
/// How often somebody who waits is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// No answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Nobody there.
    #[error("no instance runs on {folder}: this is done while it serves; start it with: {start} ({source})")]
    NotRunning {
        /// The data folder.
        folder: String,
        /// The command.
        start: String,
        /// Why.
        source: io::Error,
    },
    /// A folder of something else, or one that was never used.
    #[error(
        "no instance runs on {0}, and it has no keys of one: expected the data folder of an instance (--data DIR)"
    )]
    NoInstance(String),
    /// No folder.
    #[error("there is no folder {0}: expected the data folder of an instance (--data DIR)")]
    NoFolder(String),
    /// Another user's.
    #[error("{folder} cannot be entered ({source}): ask as the user whom the instance runs as")]
    Denied {
        /// The data folder.
        folder: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The registry.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The connection broke.
    #[error(
        "the instance went away ({0}): what it had begun it goes on with at the next start; ask with --status"
    )]
    Broken(io::Error),
    /// The instance refused.
    #[error("{0}")]
    Refused(String),
    /// Not an answer.
    #[error("the instance answers in another form than this version expects: {0}")]
    Answer(#[from] serde_json::Error),
    /// The socket.
    #[error("cannot listen for commands: {0}")]
    Listen(#[from] io::Error),
    /// Its folder.
    #[error(transparent)]
    File(#[from] disk::FileError),
}

/// One line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Progress(String),
    Done(String),
    Failed(String),
}

/// A path to the socket that fits into its address however deep the folder is: 108 bytes are all there are.
struct Socket {
    path: PathBuf,
    _folder: std::fs::File,
}

impl Socket {
    fn of(layout: &Layout) -> io::Result<Socket> {
        let folder = std::fs::File::open(layout.control())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/socket", folder.as_raw_fd()));
        Ok(Socket {
            path,
            _folder: folder,
        })
    }
}

/// Answers commands from now on. The folder is locked, so a socket that is there is left over.
///
/// # Errors
/// [`ControlError`].
pub(crate) fn listen(layout: &Layout, keeper: Arc<Keeper>) -> Result<JoinHandle<()>, ControlError> {
    disk::create_folder(&layout.control())?;
    match std::fs::remove_file(layout.control_socket()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(&Socket::of(layout)?.path)?;
    Ok(tokio::spawn(async move {
        let mut asked = JoinSet::new();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    asked.spawn(serve(stream, Arc::clone(&keeper)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a command could not connect");
                    sleep(LOOK_EVERY).await;
                }
            }
            while asked.try_join_next().is_some() {}
        }
    }))
}

async fn serve(stream: UnixStream, keeper: Arc<Keeper>) {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(QUESTION_LIMIT));
    let Ok(Ok(_)) = timeout(QUESTION_TIME, read.read_line(&mut line)).await else {
        return;
    };
    let answer = match serde_json::from_str(&line) {
        Ok(ask) => answer(ask, &keeper, &mut write).await,
        Err(error) => Answer::Failed(format!("not a question this version knows: {error}")),
    };
    // Whoever asked may have gone away.
    let _ = say(&mut write, &answer).await;
}

async fn say(write: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    write.write_all(&line).await
}

async fn answer(ask: Ask, keeper: &Arc<Keeper>, write: &mut OwnedWriteHalf) -> Answer {
    let outcome = match ask {
        Ask::Explain { token } => {
            let Some(authority) = keeper.authority() else {
                return Answer::Failed(
                    "no certificate authority runs here: ask the process that does".to_owned(),
                );
            };
            let explained = authority.explain(Asker::Operator, token.0).await;
            return match explained.map(|explanation| serde_json::to_string(&explanation)) {
                Ok(Ok(said)) => Answer::Done(said),
                Ok(Err(error)) => Answer::Failed(error.to_string()),
                Err(error) => Answer::Failed(error.to_string()),
            };
        }
        Ask::Begin {
            role,
            propagation,
            host,
            signers,
            wait,
        } => match keeper.begin(role, propagation, host, signers).await {
            // Who waits for people does not wait here.
            Ok(begun) if wait && begun.due.is_some() => {
                let said = format!("{} is published, and takes over {}", begun.id, begun.when());
                let _ = say(write, &Answer::Progress(said)).await;
                while keeper
                    .status()
                    .await
                    .iter()
                    .any(|(_, other)| other.id == begun.id)
                {
                    sleep(LOOK_EVERY).await;
                }
                match keeper.in_use(role).await {
                    Some(id) if id == begun.id => Ok(format!("{id} has taken over")),
                    _ => return Answer::Failed(format!("{} was given up", begun.id)),
                }
            }
            Ok(begun) => Ok(format!(
                "{} is {}, and takes over {}; until then `--cancel` gives it up",
                begun.id,
                if begun.due.is_some() {
                    "published"
                } else {
                    "registered"
                },
                begun.when()
            )),
            Err(error) => Err(error),
        },
        Ask::Preview {
            role,
            propagation,
            host,
        } => keeper.preview(role, propagation, host.as_deref()).await,
        Ask::Cancel { role } => {
            let given_up = keeper.cancel(role).await;
            given_up.map(|id| format!("{id} was given up; what is published is what it was before"))
        }
        Ask::StatusJson => {
            let keys = keeper.status().await.into_iter();
            let keys: Vec<Value> = keys.map(|(role, under_way)| under_way.json(role)).collect();
            Ok(json!({ "keys": keys }).to_string())
        }
        Ask::Status => {
            let lines =
                keeper.status().await.into_iter().map(|(role, under_way)| {
                    format!("{role}: {} takes over {}", under_way.id, under_way.when())
                });
            let lines: Vec<String> = lines.collect();
            Ok(if lines.is_empty() {
                "no key is on its way".to_owned()
            } else {
                lines.join("\n")
            })
        }
    };
    match outcome {
        Ok(said) => Answer::Done(said),
        Err(error) => Answer::Failed(error.to_string()),
    }
}

/// Why nobody answers in the folder.
fn nobody(layout: &Layout, source: io::Error) -> ControlError {
    let folder = layout.root().display().to_string();
    if source.kind() == io::ErrorKind::PermissionDenied {
        return ControlError::Denied { folder, source };
    }
    if !layout.root().is_dir() {
        return ControlError::NoFolder(folder);
    }
    match read_registry(layout) {
        Ok(Some(registry)) => ControlError::NotRunning {
            start: runner::start_command(&registry, layout.root()),
            folder,
            source,
        },
        Ok(None) => ControlError::NoInstance(folder),
        Err(error) => error.into(),
    }
}

/// Asks the instance that runs on the folder, and gives what it says in the end.
///
/// # Errors
/// [`ControlError`].
pub(crate) async fn ask(
    layout: &Layout,
    ask: &Ask,
    mut progress: impl FnMut(&str),
) -> Result<String, ControlError> {
    let nobody = |source| nobody(layout, source);
    let socket = Socket::of(layout).map_err(nobody)?;
    let stream = UnixStream::connect(&socket.path).await.map_err(nobody)?;
    let (read, mut write) = stream.into_split();
    let mut question = serde_json::to_vec(ask)?;
    question.push(b'\n');
    write.write_all(&question).await.map_err(ControlError::Broken)?;
    let mut read = BufReader::new(read.take(ANSWER_LIMIT));
    loop {
        let mut line = String::new();
        let length = read.read_line(&mut line).await.map_err(ControlError::Broken)?;
        if length == 0 {
            return Err(ControlError::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_str(&line)? {
            Answer::Progress(said) => progress(&said),
            Answer::Done(said) => return Ok(said),
            Answer::Failed(said) => return Err(ControlError::Refused(said)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;
    use std::time::SystemTime;

    use super::*;
    use crate::keys::{Keys, Places};
    use crate::public_url::PublicUrl;
    use crate::site::{Roles, Site};

    async fn said(layout: &Layout) -> String {
        ask(layout, &Ask::Status, |_| {}).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn who_finds_nobody_is_told_why_and_how_it_is_started() {
        let folder = tempfile::tempdir().unwrap();
        let none = Layout::new(folder.path().join("none"));
        assert!(said(&none).await.starts_with("there is no folder "));
        let layout = Layout::new(folder.path().to_owned());
        let empty = said(&layout).await;
        assert!(
            empty.contains("no instance runs on") && !empty.contains("sigbox up"),
            "{empty}"
        );
        let url: PublicUrl = "http://localhost:3000".parse().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Keys::open(&layout, &url.clone().into(), &Places::default(), now).unwrap();
        let stopped = said(&layout).await;
        let start = format!("sigbox up --data {}", folder.path().display());
        assert!(stopped.contains(&start), "{stopped}");
        let production = Site::new(url.with_issuer(String::new()), BTreeMap::new(), Roles::all());
        Keys::open(&layout, &production, &Places::default(), now).unwrap();
        let stopped = said(&layout).await;
        assert!(
            stopped.contains("sigbox serve --config FILE") && !stopped.contains("sigbox up"),
            "{stopped}"
        );
        let denied = nobody(&layout, io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(
            denied.contains("permission denied") && !denied.contains("no instance"),
            "{denied}"
        );
    }
}
