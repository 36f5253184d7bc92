//! Records in a SQLite file.

use std::path::Path;

use async_trait::async_trait;
use common_engine::{Record, Records, Shelf, StorageError};
use sqlx::SqlitePool;

use super::{Row, failed, record_of};
use crate::sqlite::{SqliteError, connect_options, create, pool, readable};

/// Name of the file in the data folder.
pub const FILE: &str = "records.db";
/// Raised with every change of the table.
const VERSION: i64 = 1;
/// Requests that look a pseudonym up at once; writes take turns.
const CONNECTIONS: u32 = 4;
/// Pages after which SQLite moves the write-ahead log into the file by itself.
const AUTOCHECKPOINT: &str = "1000";

const TABLE: &str = "CREATE TABLE IF NOT EXISTS records (
    shelf TEXT NOT NULL, key TEXT NOT NULL, alias TEXT, time INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (shelf, key), UNIQUE (shelf, alias)) STRICT, WITHOUT ROWID";

/// [`Records`] in one SQLite file, which several processes may use at once.
#[derive(Debug)]
pub struct SqliteRecords(pub(super) SqlitePool);

impl SqliteRecords {
    /// Opens the file in `folder`, and makes it if there is none.
    ///
    /// # Errors
    /// See [`SqliteError`].
    pub async fn open(folder: &Path) -> Result<Self, SqliteError> {
        let path = folder.join(FILE);
        create(&path).map_err(|source| SqliteError::File {
            path: path.display().to_string(),
            source,
        })?;
        Self::connect(&path).await
    }

    /// As [`SqliteRecords::open`], where there is one.
    ///
    /// # Errors
    /// [`SqliteError::Missing`], [`SqliteError::Unreadable`] and the others.
    pub async fn open_existing(folder: &Path) -> Result<Self, SqliteError> {
        let path = folder.join(FILE);
        readable(&path)?;
        Self::connect(&path).await
    }

    async fn connect(path: &Path) -> Result<Self, SqliteError> {
        let options = connect_options(path)
            // What is deleted is overwritten, not only forgotten.
            .pragma("secure_delete", "on")
            .pragma("wal_autocheckpoint", AUTOCHECKPOINT);
        let pool = pool(CONNECTIONS).connect_with(options).await?;
        let got: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&pool).await?;
        if got > VERSION {
            return Err(SqliteError::Schema(crate::sqlite::SchemaError::Version {
                expected: VERSION,
                got,
            }));
        }
        if got < VERSION {
            sqlx::query(TABLE).execute(&pool).await?;
            sqlx::query("PRAGMA user_version = 1").execute(&pool).await?;
        }
        Ok(Self(pool))
    }

    /// Closes it.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

#[async_trait]
impl Records for SqliteRecords {
    async fn add(&self, shelf: Shelf, records: &[Record]) -> Result<(), StorageError> {
        // A transaction that began by reading could not be made one that writes while another does.
        let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        for record in records {
            sqlx::query("INSERT INTO records VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
                .bind(shelf.0)
                .bind(&record.key)
                .bind(record.alias.as_deref())
                .bind(record.time.cast_signed())
                .bind(&record.data[..])
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn by_key(&self, shelf: Shelf, key: &str) -> Result<Option<Record>, StorageError> {
        let select = "SELECT key, alias, time, data FROM records WHERE shelf = ? AND key = ?";
        let query = sqlx::query_as::<_, Row>(select).bind(shelf.0).bind(key);
        Ok(query
            .fetch_optional(&self.0)
            .await
            .map_err(failed)?
            .map(record_of))
    }

    async fn by_alias(&self, shelf: Shelf, alias: &str) -> Result<Option<Record>, StorageError> {
        let select = "SELECT key, alias, time, data FROM records WHERE shelf = ? AND alias = ?";
        let query = sqlx::query_as::<_, Row>(select).bind(shelf.0).bind(alias);
        Ok(query
            .fetch_optional(&self.0)
            .await
            .map_err(failed)?
            .map(record_of))
    }

    async fn page(
        &self,
        shelf: Shelf,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Record>, StorageError> {
        let select = "SELECT key, alias, time, data FROM records WHERE shelf = ?1 AND (?2 IS NULL OR key < ?2) \
             ORDER BY key DESC LIMIT ?3";
        let query = sqlx::query_as::<_, Row>(select)
            .bind(shelf.0)
            .bind(before)
            .bind(i64::from(limit));
        let rows = query.fetch_all(&self.0).await.map_err(failed)?;
        Ok(rows.into_iter().map(record_of).collect())
    }

    async fn remove(&self, shelf: Shelf, key: &str) -> Result<bool, StorageError> {
        let delete = sqlx::query("DELETE FROM records WHERE shelf = ? AND key = ?").bind(shelf.0);
        let done = delete.bind(key).execute(&self.0).await.map_err(failed)?;
        // The write-ahead log may still have the row, from when it was written. A reader can keep this from happening
        // now; then it happens at the next occasion.
        let emptied = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&self.0)
            .await;
        if let Err(error) = emptied {
            tracing::warn!(%error, "a deleted record is still in the write-ahead log of {FILE}, until it is next emptied");
        }
        Ok(done.rows_affected() > 0)
    }

    async fn prune(&self, shelf: Shelf, oldest: u64, most: u32) -> Result<u64, StorageError> {
        // The highest key that is too many; none if there are not so many.
        let delete = "DELETE FROM records WHERE shelf = ?1 AND (time < ?2 OR key <= \
             (SELECT key FROM records WHERE shelf = ?1 AND time >= ?2 ORDER BY key DESC LIMIT 1 OFFSET ?3))";
        let query = sqlx::query(delete)
            .bind(shelf.0)
            .bind(oldest.cast_signed())
            .bind(i64::from(most));
        Ok(query.execute(&self.0).await.map_err(failed)?.rows_affected())
    }
}
