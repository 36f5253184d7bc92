//! The tables and their version.

use common_engine::{IndexSecret, LogId, LogState, StoredLog};
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Postgres};

use super::error::PostgresError;

/// Raised with every change of the tables.
const VERSION: i64 = 1;
/// First half of the advisory lock's number, "sigb"; the second is the schema's.
const LOCK: i32 = 0x7369_6762;

/// Keys are those of [`crate::keys`]. Nothing is sorted by a language, whose order changes with the system's library
/// and leaves indexes broken: names are in the collation "C", keys of attachments are bytes. What is stored is random or
/// short, so nothing is compressed. The head moves with every commit: `fillfactor` leaves it room on its page.
const TABLES: [&str; 9] = [
    "CREATE TABLE store (one bigint PRIMARY KEY CHECK (one = 1), version bigint NOT NULL, secret bytea NOT NULL)",
    r#"CREATE TABLE logs (
        id bigint PRIMARY KEY, kind text NOT NULL, origin text COLLATE "C" NOT NULL UNIQUE, tree_id bigint NOT NULL,
        key_id text NOT NULL, leaf_limit bigint NOT NULL, created bigint NOT NULL, state text NOT NULL,
        size bigint NOT NULL, root bytea NOT NULL, checkpoint text NOT NULL, time bigint NOT NULL)
        WITH (fillfactor = 20)"#,
    "CREATE TABLE leaves (place bigint PRIMARY KEY, time bigint NOT NULL, data bytea NOT NULL, extra bytea NOT NULL)",
    "ALTER TABLE leaves ALTER COLUMN data SET STORAGE EXTERNAL",
    "ALTER TABLE leaves ALTER COLUMN extra SET STORAGE EXTERNAL",
    "CREATE TABLE tiles (tile bigint PRIMARY KEY, hashes bytea NOT NULL)",
    "ALTER TABLE tiles ALTER COLUMN hashes SET STORAGE EXTERNAL",
    "CREATE TABLE lookup (key bigint NOT NULL, place bigint NOT NULL, PRIMARY KEY (key, place))",
    "CREATE TABLE attachments (key bytea PRIMARY KEY, data bytea NOT NULL)",
];

/// Creates the tables in an empty schema, or checks the version of what is there. Gives the store's secret. Replicas
/// that start at once take turns.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<IndexSecret, PostgresError> {
    let mut transaction = connection.begin().await?;
    turn_to_prepare(&mut transaction, schema).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
        .bind(schema)
        .fetch_one(&mut *transaction)
        .await?;
    if !exists {
        // The name was checked when it was parsed.
        let create = format!("CREATE SCHEMA \"{schema}\"");
        sqlx::query(AssertSqlSafe(create))
            .execute(&mut *transaction)
            .await?;
    }
    let count = "SELECT count(*), count(*) FILTER (WHERE relname = 'store') FROM pg_class \
         WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND relkind IN ('r', 'p', 'v', 'm', 'f')";
    let (tables, ours): (i64, i64) = sqlx::query_as(count)
        .bind(schema)
        .fetch_one(&mut *transaction)
        .await?;
    if tables == 0 {
        for table in TABLES {
            sqlx::query(table).execute(&mut *transaction).await?;
        }
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| PostgresError::Random)?;
        let insert = sqlx::query("INSERT INTO store VALUES (1, $1, $2)")
            .bind(VERSION)
            .bind(secret.as_slice());
        insert.execute(&mut *transaction).await?;
    } else if ours == 0 {
        return Err(PostgresError::Foreign(schema.to_owned()));
    }
    // The version first: a later layout may have other columns.
    let got: i64 = sqlx::query_scalar("SELECT version FROM store")
        .fetch_one(&mut *transaction)
        .await?;
    if got != VERSION {
        return Err(PostgresError::Layout {
            expected: VERSION,
            got,
        });
    }
    let secret: Vec<u8> = sqlx::query_scalar("SELECT secret FROM store")
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let bytes: [u8; 32] = secret
        .try_into()
        .map_err(|bad: Vec<u8>| PostgresError::Secret(bad.len()))?;
    Ok(IndexSecret(bytes))
}

/// Waits until nobody else makes tables in the schema, and keeps others waiting until the transaction ends.
pub(crate) async fn turn_to_prepare(transaction: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))").bind(LOCK);
    lock.bind(schema).execute(transaction).await.map(drop)
}

type Query = sqlx::query::Query<'static, Postgres, PgArguments>;

/// Affects one row, or none if the number or the origin is taken.
pub(super) fn insert_log(log: &StoredLog) -> Query {
    let (spec, head) = (&log.info.spec, &log.head);
    let insert =
        "INSERT INTO logs VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
    sqlx::query(insert)
        .bind(i64::from(log.info.id.0))
        .bind(spec.kind.name())
        .bind(spec.origin.clone())
        .bind(spec.tree_id.cast_signed())
        .bind(spec.key_id.clone())
        .bind(i64::from(spec.leaf_limit))
        .bind(spec.created.cast_signed())
        .bind(log.info.state.name())
        .bind(head.size.cast_signed())
        .bind(head.root.0.to_vec())
        .bind(head.checkpoint.clone())
        .bind(head.time.cast_signed())
}

/// Affects one row, or none if there is no such log or it is frozen. It waits for every commit that has the row, and
/// then looks at the state again.
pub(super) fn update_state(log: LogId, state: LogState) -> Query {
    sqlx::query("UPDATE logs SET state = $1 WHERE id = $2 AND state <> $3")
        .bind(state.name())
        .bind(i64::from(log.0))
        .bind(LogState::Frozen.name())
}
