//! Small records beside the logs: what was refused, who is behind a pseudonym. No log depends on them, so each may be deleted
//! at any time, which no leaf ever is.

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StorageError;

/// A kind of records, with keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shelf(pub &'static str);

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Unique on its shelf; pages are in its order, by bytes. Short.
    pub key: String,
    /// Another name, unique on its shelf as well. Short.
    pub alias: Option<String>,
    /// Milliseconds since 1970.
    pub time: u64,
    /// What it says.
    pub data: Bytes,
}

/// Where records are kept. Several processes may use one store at once; [`crate::contract::check_records`] tests the
/// obligations.
#[async_trait]
pub trait Records: Send + Sync + 'static {
    /// Adds records, all or none, durable before it returns. One whose key or alias is there already is left out: the
    /// first stays as it is, whoever adds at the same moment.
    async fn add(&self, shelf: Shelf, records: &[Record]) -> Result<(), StorageError>;

    /// The record of that key.
    async fn by_key(&self, shelf: Shelf, key: &str) -> Result<Option<Record>, StorageError>;

    /// The record of that alias.
    async fn by_alias(&self, shelf: Shelf, alias: &str) -> Result<Option<Record>, StorageError>;

    /// The first `limit` records whose key is below `before`, or of all, the highest key first.
    async fn page(&self, shelf: Shelf, before: Option<&str>, limit: u32)
    -> Result<Vec<Record>, StorageError>;

    /// Deletes a record; whether there was one.
    async fn remove(&self, shelf: Shelf, key: &str) -> Result<bool, StorageError>;

    /// Deletes what is older than `oldest`, and of the rest all but the `most` of the highest keys; how many that were.
    async fn prune(&self, shelf: Shelf, oldest: u64, most: u32) -> Result<u64, StorageError>;
}
