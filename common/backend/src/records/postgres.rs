//! Records in a table beside those of the logs, in PostgreSQL. What is deleted stays in the server's pages until it
//! vacuums them, and in its write-ahead log and backups for as long as these are kept.

use std::time::Duration;

use async_trait::async_trait;
use common_engine::{Record, Records, Shelf, StorageError};
use sqlx::postgres::PgPool;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use super::{Row, failed, record_of};
use crate::postgres::{PostgresConfig, PostgresError, Use, pool, turn_to_prepare};

/// Requests that look a pseudonym up at once.
const CONNECTIONS: u32 = 4;
/// Longest that one call may take.
const PATIENCE: Duration = Duration::from_secs(15);

const TABLE: &str = r#"CREATE TABLE IF NOT EXISTS records (
    shelf text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, alias text COLLATE "C", time bigint NOT NULL,
    data bytea NOT NULL, PRIMARY KEY (shelf, key), UNIQUE (shelf, alias))"#;

/// [`Records`] in one schema of a PostgreSQL database, which several replicas may use at once.
#[derive(Debug)]
pub struct PostgresRecords(PgPool);

impl PostgresRecords {
    /// Opens the records of the store that is in the schema, and makes their table if there is none.
    ///
    /// # Errors
    /// See [`PostgresError`]; a schema without a store is refused.
    pub async fn open(config: PostgresConfig) -> Result<Self, PostgresError> {
        let mut session = config.connect(Use::Write).await?;
        let mut transaction = session.begin().await?;
        turn_to_prepare(&mut transaction, &config.schema).await?;
        let exists = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'store' \
             AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1))";
        let query = sqlx::query_scalar(exists).bind(&*config.schema);
        if !query.fetch_one(&mut *transaction).await? {
            // A table in an empty schema would keep the store from being made there.
            return Err(PostgresError::Foreign(config.schema.to_string()));
        }
        sqlx::query(TABLE).execute(&mut *transaction).await?;
        transaction.commit().await?;
        session.close().await?;
        Ok(Self(pool(&config, CONNECTIONS, Use::Write)))
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.0.close().await;
    }

    /// Runs one call on a connection of its own.
    async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StorageError> {
        let mut connection = self.0.acquire().await.map_err(failed)?;
        match timeout(PATIENCE, work(&mut connection)).await {
            Ok(outcome) => outcome.map_err(failed),
            Err(_) => {
                connection.close_on_drop();
                let seconds = PATIENCE.as_secs();
                Err(StorageError::new(format!("no answer within {seconds} seconds")))
            }
        }
    }
}

#[async_trait]
impl Records for PostgresRecords {
    async fn add(&self, shelf: Shelf, records: &[Record]) -> Result<(), StorageError> {
        self.run(async |connection| {
            let mut transaction = connection.begin().await?;
            for record in records {
                sqlx::query("INSERT INTO records VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING")
                    .bind(shelf.0)
                    .bind(&record.key)
                    .bind(record.alias.as_deref())
                    .bind(record.time.cast_signed())
                    .bind(&record.data[..])
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await
        })
        .await
    }

    async fn by_key(&self, shelf: Shelf, key: &str) -> Result<Option<Record>, StorageError> {
        let select = "SELECT key, alias, time, data FROM records WHERE shelf = $1 AND key = $2";
        let query = sqlx::query_as::<_, Row>(select).bind(shelf.0).bind(key);
        let row = self
            .run(async |connection| query.fetch_optional(connection).await)
            .await?;
        Ok(row.map(record_of))
    }

    async fn by_alias(&self, shelf: Shelf, alias: &str) -> Result<Option<Record>, StorageError> {
        let select = "SELECT key, alias, time, data FROM records WHERE shelf = $1 AND alias = $2";
        let query = sqlx::query_as::<_, Row>(select).bind(shelf.0).bind(alias);
        let row = self
            .run(async |connection| query.fetch_optional(connection).await)
            .await?;
        Ok(row.map(record_of))
    }

    async fn page(
        &self,
        shelf: Shelf,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Record>, StorageError> {
        let select = "SELECT key, alias, time, data FROM records WHERE shelf = $1 AND ($2::text IS NULL OR key < $2) \
             ORDER BY key DESC LIMIT $3";
        let query = sqlx::query_as::<_, Row>(select)
            .bind(shelf.0)
            .bind(before)
            .bind(i64::from(limit));
        let rows = self
            .run(async |connection| query.fetch_all(connection).await)
            .await?;
        Ok(rows.into_iter().map(record_of).collect())
    }

    async fn remove(&self, shelf: Shelf, key: &str) -> Result<bool, StorageError> {
        let delete = sqlx::query("DELETE FROM records WHERE shelf = $1 AND key = $2").bind(shelf.0);
        let delete = delete.bind(key);
        let done = self
            .run(async |connection| delete.execute(connection).await)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn prune(&self, shelf: Shelf, oldest: u64, most: u32) -> Result<u64, StorageError> {
        let delete = "DELETE FROM records WHERE shelf = $1 AND (time < $2 OR key <= \
             (SELECT key FROM records WHERE shelf = $1 AND time >= $2 ORDER BY key DESC LIMIT 1 OFFSET $3))";
        let query = sqlx::query(delete)
            .bind(shelf.0)
            .bind(oldest.cast_signed())
            .bind(i64::from(most));
        let done = self
            .run(async |connection| query.execute(connection).await)
            .await?;
        Ok(done.rows_affected())
    }
}
