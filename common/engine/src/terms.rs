//! Which leaves of a log are found by their search terms, and how older ones come to be.
//!
//! Terms come with an entry and are stored in the transaction of its leaf. But what the terms are changes from one
//! version of the program to the next, and a log outlives many: then its older leaves get the new terms in the
//! background, read from what is stored, while the log is served. Until that has ended, and for terms that are no longer
//! to be told, [`Indexed`] says what is missing, so that no search is silently incomplete.
//!
//! The index says it of itself, by rows of its own, *marks*, written in the transactions of what they speak of. They
//! are copied wherever index rows are. A mark's place is the last leaf it speaks of, so it is one that the log has.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use tokio::sync::watch;

use crate::batch::Tip;
use crate::engine::Shared;
use crate::error::{StorageError, StoreError};
use crate::index::{IndexKey, IndexSecret};
use crate::pool::guarded;
use crate::storage::{Batch, Place, Storage};
use crate::types::{LeafTerms, LogId, Personality, StoredLeaf};

/// Leaves that one transaction gives terms: it keeps the writer waiting for some milliseconds.
const STEP: u32 = 256;
/// Wait after a failed step.
const PAUSE: Duration = Duration::from_secs(5);

/// What is found of a log by its search terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indexed {
    /// The leaves before this one,
    pub until: u64,
    /// and those from this one on. Between the two are leaves whose terms are still to be written.
    pub from: u64,
    /// Before this one there are leaves of which not all terms can be told any more.
    pub partial_below: u64,
}

impl Indexed {
    /// Whether a leaf is found by its terms, as far as they can be told.
    #[must_use]
    pub fn covers(&self, index: u64) -> bool {
        index < self.until || index >= self.from
    }

    /// The leaves that are not found yet: the first, and the one behind the last.
    #[must_use]
    pub fn missing(&self) -> Option<(u64, u64)> {
        (self.until < self.from).then_some((self.until, self.from))
    }
}

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// The log had no leaf when it met this version.
    New,
    /// It had this one as its last.
    From,
    /// Terms were written up to this leaf.
    Until,
    /// This leaf has terms that cannot be told.
    Partial,
}

impl Mark {
    const ALL: [Self; 4] = [Self::New, Self::From, Self::Until, Self::Partial];

    fn key(self, secret: &IndexSecret, log: LogId, version: u32) -> IndexKey {
        let name = match self {
            Self::New => "new",
            Self::From => "from",
            Self::Until => "until",
            Self::Partial => "partial",
        };
        secret.mark(log, version, name)
    }
}

/// The keys of a log's marks: rows that no leaf has.
pub(crate) fn mark_keys(secret: &IndexSecret, log: LogId, version: u32) -> [IndexKey; 4] {
    Mark::ALL.map(|mark| mark.key(secret, log, version))
}

/// The marks of logs as they stood at one moment, for a copy of the index that is read after it: a later mark speaks of
/// rows which that copy may have gone past.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    keys: HashSet<IndexKey>,
    rows: HashSet<(IndexKey, Place)>,
}

impl Marks {
    /// Those of the logs given, each by the version of its terms.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read(
        storage: &dyn Storage,
        logs: impl IntoIterator<Item = (LogId, u32)>,
    ) -> Result<Self, StorageError> {
        let secret = storage.secret().await?;
        let mut marks = Self::default();
        for (log, version) in logs {
            for key in mark_keys(&secret, log, version) {
                let found = storage.find_below(key, log, u64::MAX, u32::MAX).await?;
                let row = |index| (key, Place { log, index });
                marks.rows.extend(found.into_iter().map(row));
                marks.keys.insert(key);
            }
        }
        Ok(marks)
    }

    /// Whether an index row is another than a mark that came later.
    #[must_use]
    pub fn had(&self, row: &(IndexKey, Place)) -> bool {
        !self.keys.contains(&row.0) || self.rows.contains(row)
    }
}

/// What the marks of a log say; `None` where there are none of this version.
pub(crate) async fn load(
    storage: &dyn Storage,
    secret: &IndexSecret,
    log: LogId,
    version: u32,
) -> Result<Option<Indexed>, StorageError> {
    // One behind the leaf that a mark speaks of, of the highest such mark.
    let behind = async |mark: Mark| {
        let key = mark.key(secret, log, version);
        let found = storage.find_below(key, log, u64::MAX, 1).await?;
        Ok::<_, StorageError>(found.first().map(|index| index.saturating_add(1)))
    };
    let from = match (behind(Mark::New).await?, behind(Mark::From).await?) {
        (Some(_), _) => 0,
        (None, Some(from)) => from,
        (None, None) => return Ok(None),
    };
    Ok(Some(Indexed {
        from,
        until: behind(Mark::Until).await?.unwrap_or(0).min(from),
        partial_below: behind(Mark::Partial).await?.unwrap_or(0),
    }))
}

