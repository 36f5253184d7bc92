//! From submissions to a batch: which entries are new, where they go, and what will be stored.
//!
//! Pure work on the pool's threads: no storage, no waiting. Nothing of it is visible until the batch is committed.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use common_tlog::proof::{Plan, verify_consistency};
use common_tlog::tile::{FULL_BYTES, FULL_WIDTH, HEIGHT, node_in_tile};
use common_tlog::{Grown, Hash, RightEdge, TileId, leaf_hash};
use rayon::prelude::*;

use crate::error::{Corrupt, SealError, StoreError, SubmitError};
use crate::index::{IndexKey, IndexSecret};
use crate::pool::guarded;
use crate::storage::{Batch, HeadChange, LogBatch, Place, Storage, StoredLog};
use crate::types::{Entry, Head, LogId, LogInfo, LogState, Personality, StoredLeaf};
use crate::verify::{edge_corrupt, verify_log};

/// How far, in milliseconds, a head may be ahead of the clock. Time stands still within it, so that a clock that was
/// set back a little does no harm; beyond it either head or clock is wrong, and entries would get a wrong time for as
/// long as the difference lasts.
pub(crate) const CLOCK_TOLERANCE: u64 = 60_000;

/// An entry for a log.
pub(crate) struct Submission {
    pub(crate) log: LogId,
    pub(crate) entry: Entry,
}

/// Where a log stands, as the writer knows it.
#[derive(Clone)]
pub(crate) struct Tip {
    pub(crate) info: Arc<LogInfo>,
    pub(crate) head: Arc<Head>,
    pub(crate) edge: RightEdge,
    pub(crate) personality: Arc<dyn Personality>,
}

impl Tip {
    /// Verifies a stored log.
    pub(crate) async fn load(
        storage: &dyn Storage,
        log: StoredLog,
        personality: Arc<dyn Personality>,
    ) -> Result<Self, StoreError> {
        let edge = verify_log(storage, &log).await?;
        Ok(Self {
            info: Arc::new(log.info),
            head: Arc::new(log.head),
            edge,
            personality,
        })
    }
}

/// Stored leaves that have the identity of a submission.
pub(crate) type Known = HashMap<(LogId, Hash), StoredLeaf>;

/// What became of a submission, once the batch is committed.
pub(crate) enum Verdict {
    /// A new leaf; the number counts the leaves of its log in this batch.
    New(LogId, usize),
    /// The same entry as a new leaf of this batch.
    Repeated(LogId, usize),
    /// The same entry as a leaf stored before.
    Known(LogId, Box<StoredLeaf>),
    /// Not logged.
    Refused(SubmitError),
}

/// A log as it will be after the commit, with all nodes that the proofs of its new leaves need.
pub(crate) struct NextTip {
    pub(crate) head: Arc<Head>,
    pub(crate) grown: Grown,
    /// Of the new leaves, in order.
    pub(crate) hashes: Vec<Hash>,
}

/// A batch that may be committed, and what to answer then.
pub(crate) struct Attempt {
    pub(crate) batch: Batch,
    pub(crate) tips: BTreeMap<LogId, NextTip>,
    /// One for each submission, in order.
    pub(crate) verdicts: Vec<Verdict>,
}

