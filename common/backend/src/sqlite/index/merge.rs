//! The writer's side: rows come in, runs are written, merged and deleted.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::damaged;
use super::page::{PAGES, ROWS, Row, Summary, decode, encode, page_id};
use super::run::{Group, Run, State};
use crate::sqlite::rows::insert;

/// Rows of a run of level 0: 1 MiB, written in one commit.
pub(super) const FLUSH: usize = if cfg!(test) { 60 } else { 65_536 };
/// Runs of one level that are merged into one of the next.
pub(super) const FAN: usize = 4;
/// Rows of a full group, which one step of a merge writes.
const STEP: usize = PAGES * ROWS;
/// Rows that a merge may take for each that comes: with one it would end just before the next has to begin.
const PACE: usize = 2;
/// Steps that a merge may be behind before a commit makes more than one.
const PATIENCE: usize = 4;
/// Groups that are deleted in one commit.
const DELETED: usize = 2;

/// What became of the recent rows.
#[derive(Debug)]
pub(super) enum Recent {
    /// These are added.
    More(Vec<Row>),
    /// They are all in a run now.
    Flushed,
}

/// What the writer knows beyond [`State`].
#[derive(Debug)]
pub(super) struct Work {
    /// Those that are looked up.
    runs: Vec<Arc<Run>>,
    merges: Vec<Merge>,
    /// What was merged and is still stored.
    dead: VecDeque<Dead>,
    next_run: i64,
    next_group: i64,
}

/// A run that is deleted, the last group first.
#[derive(Debug)]
pub(super) struct Dead {
    pub(super) run: i64,
    pub(super) groups: Vec<Group>,
}

/// Runs on their way into one.
#[derive(Debug)]
pub(super) struct Merge {
    /// As far as it is written.
    run: Run,
    sources: Vec<Cursor>,
    /// Rows it may take.
    credit: usize,
}

#[derive(Debug)]
struct Cursor {
    run: Arc<Run>,
    /// The next group to read.
    next: usize,
    /// Rows of the last one, and how many of them have been taken.
    rows: Vec<Row>,
    taken: usize,
}

impl Cursor {
    fn head(&self) -> Option<Row> {
        self.rows.get(self.taken).copied()
    }

    /// Reads the next group if there is nothing left of the last one. False at the end.
    async fn fill(&mut self, connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
        while self.head().is_none() {
            let Some(group) = self.run.group(self.next) else {
                return Ok(false);
            };
            self.rows = read(connection, group).await?;
            self.taken = 0;
            self.next = self.next.saturating_add(1);
        }
        Ok(true)
    }
}

/// All rows of a group.
async fn read(connection: &mut SqliteConnection, group: Group) -> Result<Vec<Row>, sqlx::Error> {
    let (pages, rows) = stored(connection, group).await?;
    if pages != group.len {
        return Err(damaged());
    }
    Ok(rows)
}

/// How many pages of a group there are, and their rows.
pub(super) async fn stored(
    connection: &mut SqliteConnection,
    group: Group,
) -> Result<(usize, Vec<Row>), sqlx::Error> {
    let (from, to) = group.page_ids();
    let query = sqlx::query("SELECT rows FROM index_pages WHERE id >= ? AND id < ? ORDER BY id");
    let pages = query.bind(from).bind(to).fetch_all(connection).await?;
    let mut rows = Vec::with_capacity(STEP);
    for page in &pages {
        rows.extend(decode(page.try_get(0)?).ok_or_else(damaged)?);
    }
    Ok((pages.len(), rows))
}

/// Stores a group of rows in order.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    run: i64,
    id: i64,
    rows: &[Row],
) -> Result<Summary, sqlx::Error> {
    let summary = Summary::of(rows);
    let pages = rows.chunks(ROWS).enumerate();
    let pages: Vec<(i64, Vec<u8>)> = pages.map(|(n, rows)| (page_id(id, n), encode(rows))).collect();
    insert(
        connection,
        "INSERT INTO index_pages VALUES",
        2,
        "",
        &pages,
        |query, (id, rows)| query.bind(*id).bind(rows.as_slice()),
    )
    .await?;
    let query = sqlx::query("INSERT INTO index_groups VALUES (?, ?, ?)");
    query
        .bind(id)
        .bind(run)
        .bind(summary.encode())
        .execute(connection)
        .await?;
    Ok(summary)
}

