//! What the certificate authority keeps beside the logs: refusals of its policy, and who is behind a pseudonym.

pub(crate) mod command;
pub(crate) mod denials;
pub(crate) mod pseudonyms;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common_backend::postgres::{PostgresConfig, PostgresError};
use common_backend::records::{PostgresRecords, SqliteRecords};
use common_backend::sqlite::SqliteError;
use common_engine::Records;
use fulcio_ca::{AuditLog, Pseudonyms};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::pseudonyms::Names;

/// How long the last refusals may take to be written.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Records cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordsError {
    /// SQLite.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// Either, later.
    #[error("records: {0}")]
    Storage(#[from] common_engine::StorageError),
    /// What is kept is not what is written here.
    #[error("a record is not of this version: {0}")]
    Content(#[from] serde_json::Error),
}

/// Where records are.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In a file of the data folder.
    Folder(PathBuf),
    /// Beside the logs.
    Postgres(Box<PostgresConfig>),
}

/// What an authority keeps.
pub(crate) struct Kept {
    shelves: Arc<Shelves>,
    audit: Arc<dyn AuditLog>,
    writing: JoinHandle<()>,
}

impl Kept {
    /// At `place`.
    pub(crate) fn new(place: Place) -> Kept {
        let shelves = Arc::new(Shelves::new(place));
        let (audit, writing) = denials::keep(Arc::clone(&shelves));
        Kept {
            shelves,
            audit,
            writing,
        }
    }

    /// Keeps refusals.
    pub(crate) fn audit(&self) -> Arc<dyn AuditLog> {
        Arc::clone(&self.audit)
    }

    /// Keeps pseudonyms.
    pub(crate) fn pseudonyms(&self) -> Arc<dyn Pseudonyms> {
        Arc::new(Names(Arc::clone(&self.shelves)))
    }

    /// Writes what is still to be written, once nobody refuses any more, and gives the database back.
    pub(crate) async fn close(self) {
        drop(self.audit);
        if timeout(LAST_WRITES, self.writing).await.is_err() {
            tracing::warn!("the last refusals of the policy were not kept");
        }
        self.shelves.close().await;
    }
}

/// The records of an instance. Nothing is opened, or made, before something is to be kept: most instances have neither a policy
/// nor pseudonyms.
#[derive(Debug)]
pub(crate) struct Shelves {
    place: Place,
    open: OnceCell<Open>,
}

#[derive(Debug)]
enum Open {
    Sqlite(Arc<SqliteRecords>),
    Postgres(Arc<PostgresRecords>),
}

impl Shelves {
    /// Those at `place`.
    pub(crate) fn new(place: Place) -> Shelves {
        Shelves {
            place,
            open: OnceCell::new(),
        }
    }

    /// Those that exist at `place`: for reading. In a folder without any there are none.
    ///
    /// # Errors
    /// [`RecordsError`].
    pub(crate) async fn existing(place: Place) -> Result<Option<Shelves>, RecordsError> {
        let open = match &place {
            Place::Folder(folder) => match SqliteRecords::open_existing(folder).await {
                Err(SqliteError::Missing(_)) if folder.is_dir() => return Ok(None),
                opened => Open::Sqlite(Arc::new(opened?)),
            },
            Place::Postgres(config) => {
                Open::Postgres(Arc::new(PostgresRecords::open(*config.clone()).await?))
            }
        };
        Ok(Some(Shelves {
            place,
            open: OnceCell::new_with(Some(open)),
        }))
    }

    /// The records, opened now if they were not.
    ///
    /// # Errors
    /// [`RecordsError`]; the next call tries again.
    pub(crate) async fn records(&self) -> Result<Arc<dyn Records>, RecordsError> {
        let open = self.open.get_or_try_init(async || {
            Ok::<_, RecordsError>(match &self.place {
                Place::Folder(folder) => Open::Sqlite(Arc::new(SqliteRecords::open(folder).await?)),
                Place::Postgres(config) => {
                    Open::Postgres(Arc::new(PostgresRecords::open(*config.clone()).await?))
                }
            })
        });
        Ok(match open.await? {
            Open::Sqlite(records) => Arc::clone(records) as _,
            Open::Postgres(records) => Arc::clone(records) as _,
        })
    }

    /// Gives the database back.
    pub(crate) async fn close(&self) {
        match self.open.get() {
            Some(Open::Sqlite(records)) => records.close().await,
            Some(Open::Postgres(records)) => records.close().await,
            None => {}
        }
    }
}