/// Decides over all submissions. An error means that the batch contradicted itself before it was signed.
pub(crate) fn prepare(
    tips: &BTreeMap<LogId, Tip>,
    secret: &IndexSecret,
    now: u64,
    submissions: &[Submission],
    known: &Known,
) -> Result<Attempt, Corrupt> {
    let mut sorted = sort(tips, submissions, known);
    let mut attempt = Attempt {
        batch: Batch {
            logs: Vec::new(),
            index: Vec::new(),
            attachments: Vec::new(),
        },
        tips: BTreeMap::new(),
        verdicts: Vec::new(),
    };
    for (log, tip) in tips {
        let Some(fresh) = sorted.fresh.remove(log) else {
            continue;
        };
        let ahead = tip.head.time.saturating_sub(now);
        if ahead > CLOCK_TOLERANCE {
            metrics::counter!("sigbox_engine_clock_refusals_total").increment(1);
            tracing::error!(%log, ahead, "the clock is behind the last head, no entry is logged until it has caught up");
            for number in fresh {
                set(&mut sorted.fates, number, Fate::Refused(SubmitError::Unavailable));
            }
            continue;
        }
        let time = now.max(tip.head.time);
        let leaves = seal_all(tip, secret, time, submissions, fresh, &mut sorted.fates);
        if leaves.is_empty() {
            continue;
        }
        match extend(tip, time, &leaves)? {
            Ok((part, next)) => {
                collect(&mut attempt.batch, *log, submissions, &leaves);
                attempt.batch.logs.push(LogBatch {
                    leaves: leaves.into_iter().map(|new| new.leaf).collect(),
                    ..part
                });
                attempt.tips.insert(*log, next);
            }
            Err(error) => {
                for leaf in &leaves {
                    set(
                        &mut sorted.fates,
                        leaf.submission,
                        Fate::Refused(error.clone().into()),
                    );
                }
            }
        }
    }
    attempt.batch.index.sort_unstable();
    attempt.batch.index.dedup();
    attempt.verdicts = verdicts(submissions, &sorted.fates, known);
    Ok(attempt)
}

/// What is decided about a submission while the batch is made.
#[derive(Clone)]
enum Fate {
    New(usize),
    SameAs(usize),
    Known,
    Refused(SubmitError),
}

struct Sorted {
    fates: Vec<Fate>,
    /// Numbers of the submissions that would be new leaves, in order.
    fresh: BTreeMap<LogId, Vec<usize>>,
}

fn set(fates: &mut [Fate], submission: usize, fate: Fate) {
    if let Some(slot) = fates.get_mut(submission) {
        *slot = fate;
    }
}

/// Tells new entries from those stored before, those earlier in the batch, and those their log does not take.
fn sort(tips: &BTreeMap<LogId, Tip>, submissions: &[Submission], known: &Known) -> Sorted {
    let mut sorted = Sorted {
        fates: Vec::with_capacity(submissions.len()),
        fresh: BTreeMap::new(),
    };
    let mut first: HashMap<(LogId, Hash), usize> = HashMap::new();
    for (number, Submission { log, entry }) in submissions.iter().enumerate() {
        let fate = match tips.get(log).map(|tip| tip.info.state) {
            None => Fate::Refused(SubmitError::UnknownLog(*log)),
            Some(LogState::ReadOnly) => Fate::Refused(SubmitError::ReadOnly),
            Some(LogState::Frozen) => Fate::Refused(SubmitError::Frozen),
            Some(LogState::Active) if known.contains_key(&(*log, entry.identity)) => Fate::Known,
            Some(LogState::Active) => match first.entry((*log, entry.identity)) {
                Slot::Occupied(earlier) => Fate::SameAs(*earlier.get()),
                Slot::Vacant(slot) => {
                    slot.insert(number);
                    sorted.fresh.entry(*log).or_default().push(number);
                    Fate::New(0)
                }
            },
        };
        sorted.fates.push(fate);
    }
    sorted
}

/// A sealed leaf on its way into the batch.
struct NewLeaf {
    submission: usize,
    leaf: StoredLeaf,
    hash: Hash,
    keys: Vec<IndexKey>,
}

/// Seals the entries at consecutive indexes. An entry that fails leaves no gap: the others are sealed again at the
/// places they move up to. Each round loses at least one entry, so there is an end.
fn seal_all(
    tip: &Tip,
    secret: &IndexSecret,
    time: u64,
    submissions: &[Submission],
    mut fresh: Vec<usize>,
    fates: &mut [Fate],
) -> Vec<NewLeaf> {
    loop {
        let places = (tip.head.size..u64::MAX).zip(&fresh).collect::<Vec<_>>();
        let sealed: Vec<Result<NewLeaf, SubmitError>> = places
            .into_par_iter()
            .map(|(index, number)| {
                let submission = submissions.get(*number).ok_or(SubmitError::Unavailable)?;
                seal(tip, secret, time, &submission.entry, index, *number)
            })
            .collect();
        let before = fresh.len();
        let mut leaves = Vec::with_capacity(before);
        for (number, result) in fresh.iter().zip(sealed) {
            match result {
                Ok(leaf) => {
                    set(fates, *number, Fate::New(leaves.len()));
                    leaves.push(leaf);
                }
                Err(error) => set(fates, *number, Fate::Refused(error)),
            }
        }
        if leaves.len() == before {
            return leaves;
        }
        fresh = leaves.iter().map(|leaf| leaf.submission).collect();
    }
}

