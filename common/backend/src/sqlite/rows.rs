//! Statements over many rows.
//!
//! A statement costs about 100 µs whatever it does, so rows go in bulk; and preparing one costs as much, so large numbers
//! of rows are made of a few sizes, and the prepared statements are used again.

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Sqlite};

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// Keys in one selection.
const SIZES: [usize; 6] = [1024, 256, 64, 16, 4, 1];
/// Rows in one insertion, beyond [`EXACT`].
const LARGE: [usize; 5] = [1024, 512, 256, 128, 64];
/// Up to here each number of rows has a statement of its own: the batches of a few dozen clients have any of them, and
/// five statements for 27 rows would cost more than the rows.
const EXACT: usize = 64;
/// Statements kept prepared for each connection: those of [`EXACT`], and all others.
pub(super) const PREPARED: usize = 192;
/// Rows that may wait to be taken: those of the largest read there is.
pub(super) const BUFFERED: usize = 1_024;
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
    while !rows.is_empty() {
        let size = at_once(rows.len(), columns);
        let (now, later) = rows.split_at(size);
        let sql = format!("{head} {} {tail}", vec![row.as_str(); size].join(","));
        let query = now.iter().fold(sqlx::query(AssertSqlSafe(sql)), &bind);
        query.execute(&mut *connection).await?;
        rows = later;
    }
    Ok(())
}

/// How many of so many rows go into the next statement.
fn at_once(rows: usize, columns: usize) -> usize {
    let fits = |size: &usize| *size <= rows && size.saturating_mul(columns) <= MAX_PARAMETERS;
    LARGE.into_iter().find(fits).unwrap_or(rows.min(EXACT))
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

#[cfg(test)]
mod tests;
