//! Storage in PostgreSQL, for several replicas on one database: any of them may write.
//!
//! **One tree.** A commit locks the heads of its logs, compares size and root, and moves them in the transaction that
//! stores the leaves, so that of two replicas one finds its head moved (see `writer`).
//!
//! **Visibility.** Every statement runs in a snapshot of its own (`READ COMMITTED`), taken when it begins, of everything
//! that had been committed by then on any connection: the server makes a transaction visible, all of it at once, before
//! it answers `COMMIT`. All connections lead to the primary; a standby, which would lag, is refused whenever one is
//! opened. So a read that begins after a commit was acknowledged sees it.
//!
//! **Durability** is the server's: `synchronous_commit` is on in every session whatever the role says, and a server with
//! `fsync` or `full_page_writes` off is refused. A failover to an asynchronous standby can still lose the last commits: the
//! engine refuses to continue from before a published checkpoint, but only a synchronous standby keeps it from happening.
//!
//! Transaction-level connection poolers are not supported: sessions keep settings, and turns keep locks.

mod commit;
mod error;
mod schema;
mod session;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common_engine::{
    Attachment, Batch, Commit, IndexKey, IndexSecret, LogId, LogState, Place, Storage, StorageError,
    StoredLeaf, StoredLog,
};
use common_tlog::TileId;
use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use tokio::sync::Mutex;
use tokio::time::timeout;

pub use self::error::PostgresError;
pub(crate) use self::schema::turn_to_prepare;
pub use self::session::PostgresConfig;
pub(crate) use self::session::Use;
use self::writer::{Inner, Slot, rows_of};
use crate::keys::{LAST_INDEX, from_key, from_place, key, leaf_range, place, tile_id};
use crate::log_row::select_logs;

/// Connections of public reads.
const READERS: u32 = 8;
/// Connections of the engine's writer for reading, which it does one at a time.
const RESERVED: u32 = 2;
/// Longest that a read may take: longer than the server's own `statement_timeout`, for a server that is gone.
const PATIENCE: Duration = Duration::from_secs(15);

/// [`Storage`] in one schema of a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresStorage {
    inner: Arc<Inner>,
    reads: Reads,
}

/// Whose connections read.
#[derive(Clone, Copy, Debug)]
enum Reads {
    Public,
    /// The engine's writer: see [`Storage::reserved`].
    Writer,
}

impl PostgresStorage {
    /// Opens the store, and creates its tables if the schema has none. Replicas may do so at the same moment.
    ///
    /// # Errors
    /// See [`PostgresError`]: above all, a server whose settings could lose what was acknowledged is refused.
    pub async fn open(config: PostgresConfig) -> Result<Self, PostgresError> {
        let mut session = config.connect(Use::Write).await?;
        let secret = schema::prepare(&mut session, &config.schema).await?;
        let inner = Inner {
            secret,
            public: pool(&config, READERS, Use::Read),
            reserved: pool(&config, RESERVED, Use::Read),
            config,
            writer: Mutex::new(Slot::Idle(session)),
            turns: AtomicU64::new(0),
        };
        Ok(Self {
            inner: Arc::new(inner),
            reads: Reads::Public,
        })
    }

    /// Closes every connection. Commits that were acknowledged are durable without it. Reads that come later fail.
    pub async fn close(&self) {
        let slot = std::mem::take(&mut *self.inner.writer.lock().await);
        if let Slot::Idle(session) | Slot::Turn { session, .. } = slot
            && let Err(error) = session.close().await
        {
            tracing::debug!(%error, "the session was closed already");
        }
        self.inner.public.close().await;
        self.inner.reserved.close().await;
    }

    /// Runs a read on a connection of its own. It sees everything that was committed before it began.
    async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let pool = match self.reads {
            Reads::Public => &self.inner.public,
            Reads::Writer => &self.inner.reserved,
        };
        let mut connection = pool.acquire().await.map_err(failed)?;
        match timeout(PATIENCE, work(&mut connection)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                // Nobody knows when it will answer.
                connection.close_on_drop();
                Err(StorageError::new(format!(
                    "no answer within {} seconds",
                    PATIENCE.as_secs()
                )))
            }
        }
    }
}

/// Connections, each ready for its purpose.
pub(crate) fn pool(config: &PostgresConfig, connections: u32, purpose: Use) -> PgPool {
    let schema = Arc::clone(&config.schema);
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        .after_connect(move |connection, _| {
            let schema = Arc::clone(&schema);
            Box::pin(async move {
                let ready = session::prepare(connection, &schema, purpose).await;
                ready.map_err(|error| match error {
                    PostgresError::Database(error) => error,
                    refused => sqlx::Error::Configuration(refused.into()),
                })
            })
        })
        .connect_lazy_with(config.options.clone())
}