fn seal(
    tip: &Tip,
    secret: &IndexSecret,
    time: u64,
    entry: &Entry,
    index: u64,
    submission: usize,
) -> Result<NewLeaf, SubmitError> {
    let log = tip.info.id;
    let sealed = guarded(|| tip.personality.seal(entry, index, time)).map_err(SealError::new)??;
    let (limit, got) = (u64::from(tip.info.spec.leaf_limit), sealed.leaf.len() as u64);
    if got > limit {
        return Err(SubmitError::TooLarge { limit, got });
    }
    let leaf = StoredLeaf {
        index,
        time,
        data: sealed.leaf,
        extra: sealed.extra,
    };
    let hash = leaf_hash(&leaf.data);
    let identity = guarded(|| tip.personality.identity(&leaf, &hash)).map_err(SealError::new)?;
    if identity != entry.identity {
        // Logged, it could never be found as a duplicate.
        return Err(SealError::new("the leaf has another identity than its entry").into());
    }
    let hashes = [hash, identity]
        .into_iter()
        .take(if hash == identity { 1 } else { 2 });
    let keys = hashes
        .map(|hash| secret.leaf(log, &hash))
        .chain(entry.terms.iter().map(|term| secret.term(term)));
    Ok(NewLeaf {
        submission,
        keys: keys.collect(),
        leaf,
        hash,
    })
}

/// Grows the tree by the leaves and signs the new head. The outer error is a fault of the machine, the inner one
/// of the signer.
fn extend(
    tip: &Tip,
    time: u64,
    leaves: &[NewLeaf],
) -> Result<Result<(LogBatch, NextTip), SealError>, Corrupt> {
    let log = tip.info.id;
    let hashes: Vec<Hash> = leaves.iter().map(|new| new.hash).collect();
    let grown = tip
        .edge
        .grow(&hashes)
        .map_err(|error| edge_corrupt(log, &error))?;
    let tiles = grown.tiles().map(|(tile, bytes)| (tile, Bytes::from(bytes)));
    let tiles: Vec<(TileId, Bytes)> = tiles.collect();
    let (size, root) = (grown.edge().size(), grown.edge().root());
    check_before_signing(tip, leaves, &tiles, size, &root)?;
    check_extends(tip, &grown, &root)?;

    let signed = guarded(|| tip.personality.checkpoint(size, &root, time)).map_err(SealError::new);
    let checkpoint = match signed.and_then(|signed| signed) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return Ok(Err(error)),
    };
    let to = Head {
        size,
        root,
        checkpoint,
        time,
    };
    let head = HeadChange {
        from_size: tip.head.size,
        from_root: tip.head.root,
        to: to.clone(),
    };
    let next = NextTip {
        head: Arc::new(to),
        grown,
        hashes,
    };
    Ok(Ok((
        LogBatch {
            log,
            head,
            leaves: Vec::new(),
            tiles,
        },
        next,
    )))
}

