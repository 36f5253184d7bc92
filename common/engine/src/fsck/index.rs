//! The index against the leaves, in memory that does not grow with it.
//!
//! A set of rows has a sum: that of a hash of each row, modulo 2¹²⁸, whatever the order. The pass over the leaves adds
//! up the rows that there should be, one pass over the index those that there are, both apart for 4,096 ranges of
//! keys. Equal sums, equal rows. Only where a range differs are its rows held, expected and stored, to name each one
//! that is missing or nobody's.

use std::collections::BTreeSet;
use std::sync::Arc;

use common_tlog::leaf_hash;
use common_tlog::sha256;
use rayon::prelude::*;

use super::report::{At, Findings};
use super::source::Source;
use super::{LeafRows, Progress, Rows};
use crate::index::IndexKey;
use crate::storage::{Place, Storage};
use crate::types::LogId;

type Row = (IndexKey, Place);

/// Ranges of keys: by the first 12 bits.
const RANGES: usize = 4_096;
const RANGE_SHIFT: u32 = 52;
/// Rows read at once.
const PAGE: u32 = 4_096;
/// Most rows held to name what is wrong, expected and stored together.
const HELD: u64 = 2_000_000;
/// Most rows behind a head that are looked at again.
const BEYOND: usize = 65_536;

fn range_of(key: IndexKey) -> usize {
    usize::try_from(key.0 >> RANGE_SHIFT).unwrap_or_default()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    sum: u128,
}

impl Sum {
    fn add(&mut self, (key, place): Row) {
        let digest = sha256(&[
            &key.0.to_be_bytes(),
            &place.log.0.to_be_bytes(),
            &place.index.to_be_bytes(),
        ]);
        let (half, _) = digest.0.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        self.sum = self.sum.wrapping_add(u128::from_be_bytes(*half));
        self.rows = self.rows.saturating_add(1);
    }
}

/// The sums of the rows that there should be.
pub(super) struct IndexSums {
    ranges: Vec<Sum>,
    /// Leaves that have rows which cannot be told from them.
    incomplete: u64,
}

impl Default for IndexSums {
    fn default() -> Self {
        Self {
            ranges: vec![Sum::default(); RANGES],
            incomplete: 0,
        }
    }
}

impl IndexSums {
    pub(super) fn expect(&mut self, rows: &LeafRows, place: Place) {
        for key in &rows.keys {
            self.add((*key, place));
        }
        let open = rows.others || !rows.allowed.is_empty();
        self.incomplete = self.incomplete.saturating_add(u64::from(open));
    }

    fn add(&mut self, row: Row) {
        if let Some(range) = self.ranges.get_mut(range_of(row.0)) {
            range.add(row);
        }
    }
}

/// A log whose leaves were walked.
pub(super) struct Walked<'a> {
    pub(super) source: Source<'a>,
    pub(super) rows: Arc<Rows>,
    /// Keys of the rows by which the index speaks of itself.
    pub(super) marks: [IndexKey; 4],
    /// How many leaves.
    pub(super) size: u64,
}

pub(super) struct Pass<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) logs: &'a [Walked<'a>],
    /// The logs are all that the store has.
    pub(super) whole: bool,
    pub(super) progress: &'a (dyn Fn(Progress) + Sync),
}

/// Whose a row is.
enum Whose {
    /// A leaf's under the head.
    Ours,
    /// A leaf's behind the head.
    Beyond,
    /// Of a log that is not checked, or the index's own.
    Other,
    /// Of a log that the store does not have.
    Nobody,
}

