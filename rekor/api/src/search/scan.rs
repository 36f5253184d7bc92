//! Looking through one log, from its newest leaf down, and merging what several logs have.
//!
//! Each round reads, for every clause, the next rows of its terms below the leaf reached so far. The clause whose rows
//! reach furthest down is the rarest there: its rows are the candidates, less those that another clause's rows rule out
//! already; what remains is read from the log and asked. So a digest `and` a signer with a million entries costs what the
//! digest costs. Every leaf below the end of a round is still to be looked at, every one above has been.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common_engine::{Head, LogId, LogKind, StoredLeaf};
use common_server::cpu;
use common_tlog::{Hash, leaf_hash};
use rekor_entry::facts::{Condition, Facts, Field};

use super::answer::{Answer, Found, LogAnswer, Range};
use super::cursor::{self, Below};
use super::query::Query;
use super::{Error, Log, Service};
use crate::personality::Kept;
use crate::terms;

/// Rows read of each term in the first round; four times as many in each further one.
const FIRST: u32 = 64;
/// Most rows of a term in one round.
const MOST_ROWS: u32 = 4_096;
/// Rounds in one log and page.
const ROUNDS: usize = 6;
/// Leaves read for one page, of all logs together; each log has its part, so that none keeps another from going on.
const LEAVES: usize = 1_024;
/// The least a log has.
const FEWEST: usize = 64;
/// Leaves read at once: as many as the page still has room for, within these.
const CHUNK: (usize, usize) = (16, 128);
/// Most bytes of leaves read at once, were each as long as its log takes: 16 of a v1 log, each v2 chunk whole.
const CHUNK_BYTES: u32 = 16 << 20;

/// What a look through a log has come to.
struct Scan<'a> {
    log: &'a Log,
    head: Arc<Head>,
    /// The first leaf that this page says nothing about any more.
    to: u64,
    /// What is below is still to be looked at.
    below: u64,
    /// Nothing below can be meant.
    ended: bool,
    /// Newest first.
    found: Vec<Listed>,
}

/// An entry that was asked for, as a page has it: leaf and facts together can be megabytes, and a page waits for all its logs.
struct Listed {
    /// Unix milliseconds of its batch.
    time: u64,
    entry: Found,
}

/// A leaf that was asked for, without the leaf.
pub(super) struct Hit {
    pub(super) index: u64,
    /// Unix milliseconds of its batch.
    pub(super) time: u64,
    pub(super) leaf_hash: Hash,
    pub(super) facts: Facts,
    /// The leaf itself says that it is meant. Of the oldest entries some terms are no longer to be told.
    pub(super) confirmed: bool,
}

impl Hit {
    pub(super) fn new(leaf: &StoredLeaf, facts: Facts, confirmed: bool) -> Self {
        Self {
            index: leaf.index,
            time: leaf.time,
            leaf_hash: leaf_hash(&leaf.data),
            facts,
            confirmed,
        }
    }
}

/// A leaf that was read, and what it is if it is meant.
struct Asked {
    time: u64,
    index: u64,
    entry: Option<Found>,
}

/// Candidates, and the leaf below which nothing was looked for.
struct Window {
    /// Highest first.
    candidates: Vec<u64>,
    floor: u64,
}