/// Stores what is known of a run.
pub(super) async fn write_run(
    connection: &mut SqliteConnection,
    (run, level): (i64, u32),
    state: &'static str,
    sources: &str,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query("INSERT INTO index_runs VALUES (?, ?, ?, ?)")
        .bind(run)
        .bind(i64::from(level));
    query.bind(state).bind(sources).execute(connection).await?;
    Ok(())
}

/// States of a run in the database.
pub(super) const LIVE: &str = "live";
pub(super) const GROWING: &str = "growing";
pub(super) const DEAD: &str = "dead";

impl Merge {
    /// From `sources`, behind what `run` has already.
    pub(super) async fn resume(
        connection: &mut SqliteConnection,
        run: Run,
        sources: Vec<Arc<Run>>,
    ) -> Result<Self, sqlx::Error> {
        let last = match run.groups().next_back() {
            None => None,
            Some(group) => read(connection, group).await?.last().copied(),
        };
        let mut cursors = Vec::new();
        for source in sources {
            let mut cursor = Cursor {
                next: 0,
                rows: Vec::new(),
                taken: 0,
                run: source,
            };
            if let Some(last) = last {
                cursor.next = cursor.run.groups_from(last);
                cursor.fill(connection).await?;
                cursor.taken = cursor.rows.partition_point(|row| *row <= last);
            }
            cursors.push(cursor);
        }
        Ok(Self {
            run,
            sources: cursors,
            credit: 0,
        })
    }

    /// Writes the next group. True when nothing is left.
    async fn step(&mut self, connection: &mut SqliteConnection, group: i64) -> Result<bool, sqlx::Error> {
        let mut rows = Vec::with_capacity(STEP);
        loop {
            let mut open = false;
            for source in &mut self.sources {
                open |= source.fill(connection).await?;
            }
            if !open || rows.len() >= STEP {
                if !rows.is_empty() {
                    let summary = write(connection, self.run.id, group, &rows).await?;
                    if !self.run.push(group, summary) {
                        return Err(damaged());
                    }
                }
                return Ok(!open);
            }
            take(&mut self.sources, &mut rows);
        }
    }
}

/// Takes rows in order until there are enough or a source that goes on has to be read.
fn take(sources: &mut [Cursor], rows: &mut Vec<Row>) {
    while rows.len() < STEP {
        let heads = sources
            .iter_mut()
            .filter_map(|source| Some((source.head()?, source)));
        let Some((row, source)) = heads.min_by_key(|(row, _)| *row) else {
            return;
        };
        rows.push(row);
        source.taken = source.taken.saturating_add(1);
        if source.head().is_none() {
            return;
        }
    }
}

impl Work {
    pub(super) fn new(runs: Vec<Arc<Run>>, next_run: i64, next_group: i64) -> Self {
        Self {
            runs,
            merges: Vec::new(),
            dead: VecDeque::new(),
            next_run,
            next_group,
        }
    }

    pub(super) fn with(mut self, merges: Vec<Merge>, dead: Vec<Dead>) -> Self {
        self.merges = merges;
        self.dead = dead.into();
        self
    }

    /// The runs that are looked up once the transaction is committed.
    pub(super) fn runs(&self) -> &Vec<Arc<Run>> {
        &self.runs
    }

    fn run_id(&mut self) -> i64 {
        let id = self.next_run;
        self.next_run = id.saturating_add(1);
        id
    }

    fn group_id(&mut self) -> i64 {
        let id = self.next_group;
        self.next_group = id.saturating_add(1);
        id
    }

    /// Stores new rows, in order, and does what merging is due.
    pub(super) async fn store(
        &mut self,
        connection: &mut SqliteConnection,
        state: &RwLock<State>,
        rows: Vec<Row>,
    ) -> Result<Recent, sqlx::Error> {
        self.delete(connection).await?;
        for merge in &mut self.merges {
            merge.credit = merge.credit.saturating_add(rows.len().saturating_mul(PACE));
        }
        let all = {
            let state = state.read().unwrap_or_else(PoisonError::into_inner);
            let full = state.recent.len().saturating_add(rows.len()) >= FLUSH;
            full.then(|| {
                state
                    .recent
                    .iter()
                    .copied()
                    .chain(rows.iter().copied())
                    .collect::<Vec<_>>()
            })
        };
        let recent = match all {
            None => {
                let query = sqlx::query("INSERT INTO index_recent (rows) VALUES (?)").bind(encode(&rows));
                query.execute(&mut *connection).await?;
                Recent::More(rows)
            }
            Some(mut all) => {
                all.sort_unstable();
                self.flush(connection, &all).await?;
                Recent::Flushed
            }
        };
        self.merge(connection).await?;
        Ok(recent)
    }

