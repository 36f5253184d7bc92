//! Sorted runs of index rows, and what is known of all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use common_engine::IndexKey;

use super::page::{Filter, PAGES, ROWS, Row, Summary, between, first_of, last_of, page_id};

/// Up to [`PAGES`] pages, written, summarised and deleted together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    /// Never used again for another.
    pub(super) id: i64,
    /// Number of its pages.
    pub(super) len: usize,
}

impl Group {
    /// Keys of its pages in the database: the first, and the one behind the last.
    pub(super) fn page_ids(self) -> (i64, i64) {
        (page_id(self.id, 0), page_id(self.id, self.len))
    }
}

/// Rows in order, in pages that never change.
///
/// What is known of the pages lies side by side, whatever group they are of: a look-up of a key that is new to a large log
/// touches this memory once for each run, and waiting for it is most of what the look-up costs.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: i64,
    pub(super) level: u32,
    /// All but the last are full.
    groups: Vec<i64>,
    firsts: Vec<Row>,
    filters: Vec<Filter>,
}

impl Run {
    /// Without rows, and with room for what is known of so many pages.
    pub(super) fn new(id: i64, level: u32, pages: usize) -> Self {
        Self {
            id,
            level,
            groups: Vec::with_capacity(pages.div_ceil(PAGES)),
            firsts: Vec::with_capacity(pages),
            filters: Vec::with_capacity(pages),
        }
    }

    /// Adds the next group. False if the last one is not full, which none can be that others come behind.
    #[must_use]
    pub(super) fn push(&mut self, group: i64, summary: Summary) -> bool {
        let is_full = self.groups.len().saturating_mul(PAGES) == self.firsts.len();
        if is_full {
            self.groups.push(group);
            self.firsts.extend(summary.firsts);
            self.filters.extend(summary.filters);
        }
        is_full
    }

    /// Gives back the room that was not needed.
    pub(super) fn trim(&mut self) {
        self.groups.shrink_to_fit();
        self.firsts.shrink_to_fit();
        self.filters.shrink_to_fit();
    }

    /// Number of its pages.
    pub(super) fn pages(&self) -> usize {
        self.firsts.len()
    }

    pub(super) fn group(&self, at: usize) -> Option<Group> {
        let behind = self.pages().saturating_sub(at.saturating_mul(PAGES));
        Some(Group {
            id: *self.groups.get(at)?,
            len: behind.min(PAGES),
        })
    }

    pub(super) fn groups(&self) -> impl DoubleEndedIterator<Item = Group> {
        (0..self.groups.len()).filter_map(|at| self.group(at))
    }

    /// Groups that may hold a row, and those behind them.
    pub(super) fn groups_from(&self, row: Row) -> usize {
        between(&self.firsts, row, row).start / PAGES
    }

    fn page_id(&self, page: usize) -> Option<i64> {
        Some(page_id(*self.groups.get(page / PAGES)?, page % PAGES))
    }

    fn may_hold(&self, page: usize, key: IndexKey) -> bool {
        self.filters.get(page).is_some_and(|filter| filter.may_hold(key))
    }
}

/// Rows of one key, from one to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) key: IndexKey,
    pub(super) low: Row,
    pub(super) high: Row,
}

impl Span {
    /// All rows of a key.
    pub(super) fn of(key: IndexKey) -> Self {
        Self {
            key,
            low: first_of(key),
            high: last_of(key),
        }
    }

    /// Takes those of a page.
    pub(super) fn take(self, page: &[Row], found: &mut Vec<Row>) {
        let start = page.partition_point(|row| *row < self.low);
        let end = page.partition_point(|row| *row <= self.high);
        found.extend(page.get(start..end).unwrap_or_default());
    }
}

/// Every row is in one of them.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Rows of the latest commits.
    pub(super) recent: BTreeSet<Row>,
    pub(super) runs: Vec<Arc<Run>>,
    /// What it was made from: see [`super::load::stamp`].
    pub(super) stamp: (i64, i64),
}

impl State {
    /// The last `limit` recent rows of a span.
    pub(super) fn recent_of(&self, span: Span, limit: usize) -> impl Iterator<Item = Row> {
        let rows = self.recent.range(span.low..=span.high);
        rows.rev().take(limit).copied()
    }

    /// Pages that may hold the last `limit` rows of a span.
    pub(super) fn pages_of(&self, span: Span, limit: usize) -> impl Iterator<Item = i64> {
        let Span { key, low, high } = span;
        // A page between two others of the key is full of it.
        let enough = limit.div_ceil(ROWS).saturating_add(1);
        self.runs.iter().flat_map(move |run| {
            let pages = between(&run.firsts, low, high).rev();
            pages
                .filter(move |page| run.may_hold(*page, key))
                .filter_map(|page| run.page_id(page))
                .take(enough)
        })
    }

    /// Pages that may hold the first `limit` rows from `low` on.
    pub(super) fn pages_from(&self, low: Row, limit: usize) -> impl Iterator<Item = i64> {
        // The first may end before `low`.
        let enough = limit.div_ceil(ROWS).saturating_add(1);
        self.runs.iter().flat_map(move |run| {
            let pages = between(&run.firsts, low, Row::MAX);
            pages.filter_map(|page| run.page_id(page)).take(enough)
        })
    }
}