impl Service {
    /// One page of a search.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn search(&self, query: &Query) -> Result<Answer, Error> {
        let _admitted = self.gate.enter()?;
        let start = query.cursor.as_deref().map(|text| cursor::decode(query, text));
        let start = start.transpose()?;
        let logs = self.logs();
        let is_known = |id: &LogId| logs.iter().any(|log| log.id == *id);
        if let Some(unknown) = query.logs.iter().find(|log| !is_known(log)) {
            let known: Vec<String> = logs.iter().map(|log| log.id.to_string()).collect();
            return Err(Error::Parameter {
                name: "log",
                expected: format!("one of {}", known.join(", ")),
                got: unknown.to_string(),
            });
        }
        let clauses = Arc::new(query.clauses());
        let wanted = |log: &&Log| query.logs.is_empty() || query.logs.contains(&log.id);
        let wanted: Vec<&Log> = logs.iter().filter(wanted).collect();
        let budget = LEAVES.checked_div(wanted.len()).unwrap_or(LEAVES).max(FEWEST);
        let mut scans = Vec::new();
        for log in wanted {
            let Some(head) = self.engine.head(log.id) else {
                continue;
            };
            let to = match (&start, query.until) {
                (Some(below), _) => below.get(&log.id).copied().unwrap_or(0).min(head.size),
                (None, Some(until)) => self.engine.first_at(log.id, until).await?.min(head.size),
                (None, None) => head.size,
            };
            let mut scan = Scan {
                log,
                head,
                to,
                below: to,
                ended: false,
                found: Vec::new(),
            };
            self.scan(&mut scan, query, &clauses, budget).await?;
            scans.push(scan);
        }
        Ok(self.page(query, scans))
    }

    /// Looks through a log until a page is full, the log has ended, or enough was done.
    async fn scan(
        &self,
        scan: &mut Scan<'_>,
        query: &Query,
        clauses: &Arc<Vec<Vec<Condition>>>,
        mut budget: usize,
    ) -> Result<(), Error> {
        let info = self.engine.log(scan.log.id);
        let leaf_limit = info.map_or(u32::MAX, |info| info.spec.leaf_limit);
        let mut rows = FIRST;
        for _ in 0..ROUNDS {
            if scan.below == 0 || budget == 0 {
                return Ok(());
            }
            let window = self.window(scan.log, clauses, scan.below, rows).await?;
            let mut candidates = window.candidates.as_slice();
            while !candidates.is_empty() {
                if budget == 0 {
                    return Ok(());
                }
                let room = query.limit().saturating_sub(scan.found.len());
                let (chunk, later) = candidates.split_at(candidates.len().min(at_once(leaf_limit, room)));
                candidates = later;
                budget = budget.saturating_sub(chunk.len());
                for asked in self.confirm(scan.log, chunk, clauses).await? {
                    // Times never go back within a log.
                    if query.since.is_some_and(|since| asked.time < since) {
                        scan.ended = true;
                        return Ok(());
                    }
                    scan.below = asked.index;
                    let time = asked.time;
                    scan.found.extend(asked.entry.map(|entry| Listed { time, entry }));
                    if scan.found.len() >= query.limit() {
                        return Ok(());
                    }
                }
            }
            scan.below = window.floor;
            rows = rows.saturating_mul(4).min(MOST_ROWS);
        }
        Ok(())
    }

    /// The next candidates below a leaf.
    async fn window(
        &self,
        log: &Log,
        clauses: &[Vec<Condition>],
        below: u64,
        rows: u32,
    ) -> Result<Window, Error> {
        let mut blocks = Vec::with_capacity(clauses.len());
        for clause in clauses {
            let mut block = Block::default();
            for term in clause.iter().flat_map(Condition::lookups) {
                let term = terms::index_term(log.kind(), &term);
                let found = self.engine.find_below(log.id, &term, below, rows).await?;
                // There may be more below the last one, unless it was not even full.
                if found.len() >= rows as usize {
                    block.floor = block.floor.max(found.last().copied().unwrap_or(0));
                }
                block.indexes.extend(found);
            }
            let floor = block.floor;
            block.indexes.retain(|index| *index >= floor);
            blocks.push(block);
        }
        let rarest = blocks
            .iter()
            .enumerate()
            .min_by_key(|(_, block)| (block.floor, block.indexes.len()));
        let Some((at, rarest)) = rarest else {
            // Every leaf is meant.
            let floor = below.saturating_sub(u64::from(rows));
            return Ok(Window {
                candidates: (floor..below).rev().collect(),
                floor,
            });
        };
        let possible = |index: &u64| {
            blocks
                .iter()
                .enumerate()
                .all(|(other, block)| other == at || *index < block.floor || block.indexes.contains(index))
        };
        Ok(Window {
            candidates: rarest.indexes.iter().rev().copied().filter(possible).collect(),
            floor: rarest.floor,
        })
    }

    /// Reads leaves and asks each whether it is meant.
    async fn confirm(
        &self,
        log: &Log,
        indexes: &[u64],
        clauses: &Arc<Vec<Vec<Condition>>>,
    ) -> Result<Vec<Asked>, Error> {
        let leaves = self.engine.leaves_at(log.id, indexes).await?;
        let (log, origin, clauses) = (log.clone(), self.origin(log), Arc::clone(clauses));
        let asked = cpu::run(move || {
            let each = leaves.into_iter().map(|leaf| Asked {
                time: leaf.time,
                index: leaf.index,
                entry: ask(log.kind(), &leaf, &clauses).map(|hit| Found::new(&origin, &log, &hit)),
            });
            each.collect()
        });
        Ok(asked.await?)
    }

    /// The newest of what all logs have, and where the next page goes on.
    fn page(&self, query: &Query, mut scans: Vec<Scan<'_>>) -> Answer {
        let mut order: Vec<(u64, usize, usize)> = Vec::new();
        for (at, scan) in scans.iter().enumerate() {
            let times = scan.found.iter().enumerate();
            order.extend(times.map(|(n, listed)| (listed.time, at, n)));
        }
        // Newest first; within a log the order is that of the leaves.
        order.sort_unstable_by_key(|(time, at, n)| (std::cmp::Reverse(*time), *at, *n));
        let more = order.split_off(order.len().min(query.limit()));
        // What did not fit comes on the next page: its log goes on above it.
        let mut first_left: BTreeMap<usize, usize> = BTreeMap::new();
        for (_, at, n) in more {
            let first = first_left.entry(at).or_insert(n);
            *first = n.min(*first);
        }
        let mut next = Below::new();
        for (at, scan) in scans.iter_mut().enumerate() {
            if let Some(listed) = first_left.get(&at).and_then(|n| scan.found.get(*n)) {
                scan.below = listed.entry.index.saturating_add(1);
                scan.ended = false;
            }
            if !scan.ended && scan.below > 0 {
                next.insert(scan.log.id, scan.below);
            }
        }
        let mut found: Vec<Vec<Option<Found>>> = scans
            .iter_mut()
            .map(|scan| {
                let listed = std::mem::take(&mut scan.found).into_iter();
                listed.map(|listed| Some(listed.entry)).collect()
            })
            .collect();
        let entries = order
            .into_iter()
            .filter_map(|(_, at, n)| found.get_mut(at)?.get_mut(n)?.take())
            .collect();
        let needs_payload = query.needs_payloads();
        let logs: Vec<LogAnswer> = scans
            .iter()
            .map(|scan| {
                let searched = Range {
                    from: scan.below,
                    to: scan.to,
                };
                LogAnswer::new(self, scan.log, &scan.head).searched(searched, scan.ended || scan.below == 0)
            })
            .collect();
        Answer {
            complete: logs.iter().all(|log| log.is_complete(needs_payload)),
            entries,
            next: (!next.is_empty()).then(|| cursor::encode(query, &next)),
            logs,
        }
    }
}

