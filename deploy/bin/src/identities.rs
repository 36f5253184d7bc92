//! Whose identity tokens the certificate authority takes: the issuers of a file, beside those of the composition.
//!
//! The file is upstream's (`fulcio_ca::Configuration`). It is read again on SIGHUP, and when it or a file that it names has
//! changed; one that cannot be used changes nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fulcio_ca::{Ca, ConfigError, Configuration, FetchFor, HttpFetcher, IssuerConfig};
use tokio::signal::unix::{SignalKind, signal};

use crate::console::Console;

/// How often the files are looked at. A replaced file (Kubernetes swaps a link) is noticed as well as a written one.
const LOOK: Duration = Duration::from_secs(2);
/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentitiesError {
    /// It cannot be read.
    #[error("{path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Its content is wrong.
    #[error("{path}: {cause}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: ConfigError,
    },
}

/// A file of issuers.
#[derive(Debug, Clone)]
pub(crate) struct IssuersFile(PathBuf);

impl IssuersFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Reads it, and the files that it names, as seen from its folder.
    ///
    /// # Errors
    /// [`IdentitiesError`].
    pub(crate) fn read(&self) -> Result<Configuration, IdentitiesError> {
        self.look().0
    }

    /// The same, and what was read for it. A file that changes the moment after differs from that.
    fn look(&self) -> (Result<Configuration, IdentitiesError>, Seen) {
        let seen = RefCell::new(BTreeMap::new());
        let read = |path: PathBuf| {
            let content = read(&path);
            seen.borrow_mut().insert(path, content.as_ref().ok().cloned());
            content
        };
        let text = read(self.0.clone()).map_err(|cause| IdentitiesError::Read {
            path: self.0.clone(),
            cause,
        });
        let folder = self.0.parent().unwrap_or(Path::new(""));
        let configuration = text.and_then(|text| {
            Configuration::parse(&text, &|path| read(folder.join(path))).map_err(|cause| {
                IdentitiesError::Content {
                    path: self.0.clone(),
                    cause,
                }
            })
        });
        (configuration, Seen(seen.into_inner()))
    }

    /// Reads it for a start, and tells what is odd about it.
    ///
    /// # Errors
    /// As [`IssuersFile::read`].
    pub(crate) fn open(
        path: PathBuf,
        console: Console,
    ) -> Result<(Follower, Configuration), IdentitiesError> {
        let file = Self(path);
        let (configuration, seen) = file.look();
        let configuration = configuration?;
        for warning in &configuration.warnings {
            console.warning(warning);
        }
        Ok((Follower { file, seen }, configuration))
    }
}

/// A file of issuers that are in use, as it was read.
pub(crate) struct Follower {
    file: IssuersFile,
    seen: Seen,
}

impl Follower {
    /// Has `ca` follow the file for as long as this is polled: `own` issuers first, then those of the file.
    pub(crate) async fn follow(self, ca: Arc<Ca>, own: Vec<IssuerConfig>) {
        let Self { file, mut seen } = self;
        let path = file.0.clone();
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => hangups,
            Err(cause) => {
                tracing::error!(%cause, "SIGHUP cannot be listened to: the issuers stay as they are");
                return;
            }
        };
        loop {
            let asked = tokio::select! {
                _ = hangups.recv() => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            let (file, before) = (file.clone(), seen.clone());
            let look = move || (asked || before.has_changed()).then(|| file.look());
            let Ok(Some((read, now))) = tokio::task::spawn_blocking(look).await else {
                continue;
            };
            seen = now;
            let outcome = read.map_err(|cause| cause.to_string()).and_then(|configuration| {
                let issuers = own.iter().cloned().chain(configuration.issuers).collect();
                ca.reload(issuers)
                    .map_err(|cause| format!("{}: {cause}", path.display()))?;
                Ok(configuration.warnings)
            });
            match outcome {
                Ok(warnings) => {
                    for warning in warnings {
                        tracing::warn!(file = %path.display(), "{warning}");
                    }
                    // Always shown: the default level is that of warnings.
                    tracing::warn!(file = %path.display(), "issuers read again; they are in use from now on");
                    metrics::counter!(RELOADS, "outcome" => "done").increment(1);
                }
                Err(cause) => {
                    tracing::error!(%cause, "issuers cannot be read again: those in use stay as they are");
                    metrics::counter!(RELOADS, "outcome" => "refused").increment(1);
                }
            }
        }
    }
}

/// What was read for a configuration, refused ones included: each file that was looked for, and its content if it was there.
#[derive(Clone)]
struct Seen(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Seen {
    /// Whether the files hold something else now.
    fn has_changed(&self) -> bool {
        self.0.iter().any(|(path, content)| read(path).ok() != *content)
    }
}

const RELOADS: &str = "sigbox_issuers_reloads_total";

/// Reads a small file.
///
/// # Errors
/// The file system's; also for a file that is longer than any honest one.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut content = Vec::new();
    std::fs::File::open(path)?
        .take(MAX_FILE.saturating_add(1))
        .read_to_end(&mut content)?;
    if u64::try_from(content.len()).is_ok_and(|length| length > MAX_FILE) {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("expected at most {MAX_FILE} bytes"),
        ));
    }
    Ok(content)
}

/// The documents of the issuer at `url` are read by `own`, those of others over the network.
pub(crate) fn fetch_for(url: String, own: Arc<dyn fulcio_ca::Fetch>) -> FetchFor {
    let others = HttpFetcher::for_each();
    Arc::new(move |issuer| {
        if issuer.issuer_url() == url {
            Ok(Arc::clone(&own))
        } else {
            others(issuer)
        }
    })
}

#[cfg(test)]
mod tests;
