//! The writer: the only way a head moves, and a type that cannot be used after a failure.
//!
//! [`Writer::commit`] consumes the writer. It comes back only if the outcome is known to be good; any other outcome
//! leaves a [`Poisoned`], which has one method: [`Poisoned::reload`], whose own failure gives the [`Poisoned`] back.
//! So a writer whose memory may differ from the store cannot go on by oversight (a log that ignored a failed reload
//! lost tiles for good: Cloudflare Raio2025h2a, July 2025).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use common_tlog::{Hash, leaf_hash};

use crate::batch::{Attempt, Known, Submission, Tip, prepare};
use crate::error::{Corrupt, StorageError, StoreError};
use crate::index::{IndexKey, IndexSecret};
use crate::options::Clock;
use crate::pool::Pool;
use crate::storage::{Commit, LogBatch, Place, Storage, StoredLog};
use crate::types::{LogId, LogInfo, Personality};
use crate::verify::{root_at, verify_extends};

/// What the writer works with, the same for its whole life.
pub(crate) struct Core {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) secret: IndexSecret,
    /// Of every log that is open. Only the sequencer adds one, between two batches.
    pub(crate) personalities: ArcSwap<BTreeMap<LogId, Arc<dyn Personality>>>,
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
}

/// A writer whose memory agrees with the store.
pub(crate) struct Writer {
    core: Arc<Core>,
    tips: BTreeMap<LogId, Tip>,
}

/// A writer that may not write.
pub(crate) struct Poisoned {
    core: Arc<Core>,
    /// The last heads known to be durable: the store must extend them.
    durable: BTreeMap<LogId, (u64, Hash)>,
    cause: Cause,
    /// Why the last reload failed, if one did.
    pub(crate) reload: Option<StoreError>,
}

/// What poisoned a writer.
pub(crate) enum Cause {
    /// A read failed, or the batch contradicted itself: nothing was written.
    NotWritten(StoreError),
    /// Another writer moved a head or a log's state: nothing was written.
    Conflict,
    /// The commit failed, and may have been applied.
    Unknown(StorageError, Box<Attempt>),
}

/// A new writer, and what the reload found out about the batch that poisoned the old one.
pub(crate) struct Recovered {
    pub(crate) writer: Writer,
    pub(crate) fate: Fate,
}

pub(crate) enum Fate {
    /// It is in: its submitters can be answered as after a good commit.
    Applied(Box<Attempt>),
    /// It is not in, or nobody could know: its submitters must be told to try again.
    NotApplied,
    /// It is not in because another writer was first: it can be tried again at once.
    Conflict,
}

impl Writer {
    /// Loads and verifies the logs that have a personality.
    pub(crate) async fn load(core: Arc<Core>) -> Result<Self, StoreError> {
        let mut stored: BTreeMap<LogId, StoredLog> = core
            .storage
            .logs()
            .await?
            .into_iter()
            .map(|log| (log.info.id, log))
            .collect();
        let mut tips = BTreeMap::new();
        for (id, personality) in core.personalities.load_full().iter() {
            let log = stored
                .remove(id)
                .ok_or_else(|| Corrupt::LogMissing(format!("log {id}")))?;
            tips.insert(
                *id,
                Tip::load(core.storage.as_ref(), log, Arc::clone(personality)).await?,
            );
        }
        Ok(Self { core, tips })
    }

    /// Takes up a log that was verified like those of the start.
    pub(crate) fn add(&mut self, tip: Tip) {
        let (id, personality) = (tip.info.id, Arc::clone(&tip.personality));
        self.core.personalities.rcu(|known| {
            let mut known = BTreeMap::clone(known);
            known.insert(id, Arc::clone(&personality));
            known
        });
        self.tips.insert(id, tip);
    }

    /// Takes over the states that were published since the last load: an operator may have opened a log again.
    pub(crate) fn take_states(&mut self, published: impl Fn(LogId) -> Option<Arc<LogInfo>>) {
        for (log, tip) in &mut self.tips {
            if let Some(info) = published(*log) {
                tip.info = info;
            }
        }
    }

