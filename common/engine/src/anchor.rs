//! A memory of what was published, kept outside the database.
//!
//! A database that was restored from a backup, or whose folder was exchanged, is consistent with itself and yet
//! would sign a second tree of a size that clients have seen: a fork. The anchor holds the highest published size
//! and root of each log, and the engine refuses to start on a store that is behind it or differs from it.
//!
//! It is advanced after the commit, beside the path of the waiters, at most once in [`INTERVAL`]: it may lag behind
//! the store, never run ahead. How far is bounded: once it could not be advanced for [`PATIENCE`], nothing is logged any
//! more until it is. So it protects from a store that is older than the last advance, from an exchanged
//! and from a deleted one; it does not protect from losing only the commits of the last interval, nor when the
//! anchor is rolled back together with the store (a snapshot of the whole disk). Witnesses do, see
//! C2SP tlog-witness.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use common_tlog::Hash;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::storage::StoredLog;

/// Least time between two advances.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);
/// How long heads may be published that are not recorded.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A published head, as far as the anchor keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Names the log, also across stores.
    pub origin: String,
    /// Size of the tree.
    pub size: u64,
    /// Root at that size.
    pub root: Hash,
}

impl From<&StoredLog> for Published {
    fn from(log: &StoredLog) -> Self {
        Self {
            origin: log.info.spec.origin.clone(),
            size: log.head.size,
            root: log.head.root,
        }
    }
}

/// The record could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the record of published checkpoints {path}: {reason}")]
pub struct AnchorError {
    /// Where it is.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

/// Keeps the highest published head of each log.
#[async_trait]
pub trait Anchor: Send + Sync + 'static {
    /// All heads recorded; empty before the first advance. An unreadable record is an error, never empty.
    async fn load(&self) -> Result<Vec<Published>, AnchorError>;

    /// Raises the record of the logs given, durably and all at once: after a power cut it is the old or the new one.
    /// Other logs keep theirs.
    async fn advance(&self, heads: &[Published]) -> Result<(), AnchorError>;
}

/// Remembers nothing: for stores that do not outlive the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAnchor;

#[async_trait]
impl Anchor for NoAnchor {
    async fn load(&self) -> Result<Vec<Published>, AnchorError> {
        Ok(Vec::new())
    }

    async fn advance(&self, _heads: &[Published]) -> Result<(), AnchorError> {
        Ok(())
    }
}

/// Records `heads` whenever they change, and again after a failure, until their sender is gone. Tells `current` when it
/// has lagged for [`PATIENCE`], and when it no longer does. The error is that of the last record: what was published last
/// is not in it.
pub(crate) async fn follow(
    anchor: Arc<dyn Anchor>,
    mut heads: watch::Receiver<Vec<Published>>,
    current: impl Fn(bool),
) -> Result<(), AnchorError> {
    let mut recorded = Ok(());
    // Since when there has been something to record.
    let mut since = Instant::now();
    loop {
        // After a failure there is a record to make even if nothing has changed.
        let open = if recorded.is_ok() {
            let open = heads.changed().await.is_ok();
            since = Instant::now();
            open
        } else {
            heads.has_changed().is_ok()
        };
        if !open && recorded.is_ok() {
            return recorded;
        }
        let state = heads.borrow_and_update().clone();
        // A disk that hangs is one that fails, as far as anybody can tell.
        let advance = anchor.advance(&state);
        tokio::pin!(advance);
        let late = tokio::time::sleep(PATIENCE.saturating_sub(since.elapsed()));
        recorded = tokio::select! {
            biased;
            recorded = &mut advance => recorded,
            () = late => {
                current(false);
                advance.await
            }
        };
        current(recorded.is_ok() || since.elapsed() < PATIENCE);
        if let Err(error) = &recorded {
            metrics::counter!("sigbox_engine_anchor_failures_total").increment(1);
            tracing::error!(%error, "published checkpoints could not be recorded");
        }
        if !open {
            return recorded;
        }
        // Not a timer of the log: it only spares the disk while batches come fast.
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = closed(heads.clone()) => {}
        }
    }
}

/// Resolves when the sender is gone.
async fn closed(mut heads: watch::Receiver<Vec<Published>>) {
    while heads.changed().await.is_ok() {}
}

#[cfg(test)]
mod tests;