impl Pass<'_> {
    /// Compares the index with the sums; gives the number of rows.
    pub(super) async fn run(&self, expected: IndexSums, findings: &mut Findings) -> u64 {
        let mut stored = IndexSums::default();
        let mut beyond = Vec::new();
        let mut rows = 0u64;
        let read = self
            .stream(None, |row| {
                match self.whose(row) {
                    Whose::Ours => {
                        stored.add(row);
                        rows = rows.saturating_add(1);
                        if rows.is_multiple_of(u64::from(PAGE)) {
                            (self.progress)(Progress::Index(rows));
                        }
                    }
                    Whose::Beyond if beyond.len() < BEYOND => beyond.push(row),
                    Whose::Beyond | Whose::Other => {}
                    Whose::Nobody => {
                        findings.add(At::Index(row.0, row.1), "place", "a log of this store", row.1.log);
                    }
                }
                true
            })
            .await;
        if let Err(why) = read {
            findings.add(At::Store, "index", "rows that can be read, in order", why);
        }
        (self.progress)(Progress::Index(rows));
        self.check_beyond(beyond, findings).await;
        let differing: Vec<usize> = (0..RANGES)
            .filter(|at| expected.ranges.get(*at) != stored.ranges.get(*at))
            .collect();
        if !differing.is_empty() {
            self.name(&differing, &expected, &stored, findings).await;
        }
        rows
    }

    fn log(&self, log: LogId) -> Option<&Walked<'_>> {
        self.logs.iter().find(|walked| walked.source.log == log)
    }

    fn whose(&self, (key, place): Row) -> Whose {
        match self.log(place.log) {
            Some(walked) if walked.marks.contains(&key) => Whose::Other,
            Some(walked) if place.index < walked.size => Whose::Ours,
            Some(_) => Whose::Beyond,
            None if self.whole => Whose::Nobody,
            None => Whose::Other,
        }
    }

    /// Gives the rows behind `after`, in order, until `take` says that it is enough.
    async fn stream(&self, after: Option<Row>, mut take: impl FnMut(Row) -> bool) -> Result<(), String> {
        let mut after = after;
        loop {
            let page = self.storage.index_rows(after, PAGE).await;
            let page = page.map_err(|error| match after {
                Some((key, _)) => format!("{error}, behind key {:016x}", key.0),
                None => error.to_string(),
            })?;
            if page.is_empty() {
                return Ok(());
            }
            for row in page {
                if after.is_some_and(|after| after >= row) {
                    return Err(format!("key {:016x} behind a later one", row.0.0));
                }
                after = Some(row);
                if !take(row) {
                    return Ok(());
                }
            }
        }
    }

    /// Rows that a writer added have their leaf under the head that is read after them.
    async fn check_beyond(&self, rows: Vec<Row>, findings: &mut Findings) {
        if rows.is_empty() {
            return;
        }
        let heads = match self.storage.logs().await {
            Ok(heads) => heads,
            Err(error) => return findings.add(At::Store, "rows of logs", "readable ones", error),
        };
        for (key, place) in rows {
            let log = heads.iter().find(|log| log.info.id == place.log);
            let size = log.map_or(0, |log| log.head.size);
            if place.index >= size {
                let expected = format!("a leaf below {size}");
                findings.add(At::Index(key, place), "place", expected, place.index);
            }
        }
    }

    /// Finds the rows that are missing and those that are nobody's, in the ranges that differ.
    async fn name(
        &self,
        differing: &[usize],
        expected: &IndexSums,
        stored: &IndexSums,
        findings: &mut Findings,
    ) {
        let of = |sums: &IndexSums, at: usize| sums.ranges.get(at).copied().unwrap_or_default();
        // The store's secret makes every key.
        let any = |sums: &IndexSums| sums.ranges.iter().filter(|sum| sum.rows > 0).count();
        if expected.incomplete == 0 && any(expected) > 16 && differing.len() >= any(expected) {
            findings.add(
                At::Store,
                "index secret, or the whole index",
                "rows under the keys that this secret makes",
                format!("other rows in all of {} ranges of keys", differing.len()),
            );
        }
        let mut held = 0u64;
        let mut chosen = BTreeSet::new();
        for at in differing.iter().copied() {
            let (want, have) = (of(expected, at).rows, of(stored, at).rows);
            held = held.saturating_add(want).saturating_add(have);
            if held > HELD && !chosen.is_empty() {
                findings.skip(want.abs_diff(have).max(1));
            } else {
                chosen.insert(at);
            }
        }
        let want = self.expected_rows(&chosen).await;
        let mut have = BTreeSet::new();
        for at in &chosen {
            let first = IndexKey((*at as u64) << RANGE_SHIFT);
            let read = self.stream(before(first), |row| {
                let inside = range_of(row.0) == *at;
                if inside && matches!(self.whose(row), Whose::Ours) {
                    have.insert(row);
                }
                inside
            });
            if read.await.is_err() {
                // It was told when all rows were read.
                findings.skip(1);
            }
        }
        for (key, place) in want.difference(&have) {
            let got = format!(
                "no row {:016x}: the leaf is not found by one of its terms or hashes",
                key.0
            );
            findings.add(
                At::Leaf(place.log, place.index),
                "index row",
                "a row for each key",
                got,
            );
        }
        for (key, place) in have.difference(&want) {
            if !self.may_be(*key, *place).await {
                let got = format!("another key, {:016x}", key.0);
                findings.add(At::Index(*key, *place), "key", "one that the leaf yields", got);
            }
        }
    }

    /// The rows of all leaves within the ranges.
    async fn expected_rows(&self, chosen: &BTreeSet<usize>) -> BTreeSet<Row> {
        let mut want = BTreeSet::new();
        // What cannot be read was told in the first pass.
        let mut told = Findings::new(0);
        for walked in self.logs {
            let mut at = 0;
            while at < walked.size {
                let left = u32::try_from(walked.size.saturating_sub(at)).unwrap_or(u32::MAX);
                let count = left.min(walked.source.batch());
                let leaves = walked.source.leaves(at, count, &mut told).await;
                let (maker, log) = (Arc::clone(&walked.rows), walked.source.log);
                let work = move || {
                    let rows = leaves.into_par_iter().flatten().flat_map_iter(|leaf| {
                        let place = Place {
                            log,
                            index: leaf.index,
                        };
                        let rows = maker.at_least(&leaf, &leaf_hash(&leaf.data));
                        rows.keys.into_iter().map(move |key| (key, place))
                    });
                    rows.collect::<Vec<Row>>()
                };
                let rows = super::leaves::on_all_cores(work).await;
                want.extend(
                    rows.into_iter()
                        .filter(|(key, _)| chosen.contains(&range_of(*key))),
                );
                at = at.saturating_add(u64::from(count));
            }
        }
        want
    }

    /// Whether the leaf may have this row besides those it must have.
    async fn may_be(&self, key: IndexKey, place: Place) -> bool {
        let Some(walked) = self.log(place.log) else {
            return false;
        };
        let leaf = self.storage.leaves_at(&[place]).await;
        let leaf = leaf.ok().and_then(|mut found| found.pop().flatten());
        leaf.is_some_and(|leaf| {
            let rows = walked.rows.of(&leaf, &leaf_hash(&leaf.data));
            rows.is_ok_and(|rows| rows.others || rows.allowed.contains(&key))
        })
    }
}

/// A row before all rows of a key, none of which a store has.
fn before(key: IndexKey) -> Option<Row> {
    let last = Place {
        log: LogId::MAX,
        index: u64::MAX >> 24,
    };
    key.0.checked_sub(1).map(|before| (IndexKey(before), last))
}
