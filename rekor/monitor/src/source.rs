//! A log by whatever interface it is read: its signed head, proofs that it only grows, and its leaves.
//!
//! What comes from here is what the log says. [`crate::follow`] holds it against the head's root.

mod rekor_v1;
mod rfc6962;
mod tiled;

use std::ops::Range;

use bytes::Bytes;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::Note;
use common_tlog::{Hash, ProofError};
use serde::de::DeserializeOwned;

pub use self::rekor_v1::RekorV1;
pub use self::rfc6962::Rfc6962;
pub use self::tiled::Tiled;
use crate::client::{Client, FetchError};
use crate::entry::EntryError;
use crate::key::LogKey;
use crate::leaves::Dialect;
use crate::reader::ReadError;

/// Longest head: two notes for each of many shards.
const HEAD_LIMIT: usize = 1 << 20;
/// Longest proof: sixty-four hashes and what is around them.
const PROOF_LIMIT: usize = 64 << 10;

/// What a log says that its tree is, signed by a key that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The log's name: the first line of its checkpoint, or its place where its heads have no name.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// Root of their tree.
    pub root: Hash,
    /// The head as it was served, with its signature: evidence for others.
    pub signed: String,
}

/// A leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The Merkle leaf's hash.
    pub hash: Hash,
    /// What is in it.
    pub content: Content,
    /// When it was logged, in Unix milliseconds, as far as the log says so beside its leaves.
    pub time: Option<u64>,
}

/// What a leaf holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The body of a Rekor entry.
    Entry(Bytes),
    /// A `TimestampedEntry` (RFC 6962 §3.4).
    Certificate(Bytes),
}

/// How a log is read.
#[derive(Clone, Debug)]
pub enum Source {
    /// Tiles: Rekor v2, static-ct-api.
    Tiled(Tiled),
    /// A shard of a Rekor v1.
    RekorV1(RekorV1),
    /// The RFC 6962 interface of a certificate log.
    Rfc6962(Rfc6962),
}

/// A log could not be read, or not as what it should be.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There was no answer that can be used.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Tiles do not hold what they should.
    #[error(transparent)]
    Tiles(#[from] EntryError),
    /// The answer has another shape.
    #[error("{0}: expected {1}, got {2}")]
    Shape(String, &'static str, String),
    /// The log does not have what its head says.
    #[error("{0}: expected it to be there, got 404")]
    Missing(String),
    /// A size that no proof has.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl Source {
    /// Whose interface it is, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Source::Tiled(tiled) => tiled.name(),
            Source::RekorV1(_) => "rekor-v1",
            Source::Rfc6962(_) => "rfc6962",
        }
    }

    /// Leaves that are read at once.
    pub(crate) fn at_once(&self) -> u64 {
        match self {
            Source::Tiled(tiled) => tiled.at_once(),
            Source::RekorV1(_) => rekor_v1::AT_ONCE,
            Source::Rfc6962(_) => rfc6962::AT_ONCE,
        }
    }

    /// The hashes that show the tree of `to` leaves to extend that of `from`, which is smaller and not empty.
    pub(crate) async fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, SourceError> {
        match self {
            Source::Tiled(log) => log.consistency(from, to).await,
            Source::RekorV1(log) => log.consistency(from, to).await,
            Source::Rfc6962(log) => log.consistency(from, to).await,
        }
    }

    /// The leaves at these places of a tree of `size`, from the first on: all, or as many as come within bounds of memory, and
    /// never none.
    pub(crate) async fn leaves(&self, range: Range<u64>, size: u64) -> Result<Vec<Leaf>, SourceError> {
        let first = range.start;
        let leaves = match self {
            Source::Tiled(log) => log.leaves(range, size).await,
            Source::RekorV1(log) => log.leaves(range).await,
            Source::Rfc6962(log) => log.leaves(range).await,
        }?;
        match leaves.is_empty() {
            true => Err(SourceError::Missing(format!("leaf {first}"))),
            false => Ok(leaves),
        }
    }
}

/// The head that a checkpoint is, the key that signed it, and the form in which such a log has its leaves; `None` if none of the
/// keys did.
pub(crate) fn signed_by<'a>(
    note: &Note,
    checkpoint: Checkpoint,
    keys: &'a [LogKey],
) -> Option<(Head, &'a LogKey, Dialect)> {
    let mut signers = keys.iter();
    let (key, dialect) = signers.find_map(|key| Some((key, key.dialect(note, &checkpoint)?)))?;
    let head = Head {
        origin: checkpoint.origin,
        size: checkpoint.size,
        root: checkpoint.root,
        signed: note.to_string(),
    };
    Some((head, key, dialect))
}

async fn get_json<T: DeserializeOwned>(client: &Client, path: &str, limit: usize) -> Result<T, SourceError> {
    let body = client.get(path, limit).await?;
    parse(client, path, body)
}

fn parse<T: DeserializeOwned>(client: &Client, path: &str, body: Option<Bytes>) -> Result<T, SourceError> {
    let place = || format!("{}{path}", client.base());
    let body = body.ok_or_else(|| SourceError::Missing(place()))?;
    serde_json::from_slice(&body)
        .map_err(|error| SourceError::Shape(place(), "the JSON of the interface", error.to_string()))
}
