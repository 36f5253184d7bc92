//! Moving pages from the write-ahead log into the main file, beside the commits.
//!
//! Done inside a commit, as SQLite does by itself, it makes every some-thousandth batch wait for tens of
//! milliseconds. Here a connection of its own does it (`PASSIVE`: writers and readers go on), and only for the last
//! few pages, written meanwhile, is the writer held back, so that the log can start over (`RESTART`: it waits for the
//! readers of the log, which `PASSIVE` does not, and under steady reads the log would never start over).
//!
//! An error of such a pass is final. After a failed `fsync` Linux takes the pages for clean: the next pass would
//! succeed on pages that are not on the disk, the log would start over, and a power cut would lose what had been
//! acknowledged. So nothing is tried again in this process; the log stays as it is, and the next start moves all of it
//! once more (`sqlite.org/atomiccommit.html` §9.2; PostgreSQL panics since 11.2 for the same reason).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common_engine::Batch;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};
use tokio::sync::Notify;

use super::{Inner, SqliteError};

const PAGE: u64 = 4_096;
/// What an index row comes to when it has been merged some times, each time 16 bytes.
const INDEX_ROW: u64 = 128;
/// Estimated bytes in the log from which on it is emptied.
pub(super) const HIGH_WATER: u64 = 16_000 * PAGE;
/// Pages left behind that are few enough to hold the writer for.
const FEW_PAGES: i64 = 2_000;
/// Passes beside the writer before it is held back in any case.
const PASSES: u32 = 4;
/// How long the writer is held for readers to leave the log, in milliseconds.
const PATIENCE: u32 = 100;
/// After readers did not leave it.
const RETRY: Duration = Duration::from_secs(1);

/// An estimate of what has been written to the log since it was emptied.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    bytes: AtomicU64,
    high: Notify,
}

impl Pressure {
    /// Counts a commit.
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
        let added = bytes.saturating_add(INDEX_ROW.saturating_mul(batch.index.len() as u64));
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

/// Moves what a crash left in the log, synced: until then it may be in the operating system's memory alone, and no head
/// in it may be shown. Gives the connection that will move pages from now on.
pub(super) async fn recover(options: &SqliteConnectOptions) -> Result<SqliteConnection, SqliteError> {
    let mut connection = options.connect().await?;
    let done = match pass(&mut connection, "PRAGMA wal_checkpoint(TRUNCATE)").await {
        Ok(done) => done,
        Err(error) => {
            keep(connection);
            return Err(error.into());
        }
    };
    if done.busy {
        return Err(SqliteError::InUse);
    }
    let patience = format!("PRAGMA busy_timeout = {PATIENCE}");
    sqlx::query(sqlx::AssertSqlSafe(patience))
        .fetch_one(&mut connection)
        .await?;
    Ok(connection)
}

/// Empties the log whenever it has grown; runs until it is aborted or an error is final.
pub(super) async fn run(inner: Arc<Inner>) {
    loop {
        inner.pressure.high.notified().await;
        inner.pressure.bytes.store(0, Ordering::Relaxed);
        loop {
            match empty(&inner).await {
                Ok(Emptied::Yes) => break,
                Ok(Emptied::ReadersStay) => tokio::time::sleep(RETRY).await,
                Err(error) if is_passing(&error) => {
                    tracing::warn!(%error, "the write-ahead log was not moved into the database");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => {
                    metrics::counter!("sigbox_sqlite_checkpoint_failures_total").increment(1);
                    return inner.fail(&error);
                }
            }
        }
    }
}

enum Emptied {
    Yes,
    ReadersStay,
}

async fn empty(inner: &Inner) -> Result<Emptied, sqlx::Error> {
    let mut slot = inner.mover.lock().await;
    // Closed.
    let Some(connection) = slot.as_mut() else {
        return Ok(Emptied::Yes);
    };
    let emptied = move_all(inner, connection).await;
    if emptied.as_ref().is_err_and(|error| !is_passing(error))
        && let Some(connection) = slot.take()
    {
        keep(connection);
    }
    emptied
}

async fn move_all(inner: &Inner, connection: &mut SqliteConnection) -> Result<Emptied, sqlx::Error> {
    const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
    for _ in 0..PASSES {
        if pass(connection, PASSIVE).await?.left <= FEW_PAGES {
            break;
        }
    }
    let _held = inner.writer.lock().await;
    let done = pass(connection, "PRAGMA wal_checkpoint(RESTART)").await?;
    Ok(if done.busy {
        Emptied::ReadersStay
    } else {
        Emptied::Yes
    })
}

/// Whether SQLite stopped before it gave anything to the disk that may now be lost: it was busy or locked (5, 6), had
/// no memory (7), or the disk had no room (13).
fn is_passing(error: &sqlx::Error) -> bool {
    matches!(super::result_code(error), Some(5 | 6 | 7 | 13))
}

/// Never closes the connection. While one is open, no other that closes is the last one, which would move the pages
/// once more on its way out.
fn keep(connection: SqliteConnection) {
    std::mem::forget(connection);
}

struct Pass {
    /// Readers or a writer were in the way: not an error.
    busy: bool,
    /// Pages left in the log.
    left: i64,
}

async fn pass(connection: &mut SqliteConnection, pragma: &'static str) -> Result<Pass, sqlx::Error> {
    let row = sqlx::query(pragma).fetch_one(connection).await?;
    let (in_log, moved) = (row.try_get::<i64, _>(1)?, row.try_get::<i64, _>(2)?);
    Ok(Pass {
        busy: row.try_get::<i64, _>(0)? != 0,
        left: in_log.saturating_sub(moved),
    })
}

#[cfg(test)]
mod tests;
