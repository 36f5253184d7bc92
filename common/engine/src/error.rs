//! Every way the engine can fail, one enum for each caller.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use common_tlog::{Hash, TileId};

use crate::anchor::AnchorError;
use crate::types::LogId;

/// Why a submission was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full: try again later. Nothing was stored.
    #[error("too many entries are waiting")]
    Overloaded,
    /// The commit failed or its outcome is unknown. Submitting again is safe: if the entry is in, it is a duplicate.
    #[error("the log could not store the entry")]
    Unavailable,
    /// No log of that number.
    #[error("there is no log {0}")]
    UnknownLog(LogId),
    /// The log takes no entries for now.
    #[error("the log is read-only")]
    ReadOnly,
    /// The log takes no entries ever again.
    #[error("the log is frozen")]
    Frozen,
    /// The leaf, or the entry as a whole, is longer than the log stores. Bytes.
    #[error("the entry has {got} bytes, at most {limit} are accepted")]
    TooLarge {
        /// Most that is accepted.
        limit: u64,
        /// What came.
        got: u64,
    },
    /// The personality refused the entry, or could not sign.
    #[error("the entry could not be sealed: {0}")]
    Seal(#[from] SealError),
    /// The engine is stopping.
    #[error("the log is shutting down")]
    ShuttingDown,
}

/// Why a personality did not seal an entry or sign a head. The cause is for the operator, not for a client.
#[derive(Clone, Debug)]
pub struct SealError(Arc<dyn StdError + Send + Sync>);

impl SealError {
    /// Wraps the cause.
    pub fn new(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Arc::from(cause.into()))
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for SealError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// A storage call failed. For a commit this means that its outcome is unknown.
#[derive(Clone, Debug)]
pub struct StorageError(Arc<dyn StdError + Send + Sync>);

impl StorageError {
    /// Wraps the cause.
    pub fn new(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Arc::from(cause.into()))
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for StorageError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// Why what is stored could not be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A storage call failed.
    #[error("the store could not be read or written: {0}")]
    Storage(#[from] StorageError),
    /// What is stored is wrong.
    #[error("the store is corrupt: {0}")]
    Corrupt(#[from] Corrupt),
}

/// What is stored contradicts itself, or what was published before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// A tile that the head needs is not there.
    #[error("log {log}: tile {}/{} is missing", .tile.level, .tile.index)]
    TileMissing {
        /// The log.
        log: LogId,
        /// The tile.
        tile: TileId,
    },
    /// A tile holds fewer hashes than the head needs.
    #[error("log {log}: tile {}/{} has {got} bytes, expected at least {expected}", .tile.level, .tile.index)]
    TileWidth {
        /// The log.
        log: LogId,
        /// The tile.
        tile: TileId,
        /// Bytes needed.
        expected: usize,
        /// Bytes stored.
        got: usize,
    },
    /// The size is larger than a tree can be.
    #[error("log {0}: size {1} is larger than a tree can be")]
    Size(LogId, u64),
    /// The tiles do not hash to the root of the head.
    #[error("log {log}: the tiles hash to root {got} at size {size}, the stored head says {expected}")]
    Root {
        /// The log.
        log: LogId,
        /// Size of the head.
        size: u64,
        /// Root of the head.
        expected: Hash,
        /// Root of the tiles.
        got: Hash,
    },
    /// The stored checkpoint does not parse.
    #[error("log {0}: the stored checkpoint is not a signed note of a tree head")]
    CheckpointSyntax(LogId),
    /// The stored checkpoint is for another log, size or root than the head beside it.
    #[error("log {log}: the stored checkpoint is for {got}, the head for {expected}")]
    Checkpoint {
        /// The log.
        log: LogId,
        /// Origin, size and root of the head.
        expected: String,
        /// Origin, size and root in the checkpoint text.
        got: String,
    },
    /// A leaf that the head counts is not there.
    #[error("log {0}: leaf {1} is missing")]
    LeafMissing(LogId, u64),
    /// A leaf does not hash to its entry in the tile.
    #[error("log {log}: leaf {index} hashes to {got}, its tile says {expected}")]
    Leaf {
        /// The log.
        log: LogId,
        /// Index of the leaf.
        index: u64,
        /// Hash in the tile.
        expected: Hash,
        /// Hash of the stored bytes.
        got: Hash,
    },
    /// The store is older than a checkpoint that was published before.
    #[error("log {log}: the store has size {got}, but a checkpoint of size {published} was published")]
    Behind {
        /// The log.
        log: LogId,
        /// Published size.
        published: u64,
        /// Stored size.
        got: u64,
    },
    /// The store holds another tree than the one that was published before.
    #[error("log {log}: root {expected} was published for size {size}, the store has {got}")]
    Forked {
        /// The log.
        log: LogId,
        /// Published size.
        size: u64,
        /// Published root.
        expected: Hash,
        /// Stored root at that size.
        got: Hash,
    },
    /// A log vanished from the store.
    #[error("checkpoints of {0:?} were published before, and the store has no such log")]
    LogMissing(String),
    /// A proof built from the tiles does not verify.
    #[error("log {log}: the proof for leaf {index} at size {size} does not verify")]
    Proof {
        /// The log.
        log: LogId,
        /// Leaf, or smaller size of a consistency proof.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
}

/// Why a read gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// No log of that number.
    #[error("there is no log {0}")]
    UnknownLog(LogId),
    /// The index or size is beyond the published tree, or the range is upside down.
    #[error("{what} {got} is out of range, the limit is {limit}")]
    OutOfRange {
        /// Name of the parameter.
        what: &'static str,
        /// Its value.
        got: u64,
        /// Largest accepted value (smallest, where a proof's start is 0).
        limit: u64,
    },
    /// Too many reads are under way: try again later.
    #[error("too many reads are under way")]
    Busy,
    /// The store failed or is wrong; nothing of it was served.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<Corrupt> for ReadError {
    fn from(corrupt: Corrupt) -> Self {
        StoreError::from(corrupt).into()
    }
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store failed or is wrong. Nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record of published checkpoints could not be read or written.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The configuration of a log differs from its row.
    #[error("log {log}: {field} is {got:?} in the configuration, {expected:?} in the store")]
    Spec {
        /// The log.
        log: LogId,
        /// Which field.
        field: &'static str,
        /// In the store.
        expected: String,
        /// In the configuration.
        got: String,
    },
    /// The clock is far behind the last head: one of them is wrong, and leaves would get wrong times.
    #[error(
        "log {log}: the last head is of {head} (Unix milliseconds), the clock says {now}: expected at most {tolerance} ms less. \
         Set the clock right"
    )]
    Clock {
        /// The log.
        log: LogId,
        /// Time of the stored head, Unix milliseconds.
        head: u64,
        /// The clock, Unix milliseconds.
        now: u64,
        /// Milliseconds that the clock may be behind.
        tolerance: u64,
    },
    /// A log's number is too large or given twice.
    #[error("log number {0} is given twice or larger than {max}", max = LogId::MAX)]
    LogNumber(LogId),
    /// The first checkpoint of a new log could not be signed.
    #[error("log {0}: the checkpoint of the empty tree could not be signed: {1}")]
    Sign(LogId, SealError),
    /// Another process created the same log at the same moment.
    #[error("log {0} is being created by another process: start again")]
    Race(LogId),
    /// The engine is shutting down, or its writer stopped.
    #[error("the engine takes no more logs: it is stopping")]
    Stopping,
    /// The sealing threads could not be started.
    #[error("the engine's threads could not be started: {0}")]
    Threads(String),
}