/// An error of a statement: the transaction it was in is not committed, and the answer to a read is not known.
fn failed(error: sqlx::Error) -> StorageError {
    StorageError::new(error)
}

/// A stored value that the engine cannot have written.
fn damaged(what: &'static str) -> StorageError {
    StorageError::new(format!("the database holds a {what} that was never written"))
}

/// Columns of a leaf: place, time, data, extra.
type LeafRow = (i64, i64, Vec<u8>, Vec<u8>);

fn leaf_of((at, time, data, extra): LeafRow) -> (Place, StoredLeaf) {
    let place = from_place(at);
    let leaf = StoredLeaf {
        index: place.index,
        time: time.cast_unsigned(),
        data: data.into(),
        extra: extra.into(),
    };
    (place, leaf)
}

fn index_rows_of(rows: Vec<(i64, i64)>) -> Vec<(IndexKey, Place)> {
    rows.into_iter()
        .map(|(index_key, at)| (from_key(index_key), from_place(at)))
        .collect()
}

fn attachment_of((name, data): (Vec<u8>, Vec<u8>)) -> Result<Attachment, StorageError> {
    Ok(Attachment {
        key: String::from_utf8(name).map_err(|_| damaged("key of an attachment"))?,
        data: data.into(),
    })
}

/// Whether the one row was written.
fn done(rows: u64) -> Commit {
    if rows == 1 {
        Commit::Committed
    } else {
        Commit::Conflict
    }
}

