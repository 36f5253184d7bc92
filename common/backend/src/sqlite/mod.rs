//! The default storage: one SQLite file in the data folder.
//!
//! What a power cut does, step by step: a commit writes frames to the write-ahead log and syncs it
//! (`synchronous=FULL`) before it returns, so a cut before the sync loses the whole transaction and one after it
//! loses nothing. Moving frames into the main file happens beside the commits (see `wal`): SQLite syncs the log
//! before it touches the main file and the main file before it reuses the log, so a cut there repeats the move.
//! The start moves whatever a crash left, synced, before anything is read; an error of the move ends all writing (see
//! `wal`).
//! Connections never map the file into memory, where a stray write would reach the disk unseen.

mod commit;
mod index;
mod read_only;
mod rows;
mod schema;
mod wal;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common_engine::{
    Attachment, Batch, Commit, IndexKey, IndexSecret, LogId, LogState, Place, Storage, StorageError,
    StoredLeaf, StoredLog,
};
use common_tlog::TileId;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use self::index::Index;
pub(crate) use self::read_only::readable;
pub(crate) use self::rows::insert as insert_rows;
pub(crate) use self::schema::SchemaError;
pub(crate) use self::schema::insert_log;
use self::wal::Pressure;
use crate::folder::{AtRest, DataFolder};
use crate::keys::{from_place, leaf_range, place, tile_id};
use crate::log_row::{LogRow, log_of, select_logs};

/// Name of the database in the data folder.
const FILE: &str = "sigbox.db";
/// Before 3.51.3 two connections that write and checkpoint at once could corrupt the file without an error: the
/// WAL-reset bug, in SQLite since 3.7.0. Checked when it is built, and again with the library that really runs.
const OLDEST_LIBRARY: [u32; 3] = [3, 51, 3];
const _: () = assert!(libsqlite3_sys::SQLITE_VERSION_NUMBER >= 3_051_003);
/// Connections of public reads.
const READERS: u32 = 4;
/// Connections of the engine's writer, which reads by one at a time.
const RESERVED: u32 = 2;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// The library that was linked has a bug that corrupts files.
    #[error("SQLite {0} is linked, at least 3.51.3 is needed: older ones can corrupt the database")]
    Library(String),
    /// The file was written by another version, or is something else.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The file could not be created.
    #[error("the database {path} cannot be created: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Opened for reading only, and there is nothing to read.
    #[error("there is no database {0}: is this the data folder of an instance?")]
    Missing(String),
    /// It may be there, and cannot be looked at: mostly it is another user's.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Opened for reading only, and SQLite would have to write beside it.
    #[error(
        "the folder of {path} cannot be written, and without that the database cannot be read now: {reason} ({source}). Make \
         the folder writable, or copy it while no server runs on it and read the copy"
    )]
    Unwritable {
        /// The file.
        path: String,
        /// Why it is not enough to read it.
        reason: String,
        /// What SQLite said.
        source: Box<SqliteError>,
    },
    /// Another program reads the file, so that what a crash left could not be made durable.
    #[error("the database is in use by another program, and its write-ahead log could not be recovered")]
    InUse,
    /// SQLite says no.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}

/// [`Storage`] in one SQLite file.
#[derive(Debug)]
pub struct SqliteStorage {
    inner: Arc<Inner>,
    /// Whose connections read.
    reads: Reads,
    open: Arc<Open>,
}

#[derive(Clone, Copy, Debug)]
enum Reads {
    Public,
    /// The engine's writer: see [`Storage::reserved`].
    Writer,
}

/// What lives as long as any handle.
#[derive(Debug)]
struct Open {
    /// `None` where nothing is written.
    checkpointer: Option<JoinHandle<()>>,
    /// No second process opens the file to write while this lives.
    _folder: Option<Arc<DataFolder>>,
    /// No process at all does, where it is read as a file that does not change.
    _rest: Option<AtRest>,
}

/// What the handles and the checkpointer share.
#[derive(Debug)]
struct Inner {
    options: SqliteConnectOptions,
    secret: IndexSecret,
    index: Index,
    public: SqlitePool,
    reserved: SqlitePool,
    /// The one connection that writes; `None` after an error, until the next write opens a new one.
    writer: Mutex<Option<SqliteConnection>>,
    /// Moves pages (see `wal`). It is always there and closed last, because SQLite has the last connection that
    /// closes move the pages too, and then nobody would learn of an error.
    mover: Mutex<Option<SqliteConnection>>,
    pressure: Pressure,
    /// Why nothing can be written any more, until the process is restarted.
    failed: OnceLock<StorageError>,
}

