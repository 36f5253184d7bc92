//! Finding the logs at a URL by the keys that are trusted: a trusted root says where a log is and who signs it, and not by
//! which interface it is read.

use crate::client::{Client, FetchError, Limits};
use crate::key::LogKey;
use crate::reader::{LogReader, ReadError};
use crate::source::{Head, RekorV1, Rfc6962, Source, SourceError, Tiled, signed_by};

/// What a log is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogKind {
    /// Signatures: Rekor.
    Signatures,
    /// Certificates.
    Certificates,
}

/// A log that was found, and what it says now.
#[derive(Clone, Debug)]
pub struct Found {
    /// How it is read.
    pub log: Source,
    /// Its head, verified.
    pub head: Head,
    /// Who signed it.
    pub key: LogKey,
    /// Where it is.
    pub url: String,
}

/// What is at a URL.
#[derive(Debug, Default)]
pub struct Discovered {
    /// The logs.
    pub logs: Vec<Found>,
    /// What was looked at and is none, or none that is trusted.
    pub problems: Vec<String>,
}

/// Looks for all logs at `base` whose heads one of `keys` has signed.
///
/// # Errors
/// [`FetchError`] when `base` is no URL of a log.
pub async fn discover(
    base: &str,
    kind: LogKind,
    keys: &[LogKey],
    limits: Limits,
) -> Result<Discovered, FetchError> {
    let client = Client::new(base, limits)?;
    let mut found = Discovered::default();
    match kind {
        LogKind::Signatures => {
            if !found.rekor_v1(&client, keys).await {
                return Ok(found);
            }
            // Rekor v2 has them below its API too (rekor-tiles `docs/`), a plain tiled log at its URL.
            for place in ["api/v2/", ""] {
                if found.tiled(&client, place, keys, limits).await? {
                    break;
                }
            }
        }
        LogKind::Certificates => {
            if !found.tiled(&client, "", keys, limits).await? {
                found.rfc6962(&client, keys).await;
            }
        }
    }
    Ok(found)
}

impl Discovered {
    fn add(&mut self, client: &Client, log: Source, head: Head, key: &LogKey) {
        self.logs.push(Found {
            log,
            head,
            key: key.clone(),
            url: client.base().trim_end_matches('/').to_owned(),
        });
    }

    fn untrusted(&mut self, client: &Client, origin: &str) {
        self.problems.push(format!(
            "{}: expected a head signed by a key that is trusted, got one of {origin:?} that is not",
            client.base()
        ));
    }

    /// Whether anybody answers.
    async fn rekor_v1(&mut self, client: &Client, keys: &[LogKey]) -> bool {
        match RekorV1::shards(client, keys).await {
            Ok(shards) => {
                for shard in shards.into_iter().flatten() {
                    match shard.head {
                        Ok((head, key)) => self.add(client, Source::RekorV1(shard.log), head, key),
                        Err(origin) => self.untrusted(client, &origin),
                    }
                }
                true
            }
            Err(error) => {
                self.problem(&error);
                !matches!(error, SourceError::Fetch(FetchError::NoAnswer { .. }))
            }
        }
    }

    /// Whether there is one.
    async fn tiled(
        &mut self,
        client: &Client,
        place: &str,
        keys: &[LogKey],
        limits: Limits,
    ) -> Result<bool, FetchError> {
        let client = Client::new(&format!("{}{place}", client.base()), limits)?;
        let reader = LogReader::new(client.clone());
        match reader.checkpoint().await {
            Ok((note, checkpoint)) => {
                let origin = checkpoint.origin.clone();
                match signed_by(&note, checkpoint, keys) {
                    Some((head, key, dialect)) => {
                        self.add(&client, Source::Tiled(Tiled::new(reader, dialect)), head, key);
                    }
                    None => self.untrusted(&client, &origin),
                }
                Ok(true)
            }
            Err(ReadError::NoCheckpoint(_)) => Ok(false),
            Err(error) => {
                self.problem(&error.into());
                Ok(false)
            }
        }
    }

    async fn rfc6962(&mut self, client: &Client, keys: &[LogKey]) {
        match Rfc6962::find(client, keys).await {
            Ok(Some(Some((log, head, key)))) => self.add(client, Source::Rfc6962(log), head, key),
            Ok(Some(None)) => self.untrusted(client, client.base()),
            Ok(None) => {}
            Err(error) => self.problem(&error),
        }
    }

    fn problem(&mut self, error: &SourceError) {
        self.problems.push(error.to_string());
    }
}

#[cfg(test)]
mod tests;