    /// Whether the store still has every head and state as this writer knows them.
    pub(crate) async fn is_current(&self) -> Result<bool, StorageError> {
        let stored = self.core.storage.logs().await?;
        let same = |log: &StoredLog| {
            let tip = self.tips.get(&log.info.id);
            tip.is_none_or(|tip| *tip.head == log.head && tip.info.state == log.info.state)
        };
        Ok(stored.iter().all(same))
    }

    /// Another writer has moved a head or a state.
    pub(crate) fn overtaken(self) -> Poisoned {
        self.poison(Cause::Conflict)
    }

    /// Where each log stands.
    pub(crate) fn tips(&self) -> impl Iterator<Item = &Tip> {
        self.tips.values()
    }

    /// Logs the submissions, durably, in one transaction.
    pub(crate) async fn commit(
        mut self,
        submissions: &Arc<Vec<Submission>>,
    ) -> Result<(Self, Box<Attempt>), Poisoned> {
        let attempt = match self.attempt(submissions).await {
            Ok(attempt) => Box::new(attempt),
            Err(error) => return Err(self.poison(Cause::NotWritten(error))),
        };
        if attempt.tips.is_empty() {
            return Ok((self, attempt));
        }
        let start = Instant::now();
        let result = self.core.storage.commit(&attempt.batch).await;
        metrics::histogram!("sigbox_engine_commit_seconds").record(start.elapsed().as_secs_f64());
        match result {
            Ok(Commit::Committed) => {
                for (log, next) in &attempt.tips {
                    if let Some(tip) = self.tips.get_mut(log) {
                        tip.head = Arc::clone(&next.head);
                        tip.edge = next.grown.edge().clone();
                    }
                }
                Ok((self, attempt))
            }
            Ok(Commit::Conflict) => Err(self.poison(Cause::Conflict)),
            Err(error) => Err(self.poison(Cause::Unknown(error, attempt))),
        }
    }

    /// Prepares the batch. Most entries are new, so it is prepared as if all were while the store is asked, and once more
    /// if some are not; what was signed the first time leaves this function only if it is right.
    async fn attempt(&self, submissions: &Arc<Vec<Submission>>) -> Result<Attempt, StoreError> {
        let all_new = self.prepare(submissions, Known::new());
        match tokio::try_join!(self.look_up(submissions), all_new)? {
            (known, attempt) if known.is_empty() => Ok(attempt),
            (known, _) => self.prepare(submissions, known).await,
        }
    }

    /// Which of the submissions are stored already: one look-up for the batch, and one more if there are any.
    async fn look_up(&self, submissions: &[Submission]) -> Result<Known, StoreError> {
        let key = |s: &Submission| self.core.secret.leaf(s.log, &s.entry.identity);
        let mut keys: Vec<IndexKey> = submissions.iter().map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut known = Known::new();
        let mut places: Vec<Place> = Vec::new();
        for (_, place) in self.core.storage.find(&keys, u32::MAX).await? {
            // A row beyond the head is another writer's: the compare-and-swap of this batch will fail.
            if self
                .tips
                .get(&place.log)
                .is_some_and(|tip| place.index < tip.head.size)
            {
                places.push(place);
            }
        }
        if places.is_empty() {
            return Ok(known);
        }
        places.sort_unstable();
        places.dedup();
        let leaves = self.core.storage.leaves_at(&places).await?;
        for (place, leaf) in places.iter().zip(leaves) {
            let leaf = leaf.ok_or(Corrupt::LeafMissing(place.log, place.index))?;
            if let Some(tip) = self.tips.get(&place.log) {
                // The full identity decides; the index key only led here.
                let identity = tip.personality.identity(&leaf, &leaf_hash(&leaf.data));
                known.entry((place.log, identity)).or_insert(leaf);
            }
        }
        Ok(known)
    }

    async fn prepare(&self, submissions: &Arc<Vec<Submission>>, known: Known) -> Result<Attempt, StoreError> {
        let (tips, secret, now) = (self.tips.clone(), self.core.secret, self.core.clock.unix_millis());
        let submissions = Arc::clone(submissions);
        let work = move || prepare(&tips, &secret, now, &submissions, &known);
        match self.core.pool.run(work).await {
            Ok(result) => result.map_err(StoreError::from),
            Err(panicked) => Err(StorageError::new(panicked).into()),
        }
    }

