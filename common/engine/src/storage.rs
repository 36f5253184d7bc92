//! What the engine asks of a database.
//!
//! A back end keeps, for each log, one head row, leaves, tiles; and, across logs, index rows and attachments. It
//! decides nothing: every hash, key and place is computed by the engine. [`crate::contract`] tests the obligations.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use common_tlog::{Hash, TileId};

use crate::error::StorageError;
use crate::index::{IndexKey, IndexSecret};
use crate::types::{Attachment, Head, LogId, LogInfo, LogState, StoredLeaf};

/// A leaf of some log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The log.
    pub log: LogId,
    /// Index in it.
    pub index: u64,
}

/// A log row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLog {
    /// What it is and whether it takes entries.
    pub info: LogInfo,
    /// Its head; a log has one from its creation, of size 0.
    pub head: Head,
}

/// The move of one log's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadChange {
    /// Size the batch was built on.
    pub from_size: u64,
    /// Root the batch was built on.
    pub from_root: Hash,
    /// The new head.
    pub to: Head,
}

/// One log's part of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogBatch {
    /// The log.
    pub log: LogId,
    /// Its head, before and after.
    pub head: HeadChange,
    /// New leaves, in order, from index `from_size` on. Never empty.
    pub leaves: Vec<StoredLeaf>,
    /// New and grown tiles: whole hashes of 32 bytes, 1 to 256 of them. A grown tile begins with what is stored
    /// and replaces it; a stored tile of 256 hashes never comes again.
    pub tiles: Vec<(TileId, Bytes)>,
}

/// All that one commit stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// At most one part for a log, in order of the log's number.
    pub logs: Vec<LogBatch>,
    /// Index rows, sorted and without repetition.
    pub index: Vec<(IndexKey, Place)>,
    /// Attachments; what is already stored under a key stays as it is.
    pub attachments: Vec<Attachment>,
}

/// Known outcome of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// All of it is durable.
    Committed,
    /// Nothing of it was stored, and nothing ever will be: a head was not where the batch expected it, or a log
    /// does not take entries.
    Conflict,
}

/// Where the engine keeps its logs.
///
/// Obligations of every back end:
/// - **Lookups**: `Err` when the answer is not known. `None` or an absent row only when it is known to be absent: a
///   failed read taken for "absent" makes duplicate leaves.
/// - **Visibility**: a call sees everything of every commit that had succeeded before it began, on any connection
///   of any process (no lagging replica). A commit becomes visible all at once.
/// - **Cancellation**: dropping the future of a read is harmless. The engine never drops the future of a write.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// The same store, through connections that only this handle uses: the engine's writer reads and writes by it, so
    /// that public reads can never keep it waiting.
    fn reserved(self: Arc<Self>) -> Arc<dyn Storage>;

    /// Whether others may write to it while this one is open: then their commits are looked for also where nothing is
    /// written.
    fn is_shared(&self) -> bool {
        false
    }

    /// The key of the index hashes, drawn at random when the store was created and the same ever since.
    async fn secret(&self) -> Result<IndexSecret, StorageError>;

    /// Every log row, read at one moment.
    async fn logs(&self) -> Result<Vec<StoredLog>, StorageError>;

    /// Adds a log row with the head of the empty tree. [`Commit::Conflict`] if the number or the origin is taken.
    async fn create_log(&self, log: &StoredLog) -> Result<Commit, StorageError>;

    /// Changes whether a log takes entries, and returns after every commit that still saw the old state.
    /// [`Commit::Conflict`] if there is no such log or it is frozen already.
    async fn set_state(&self, log: LogId, state: LogState) -> Result<Commit, StorageError>;

    /// Stores the batch.
    ///
    /// - **Compare-and-swap**: for every touched log, in the same transaction that writes, the stored head has size
    ///   `from_size` *and* root `from_root`, and the state is [`LogState::Active`]. Else [`Commit::Conflict`].
    /// - **Atomic**: all of it, or nothing of it, also when the process or the machine stops half-way.
    /// - **Durable** before it returns [`Commit::Committed`]: it survives a power cut.
    /// - **Append-only**: a leaf that is already stored is never overwritten; that is an error.
    /// - `Err` means that the outcome is unknown, and the batch may still become visible later.
    async fn commit(&self, batch: &Batch) -> Result<Commit, StorageError>;

    /// Writes durably, in a transaction as [`Storage::commit`] does, and changes nothing: `Ok` if a commit can succeed.
    async fn probe(&self) -> Result<(), StorageError>;

    /// The stored leaves of `log` with `start <= index < start + count`, in order.
    async fn leaves(&self, log: LogId, start: u64, count: u32) -> Result<Vec<StoredLeaf>, StorageError>;

    /// The leaf at each place, in the order asked for.
    async fn leaves_at(&self, places: &[Place]) -> Result<Vec<Option<StoredLeaf>>, StorageError>;

    /// The stored bytes of each tile, in the order asked for.
    async fn tiles(&self, log: LogId, tiles: &[TileId]) -> Result<Vec<Option<Bytes>>, StorageError>;

    /// The first `limit` index rows of the keys, sorted by key, within a key the highest place first.
    async fn find(&self, keys: &[IndexKey], limit: u32) -> Result<Vec<(IndexKey, Place)>, StorageError>;

    /// Indexes of the leaves of `log` that have a row of the key, below `below`, the highest first, at most `limit`.
    async fn find_below(
        &self,
        key: IndexKey,
        log: LogId,
        below: u64,
        limit: u32,
    ) -> Result<Vec<u64>, StorageError>;

    /// An attachment.
    async fn attachment(&self, key: &str) -> Result<Option<Bytes>, StorageError>;

    /// The first `limit` index rows behind `after`, sorted by key and then place: all of them in pages, for checks and
    /// copies. Rows that are committed meanwhile may or may not be among them.
    async fn index_rows(
        &self,
        after: Option<(IndexKey, Place)>,
        limit: u32,
    ) -> Result<Vec<(IndexKey, Place)>, StorageError>;

    /// The first `limit` attachments whose key is behind `after`, sorted by the bytes of the key; as
    /// [`Storage::index_rows`].
    async fn attachments(&self, after: Option<&str>, limit: u32) -> Result<Vec<Attachment>, StorageError>;
}
