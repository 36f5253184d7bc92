//! Why the database cannot be used.

/// The store does not open. No message holds the password of the URL.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The URL is for something else.
    #[error("the database URL does not begin with postgres://")]
    Scheme,
    /// The URL does not parse.
    #[error("the database URL is not of the form postgres://USER:PASSWORD@HOST:PORT/DATABASE: {0}")]
    Url(sqlx::Error),
    /// The URL has a parameter that would be ignored, or would undo what the store relies on.
    #[error("the database URL has the parameter {got:?}, known are {}", .known.join(", "))]
    Parameter {
        /// Its name; the value may be a secret.
        got: String,
        /// What is known.
        known: &'static [&'static str],
    },
    /// The name of the schema would need quoting everywhere.
    #[error(
        "the schema {0:?} cannot be used: expected 1 to 63 of a-z, 0-9 and _, not beginning with a digit or pg_"
    )]
    SchemaName(String),
    /// The server is too old.
    #[error("the server is PostgreSQL {}.{}, at least 15 is needed: older ones get no fixes", .0 / 10_000, .0 % 10_000)]
    Version(i32),
    /// A setting of the server would lose acknowledged entries.
    #[error(
        "the server runs with {name}={got}: {consequence}. Expected {name}={expected}; set it and restart the server"
    )]
    Setting {
        /// Of the server.
        name: &'static str,
        /// What is needed.
        expected: &'static str,
        /// What it is.
        got: String,
        /// What would happen.
        consequence: &'static str,
    },
    /// A replica may lag behind what was acknowledged, and takes no writes.
    #[error("the server is a standby: name the primary in the database URL")]
    Standby,
    /// Another version of this program made the tables.
    #[error(
        "the database has layout {got}, this version of sigbox reads layout {expected}: use the version that wrote it, or migrate"
    )]
    Layout {
        /// The layout of this program.
        expected: i64,
        /// The layout of the tables.
        got: i64,
    },
    /// The schema has tables, but not ours.
    #[error(
        "the schema {0:?} was not made by sigbox: it has tables, but none named `store`. Name another schema"
    )]
    Foreign(String),
    /// The row of the store is damaged.
    #[error("the database's own row is damaged: its secret has {0} bytes, expected 32")]
    Secret(usize),
    /// The system gives no random numbers for the store's secret.
    #[error("no random numbers")]
    Random,
    /// The server did not answer in time.
    #[error("the database server did not answer within {0} seconds")]
    Silent(u64),
    /// The server says no.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}
