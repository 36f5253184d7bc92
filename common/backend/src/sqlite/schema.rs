//! The tables, their version, and the rows of logs.

use common_engine::{IndexSecret, LogId, LogState, StoredLog};
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Connection, Sqlite};

/// Raised with every change of the tables.
const VERSION: i64 = 3;
/// The layout before it: smaller filters.
const SMALL_FILTERS: i64 = 2;
/// The first: index rows in one B-tree.
const ONE_TREE: i64 = 1;

/// Leaves and tiles are keyed by rowid (see `keys`), so new ones go to the end of a log's range. The tables of index rows
/// are in `index`.
const TABLES: [&str; 5] = [
    "CREATE TABLE store (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, secret BLOB NOT NULL) STRICT",
    "CREATE TABLE logs (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, origin TEXT NOT NULL UNIQUE, tree_id INTEGER NOT NULL,
        key_id TEXT NOT NULL, leaf_limit INTEGER NOT NULL, created INTEGER NOT NULL, state TEXT NOT NULL,
        size INTEGER NOT NULL, root BLOB NOT NULL, checkpoint TEXT NOT NULL, time INTEGER NOT NULL) STRICT",
    "CREATE TABLE leaves (place INTEGER PRIMARY KEY, time INTEGER NOT NULL, data BLOB NOT NULL, extra BLOB NOT NULL) STRICT",
    "CREATE TABLE tiles (tile INTEGER PRIMARY KEY, hashes BLOB NOT NULL) STRICT",
    "CREATE TABLE attachments (key TEXT NOT NULL PRIMARY KEY, data BLOB NOT NULL) STRICT",
];

/// The file is not one that this version writes.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Another version wrote it.
    #[error(
        "the database has layout {got}, this version of sigbox reads layout {expected}: use the version that wrote it, or migrate"
    )]
    Version {
        /// The layout of this program.
        expected: i64,
        /// The layout of the file.
        got: i64,
    },
    /// It has tables, but not ours.
    #[error("the database was not made by sigbox: it has no table named `store`")]
    Foreign,
    /// The row of the store is damaged.
    #[error("the database's own row is damaged: its secret has {0} bytes, expected 32")]
    Secret(usize),
    /// SQLite says no.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Creates the tables in an empty file, with `secret` or a random one, or checks the version of what is there. Gives the
/// store's secret.
pub(super) async fn prepare(
    connection: &mut SqliteConnection,
    secret: Option<IndexSecret>,
) -> Result<IndexSecret, SchemaError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE type = 'table'")
        .fetch_one(&mut *transaction)
        .await?;
    if tables == 0 {
        for table in TABLES.into_iter().chain(super::index::TABLES) {
            sqlx::query(table).execute(&mut *transaction).await?;
        }
        let secret = match secret {
            Some(IndexSecret(secret)) => secret,
            None => {
                let mut secret = [0; 32];
                let drawn = aws_lc_rs::rand::fill(&mut secret);
                drawn.map_err(|_| sqlx::Error::Configuration("no random numbers".into()))?;
                secret
            }
        };
        let insert = sqlx::query("INSERT INTO store VALUES (1, ?, ?)")
            .bind(VERSION)
            .bind(secret.as_slice());
        insert.execute(&mut *transaction).await?;
    }
    let earlier = version(&mut transaction).await?;
    if [ONE_TREE, SMALL_FILTERS].contains(&earlier) {
        tracing::warn!("the index of this database has the layout of an earlier version and is written anew");
        if earlier == ONE_TREE {
            super::index::migrate_tree(&mut transaction).await?;
        } else {
            super::index::migrate_filters(&mut transaction).await?;
        }
        let update = sqlx::query("UPDATE store SET version = ?").bind(VERSION);
        update.execute(&mut *transaction).await?;
    }
    let secret = read(&mut transaction).await?;
    transaction.commit().await?;
    Ok(secret)
}

/// The layout of what is there. It is looked at first: a later one may have other columns.
async fn version(connection: &mut SqliteConnection) -> Result<i64, SchemaError> {
    let ours = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'store'";
    let ours: i64 = sqlx::query_scalar(ours).fetch_one(&mut *connection).await?;
    if ours == 0 {
        return Err(SchemaError::Foreign);
    }
    let version = sqlx::query_scalar("SELECT version FROM store");
    Ok(version.fetch_one(connection).await?)
}

/// Checks the version of what is there. Gives the store's secret.
pub(super) async fn read(connection: &mut SqliteConnection) -> Result<IndexSecret, SchemaError> {
    let got = version(connection).await?;
    if got != VERSION {
        return Err(SchemaError::Version {
            expected: VERSION,
            got,
        });
    }
    let secret: Vec<u8> = sqlx::query_scalar("SELECT secret FROM store")
        .fetch_one(connection)
        .await?;
    let bytes: [u8; 32] = secret
        .try_into()
        .map_err(|bad: Vec<u8>| SchemaError::Secret(bad.len()))?;
    Ok(IndexSecret(bytes))
}

type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// Affects one row, or none if the number or the origin is taken.
pub(crate) fn insert_log(log: &StoredLog) -> Query {
    let (spec, head) = (&log.info.spec, &log.head);
    sqlx::query("INSERT INTO logs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
        .bind(i64::from(log.info.id.0))
        .bind(spec.kind.name())
        .bind(spec.origin.as_str())
        .bind(spec.tree_id.cast_signed())
        .bind(spec.key_id.as_str())
        .bind(i64::from(spec.leaf_limit))
        .bind(spec.created.cast_signed())
        .bind(log.info.state.name())
        .bind(head.size.cast_signed())
        .bind(head.root.0.as_slice())
        .bind(head.checkpoint.as_str())
        .bind(head.time.cast_signed())
}

/// Affects one row, or none if there is no such log or it is frozen.
pub(super) fn update_state(log: LogId, state: LogState) -> Query {
    sqlx::query("UPDATE logs SET state = ? WHERE id = ? AND state <> ?")
        .bind(state.name())
        .bind(i64::from(log.0))
        .bind(LogState::Frozen.name())
}
