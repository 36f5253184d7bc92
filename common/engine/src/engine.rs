//! The handle that services hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use common_tlog::{Hash, TileId};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::anchor::{Anchor, PATIENCE, Published, follow};
use crate::batch::{Submission, Tip};
use crate::change::Change;
use crate::error::{OpenError, ReadError, SubmitError};
use crate::options::{Clock, LogConfig, Options};
use crate::read::{Reader, View};
use crate::sequencer::{Job, LOOK, Sequencer, Waiter};
use crate::storage::{Commit, Storage};
use crate::terms::{self, Indexed};
use crate::types::{Entry, Head, LogId, LogInfo, LogState, Outcome, StoredLeaf};
use crate::writer::Core;

/// Several logs behind one writer. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    queue: mpsc::Sender<Job>,
    pub(crate) changes: mpsc::Sender<Change>,
    pub(crate) stop: Arc<watch::Sender<bool>>,
    done: watch::Receiver<()>,
}

/// What the handle, the sequencer and its answers have in common.
pub(crate) struct Shared {
    pub(crate) core: Arc<Core>,
    pub(crate) reader: Reader,
    pub(crate) options: Options,
    /// A log is added now and then, none goes away; the values move.
    logs: ArcSwap<BTreeMap<LogId, Arc<PublishedLog>>>,
    room: Arc<Semaphore>,
    writable: AtomicBool,
    /// Whether the anchor keeps up.
    recorded: AtomicBool,
}

struct PublishedLog {
    info: ArcSwap<LogInfo>,
    /// Closed by this process, for another log that takes its place.
    succeeded: AtomicBool,
    view: ArcSwap<View>,
    /// `None` for a log that is not searched.
    indexed: ArcSwapOption<Indexed>,
}

impl PublishedLog {
    fn new(tip: &Tip, indexed: Option<Indexed>) -> Arc<Self> {
        Arc::new(Self {
            info: ArcSwap::new(Arc::clone(&tip.info)),
            succeeded: AtomicBool::new(false),
            view: ArcSwap::from_pointee(View::new(Arc::clone(&tip.head), &tip.edge)),
            indexed: ArcSwapOption::from(indexed.map(Arc::new)),
        })
    }
}

impl Shared {
    pub(crate) fn new<'a>(
        core: Arc<Core>,
        public: Arc<dyn Storage>,
        options: Options,
        tips: impl Iterator<Item = &'a Tip>,
        indexed: &BTreeMap<LogId, Indexed>,
    ) -> Self {
        let log = |tip: &Tip| PublishedLog::new(tip, indexed.get(&tip.info.id).copied());
        let logs: BTreeMap<_, _> = tips.map(|tip| (tip.info.id, log(tip))).collect();
        Self {
            reader: Reader::new(public, options.cached_tiles, options.concurrent_reads),
            core,
            logs: ArcSwap::from_pointee(logs),
            room: Arc::new(Semaphore::new(options.queue_bytes.min(Semaphore::MAX_PERMITS))),
            writable: AtomicBool::new(true),
            recorded: AtomicBool::new(true),
            options,
        }
    }

    /// Shows a log that was opened after the start. From now on entries can be submitted to it.
    pub(crate) fn add(&self, tip: &Tip, indexed: Option<Indexed>) {
        self.logs.rcu(|logs| {
            let mut logs = BTreeMap::clone(logs);
            logs.insert(tip.info.id, PublishedLog::new(tip, indexed));
            logs
        });
    }

    /// Shows the heads to readers. The tiles under them are durable already.
    pub(crate) fn publish<'a>(&self, tips: impl Iterator<Item = &'a Tip>) {
        let logs = self.logs.load();
        for tip in tips {
            if let Some(log) = logs.get(&tip.info.id)
                && !Arc::ptr_eq(&log.view.load().head, &tip.head)
            {
                log.view
                    .store(Arc::new(View::new(Arc::clone(&tip.head), &tip.edge)));
            }
        }
    }

    /// Shows the states that a reload found: another replica may have changed one.
    pub(crate) fn publish_states<'a>(&self, tips: impl Iterator<Item = &'a Tip>) {
        let logs = self.logs.load();
        for tip in tips {
            if let Some(log) = logs.get(&tip.info.id) {
                log.info.store(Arc::clone(&tip.info));
            }
        }
    }

    /// The published heads, for the anchor.
    pub(crate) fn heads(&self) -> Vec<Published> {
        let logs = self.logs.load();
        let heads = logs.values().map(|log| {
            let head = Arc::clone(&log.view.load().head);
            Published {
                origin: log.info.load().spec.origin.clone(),
                size: head.size,
                root: head.root,
            }
        });
        heads.collect()
    }

    pub(crate) fn view(&self, log: LogId) -> Option<Arc<View>> {
        Some(self.logs.load().get(&log)?.view.load_full())
    }

    /// From now on, whoever submits to the log is told to come again, and will find the one that takes its place.
    pub(crate) fn set_succeeded(&self, log: LogId) {
        if let Some(log) = self.logs.load().get(&log) {
            log.succeeded.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn info(&self, log: LogId) -> Option<Arc<LogInfo>> {
        Some(self.logs.load().get(&log)?.info.load_full())
    }

    pub(crate) fn indexed(&self, log: LogId) -> Option<Indexed> {
        self.logs.load().get(&log)?.indexed.load().as_deref().copied()
    }

    pub(crate) fn set_indexed(&self, log: LogId, indexed: Indexed) {
        if let Some(log) = self.logs.load().get(&log) {
            log.indexed.store(Some(Arc::new(indexed)));
        }
    }

    pub(crate) fn set_writable(&self, writable: bool) {
        self.writable.store(writable, Ordering::Relaxed);
        self.gauge_writable();
    }

    /// While published heads are not recorded, a store without them could not be told from this one: none is added.
    fn set_recorded(&self, recorded: bool) {
        if self.recorded.swap(recorded, Ordering::Relaxed) != recorded {
            self.gauge_writable();
            if recorded {
                tracing::info!("published checkpoints are recorded again");
            } else {
                tracing::error!(
                    "published checkpoints could not be recorded for {} seconds, no entry can be logged until they are",
                    PATIENCE.as_secs()
                );
            }
        }
    }

    fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed) && self.recorded.load(Ordering::Relaxed)
    }

    fn gauge_writable(&self) {
        let writable = f64::from(u8::from(self.is_writable()));
        metrics::gauge!("sigbox_engine_writable").set(writable);
    }
}