#[async_trait]
impl Storage for PostgresStorage {
    fn reserved(self: Arc<Self>) -> Arc<dyn Storage> {
        Arc::new(Self {
            inner: Arc::clone(&self.inner),
            reads: Reads::Writer,
        })
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn secret(&self) -> Result<IndexSecret, StorageError> {
        Ok(self.inner.secret)
    }

    async fn logs(&self) -> Result<Vec<StoredLog>, StorageError> {
        match self.reads {
            Reads::Public => {
                self.read(async |connection| rows_of(connection, select_logs!("")).await)
                    .await
            }
            Reads::Writer => self.inner.logs().await,
        }
    }

    async fn create_log(&self, log: &StoredLog) -> Result<Commit, StorageError> {
        let query = schema::insert_log(log);
        self.inner
            .write(async |session| Ok(done(query.execute(session).await?.rows_affected())))
            .await
    }

    async fn set_state(&self, log: LogId, state: LogState) -> Result<Commit, StorageError> {
        let query = schema::update_state(log, state);
        self.inner
            .write(async |session| Ok(done(query.execute(session).await?.rows_affected())))
            .await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StorageError> {
        self.inner.commit(batch).await
    }

    async fn probe(&self) -> Result<(), StorageError> {
        let same = sqlx::query("UPDATE store SET version = version");
        let written = self
            .inner
            .write(async |session| Ok(done(same.execute(session).await?.rows_affected())))
            .await?;
        match written {
            Commit::Committed => Ok(()),
            Commit::Conflict => Err(damaged("store without its row")),
        }
    }

    async fn leaves(&self, log: LogId, start: u64, count: u32) -> Result<Vec<StoredLeaf>, StorageError> {
        let Some((from, to)) = leaf_range(log, start, count) else {
            return Ok(Vec::new());
        };
        let select =
            "SELECT place, time, data, extra FROM leaves WHERE place >= $1 AND place < $2 ORDER BY place";
        let query = sqlx::query_as::<_, LeafRow>(select).bind(from).bind(to);
        let rows = self
            .read(async |connection| query.fetch_all(connection).await.map_err(failed))
            .await?;
        Ok(rows.into_iter().map(|row| leaf_of(row).1).collect())
    }

    async fn leaves_at(&self, places: &[Place]) -> Result<Vec<Option<StoredLeaf>>, StorageError> {
        let keys: Vec<i64> = places.iter().filter_map(|p| place(*p)).collect();
        let select = "SELECT place, time, data, extra FROM leaves WHERE place = ANY($1)";
        let query = sqlx::query_as::<_, LeafRow>(select).bind(keys);
        let rows = self
            .read(async |connection| query.fetch_all(connection).await.map_err(failed))
            .await?;
        let found: HashMap<Place, StoredLeaf> = rows.into_iter().map(leaf_of).collect();
        Ok(places.iter().map(|place| found.get(place).cloned()).collect())
    }

    async fn tiles(&self, log: LogId, tiles: &[TileId]) -> Result<Vec<Option<Bytes>>, StorageError> {
        let keys: Vec<i64> = tiles.iter().filter_map(|tile| tile_id(log, *tile)).collect();
        let select = "SELECT tile, hashes FROM tiles WHERE tile = ANY($1)";
        let query = sqlx::query_as::<_, (i64, Vec<u8>)>(select).bind(keys);
        let rows = self
            .read(async |connection| query.fetch_all(connection).await.map_err(failed))
            .await?;
        let found: HashMap<i64, Bytes> = rows
            .into_iter()
            .map(|(tile, hashes)| (tile, hashes.into()))
            .collect();
        Ok(tiles
            .iter()
            .map(|tile| found.get(&tile_id(log, *tile)?).cloned())
            .collect())
    }

    async fn find(&self, keys: &[IndexKey], limit: u32) -> Result<Vec<(IndexKey, Place)>, StorageError> {
        let mut keys: Vec<i64> = keys.iter().map(|k| key(*k)).collect();
        keys.sort_unstable();
        keys.dedup();
        // Of each key no more than the limit is looked at, however many rows it has.
        let select = "SELECT found.key, found.place FROM unnest($1::bigint[]) AS wanted(key) CROSS JOIN LATERAL \
             (SELECT key, place FROM lookup WHERE lookup.key = wanted.key ORDER BY place DESC LIMIT $2) AS found \
             ORDER BY found.key, found.place DESC LIMIT $2";
        let query = sqlx::query_as(select).bind(keys).bind(i64::from(limit));
        let rows = self
            .read(async |connection| query.fetch_all(connection).await.map_err(failed))
            .await?;
        Ok(index_rows_of(rows))
    }

    async fn find_below(
        &self,
        index_key: IndexKey,
        log: LogId,
        below: u64,
        limit: u32,
    ) -> Result<Vec<u64>, StorageError> {
        // No leaf is where no log can have one.
        let last = below.checked_sub(1).map(|last| last.min(LAST_INDEX));
        let at = |index| place(Place { log, index });
        let (Some(first), Some(last)) = (at(0), last.and_then(at)) else {
            return Ok(Vec::new());
        };
        let select = "SELECT place FROM lookup WHERE key = $1 AND place BETWEEN $2 AND $3 ORDER BY place DESC LIMIT $4";
        let query = sqlx::query_scalar::<_, i64>(select)
            .bind(key(index_key))
            .bind(first)
            .bind(last)
            .bind(i64::from(limit));
        let found = self
            .read(async |connection| query.fetch_all(connection).await.map_err(failed))
            .await?;
        Ok(found.into_iter().map(|place| from_place(place).index).collect())
    }

    async fn attachment(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        let query = sqlx::query_scalar::<_, Vec<u8>>("SELECT data FROM attachments WHERE key = $1");
        let query = query.bind(key.as_bytes());
        let found = self
            .read(async |connection| query.fetch_optional(connection).await.map_err(failed))
            .await?;
        Ok(found.map(Bytes::from))
    }

    async fn index_rows(
        &self,
        after: Option<(IndexKey, Place)>,
        limit: u32,
    ) -> Result<Vec<(IndexKey, Place)>, StorageError> {
        let (above, behind) = match after {
            // No log has a negative place.
            None => (i64::MIN, -1),
            // Of a place that no log here can have, there is no row.
            Some((index_key, at)) => (key(index_key), place(at).unwrap_or(i64::MAX)),
        };
        let select =
            "SELECT key, place FROM lookup WHERE (key, place) > ($1, $2) ORDER BY key, place LIMIT $3";
        let query = sqlx::query_as(select)
            .bind(above)
            .bind(behind)
            .bind(i64::from(limit));
        let rows = self
            .read(async |connection| query.fetch_all(connection).await.map_err(failed))
            .await?;
        Ok(index_rows_of(rows))
    }

    async fn attachments(&self, after: Option<&str>, limit: u32) -> Result<Vec<Attachment>, StorageError> {
        // No key is before the empty one, which may be a key.
        let select = match after {
            None => "SELECT key, data FROM attachments WHERE key >= $1 ORDER BY key LIMIT $2",
            Some(_) => "SELECT key, data FROM attachments WHERE key > $1 ORDER BY key LIMIT $2",
        };
        let query = sqlx::query_as(select)
            .bind(after.unwrap_or_default().as_bytes())
            .bind(i64::from(limit));
        let rows = self
            .read(async |connection| query.fetch_all(connection).await.map_err(failed))
            .await?;
        rows.into_iter().map(attachment_of).collect()
    }
}

#[cfg(test)]
mod tests;
