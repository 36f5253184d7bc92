//! Opening the database for reading only, beside a running server or without one.
//!
//! No lock of the folder is taken and nothing of the log is moved. A reader of a write-ahead log needs its index, the
//! `-shm` file: that of the running server, or one made anew from the log that a crash left, which changes neither log
//! nor database (`sqlite.org/wal.html` "Read-Only Databases"). A connection that is not allowed to write cannot move
//! pages when it closes either.
//!
//! Where the folder cannot be written there may be no index, and none can be made. Then the file is read as one that does not
//! change, without log and locks (`immutable`, `sqlite.org/uri.html`), if that is what it is: the log is empty, no server has
//! the folder, and none gets it meanwhile.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use common_engine::StorageError;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::sync::Mutex;

use super::index::Index;
use super::schema::SchemaError;
use super::wal::Pressure;
use super::{FILE, Inner, Open, READERS, Reads, SqliteError, SqliteStorage, result_code};
use crate::folder::AtRest;

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
        readable(&path)?;
        match Self::read_with(super::reader_options(&path), None).await {
            Err(refusal) if refusal.wants_to_write() => match at_rest(folder, &path) {
                Ok(rest) => Self::read_with(still(&path), Some(rest)).await,
                Err(reason) => Err(SqliteError::Unwritable {
                    path: path.display().to_string(),
                    reason,
                    source: Box::new(refusal),
                }),
            },
            opened => opened,
        }
    }

    async fn read_with(options: SqliteConnectOptions, rest: Option<AtRest>) -> Result<Self, SqliteError> {
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
                _rest: rest,
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

impl SqliteError {
    /// Whether the contents of the file may be to blame: not the folder, another user or another program, and not another
    /// version of this one.
    #[must_use]
    pub fn may_be_damage(&self) -> bool {
        match self {
            Self::Database(error) | Self::Schema(SchemaError::Database(error)) => {
                // No permission, busy, locked, no memory, read-only, cannot be opened.
                !matches!(result_code(error), Some(3 | 5 | 6 | 7 | 8 | 14))
            }
            Self::Schema(SchemaError::Foreign | SchemaError::Secret(_)) => true,
            _ => false,
        }
    }

    /// Whether SQLite could not make the index of the write-ahead log: it is read-only (8), or cannot be opened (14).
    fn wants_to_write(&self) -> bool {
        match self {
            Self::Database(error) | Self::Schema(SchemaError::Database(error)) => {
                matches!(result_code(error), Some(8 | 14))
            }
            _ => false,
        }
    }
}

/// That the file is there and its content may be read. SQLite would say of both only that it cannot be opened.
///
/// # Errors
/// [`SqliteError::Missing`] and [`SqliteError::Unreadable`].
pub(crate) fn readable(path: &Path) -> Result<(), SqliteError> {
    match File::open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(SqliteError::Missing(path.display().to_string()))
        }
        Err(source) => Err(SqliteError::Unreadable {
            path: path.display().to_string(),
            source,
        }),
    }
}

/// For a file that does not change.
fn still(path: &Path) -> SqliteConnectOptions {
    super::reader_options(path).immutable(true)
}

/// Keeps the folder as it is, if nobody writes to it and all that was committed is in the file; else why that is not so.
fn at_rest(folder: &Path, path: &Path) -> Result<AtRest, String> {
    // First: a server that comes now must not write what is looked at next.
    let rest = AtRest::keep(folder).map_err(|error| error.to_string())?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = Path::new(&log);
    match fs::metadata(log) {
        Ok(found) if found.len() == 0 => Ok(rest),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(rest),
        Ok(found) => Err(format!(
            "{} has {} bytes of what was committed, left by a crash, and SQLite reads them by an index that it makes beside it",
            log.display(),
            found.len()
        )),
        Err(error) => Err(format!("{}: {error}", log.display())),
    }
}

#[cfg(test)]
mod tests;
