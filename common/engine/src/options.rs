//! What the engine is started with.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::types::{LogId, LogSpec, Personality};

/// The clock, given by whoever composes the program.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// A clock from a function, `SystemTime::now` in production.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Unix milliseconds; 0 for a time before 1970.
    #[must_use]
    pub fn unix_millis(&self) -> u64 {
        let since = (self.0)().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl From<Arc<dyn Fn() -> SystemTime + Send + Sync>> for Clock {
    fn from(now: Arc<dyn Fn() -> SystemTime + Send + Sync>) -> Self {
        Self(now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// One log to serve.
#[derive(Clone)]
pub struct LogConfig {
    /// Its number in the store, never reused for another log.
    pub id: LogId,
    /// What it is; the store's row must agree, and is made from this on the first start.
    pub spec: LogSpec,
    /// Seals its entries and signs its heads.
    pub personality: Arc<dyn Personality>,
}

impl fmt::Debug for LogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogConfig")
            .field("id", &self.id)
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

/// Bounds of the engine. The defaults suit a machine of two cores.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Entries that may wait; more are refused with [`crate::SubmitError::Overloaded`].
    pub queue_entries: usize,
    /// Bytes that may wait.
    pub queue_bytes: usize,
    /// Entries in one batch.
    pub batch_entries: usize,
    /// Bytes in one batch.
    pub batch_bytes: usize,
    /// Index rows in one batch: each goes to a page of its own once the index is large.
    pub batch_rows: usize,
    /// Public reads at once; more wait for a second and are then refused with [`crate::ReadError::Busy`].
    pub concurrent_reads: usize,
    /// Threads that seal, hash and sign.
    pub threads: usize,
    /// Tiles kept in memory for proofs, 16 KiB each.
    pub cached_tiles: usize,
}

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            queue_entries: 4_096,
            queue_bytes: 64 << 20,
            batch_entries: 1_024,
            batch_bytes: 8 << 20,
            batch_rows: 8_192,
            // Enough to keep the store busy. A write waits behind those that have their turn, wherever it needs a thread.
            concurrent_reads: cores.saturating_mul(4),
            threads: cores,
            cached_tiles: 512,
        }
    }
}
