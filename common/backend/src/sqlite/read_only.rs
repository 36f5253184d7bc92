//! Opening the database for reading only, beside a running server or without one.
//!
//! No lock of the folder is taken and nothing of the log is moved. A reader of a write-ahead log needs its index, the
//! `-shm` file: that of the running server, or one made anew from the log that a crash left, which changes neither log
//! nor database (`sqlite.org/wal.html` "Read-Only Databases"). A connection that is not allowed to write cannot move
//! pages when it closes either.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use common_engine::StorageError;
use sqlx::{ConnectOptions, Connection};
use tokio::sync::Mutex;

use super::index::Index;
use super::wal::Pressure;
use super::{FILE, Inner, Open, READERS, Reads, SqliteError, SqliteStorage};

/// Most complaints of SQLite's own check that are listed.
const MOST_COMPLAINTS: usize = 100;

impl SqliteStorage {
    /// Opens the database in `folder` to read it. Every write fails, [`SqliteStorage::open`]'s lock is not needed, and
    /// a server may go on writing: each call sees what was committed before it.
    ///
    /// # Errors
    /// [`SqliteError::Missing`] if there is none; else see [`SqliteError`].
    pub async fn open_read_only(folder: &Path) -> Result<Self, SqliteError> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Err(SqliteError::Missing(path.display().to_string()));
        }
        let options = super::reader_options(&path);
        let mut first = options.connect().await?;
        super::check_library(&mut first).await?;
        let secret = super::schema::read(&mut first).await?;
        let index = Index::load(&mut first, true).await?;
        first.close().await?;
        let failed = OnceLock::new();
        let _ = failed.set(StorageError::new("the database was opened for reading only"));
        let pool = super::pool(READERS).connect_with(options.clone()).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                secret,
                index,
                public: pool.clone(),
                reserved: pool,
                options,
                writer: Mutex::new(None),
                mover: Mutex::new(None),
                pressure: Pressure::default(),
                failed,
            }),
            reads: Reads::Public,
            open: Arc::new(Open {
                checkpointer: None,
                _folder: None,
            }),
        })
    }

    /// SQLite's own check of the file: pages, their links, the order of keys, indexes against tables. What it
    /// complains of, at most 100 lines; empty when there is nothing. It reads the whole file in one transaction.
    ///
    /// # Errors
    /// SQLite could not carry it out.
    pub async fn integrity(&self) -> Result<Vec<String>, StorageError> {
        let check = format!("PRAGMA integrity_check({MOST_COMPLAINTS})");
        let lines: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(check))
            .fetch_all(&self.inner.public)
            .await
            .map_err(super::unknown)?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }
}

#[cfg(test)]
mod tests;