impl SqliteStorage {
    /// Opens the database of the folder, and creates it if there is none.
    ///
    /// # Errors
    /// See [`SqliteError`].
    pub async fn open(folder: Arc<DataFolder>) -> Result<Self, SqliteError> {
        Self::open_or_create(folder, None).await
    }

    /// As [`SqliteStorage::open`]; a database that is created gets `secret`, so that the index rows of a backup go on
    /// meaning what they meant.
    ///
    /// # Errors
    /// See [`SqliteError`].
    pub async fn open_with_secret(folder: Arc<DataFolder>, secret: IndexSecret) -> Result<Self, SqliteError> {
        Self::open_or_create(folder, Some(secret)).await
    }

    async fn open_or_create(
        folder: Arc<DataFolder>,
        secret: Option<IndexSecret>,
    ) -> Result<Self, SqliteError> {
        let path = folder.path().join(FILE);
        create(&path).map_err(|source| SqliteError::File {
            path: path.display().to_string(),
            source,
        })?;
        let options = connect_options(&path);
        let mut writer = options.connect().await?;
        check_library(&mut writer).await?;
        let secret = schema::prepare(&mut writer, secret).await?;
        let mover = wal::recover(&options).await?;
        let index = Index::load(&mut writer, false).await?;
        let reader = reader_options(&path);
        let inner = Inner {
            secret,
            index,
            public: pool(READERS).connect_with(reader.clone()).await?,
            reserved: pool(RESERVED).connect_with(reader).await?,
            options,
            writer: Mutex::new(Some(writer)),
            mover: Mutex::new(Some(mover)),
            pressure: Pressure::default(),
            failed: OnceLock::new(),
        };
        let inner = Arc::new(inner);
        let checkpointer = tokio::spawn(wal::run(Arc::clone(&inner)));
        Ok(Self {
            inner,
            reads: Reads::Public,
            open: Arc::new(Open {
                checkpointer: Some(checkpointer),
                _folder: Some(folder),
                _rest: None,
            }),
        })
    }

    /// Moves everything into the main file and closes it. Commits that were acknowledged are durable without it.
    /// Every call that comes later fails, or opens the file anew.
    pub async fn close(&self) {
        // Not in the middle of a pass, whose error would be lost.
        let mut mover = self.inner.mover.lock().await;
        self.open.stop();
        self.inner.public.close().await;
        self.inner.reserved.close().await;
        let writer = self.inner.writer.lock().await.take();
        for connection in writer.into_iter().chain(mover.take()) {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "the database was not closed cleanly; the next start recovers it");
            }
        }
    }

    /// The index, and the connections to read it by. After a commit of which the outcome is unknown the database is
    /// asked first.
    async fn index(&self) -> Result<(&Index, &SqlitePool), StorageError> {
        let (index, readers) = (&self.inner.index, self.readers()?);
        if index.is_stale() {
            // No commit is under way while this is held.
            let _writer = self.inner.writer.lock().await;
            if index.is_stale() {
                index.refresh(readers).await.map_err(unknown)?;
            }
        }
        Ok((index, readers))
    }

    /// The connections for reads; the writer gets none once nothing can be written any more.
    fn readers(&self) -> Result<&SqlitePool, StorageError> {
        match self.reads {
            Reads::Public => Ok(&self.inner.public),
            Reads::Writer => self.inner.check().map(|()| &self.inner.reserved),
        }
    }
}

impl Open {
    fn stop(&self) {
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.abort();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        // A file does not hang up: asking first would double the work of a small read.
        .test_before_acquire(false)
}

async fn check_library(connection: &mut SqliteConnection) -> Result<(), SqliteError> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(connection)
        .await?;
    if is_sound(&version) {
        Ok(())
    } else {
        Err(SqliteError::Library(version))
    }
}

fn is_sound(version: &str) -> bool {
    let parts: Result<Vec<u32>, _> = version.split('.').map(str::parse).collect();
    parts.is_ok_and(|parts| parts.as_slice() >= OLDEST_LIBRARY.as_slice())
}

/// Creates the file for its owner only, and makes its name durable; SQLite gives its other files the same mode.
pub(crate) fn create(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.sync_all()?;
    path.parent()
        .map_or(Ok(()), |parent| std::fs::File::open(parent)?.sync_all())
}

pub(crate) fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // Without it WAL mode loses the last commits in a power cut.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(rows::PREPARED)
        // A bundle of leaves in one go: the thread that reads it does not stop every 50 rows for whoever takes them.
        .row_buffer_size(rows::BUFFERED)
        // Writes go to the ends of tables, and nothing is read twice soon: room for the pages of one large batch.
        .pragma("cache_size", "-8192")
        .pragma("mmap_size", "0")
        // Moving pages into the main file is not the commit's work, see `wal`.
        .pragma("wal_autocheckpoint", "0")
        // Once it was emptied, a log that had grown gives its space back.
        .pragma("journal_size_limit", wal::HIGH_WATER.to_string())
        // macOS: a sync that reaches the disk.
        .pragma("fullfsync", "1")
        .pragma("checkpoint_fullfsync", "1")
        .disable_statement_logging()
}

