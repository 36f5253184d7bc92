//! How to reach the server, and what every session must be before it is used.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::timeout;

use super::error::PostgresError;

/// The oldest version that still gets fixes from its makers.
const OLDEST: i32 = 150_000;
/// How long a new session may take until it is usable.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// What a URL may ask for. `options` is not among them: it could undo [`SETTINGS`].
const PARAMETERS: [&str; 11] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// Settings of every session, whatever the server, the database or the role say.
const SETTINGS: [(&str, &str); 13] = [
    // Each statement sees all that was committed before it began: the visibility that the engine asks for. A stricter
    // level would fail where a commit only has to wait for its turn.
    ("default_transaction_isolation", "read committed"),
    // Waiting for the head of a log ends, and the engine tries again.
    ("lock_timeout", "5s"),
    // Whoever lost its client gives the heads free.
    ("idle_in_transaction_session_timeout", "10s"),
    ("idle_session_timeout", "0"),
    ("client_connection_check_interval", "2s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    // Every statement goes by an index, whatever the statistics say: a plan that changes under load has stopped logs
    // before (Sectigo Tiger2025h2, September 2025).
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("jit", "off"),
    ("client_min_messages", "warning"),
];

/// `on` waits for this server's disk, and for that of synchronous standbys if there are any; a role or a database could
/// have turned it off. `remote_apply` waits for more, and stays.
const SYNCHRONOUS: &str = "SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')";

/// What a session is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    Read,
    Write,
}

impl Use {
    /// A read gives up by itself. A write must not: when the server cancels a `COMMIT` that waits for a synchronous
    /// standby, it reports success all the same (PostgreSQL `src/backend/replication/syncrep.c`, `SyncRepWaitForLSN`).
    /// So writes are bounded on our side, where giving up means that the outcome is unknown.
    fn statement_timeout(self) -> &'static str {
        match self {
            Self::Read => "10s",
            Self::Write => "0",
        }
    }
}

/// Which database, and which schema in it.
#[derive(Clone)]
pub struct PostgresConfig {
    pub(super) options: PgConnectOptions,
    pub(crate) schema: Arc<str>,
}

impl PostgresConfig {
    /// From `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE` (or `?host=/FOLDER` for a
    /// Unix socket) and the name of a schema, which is created if it is not there. Over a network use
    /// `sslmode=verify-full`: the default falls back to clear text.
    ///
    /// # Errors
    /// [`PostgresError::Scheme`], [`PostgresError::Url`], [`PostgresError::Parameter`] or [`PostgresError::SchemaName`].
    pub fn new(url: &str, schema: &str) -> Result<Self, PostgresError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(PostgresError::Scheme);
        }
        // A parameter that is misspelt would otherwise be ignored, and `sslmode` is one of them.
        let query = url.split_once('?').map_or("", |(_, query)| query);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let name = parameter.split('=').next().unwrap_or_default();
            if !PARAMETERS.contains(&name) {
                return Err(PostgresError::Parameter {
                    got: name.to_owned(),
                    known: &PARAMETERS,
                });
            }
        }
        let mut options: PgConnectOptions = url.parse().map_err(PostgresError::Url)?;
        if options.get_application_name().is_none() {
            options = options.application_name("sigbox");
        }
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let plain = (1..=63).contains(&schema.len())
            && schema.bytes().all(letters)
            && !schema.starts_with(|first: char| first.is_ascii_digit())
            && !schema.starts_with("pg_");
        if !plain {
            return Err(PostgresError::SchemaName(schema.to_owned()));
        }
        Ok(Self {
            options: options.disable_statement_logging(),
            schema: schema.into(),
        })
    }

    /// A session that is ready for use.
    pub(crate) async fn connect(&self, purpose: Use) -> Result<PgConnection, PostgresError> {
        let ready = async {
            let mut connection = self.options.connect().await?;
            prepare(&mut connection, &self.schema, purpose).await?;
            Ok(connection)
        };
        let silent = PostgresError::Silent(CONNECT_PATIENCE.as_secs());
        timeout(CONNECT_PATIENCE, ready).await.unwrap_or(Err(silent))
    }
}

/// Says where, never the password.
impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("host", &self.options.get_host())
            .field("port", &self.options.get_port())
            .field("database", &self.options.get_database())
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// Sets the session up and checks the server it leads to, which after a failover may be another one.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    schema: &str,
    purpose: Use,
) -> Result<(), PostgresError> {
    let own = [
        ("search_path", schema),
        ("statement_timeout", purpose.statement_timeout()),
    ];
    let (names, values): (Vec<&str>, Vec<&str>) = SETTINGS.into_iter().chain(own).unzip();
    let set = sqlx::query(
        "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS s(name, value)",
    );
    set.bind(names)
        .bind(values)
        .persistent(false)
        .execute(&mut *connection)
        .await?;
    sqlx::query(SYNCHRONOUS)
        .persistent(false)
        .execute(&mut *connection)
        .await?;
    let server = sqlx::query_as::<_, (i32, bool, String, String, String)>(
        "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), current_setting('fsync'), \
         current_setting('full_page_writes'), current_setting('server_encoding')",
    );
    let (version, standby, fsync, full_page_writes, encoding) =
        server.persistent(false).fetch_one(&mut *connection).await?;
    check(version, standby, fsync, full_page_writes, encoding)
}

pub(super) fn check(
    version: i32,
    standby: bool,
    fsync: String,
    full_page_writes: String,
    encoding: String,
) -> Result<(), PostgresError> {
    if version < OLDEST {
        return Err(PostgresError::Version(version));
    }
    if standby {
        return Err(PostgresError::Standby);
    }
    let needed = [
        (
            "fsync",
            "on",
            fsync,
            "a power cut would lose acknowledged entries",
        ),
        (
            "full_page_writes",
            "on",
            full_page_writes,
            "a power cut would leave torn pages",
        ),
        (
            "server_encoding",
            "UTF8",
            encoding,
            "not every origin could be stored",
        ),
    ];
    match needed.into_iter().find(|(_, expected, got, _)| got != expected) {
        None => Ok(()),
        Some((name, expected, got, consequence)) => Err(PostgresError::Setting {
            name,
            expected,
            got,
            consequence,
        }),
    }
}