impl Engine {
    /// Verifies the store, creates the logs of `configs` that it does not have, and starts the writer.
    ///
    /// # Errors
    /// When anything stored contradicts itself, the configuration or the anchor: nothing was written then.
    pub async fn open(
        storage: Arc<dyn Storage>,
        configs: Vec<LogConfig>,
        anchor: Arc<dyn Anchor>,
        clock: Clock,
        options: Options,
    ) -> Result<Self, OpenError> {
        let (core, writer) = crate::open::open(
            Arc::clone(&storage).reserved(),
            configs,
            anchor.as_ref(),
            clock,
            &options,
        )
        .await?;
        let indexed = terms::begin(core.storage.as_ref(), &core.secret, writer.tips()).await?;
        let shared = Arc::new(Shared::new(core, storage, options, writer.tips(), &indexed));
        let (queue, jobs) = mpsc::channel(options.queue_entries.max(1));
        let (changes, changing) = mpsc::channel(1);
        let (stop, stopping) = watch::channel(false);
        let (finished, done) = watch::channel(());
        let (published, heads) = watch::channel(Vec::new());
        let recording = Arc::clone(&shared);
        let recorder = follow(anchor, heads, move |current| recording.set_recorded(current));
        let recorder = tokio::spawn(recorder);
        let sequencer = Sequencer {
            shared: Arc::clone(&shared),
            queue: jobs,
            changes: changing,
            stop: stopping,
            published,
            answering: JoinSet::new(),
            look: tokio::time::interval(LOOK),
        };
        let mut completing = JoinSet::new();
        for log in indexed.into_keys() {
            completing.spawn(terms::complete(Arc::clone(&shared), log, stop.subscribe()));
        }
        let supervised = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Err(error) = tokio::spawn(sequencer.run(writer)).await {
                supervised.set_writable(false);
                tracing::error!(%error, "the sequencer stopped: no entry can be logged until a restart");
            }
            drop(supervised);
            // The sequencer is gone, and with it the sender that the recorder follows.
            match recorder.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(
                    %error,
                    "the last published checkpoints are not recorded: a start cannot tell this store from one that is older"
                ),
                Err(error) => tracing::error!(%error, "the record of published checkpoints stopped"),
            }
            while completing.join_next().await.is_some() {}
            // Last: whoever waits for the end may rely on nothing of the engine being in use but by its handles.
            drop(finished);
        });
        Ok(Self {
            shared,
            queue,
            changes,
            stop: Arc::new(stop),
            done,
        })
    }

    /// Logs an entry: returns once it is durable and in a published, signed head, or was so before.
    ///
    /// Dropping the future disturbs nobody; the entry may be logged all the same.
    ///
    /// # Errors
    /// See [`SubmitError`]. Submitting the same entry again is always safe.
    pub async fn submit(&self, log: LogId, entry: Entry) -> Result<Outcome, SubmitError> {
        let info = self.takes_entries(log)?;
        if !self.shared.recorded.load(Ordering::Relaxed) {
            return Err(SubmitError::Unavailable);
        }
        let (limit, got) = (u64::from(info.spec.leaf_limit), entry.body.len() as u64);
        if got > limit {
            return Err(SubmitError::TooLarge { limit, got });
        }
        let (limit, got) = (self.shared.options.queue_bytes, entry.weight());
        let too_large = SubmitError::TooLarge {
            limit: limit as u64,
            got: got as u64,
        };
        let weight = u32::try_from(got).map_err(|_| too_large.clone())?;
        if got > limit {
            return Err(too_large);
        }
        let room = Arc::clone(&self.shared.room).try_acquire_many_owned(weight);
        let room = room.map_err(|_| SubmitError::Overloaded)?;
        let (reply, answer) = oneshot::channel();
        let job = Job {
            submission: Submission { log, entry },
            waiter: Waiter { reply, room },
        };
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Overloaded,
            mpsc::error::TrySendError::Closed(_) if *self.stop.borrow() => SubmitError::ShuttingDown,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Unavailable,
        })?;
        // Only a panic loses the sender; what became of the entry is not known then.
        answer.await.unwrap_or(Err(SubmitError::Unavailable))
    }

    /// Whether a log takes entries, and what it is.
    ///
    /// # Errors
    /// What a submission would be refused with because of the log's state: [`SubmitError::Frozen`] of a log that takes no
    /// more, [`SubmitError::Unavailable`] of one that was closed for another, which is not open yet.
    pub fn takes_entries(&self, id: LogId) -> Result<Arc<LogInfo>, SubmitError> {
        let logs = self.shared.logs.load();
        let log = logs.get(&id).ok_or(SubmitError::UnknownLog(id))?;
        let info = log.info.load_full();
        match info.state {
            LogState::Active => Ok(info),
            LogState::ReadOnly => Err(SubmitError::ReadOnly),
            LogState::Frozen if log.succeeded.load(Ordering::Relaxed) => Err(SubmitError::Unavailable),
            LogState::Frozen => Err(SubmitError::Frozen),
        }
    }

    /// What a log is, and its state.
    #[must_use]
    pub fn log(&self, id: LogId) -> Option<Arc<LogInfo>> {
        self.shared.info(id)
    }

    /// All logs, by number.
    #[must_use]
    pub fn logs(&self) -> Vec<Arc<LogInfo>> {
        let logs = self.shared.logs.load();
        logs.values().map(|log| log.info.load_full()).collect()
    }

    /// Changes whether a log takes entries. When it returns, no entry can be logged under the old state.
    ///
    /// # Errors
    /// [`ReadError::UnknownLog`] also for a frozen log: it is not there to be changed any more.
    pub async fn set_state(&self, id: LogId, state: LogState) -> Result<(), ReadError> {
        let logs = self.shared.logs.load_full();
        let log = logs.get(&id).ok_or(ReadError::UnknownLog(id))?;
        match self.shared.core.storage.set_state(id, state).await? {
            Commit::Conflict => Err(ReadError::UnknownLog(id)),
            Commit::Committed => {
                let info = LogInfo {
                    state,
                    ..LogInfo::clone(&log.info.load())
                };
                log.info.store(Arc::new(info));
                Ok(())
            }
        }
    }

    /// Whether entries can be logged: false from any failed write or contradiction on, until the store was verified
    /// and written to again, while the anchor lags, and once the writer has stopped.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.shared.is_writable() && !self.queue.is_closed()
    }

    /// Entries that wait for the writer.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.max_capacity().saturating_sub(self.queue.capacity())
    }

    /// The published head. Everything under it is durable and readable.
    #[must_use]
    pub fn head(&self, log: LogId) -> Option<Arc<Head>> {
        Some(Arc::clone(&self.shared.view(log)?.head))
    }

    /// A leaf, or `None` beyond the head.
    pub async fn leaf(&self, log: LogId, index: u64) -> Result<Option<StoredLeaf>, ReadError> {
        let _turn = self.shared.reader.turn().await?;
        let view = self.view(log)?;
        self.shared.reader.leaf(log, &view, index).await
    }

    /// Leaves from `start` on: at most `count`, at most 1,024, and none beyond the head.
    pub async fn leaves(&self, log: LogId, start: u64, count: u32) -> Result<Vec<StoredLeaf>, ReadError> {
        let _turn = self.shared.reader.turn().await?;
        let view = self.view(log)?;
        self.shared.reader.leaves(log, &view, start, count).await
    }

    /// The leaf whose Merkle leaf hash is `leaf_hash`.
    pub async fn find_leaf(&self, log: LogId, leaf_hash: &Hash) -> Result<Option<StoredLeaf>, ReadError> {
        let _turn = self.shared.reader.turn().await?;
        let view = self.view(log)?;
        let key = self.shared.core.secret.leaf(log, leaf_hash);
        self.shared.reader.find_leaf(log, &view, key, leaf_hash).await
    }

    /// Inclusion proof of a leaf at any size up to the head's, verified before it leaves.
    pub async fn inclusion_proof(&self, log: LogId, index: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
        let _turn = self.shared.reader.turn().await?;
        let view = self.view(log)?;
        self.shared.reader.inclusion(log, &view, index, size).await
    }

    /// Consistency proof between any two sizes, `1 <= from <= to`, up to the head's, verified before it leaves.
    pub async fn consistency_proof(&self, log: LogId, from: u64, to: u64) -> Result<Vec<Hash>, ReadError> {
        let _turn = self.shared.reader.turn().await?;
        let view = self.view(log)?;
        self.shared.reader.consistency(log, &view, from, to).await
    }

    /// Which leaves of a log are found by their search terms; `None` for a log that is not searched.
    #[must_use]
    pub fn indexed(&self, log: LogId) -> Option<Indexed> {
        self.shared.indexed(log)
    }

    /// Indexes below `below`, and below the head's size, of leaves that have a row under a term: the highest first, at
    /// most `limit`. A row is found by 64 bits of a hash: whoever asks looks at the leaf.
    pub async fn find_below(
        &self,
        log: LogId,
        term: &str,
        below: u64,
        limit: u32,
    ) -> Result<Vec<u64>, ReadError> {
        let key = self.shared.core.secret.term(term);
        let _turn = self.shared.reader.turn().await?;
        let below = below.min(self.view(log)?.head.size);
        let storage = &self.shared.reader.storage;
        Ok(storage.find_below(key, log, below, limit).await?)
    }

    /// The leaves at these indexes, all of which must be below the head's size, in the order asked for.
    pub async fn leaves_at(&self, log: LogId, indexes: &[u64]) -> Result<Vec<StoredLeaf>, ReadError> {
        let _turn = self.shared.reader.turn().await?;
        let view = self.view(log)?;
        self.shared.reader.leaves_at(log, &view, indexes).await
    }

    /// Index of the first leaf that is not older than `time`, Unix milliseconds; the head's size if all are.
    pub async fn first_at(&self, log: LogId, time: u64) -> Result<u64, ReadError> {
        let _turn = self.shared.reader.turn().await?;
        let view = self.view(log)?;
        self.shared.reader.first_at(log, &view, time).await
    }

    /// Leaves of all logs that were logged under a term, the highest log and index first, at most `limit`.
    pub async fn search(&self, term: &str, limit: u32) -> Result<Vec<(LogId, u64)>, ReadError> {
        let key = self.shared.core.secret.term(term);
        let _turn = self.shared.reader.turn().await?;
        let storage = &self.shared.reader.storage;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let logs = self.shared.logs.load_full();
        let mut found = Vec::new();
        // Log by log: the store may have rows of one that nobody serves, such as an import under way, and a commit is
        // visible in it a moment before its head is published.
        for (id, log) in logs.iter().rev() {
            let left = most.saturating_sub(found.len());
            if left == 0 {
                break;
            }
            let (left, below) = (u32::try_from(left).unwrap_or(u32::MAX), log.view.load().head.size);
            let indexes = storage.find_below(key, *id, below, left).await?;
            found.extend(indexes.into_iter().map(|index| (*id, index)));
        }
        Ok(found)
    }

    /// The first `width` hashes of a tile, 32 bytes each; `None` unless the published tree has them all.
    pub async fn tile(
        &self,
        log: LogId,
        level: u8,
        index: u64,
        width: u16,
    ) -> Result<Option<Bytes>, ReadError> {
        let _turn = self.shared.reader.turn().await?;
        let view = self.view(log)?;
        self.shared
            .reader
            .tile(log, &view, TileId { level, index }, width)
            .await
    }

    /// An attachment of any entry.
    pub async fn attachment(&self, key: &str) -> Result<Option<Bytes>, ReadError> {
        let _turn = self.shared.reader.turn().await?;
        Ok(self.shared.reader.storage.attachment(key).await?)
    }

    /// Takes no more entries, waits until all that had queued are answered, and until the anchor knows the last
    /// heads. Reads go on.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let mut done = self.done.clone();
        // Resolves when the sender is dropped.
        let _ = done.changed().await;
    }

    fn view(&self, log: LogId) -> Result<Arc<View>, ReadError> {
        self.shared.view(log).ok_or(ReadError::UnknownLog(log))
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("logs", &self.logs())
            .finish_non_exhaustive()
    }
}