/// A reader keeps little of its own: the operating system caches the file for all of them.
fn reader_options(path: &Path) -> SqliteConnectOptions {
    connect_options(path)
        .read_only(true)
        .pragma("cache_size", "-2048")
}

/// SQLite's result code without what it adds to it (`sqlite.org/rescode.html`).
fn result_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?.parse::<u32>().ok()?;
    Some(code & 0xff)
}

/// Every error of the database is one of the storage: outcome unknown.
fn unknown(error: sqlx::Error) -> StorageError {
    StorageError::new(error)
}

/// A stored value that the engine cannot have written.
fn damaged(what: &'static str) -> StorageError {
    StorageError::new(format!("the database holds a {what} that was never written"))
}

fn leaf_of(row: &sqlx::sqlite::SqliteRow) -> Result<(Place, StoredLeaf), sqlx::Error> {
    let place = from_place(row.try_get(0)?);
    let time = row.try_get::<i64, _>(1)?.cast_unsigned();
    let (data, extra) = (row.try_get::<Vec<u8>, _>(2)?, row.try_get::<Vec<u8>, _>(3)?);
    Ok((
        place,
        StoredLeaf {
            index: place.index,
            time,
            data: data.into(),
            extra: extra.into(),
        },
    ))
}

#[async_trait]
impl Storage for SqliteStorage {
    fn reserved(self: Arc<Self>) -> Arc<dyn Storage> {
        Arc::new(Self {
            inner: Arc::clone(&self.inner),
            reads: Reads::Writer,
            open: Arc::clone(&self.open),
        })
    }

    async fn secret(&self) -> Result<IndexSecret, StorageError> {
        Ok(self.inner.secret)
    }

    async fn logs(&self) -> Result<Vec<StoredLog>, StorageError> {
        // A commit waits for who holds this, so that must not wait for a connection.
        let mut connection = self.readers()?.acquire().await.map_err(unknown)?;
        let whole = self.inner.index.whole().await;
        let rows: Vec<LogRow> = sqlx::query_as(select_logs!(""))
            .fetch_all(&mut *connection)
            .await
            .map_err(unknown)?;
        drop(whole);
        rows.into_iter()
            .map(|row| log_of(row).ok_or_else(|| damaged("log row")))
            .collect()
    }

    async fn create_log(&self, log: &StoredLog) -> Result<Commit, StorageError> {
        let query = insert_log(log);
        self.inner
            .write(async |connection| done(query.execute(connection).await?.rows_affected()))
            .await
    }

