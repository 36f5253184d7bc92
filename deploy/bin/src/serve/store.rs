//! The database of the logs, whichever it is.

use std::sync::Arc;

use common_backend::folder::DataFolder;
use common_backend::postgres::{PostgresError, PostgresStorage};
use common_backend::sqlite::{SqliteError, SqliteStorage};

use crate::serve::config::Storage;

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// SQLite.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
}

/// The open database.
pub(crate) enum Store {
    Sqlite(Arc<SqliteStorage>),
    Postgres(Arc<PostgresStorage>),
}

impl Store {
    /// Opens it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn open(which: &Storage, folder: &Arc<DataFolder>) -> Result<Store, StoreError> {
        Ok(match which {
            Storage::Sqlite => Store::Sqlite(Arc::new(SqliteStorage::open(Arc::clone(folder)).await?)),
            Storage::Postgres(config) => {
                Store::Postgres(Arc::new(PostgresStorage::open(*config.clone()).await?))
            }
        })
    }

    /// What the engine writes to.
    pub(crate) fn storage(&self) -> Arc<dyn common_engine::Storage> {
        match self {
            Store::Sqlite(storage) => Arc::clone(storage) as _,
            Store::Postgres(storage) => Arc::clone(storage) as _,
        }
    }

    /// Gives it back.
    pub(crate) async fn close(self) {
        match self {
            Store::Sqlite(storage) => crate::up::close(storage).await,
            Store::Postgres(storage) => storage.close().await,
        }
    }
}
