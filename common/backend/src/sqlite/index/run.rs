//! Sorted runs of index rows, and what is known of all of them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use common_engine::IndexKey;

use super::page::{Group, ROWS, Row, between, first_of, last_of, page_id};

/// Rows in order, in pages that never change.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: i64,
    pub(super) level: u32,
    groups: Vec<Arc<Group>>,
    /// The first row of each group, side by side: a search that went to each group for it would wait for the memory of
    /// most of them, which is what a look-up in a large run costs.
    firsts: Vec<Row>,
}

impl Run {
    /// Of groups in order.
    pub(super) fn new(id: i64, level: u32, groups: Vec<Arc<Group>>) -> Self {
        let firsts = groups.iter().map(|group| group.first()).collect();
        Self {
            id,
            level,
            groups,
            firsts,
        }
    }

    /// Adds the next group.
    pub(super) fn push(&mut self, group: Arc<Group>) {
        self.firsts.push(group.first());
        self.groups.push(group);
    }

    pub(super) fn groups(&self) -> &[Arc<Group>] {
        &self.groups
    }

    /// Groups that may hold rows from `low` to `high`, in order.
    pub(super) fn between(&self, low: Row, high: Row) -> Range<usize> {
        between(&self.firsts, low, high)
    }

    fn groups_in(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = &Arc<Group>> {
        self.groups.get(range).unwrap_or_default().iter()
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
            let groups = run.groups_in(run.between(low, high)).rev();
            let pages = groups.flat_map(move |group| {
                let pages = group.between(low, high).rev();
                pages
                    .filter(move |page| group.may_hold(*page, key))
                    .map(|page| page_id(group.id, page))
            });
            pages.take(enough)
        })
    }

    /// Pages that may hold the first `limit` rows from `low` on.
    pub(super) fn pages_from(&self, low: Row, limit: usize) -> impl Iterator<Item = i64> {
        // The first may end before `low`.
        let enough = limit.div_ceil(ROWS).saturating_add(1);
        self.runs.iter().flat_map(move |run| {
            let pages = run
                .groups_in(run.between(low, Row::MAX))
                .flat_map(move |group| group.between(low, Row::MAX).map(|page| page_id(group.id, page)));
            pages.take(enough)
        })
    }
}