    async fn set_state(&self, log: LogId, state: LogState) -> Result<Commit, StorageError> {
        let query = schema::update_state(log, state);
        self.inner
            .write(async |connection| done(query.execute(connection).await?.rows_affected()))
            .await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StorageError> {
        let outcome = self
            .inner
            .write(async |connection| commit::commit(connection, &self.inner.index, batch).await)
            .await;
        self.inner.pressure.add(batch);
        outcome
    }

    async fn probe(&self) -> Result<(), StorageError> {
        // There and back: a row that is given the value it has makes no page dirty, and nothing would be written
        // (`btreeOverwriteContent` in SQLite's btree.c). A page that was changed is written, whatever it holds in the end.
        const STEPS: [&str; 2] = [
            "UPDATE store SET version = version + 1",
            "UPDATE store SET version = version - 1",
        ];
        let written = self.inner.write(async |connection| {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            let mut rows = 0;
            for step in STEPS {
                rows = sqlx::query(step)
                    .execute(&mut *transaction)
                    .await?
                    .rows_affected();
            }
            transaction.commit().await?;
            done(rows)
        });
        match written.await? {
            Commit::Committed => Ok(()),
            Commit::Conflict => Err(damaged("store without its row")),
        }
    }

    async fn leaves(&self, log: LogId, start: u64, count: u32) -> Result<Vec<StoredLeaf>, StorageError> {
        let Some((from, to)) = leaf_range(log, start, count) else {
            return Ok(Vec::new());
        };
        let query = sqlx::query(
            "SELECT place, time, data, extra FROM leaves WHERE place >= ? AND place < ? ORDER BY place",
        );
        let rows = query
            .bind(from)
            .bind(to)
            .fetch_all(self.readers()?)
            .await
            .map_err(unknown)?;
        rows.iter()
            .map(|row| Ok(leaf_of(row).map_err(unknown)?.1))
            .collect()
    }

    async fn leaves_at(&self, places: &[Place]) -> Result<Vec<Option<StoredLeaf>>, StorageError> {
        let keys: Vec<i64> = places.iter().filter_map(|p| place(*p)).collect();
        let select = "SELECT place, time, data, extra FROM leaves WHERE place IN ";
        let rows = rows::select_in(self.readers()?, select, "", &keys, None)
            .await
            .map_err(unknown)?;
        let found = rows
            .iter()
            .map(leaf_of)
            .collect::<Result<HashMap<_, _>, _>>()
            .map_err(unknown)?;
        Ok(places.iter().map(|place| found.get(place).cloned()).collect())
    }

    async fn tiles(&self, log: LogId, tiles: &[TileId]) -> Result<Vec<Option<Bytes>>, StorageError> {
        let keys: Vec<i64> = tiles.iter().filter_map(|tile| tile_id(log, *tile)).collect();
        let select = "SELECT tile, hashes FROM tiles WHERE tile IN ";
        let rows = rows::select_in(self.readers()?, select, "", &keys, None)
            .await
            .map_err(unknown)?;
        let mut found = HashMap::new();
        for row in &rows {
            let hashes: Vec<u8> = row.try_get(1).map_err(unknown)?;
            found.insert(row.try_get::<i64, _>(0).map_err(unknown)?, Bytes::from(hashes));
        }
        Ok(tiles
            .iter()
            .map(|tile| found.get(&tile_id(log, *tile)?).cloned())
            .collect())
    }

    async fn find(&self, keys: &[IndexKey], limit: u32) -> Result<Vec<(IndexKey, Place)>, StorageError> {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys.dedup();
        let (index, readers) = self.index().await?;
        index.find(readers, &keys, limit).await.map_err(unknown)
    }

    async fn find_below(
        &self,
        key: IndexKey,
        log: LogId,
        below: u64,
        limit: u32,
    ) -> Result<Vec<u64>, StorageError> {
        let (index, readers) = self.index().await?;
        let found = index.find_below(readers, key, log, below, limit).await;
        found.map_err(unknown)
    }

    async fn attachment(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        let query = sqlx::query_scalar::<_, Vec<u8>>("SELECT data FROM attachments WHERE key = ?").bind(key);
        Ok(query
            .fetch_optional(self.readers()?)
            .await
            .map_err(unknown)?
            .map(Bytes::from))
    }

    async fn index_rows(
        &self,
        after: Option<(IndexKey, Place)>,
        limit: u32,
    ) -> Result<Vec<(IndexKey, Place)>, StorageError> {
        let (index, readers) = self.index().await?;
        index.rows(readers, after, limit).await.map_err(unknown)
    }

    async fn attachments(&self, after: Option<&str>, limit: u32) -> Result<Vec<Attachment>, StorageError> {
        // No key is before the empty one, which may be a key.
        let select = match after {
            None => "SELECT key, data FROM attachments WHERE key >= ? ORDER BY key LIMIT ?",
            Some(_) => "SELECT key, data FROM attachments WHERE key > ? ORDER BY key LIMIT ?",
        };
        let query = sqlx::query_as::<_, (String, Vec<u8>)>(select)
            .bind(after.unwrap_or_default())
            .bind(i64::from(limit));
        let rows = query.fetch_all(self.readers()?).await.map_err(unknown)?;
        let attachment = |(key, data): (String, Vec<u8>)| Attachment {
            key,
            data: data.into(),
        };
        Ok(rows.into_iter().map(attachment).collect())
    }
}

fn done(rows: u64) -> Result<Commit, sqlx::Error> {
    Ok(if rows == 1 {
        Commit::Committed
    } else {
        Commit::Conflict
    })
}

impl Inner {
    /// Fails once [`Inner::fail`] was called.
    fn check(&self) -> Result<(), StorageError> {
        self.failed.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Ends all writing, for as long as the process lives.
    fn fail(&self, cause: &sqlx::Error) {
        let error = StorageError::new(format!(
            "the write-ahead log could not be moved into the database ({cause}): nothing is written any more, restart \
             the process once the disk is sound"
        ));
        tracing::error!(%error, "the store has failed");
        // The first cause stays.
        let _ = self.failed.set(error);
    }

    /// Runs one write on the writer's connection. After an error the connection is given up: what SQLite made of a
    /// failed transaction is found out by looking at the file anew.
    async fn write<F>(&self, work: F) -> Result<Commit, StorageError>
    where
        F: AsyncFnOnce(&mut SqliteConnection) -> Result<Commit, sqlx::Error>,
    {
        let mut slot = self.writer.lock().await;
        self.check()?;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(unknown)?,
        };
        let outcome = work(&mut connection).await.map_err(unknown)?;
        *slot = Some(connection);
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
