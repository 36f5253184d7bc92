//! Moving pages from the write-ahead log into the main file, beside the commits.
//!
//! Done inside a commit, as SQLite does by itself, it makes every some-thousandth batch wait for tens of
//! milliseconds. Here a connection of its own does it (`PASSIVE`: writers and readers go on), and only for the last
//! few pages, written meanwhile, is the writer held back, so that the log can start over and does not grow for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common_engine::Batch;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection, Row};
use tokio::sync::Notify;

use super::Inner;

const PAGE: u64 = 4_096;
/// Estimated bytes in the log from which on it is emptied.
const HIGH_WATER: u64 = 16_000 * PAGE;
/// Pages left behind that are few enough to hold the writer for.
const FEW_PAGES: i64 = 2_000;
/// Passes beside the writer before it is held back in any case.
const PASSES: u32 = 4;

/// An estimate of what has been written to the log since it was emptied.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    bytes: AtomicU64,
    high: Notify,
}

impl Pressure {
    /// Counts a commit. Index rows go to random places, each a page of its own once the index is large.
    pub(super) fn add(&self, batch: &Batch) {
        let leaves = batch.logs.iter().flat_map(|part| &part.leaves);
        let data = leaves.map(|leaf| leaf.data.len().saturating_add(leaf.extra.len()));
        let tiles = batch
            .logs
            .iter()
            .flat_map(|part| &part.tiles)
            .map(|(_, bytes)| bytes.len());
        let attachments = batch.attachments.iter().map(|attachment| attachment.data.len());
        let bytes = data
            .chain(tiles)
            .chain(attachments)
            .fold(0, usize::saturating_add) as u64;
        let added = bytes.saturating_add(PAGE.saturating_mul(batch.index.len() as u64));
        if self
            .bytes
            .fetch_add(added, Ordering::Relaxed)
            .saturating_add(added)
            >= HIGH_WATER
        {
            self.high.notify_one();
        }
    }
}

/// Empties the log whenever it has grown; runs until it is aborted.
pub(super) async fn run(inner: Arc<Inner>) {
    loop {
        inner.pressure.high.notified().await;
        inner.pressure.bytes.store(0, Ordering::Relaxed);
        if let Err(error) = empty(&inner).await {
            // Nothing is lost: the log is only longer. The next commits ask again.
            metrics::counter!("sigbox_sqlite_checkpoint_failures_total").increment(1);
            tracing::error!(%error, "the write-ahead log was not moved into the database");
        }
    }
}

async fn empty(inner: &Inner) -> Result<(), sqlx::Error> {
    let mut connection = inner.options.connect().await?;
    for _ in 0..PASSES {
        if passive(&mut connection).await? <= FEW_PAGES {
            break;
        }
    }
    let writer = inner.writer.lock().await;
    passive(&mut connection).await?;
    drop(writer);
    connection.close().await
}

/// Moves what can be moved without waiting; gives the number of pages left.
async fn passive(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
        .fetch_one(connection)
        .await?;
    let (in_log, moved) = (row.try_get::<i64, _>(1)?, row.try_get::<i64, _>(2)?);
    Ok(in_log.saturating_sub(moved))
}