/// Rows of one clause.
#[derive(Default)]
struct Block {
    indexes: BTreeSet<u64>,
    /// All rows from here on are among them.
    floor: u64,
}

/// Leaves read at once from a log that takes leaves of `leaf_limit` bytes, for a page with `room` for more.
fn at_once(leaf_limit: u32, room: usize) -> usize {
    let most = CHUNK_BYTES
        .checked_div(leaf_limit)
        .map_or(CHUNK.1, |count| count.max(1) as usize);
    room.clamp(CHUNK.0, CHUNK.1).min(most)
}

/// The entry, if it is meant.
fn ask(kind: LogKind, leaf: &StoredLeaf, clauses: &[Vec<Condition>]) -> Option<Hit> {
    let (facts, kept) = match terms::facts(kind, leaf) {
        Ok(read) => read,
        Err(error) => {
            tracing::error!(index = leaf.index, %error, "a stored entry cannot be read");
            return None;
        }
    };
    // Of the first records some terms are no longer to be told: then a row is believed where the leaf is silent.
    let silent = |condition: &Condition| {
        kept == Kept::Unknown
            && kind == LogKind::RekorV1
            && matches!(condition.field(), Field::Digest | Field::PredicateType)
    };
    let met = |clause: &Vec<Condition>| clause.iter().any(|condition| facts.meet(condition));
    let possible = |clause: &Vec<Condition>| met(clause) || clause.iter().any(silent);
    let (confirmed, possible) = (clauses.iter().all(met), clauses.iter().all(possible));
    possible.then(|| Hit::new(leaf, facts, confirmed))
}

#[cfg(test)]
mod tests;
