//! Statements over many rows.
//!
//! A statement costs about 100 µs whatever it does, so rows go in bulk; and preparing one costs as much, so the
//! number of rows is one of a few sizes and the prepared statements are used again.

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Sqlite};

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

const SIZES: [usize; 6] = [1024, 256, 64, 16, 4, 1];
/// SQLite takes 32,766 parameters; fewer keep the text short.
const MAX_PARAMETERS: usize = 2_048;

/// Inserts the rows in order: `head` is the statement up to and with `VALUES`, `tail` what follows the rows.
pub(crate) async fn insert<'r, R>(
    connection: &mut SqliteConnection,
    head: &'static str,
    columns: usize,
    tail: &'static str,
    mut rows: &'r [R],
    bind: impl Fn(Query<'r>, &'r R) -> Query<'r>,
) -> Result<(), sqlx::Error> {
    let row = format!("({})", placeholders(columns));
    while let Some(size) = SIZES
        .into_iter()
        .find(|n| *n <= rows.len() && n.saturating_mul(columns) <= MAX_PARAMETERS)
    {
        let (now, later) = rows.split_at(size);
        let sql = format!("{head} {} {tail}", vec![row.as_str(); size].join(","));
        let query = now.iter().fold(sqlx::query(AssertSqlSafe(sql)), &bind);
        query.execute(&mut *connection).await?;
        rows = later;
    }
    Ok(())
}

/// Selects by keys: `head` is the statement up to and with `IN`, `tail` what follows, `bound` its parameters. Keys
/// beyond the largest size go into further statements, in order.
pub(super) async fn select_in(
    pool: &SqlitePool,
    head: &'static str,
    tail: &'static str,
    keys: &[i64],
    bound: Option<i64>,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let mut found = Vec::new();
    for chunk in keys.chunks(SIZES.into_iter().max().unwrap_or(1)) {
        let size = SIZES
            .into_iter()
            .filter(|size| *size >= chunk.len())
            .min()
            .unwrap_or(chunk.len());
        let sql = format!("{head}({}){tail}", placeholders(size));
        // A key more than once selects no row twice.
        let padded = chunk
            .iter()
            .chain(std::iter::repeat(chunk.last().unwrap_or(&0)))
            .take(size);
        let query = padded
            .chain(bound.as_ref())
            .fold(sqlx::query(AssertSqlSafe(sql)), |query, key| query.bind(*key));
        found.extend(query.fetch_all(pool).await?);
    }
    Ok(found)
}

fn placeholders(count: usize) -> String {
    vec!["?"; count].join(",")
}
