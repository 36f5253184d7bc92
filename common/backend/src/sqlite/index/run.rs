//! Sorted runs of index rows, and what is known of all of them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use common_engine::IndexKey;

use super::page::{Group, ROWS, Row, first_of, last_of, page_id};

/// Rows in order, in pages that never change.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: i64,
    pub(super) level: u32,
    pub(super) groups: Vec<Arc<Group>>,
}

impl Run {
    /// Groups that may hold rows from `low` to `high`, in order.
    pub(super) fn between(&self, low: Row, high: Row) -> Range<usize> {
        let start = self.groups.partition_point(|group| group.first() <= low);
        start.saturating_sub(1)..self.groups.partition_point(|group| group.first() <= high)
    }

    fn groups(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = &Arc<Group>> {
        self.groups.get(range).unwrap_or_default().iter()
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
    /// The last `limit` recent rows of a key.
    pub(super) fn recent_of(&self, key: IndexKey, limit: usize) -> impl Iterator<Item = Row> {
        let rows = self.recent.range(first_of(key)..=last_of(key));
        rows.rev().take(limit).copied()
    }

    /// Pages that may hold the last `limit` rows of a key.
    pub(super) fn pages_of(&self, key: IndexKey, limit: usize) -> impl Iterator<Item = i64> {
        let (low, high) = (first_of(key), last_of(key));
        // A page between two others of the key is full of it.
        let enough = limit.div_ceil(ROWS).saturating_add(1);
        self.runs.iter().flat_map(move |run| {
            let groups = run.groups(run.between(low, high)).rev();
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
                .groups(run.between(low, Row::MAX))
                .flat_map(move |group| group.between(low, Row::MAX).map(|page| page_id(group.id, page)));
            pages.take(enough)
        })
    }
}
