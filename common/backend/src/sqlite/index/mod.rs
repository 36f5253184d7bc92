//! Index rows, laid out so that a commit costs the same however many there are.
//!
//! Keys are hashes, so in one B-tree every new row goes to another page: each is read, written to the log and moved to
//! the main file, 4 KiB twice for 16 bytes, and once the tree is larger than the caches, a read from the disk besides.
//! Here rows are merged instead (O'Neil et al., "The log-structured merge-tree", 1996):
//!
//! - The rows of a commit are stored together, as one value, and kept in memory.
//! - When [`merge::FLUSH`] have come together, they are written in order as a *run*: pages of rows, in groups. A run
//!   never changes.
//! - [`merge::FAN`] runs of a level are merged into one of the next, a group at a time, in step with the rows that
//!   come: no commit does more than a few milliseconds of it. What was merged is deleted in the same way.
//!
//! All of it happens in the transactions of the commits. A look-up asks the rows in memory, and of each run the one page
//! that may have the key; a filter in memory says of nearly every run that it does not. Memory grows by 1.5 bytes a row.

mod load;
mod merge;
mod page;
mod run;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use common_engine::{IndexKey, LogId, Place};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Connection, Row as _};

use self::merge::{Recent, Work};
use self::page::{Row, decode, last_of, parts, row};
use self::run::{Span, State};
use super::rows::select_in;
use crate::keys::LAST_INDEX;

pub(super) use self::load::{migrate_filters, migrate_tree};

/// Times a look-up is tried again because what it was to read had been merged meanwhile.
const ATTEMPTS: u32 = 100;

/// The tables: see the module's first page. `id` of `index_pages` is that of its group times
/// [`page::PAGES`], and the page's number in it.
pub(super) const TABLES: [&str; 4] = [
    "CREATE TABLE index_recent (id INTEGER PRIMARY KEY, rows BLOB NOT NULL) STRICT",
    "CREATE TABLE index_runs (run INTEGER PRIMARY KEY, level INTEGER NOT NULL, state TEXT NOT NULL, sources TEXT NOT NULL) STRICT",
    "CREATE TABLE index_groups (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, summary BLOB NOT NULL) STRICT",
    "CREATE TABLE index_pages (id INTEGER PRIMARY KEY, rows BLOB NOT NULL) STRICT",
];

/// What is in memory of the index.
#[derive(Debug)]
pub(super) struct Index {
    state: RwLock<State>,
    /// What the next commit goes on with; taken while one is under way.
    work: Mutex<Option<Work>>,
    /// Held from before a commit is in the database until its rows are found in memory.
    half_done: tokio::sync::RwLock<()>,
    /// The outcome of a commit is unknown: the database has to be asked.
    stale: AtomicBool,
    /// Somebody else writes: the database is asked every time whether it has changed.
    follows: bool,
}