/// Hashes once more the very bytes that will be stored, leaves and tiles, and compares them with the root that is
/// about to be signed: a bit that flipped in memory must not be signed over (DigiCert Yeti2022, June 2021).
fn check_before_signing(
    tip: &Tip,
    leaves: &[NewLeaf],
    tiles: &[(TileId, Bytes)],
    size: u64,
    root: &Hash,
) -> Result<(), Corrupt> {
    let log = tip.info.id;
    let by_id: HashMap<TileId, &Bytes> = tiles.iter().map(|(tile, bytes)| (*tile, bytes)).collect();
    let entry = |level: u8, index: u64| -> Result<Hash, Corrupt> {
        let tile = TileId {
            level,
            index: index >> HEIGHT,
        };
        let bytes = by_id.get(&tile).ok_or(Corrupt::TileMissing { log, tile })?;
        let inside = u16::try_from(index & 0xff).unwrap_or_default();
        node_in_tile(bytes, 0, inside).ok_or(Corrupt::TileMissing { log, tile })
    };
    leaves.par_iter().try_for_each(|new| {
        let (expected, got) = (entry(0, new.leaf.index)?, leaf_hash(&new.leaf.data));
        if expected == got {
            Ok(())
        } else {
            Err(Corrupt::Leaf {
                log,
                index: new.leaf.index,
                expected,
                got,
            })
        }
    })?;
    let mismatch = |got: Hash| Corrupt::Root {
        log,
        size,
        expected: *root,
        got,
    };
    for (tile, bytes) in tiles.iter().filter(|(_, bytes)| bytes.len() == FULL_BYTES) {
        let got = node_in_tile(bytes, HEIGHT, 0).ok_or(Corrupt::TileMissing { log, tile: *tile })?;
        if entry(tile.level.saturating_add(1), tile.index)? != got {
            return Err(mismatch(got));
        }
    }
    // Tiles that have not grown are not stored either: what is in memory of them was hashed when they last were
    // stored, and the proof that the head extends the last one covers what it needs of them.
    let partial = tiles.iter().filter(|(tile, _)| tile.width(size) < FULL_WIDTH);
    let partial = partial.map(|(tile, bytes)| (*tile, bytes));
    let edge = tip
        .edge
        .load_grown(size, partial)
        .map_err(|error| edge_corrupt(log, &error))?;
    if edge.root() == *root {
        Ok(())
    } else {
        Err(mismatch(edge.root()))
    }
}

/// Proves that the head about to be signed extends the one before it. The last hashes of the right edge wait in memory
/// for the leaves that they will be paired with: a bit that flipped in one of them is in no other hash yet, so only
/// the root that was signed over it tells.
fn check_extends(tip: &Tip, grown: &Grown, root: &Hash) -> Result<(), Corrupt> {
    let (from, to) = (tip.head.size, grown.edge().size());
    let wrong = || Corrupt::Proof {
        log: tip.info.id,
        index: from,
        size: to,
    };
    if from == 0 {
        return Ok(());
    }
    let plan = Plan::consistency(from, to).map_err(|_| wrong())?;
    let proof = plan.evaluate(grown).map_err(|_| wrong())?;
    verify_consistency(from, to, &tip.head.root, root, &proof).map_err(|_| wrong())
}

/// Adds the index rows and attachments of the leaves.
fn collect(batch: &mut Batch, log: LogId, submissions: &[Submission], leaves: &[NewLeaf]) {
    for new in leaves {
        let place = Place {
            log,
            index: new.leaf.index,
        };
        batch.index.extend(new.keys.iter().map(|key| (*key, place)));
        let entry = submissions
            .get(new.submission)
            .map(|submission| &submission.entry);
        batch.attachments.extend(
            entry
                .into_iter()
                .flat_map(|entry| entry.attachments.iter().cloned()),
        );
    }
}

fn verdicts(submissions: &[Submission], fates: &[Fate], known: &Known) -> Vec<Verdict> {
    let settle = |log: LogId, identity: Hash, fate: &Fate| match fate {
        Fate::New(offset) => Verdict::New(log, *offset),
        Fate::SameAs(first) => match fates.get(*first) {
            Some(Fate::New(offset)) => Verdict::Repeated(log, *offset),
            Some(Fate::Refused(error)) => Verdict::Refused(error.clone()),
            _ => Verdict::Refused(SubmitError::Unavailable),
        },
        Fate::Known => match known.get(&(log, identity)) {
            Some(leaf) => Verdict::Known(log, Box::new(leaf.clone())),
            None => Verdict::Refused(SubmitError::Unavailable),
        },
        Fate::Refused(error) => Verdict::Refused(error.clone()),
    };
    submissions
        .iter()
        .zip(fates)
        .map(|(s, fate)| settle(s.log, s.entry.identity, fate))
        .collect()
}

#[cfg(test)]
mod tests;