    /// Writes a run of level 0.
    async fn flush(&mut self, connection: &mut SqliteConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
        let id = self.run_id();
        write_run(connection, (id, 0), LIVE, "").await?;
        let mut run = Run::new(id, 0, rows.len().div_ceil(ROWS));
        for rows in rows.chunks(STEP) {
            let group = self.group_id();
            let summary = write(connection, id, group, rows).await?;
            if !run.push(group, summary) {
                return Err(damaged());
            }
        }
        sqlx::query("DELETE FROM index_recent")
            .execute(&mut *connection)
            .await?;
        self.runs.push(Arc::new(run));
        self.begin(connection, 0).await
    }

    /// Begins the merge of the oldest runs of a level, when there are enough and none of it is under way.
    async fn begin(&mut self, connection: &mut SqliteConnection, level: u32) -> Result<(), sqlx::Error> {
        let next = level.saturating_add(1);
        let runs = self.runs.iter().filter(|run| run.level == level);
        let sources: Vec<_> = runs.take(FAN).map(Arc::clone).collect();
        if sources.len() < FAN || self.merges.iter().any(|merge| merge.run.level == next) {
            return Ok(());
        }
        let pages = sources.iter().map(|source| source.pages()).sum();
        let run = Run::new(self.run_id(), next, pages);
        let names: Vec<String> = sources.iter().map(|source| source.id.to_string()).collect();
        write_run(connection, (run.id, next), GROWING, &names.join(" ")).await?;
        self.merges.push(Merge::resume(connection, run, sources).await?);
        Ok(())
    }

    /// Makes the steps that are due: one, unless a merge is far behind, as large commits leave it.
    async fn merge(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let mut made = false;
        while let Some(due) = self.due(made) {
            made = true;
            let group = self.group_id();
            let Some(merge) = self.merges.get_mut(due) else {
                return Ok(());
            };
            merge.credit = merge.credit.saturating_sub(STEP);
            if merge.step(connection, group).await? {
                let merge = self.merges.swap_remove(due);
                self.finish(connection, merge).await?;
            }
        }
        Ok(())
    }

    /// The merge with the most credit, if it is enough.
    fn due(&self, made: bool) -> Option<usize> {
        let enough = if made { STEP.saturating_mul(PATIENCE) } else { STEP };
        let merges = self.merges.iter().enumerate();
        let (at, merge) = merges.max_by_key(|(_, merge)| merge.credit)?;
        (merge.credit >= enough).then_some(at)
    }

    /// The merged run takes the place of its sources.
    async fn finish(&mut self, connection: &mut SqliteConnection, merge: Merge) -> Result<(), sqlx::Error> {
        let update = "UPDATE index_runs SET state = ?, sources = '' WHERE run = ?";
        sqlx::query(update)
            .bind(LIVE)
            .bind(merge.run.id)
            .execute(&mut *connection)
            .await?;
        for source in merge.sources {
            sqlx::query(update)
                .bind(DEAD)
                .bind(source.run.id)
                .execute(&mut *connection)
                .await?;
            self.runs.retain(|run| run.id != source.run.id);
            self.dead.push_back(Dead {
                run: source.run.id,
                groups: source.run.groups().collect(),
            });
        }
        let level = merge.run.level;
        self.runs.push(Arc::new(merge.run));
        // In the order of their age, in which the next merge takes them.
        self.runs.sort_unstable_by_key(|run| run.id);
        self.begin(connection, level).await?;
        self.begin(connection, level.saturating_sub(1)).await
    }

    /// Deletes some of what was merged by an earlier commit: whoever looked its pages up has read them by now, or looks
    /// again.
    async fn delete(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        for _ in 0..DELETED {
            let Some(dead) = self.dead.front_mut() else {
                return Ok(());
            };
            if let Some(group) = dead.groups.pop() {
                let (from, to) = group.page_ids();
                let pages = sqlx::query("DELETE FROM index_pages WHERE id >= ? AND id < ?")
                    .bind(from)
                    .bind(to);
                pages.execute(&mut *connection).await?;
                let query = sqlx::query("DELETE FROM index_groups WHERE id = ?").bind(group.id);
                query.execute(&mut *connection).await?;
            }
            if dead.groups.is_empty() {
                let query = sqlx::query("DELETE FROM index_runs WHERE run = ?").bind(dead.run);
                query.execute(&mut *connection).await?;
                self.dead.pop_front();
            }
        }
        Ok(())
    }
}