impl Index {
    /// What the database holds. With `follows`, whoever else writes to it is followed.
    pub(super) async fn load(connection: &mut SqliteConnection, follows: bool) -> Result<Self, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        let (state, work) = load::load(&mut transaction).await?;
        transaction.rollback().await?;
        Ok(Self {
            state: RwLock::new(state),
            work: Mutex::new((!follows).then_some(work)),
            half_done: tokio::sync::RwLock::default(),
            stale: AtomicBool::new(false),
            follows,
        })
    }

    /// For a commit to hold from before it is in the database until after [`Pending::committed`].
    pub(super) async fn half_done(&self) -> impl Sized + Send + '_ {
        self.half_done.write().await
    }

    /// For who reads heads: while it is held, no commit's heads are there without its rows. A commit is seen whole.
    pub(super) async fn whole(&self) -> impl Sized + Send + '_ {
        self.half_done.read().await
    }

    /// Whether [`Index::refresh`] has to be called before anything is looked up.
    pub(super) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }

    /// Loads what has become of a commit whose outcome was unknown. None must be under way.
    pub(super) async fn refresh(&self, readers: &SqlitePool) -> Result<(), sqlx::Error> {
        let mut transaction = readers.begin().await?;
        let (state, _) = load::load(&mut transaction).await?;
        transaction.rollback().await?;
        self.publish(state);
        self.stale.store(false, Ordering::Release);
        Ok(())
    }

    fn publish(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn work(&self) -> MutexGuard<'_, Option<Work>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores rows within the transaction of a commit, and does the merging that is due. They are found from
    /// [`Pending::committed`] on.
    pub(super) async fn store(
        &self,
        transaction: &mut SqliteConnection,
        rows: &[(IndexKey, Place)],
    ) -> Result<Pending<'_>, sqlx::Error> {
        let known = self.work().take();
        let mut pending = Pending {
            index: self,
            change: None,
        };
        let mut work = match known {
            Some(work) if !self.is_stale() => work,
            _ => {
                let (state, work) = load::load(transaction).await?;
                self.publish(state);
                work
            }
        };
        let rows = rows
            .iter()
            .map(|(key, place)| row(*key, *place).ok_or_else(too_large));
        let rows = rows.collect::<Result<Vec<Row>, _>>()?;
        let recent = work.store(transaction, &self.state, rows).await?;
        pending.change = Some((work, recent));
        Ok(pending)
    }

    /// As [`common_engine::Storage::find`], of keys in order.
    pub(super) async fn find(
        &self,
        readers: &SqlitePool,
        keys: &[IndexKey],
        limit: u32,
    ) -> Result<Vec<(IndexKey, Place)>, sqlx::Error> {
        let most = limit as usize;
        if most == 0 {
            return Ok(Vec::new());
        }
        let spans = keys.iter().copied().map(Span::of);
        let mut found: Vec<_> = self
            .last_of(readers, spans, most)
            .await?
            .into_iter()
            .map(parts)
            .collect();
        found.sort_unstable_by_key(|(key, place)| (*key, std::cmp::Reverse(*place)));
        found.truncate(most);
        Ok(found)
    }

    /// As [`common_engine::Storage::find_below`].
    pub(super) async fn find_below(
        &self,
        readers: &SqlitePool,
        key: IndexKey,
        log: LogId,
        below: u64,
        limit: u32,
    ) -> Result<Vec<u64>, sqlx::Error> {
        let most = limit as usize;
        let at = |index| row(key, Place { log, index });
        // No leaf is where no log can have one.
        let highest = below.checked_sub(1).map(|last| last.min(LAST_INDEX));
        let (Some(low), Some(high)) = (at(0), highest.and_then(at)) else {
            return Ok(Vec::new());
        };
        if most == 0 {
            return Ok(Vec::new());
        }
        let mut found = self
            .last_of(readers, [Span { key, low, high }].into_iter(), most)
            .await?;
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(most);
        Ok(found.into_iter().map(|row| parts(row).1.index).collect())
    }

    /// Rows of the spans, in no order: the last `most` of each, and perhaps more.
    async fn last_of(
        &self,
        readers: &SqlitePool,
        spans: impl Iterator<Item = Span> + Clone,
        most: usize,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let collect = |state: &State| {
            let mut look = Look::default();
            for span in spans.clone() {
                look.rows.extend(state.recent_of(span, most));
                look.pages
                    .extend(state.pages_of(span, most).map(|page| (page, span)));
            }
            look
        };
        let take = |page: &[Row], span: Span, found: &mut Vec<Row>| span.take(page, found);
        self.look(readers, collect, take).await
    }

    /// As [`common_engine::Storage::index_rows`].
    pub(super) async fn rows(
        &self,
        readers: &SqlitePool,
        after: Option<(IndexKey, Place)>,
        limit: u32,
    ) -> Result<Vec<(IndexKey, Place)>, sqlx::Error> {
        let low = match after {
            None => 0,
            // Of a place that no log here can have, there is no row.
            Some((key, place)) => row(key, place).map_or_else(|| last_of(key), |row| row.saturating_add(1)),
        };
        let most = limit as usize;
        let collect = |state: &State| Look {
            rows: state.recent.range(low..).take(most).copied().collect(),
            pages: state.pages_from(low, most).map(|page| (page, ())).collect(),
        };
        let take = |rows: &[Row], (), found: &mut Vec<Row>| {
            found.extend(rows.iter().filter(|row| **row >= low));
        };
        let mut found = self.look(readers, collect, take).await?;
        found.sort_unstable();
        found.truncate(most);
        Ok(found.into_iter().map(parts).collect())
    }

    /// Looks something up: `collect` says what is in memory and which pages are to be read, `take` takes from a page.
    async fn look<K: Copy>(
        &self,
        readers: &SqlitePool,
        collect: impl Fn(&State) -> Look<K>,
        take: impl Fn(&[Row], K, &mut Vec<Row>),
    ) -> Result<Vec<Row>, sqlx::Error> {
        for _ in 0..ATTEMPTS {
            if self.follows {
                self.follow(readers).await?;
            }
            let Look { mut rows, mut pages } =
                collect(&self.state.read().unwrap_or_else(PoisonError::into_inner));
            pages.sort_unstable_by_key(|(page, _)| *page);
            let mut ids: Vec<i64> = pages.iter().map(|(page, _)| *page).collect();
            ids.dedup();
            let select = "SELECT id, rows FROM index_pages WHERE id IN ";
            let stored = if ids.is_empty() {
                Vec::new()
            } else {
                select_in(readers, select, " ORDER BY id", &ids, None).await?
            };
            // Pages never change. One that is gone was merged, which the state tells by now, or in a moment.
            if stored.len() != ids.len() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
            let mut wanted = pages.into_iter().peekable();
            for page in &stored {
                let id: i64 = page.try_get(0)?;
                let page = decode(page.try_get(1)?).ok_or_else(damaged)?;
                while let Some((_, what)) = wanted.next_if(|(page, _)| *page == id) {
                    take(&page, what, &mut rows);
                }
            }
            return Ok(rows);
        }
        Err(sqlx::Error::Decode("pages of the index are missing".into()))
    }

    /// Loads what another process has committed meanwhile.
    async fn follow(&self, readers: &SqlitePool) -> Result<(), sqlx::Error> {
        let mut transaction = readers.begin().await?;
        let stamp = load::stamp(&mut transaction).await?;
        if self.state.read().unwrap_or_else(PoisonError::into_inner).stamp != stamp {
            let (state, _) = load::load(&mut transaction).await?;
            self.publish(state);
        }
        transaction.rollback().await
    }
}