    fn poison(self, cause: Cause) -> Poisoned {
        let durable = self
            .tips
            .iter()
            .map(|(log, tip)| (*log, (tip.head.size, tip.head.root)))
            .collect();
        Poisoned {
            core: self.core,
            durable,
            cause,
            reload: None,
        }
    }
}

impl Poisoned {
    /// Whether the submitters of the batch wait for the outcome of a reload.
    pub(crate) fn in_doubt(&self) -> bool {
        !matches!(self.cause, Cause::NotWritten(_))
    }

    /// Whether another writer was first, which is no failure.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self.cause, Cause::Conflict)
    }

    /// Why the writer was poisoned, for the operator.
    pub(crate) fn describe(&self) -> String {
        match &self.cause {
            Cause::NotWritten(error) => format!("nothing was written: {error}"),
            Cause::Conflict => "another writer was first".to_owned(),
            Cause::Unknown(error, _) => format!("the outcome of a commit is unknown: {error}"),
        }
    }

    /// Makes a writer of what the store really holds: the only way back. After a failure it is one only if the store
    /// can be written to again.
    pub(crate) async fn reload(mut self) -> Result<Recovered, Self> {
        let loaded = match Writer::load(Arc::clone(&self.core)).await {
            Ok(writer) => self.settle(&writer).await.map(|applied| (writer, applied)),
            Err(error) => Err(error),
        };
        // What can be read need not be writable.
        let writable = match loaded {
            Ok(loaded) if self.is_conflict() => Ok(loaded),
            Ok(loaded) => {
                let probe = self.core.storage.probe().await;
                probe.map(|()| loaded).map_err(StoreError::from)
            }
            Err(error) => Err(error),
        };
        match writable {
            Ok((writer, applied)) => {
                let fate = match self.cause {
                    Cause::Unknown(_, attempt) if applied => Fate::Applied(attempt),
                    Cause::Conflict => Fate::Conflict,
                    Cause::Unknown(..) | Cause::NotWritten(_) => Fate::NotApplied,
                };
                Ok(Recovered { writer, fate })
            }
            Err(error) => {
                self.reload = Some(error);
                Err(self)
            }
        }
    }

    /// Checks that the store has kept every durable head, and finds out whether the batch in doubt is in.
    async fn settle(&self, writer: &Writer) -> Result<bool, StoreError> {
        let storage = self.core.storage.as_ref();
        for (log, (size, root)) in &self.durable {
            if let Some(tip) = writer.tips.get(log) {
                verify_extends(storage, *log, &tip.head, *size, root).await?;
            }
        }
        let Cause::Unknown(_, attempt) = &self.cause else {
            return Ok(false);
        };
        // All of it or nothing: a part that seems to be in while another is not is the batch of another writer, which
        // logged the same entries of that log at the same moment.
        for part in &attempt.batch.logs {
            let tip = writer
                .tips
                .get(&part.log)
                .ok_or_else(|| Corrupt::LogMissing(part.log.to_string()))?;
            if !is_applied(storage, tip, part).await? {
                return Ok(false);
            }
        }
        Ok(!attempt.batch.logs.is_empty())
    }
}

/// Whether a part of a batch is in: the tree had the part's root at the part's size, and what is stored beside its
/// first leaf is this batch's (another replica may have logged the same entries).
async fn is_applied(storage: &dyn Storage, tip: &Tip, part: &LogBatch) -> Result<bool, StoreError> {
    let to = &part.head.to;
    if tip.head.size < to.size || root_at(storage, part.log, &tip.head, to.size).await? != to.root {
        return Ok(false);
    }
    let stored = storage.leaves(part.log, part.head.from_size, 1).await?;
    Ok(stored.first() == part.leaves.first())
}

impl Attempt {
    /// The leaf that a verdict speaks of.
    pub(crate) fn new_leaf(&self, log: LogId, offset: usize) -> Option<&crate::types::StoredLeaf> {
        self.batch
            .logs
            .iter()
            .find(|part| part.log == log)?
            .leaves
            .get(offset)
    }
}
