//! [`common_engine::Records`] in SQLite and in PostgreSQL.
//!
//! In SQLite they are in a file of their own, not in that of the logs: whoever is refused all the time does not hold up
//! a commit, `fsck` and backups have nothing to do with them, and what is deleted is overwritten there.

mod postgres;
mod sqlite;

pub use postgres::PostgresRecords;
pub use sqlite::{FILE, SqliteRecords};

use common_engine::{Record, StorageError};

/// Columns of a record: key, alias, time, data.
type Row = (String, Option<String>, i64, Vec<u8>);

fn record_of((key, alias, time, data): Row) -> Record {
    Record {
        key,
        alias,
        time: time.cast_unsigned(),
        data: data.into(),
    }
}

fn failed(error: sqlx::Error) -> StorageError {
    StorageError::new(error)
}

#[cfg(test)]
mod tests;
