//! From the database into memory, and from the layout of version 1.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common_engine::IndexKey;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::merge::{DEAD, Dead, FAN, FLUSH, GROWING, LIVE, Merge, Work, stored, write, write_run};
use super::page::{PAGES, ROWS, Row, Summary, decode, row};
use super::run::{Group, Run, State};
use super::{TABLES, damaged, too_large};
use crate::keys::from_place;

/// Summaries read at once, of 21 KiB each.
const SUMMARIES: i64 = if cfg!(test) { 2 } else { 64 };

/// Tells two states of the index apart: each commit adds recent rows, or writes a group of which the number is new.
pub(super) async fn stamp(connection: &mut SqliteConnection) -> Result<(i64, i64), sqlx::Error> {
    let select = "SELECT (SELECT max(id) FROM index_recent), (SELECT max(id) FROM index_groups)";
    let row = sqlx::query(select).fetch_one(connection).await?;
    let number = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.unwrap_or(0));
    Ok((number(0)?, number(1)?))
}

/// All that is kept in memory, read at one moment. Merges that were under way go on where they had come to.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<(State, Work), sqlx::Error> {
    let stamp = stamp(connection).await?;
    let mut recent = BTreeSet::new();
    for row in sqlx::query("SELECT rows FROM index_recent")
        .fetch_all(&mut *connection)
        .await?
    {
        recent.extend(decode(row.try_get(0)?).ok_or_else(damaged)?);
    }
    let select = "SELECT run, level, state, sources FROM index_runs ORDER BY run";
    let rows = sqlx::query(select).fetch_all(&mut *connection).await?;
    let mut known = BTreeMap::new();
    for row in &rows {
        let id: i64 = row.try_get(0)?;
        let level = u32::try_from(row.try_get::<i64, _>(1)?).map_err(|_| damaged())?;
        known.insert(id, Run::new(id, level, 0));
    }
    summaries(connection, &mut known).await?;
    let (mut runs, mut growing, mut dead) = (Vec::new(), Vec::new(), Vec::new());
    let next_run = known.keys().last().map_or(1, |last| last.saturating_add(1));
    for row in &rows {
        let run = known.remove(&row.try_get(0)?).ok_or_else(damaged)?;
        match row.try_get(2)? {
            LIVE => runs.push(Arc::new(run)),
            GROWING => growing.push((run, row.try_get::<&str, _>(3)?)),
            DEAD => dead.push(Dead {
                run: run.id,
                groups: run.groups().collect(),
            }),
            _ => return Err(damaged()),
        }
    }
    let mut merges = Vec::new();
    for (run, sources) in growing {
        let mut found = Vec::new();
        for source in sources.split(' ') {
            let live = runs.iter().find(|run| Ok(run.id) == source.parse());
            found.push(Arc::clone(live.ok_or_else(damaged)?));
        }
        merges.push(Merge::resume(connection, run, found).await?);
    }
    let work = Work::new(runs.clone(), next_run, stamp.1.saturating_add(1)).with(merges, dead);
    Ok((State { recent, runs, stamp }, work))
}

/// Reads what is known of the pages of all runs.
async fn summaries(
    connection: &mut SqliteConnection,
    runs: &mut BTreeMap<i64, Run>,
) -> Result<(), sqlx::Error> {
    // A few at a time: all at once would be as much memory again as is kept, and not given back.
    let select = "SELECT id, run, summary FROM index_groups WHERE id > ? ORDER BY id LIMIT ?";
    let mut last = i64::MIN;
    loop {
        let query = sqlx::query(select).bind(last).bind(SUMMARIES);
        let rows = query.fetch_all(&mut *connection).await?;
        let Some(end) = rows.last() else {
            break;
        };
        last = end.try_get(0)?;
        for row in &rows {
            let summary = Summary::decode(row.try_get(2)?).ok_or_else(damaged)?;
            let run = runs.get_mut(&row.try_get(1)?).ok_or_else(damaged)?;
            if !run.push(row.try_get(0)?, summary) {
                return Err(damaged());
            }
        }
    }
    runs.values_mut().for_each(Run::trim);
    Ok(())
}

/// Makes the tables, and one run of the rows of version 1, which were in one B-tree.
pub(crate) async fn migrate_tree(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    for table in TABLES {
        sqlx::query(table).execute(&mut *connection).await?;
    }
    let select = "SELECT key, place FROM lookup WHERE (key, place) > (?, ?) ORDER BY key, place LIMIT ?";
    let (mut after, mut written, step) = ((i64::MIN, -1), 0usize, PAGES.saturating_mul(ROWS));
    const RUN: i64 = 1;
    for group in 1.. {
        let query = sqlx::query(select).bind(after.0).bind(after.1);
        let found = query
            .bind(i64::try_from(step).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await?;
        let mut rows: Vec<Row> = Vec::with_capacity(found.len());
        for pair in &found {
            after = (pair.try_get(0)?, pair.try_get(1)?);
            // In version 1 the unsigned key was moved into the signed integers.
            let key = IndexKey(after.0.cast_unsigned() ^ (1 << 63));
            rows.push(row(key, from_place(after.1)).ok_or_else(too_large)?);
        }
        if !rows.is_empty() {
            write(connection, RUN, group, &rows).await?;
            written = written.saturating_add(rows.len());
        }
        if rows.len() < step {
            break;
        }
    }
    if written > 0 {
        let level = written.div_ceil(FLUSH).checked_ilog(FAN).unwrap_or(0);
        write_run(connection, (RUN, level), LIVE, "").await?;
    }
    sqlx::query("DROP TABLE lookup").execute(connection).await?;
    Ok(())
}

/// Writes the summaries of version 2 anew: their filters had fewer bits for each key.
pub(crate) async fn migrate_filters(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let groups: Vec<i64> = sqlx::query_scalar("SELECT id FROM index_groups ORDER BY id")
        .fetch_all(&mut *connection)
        .await?;
    for id in groups {
        // How many pages it has is in the summary, which is not read.
        let (_, rows) = stored(connection, Group { id, len: PAGES }).await?;
        let update = sqlx::query("UPDATE index_groups SET summary = ? WHERE id = ?");
        let update = update.bind(Summary::of(&rows).encode()).bind(id);
        update.execute(&mut *connection).await?;
    }
    Ok(())
}