/// What is indexed of each log that is searched. A log that has no marks yet gets one before it takes an entry.
pub(crate) async fn begin<'a>(
    storage: &dyn Storage,
    secret: &IndexSecret,
    tips: impl Iterator<Item = &'a Tip>,
) -> Result<BTreeMap<LogId, Indexed>, StoreError> {
    let mut all = BTreeMap::new();
    for tip in tips {
        let (log, version) = (tip.info.id, tip.personality.terms_version());
        if version == 0 {
            continue;
        }
        let indexed = match load(storage, secret, log, version).await? {
            Some(indexed) => indexed,
            None => {
                let size = tip.head.size;
                let (mark, index) = match size.checked_sub(1) {
                    None => (Mark::New, 0),
                    Some(last) => (Mark::From, last),
                };
                let row = (mark.key(secret, log, version), Place { log, index });
                write(storage, vec![row]).await?;
                Indexed {
                    from: size,
                    ..Indexed::default()
                }
            }
        };
        all.insert(log, indexed);
    }
    Ok(all)
}

/// The marks of a log that is taken over with all of its terms: `leaves` says of each of a batch whether its terms are all.
pub(crate) fn marks_of_import(
    secret: &IndexSecret,
    log: LogId,
    version: u32,
    leaves: impl Iterator<Item = (u64, bool)>,
) -> Vec<(IndexKey, Place)> {
    let (mut new, mut partial) = (None, None);
    for (index, complete) in leaves {
        if index == 0 {
            new = Some((Mark::New, index));
        }
        if !complete {
            partial = Some((Mark::Partial, index));
        }
    }
    let marks = new.into_iter().chain(partial);
    marks
        .map(|(mark, index)| (mark.key(secret, log, version), Place { log, index }))
        .collect()
}

/// Commits rows that belong to leaves which are in a published tree already: no head moves.
async fn write(storage: &dyn Storage, mut rows: Vec<(IndexKey, Place)>) -> Result<(), StorageError> {
    rows.sort_unstable();
    rows.dedup();
    let batch = Batch {
        logs: Vec::new(),
        index: rows,
        attachments: Vec::new(),
    };
    storage.commit(&batch).await.map(drop)
}

/// Writes the terms of the older leaves, half of the time at most, until all have theirs or the engine stops.
pub(crate) async fn complete(shared: Arc<Shared>, log: LogId, mut stop: watch::Receiver<bool>) {
    let Some(personality) = shared.core.personalities.load().get(&log).map(Arc::clone) else {
        return;
    };
    if shared
        .indexed(log)
        .is_none_or(|indexed| indexed.missing().is_none())
    {
        return;
    }
    tracing::info!(%log, "older entries get their search terms in the background");
    loop {
        let began = Instant::now();
        let pause = match step(&shared, log, &personality).await {
            Ok(true) => began.elapsed(),
            Ok(false) => {
                tracing::info!(%log, "all entries have their search terms");
                return;
            }
            Err(error) => {
                tracing::warn!(%log, %error, "search terms of older entries could not be written; it is tried again");
                PAUSE
            }
        };
        // The sender is gone with the last handle of the engine.
        match tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await {
            Err(_) => {}
            Ok(_) => return,
        }
    }
}

/// Writes the terms of some leaves; false if there are none left.
async fn step(shared: &Shared, log: LogId, personality: &Arc<dyn Personality>) -> Result<bool, StoreError> {
    let (storage, secret) = (shared.core.storage.as_ref(), shared.core.secret);
    let version = personality.terms_version();
    // What became of the last step is asked anew: it may have failed and be in.
    let Some(indexed) = load(storage, &secret, log, version).await? else {
        return Ok(false);
    };
    shared.set_indexed(log, indexed);
    let Some((at, end)) = indexed.missing() else {
        return Ok(false);
    };
    let count = u32::try_from(end.saturating_sub(at)).unwrap_or(STEP).min(STEP);
    let leaves = storage.leaves(log, at, count).await?;
    let last = leaves.last().map(|leaf| leaf.index);
    if last
        != at
            .checked_add(u64::from(count))
            .and_then(|end| end.checked_sub(1))
    {
        return Err(crate::error::Corrupt::LeafMissing(log, at).into());
    }
    let kind = Arc::clone(personality);
    let work = move || {
        leaves
            .into_par_iter()
            .map(|leaf| rows_of(&*kind, &secret, log, &leaf))
            .collect::<Vec<_>>()
    };
    let found = shared.core.pool.run(work).await.map_err(StorageError::new)?;
    let place = |index| Place { log, index };
    let mut rows = Vec::new();
    let mut partial = None;
    for (index, more, complete) in found {
        rows.extend(more);
        if !complete {
            partial = Some(index);
        }
    }
    rows.extend(partial.map(|index| (Mark::Partial.key(&secret, log, version), place(index))));
    rows.extend(last.map(|index| (Mark::Until.key(&secret, log, version), place(index))));
    write(storage, rows).await?;
    Ok(true)
}

/// The rows of one leaf's terms, and whether they are all.
fn rows_of(
    kind: &dyn Personality,
    secret: &IndexSecret,
    log: LogId,
    leaf: &StoredLeaf,
) -> (u64, Vec<(IndexKey, Place)>, bool) {
    // A leaf that its kind cannot read has no terms that can be told.
    let LeafTerms { terms, complete } = guarded(|| kind.terms(leaf)).unwrap_or_default();
    let place = Place {
        log,
        index: leaf.index,
    };
    let rows = terms.iter().map(|term| (secret.term(term), place)).collect();
    (leaf.index, rows, complete)
}

#[cfg(test)]
mod tests;