/// What a look-up needs.
struct Look<K> {
    rows: Vec<Row>,
    pages: Vec<(i64, K)>,
}

impl<K> Default for Look<K> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            pages: Vec::new(),
        }
    }
}

/// Rows in a transaction that is not committed yet.
#[must_use]
pub(super) struct Pending<'a> {
    index: &'a Index,
    change: Option<(Work, Recent)>,
}

impl Pending<'_> {
    /// The transaction was committed: from now on its rows are found.
    pub(super) fn committed(mut self) {
        let Some((work, recent)) = self.change.take() else {
            return;
        };
        {
            let mut state = self.index.state.write().unwrap_or_else(PoisonError::into_inner);
            match recent {
                Recent::More(rows) => state.recent.extend(rows),
                Recent::Flushed => state.recent.clear(),
            }
            state.runs.clone_from(work.runs());
        }
        *self.index.work() = Some(work);
        self.index.stale.store(false, Ordering::Release);
        // Not stale any more, see `drop`.
        std::mem::forget(self);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.index.stale.store(true, Ordering::Release);
    }
}

/// A stored value that was never written.
fn damaged() -> sqlx::Error {
    sqlx::Error::Decode("a part of the index is damaged".into())
}

/// A place beyond 2⁴⁰ leaves: the transaction is given up.
pub(super) fn too_large() -> sqlx::Error {
    sqlx::Error::Configuration("a log of this store holds at most 2^40 leaves".into())
}

#[cfg(test)]
mod tests;
