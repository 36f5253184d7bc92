//! Storage in memory, for tests of the engine and of what is built on it. It can fail on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use common_tlog::TileId;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

use crate::error::StorageError;
use crate::index::{IndexKey, IndexSecret};
use crate::storage::{Batch, Commit, Place, Storage, StoredLog};
use crate::types::{Attachment, Head, LogId, LogState, StoredLeaf};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing is done.
    Fails,
    /// It is done, and reported as failed: a lost reply. The same as [`Fault::Fails`] for a read.
    FailsButApplied,
    /// It is reported as failed and done just before the call that comes so many calls later, if a batch still stands
    /// on the head then: a request that was still on its way. The same as [`Fault::Fails`] for a read.
    AppliedLater(usize),
}

/// Everything that is stored. Public so that a test may read, damage or exchange it.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Log rows.
    pub logs: BTreeMap<LogId, StoredLog>,
    /// Leaves.
    pub leaves: BTreeMap<Place, StoredLeaf>,
    /// Tiles.
    pub tiles: BTreeMap<(LogId, TileId), Bytes>,
    /// Index rows.
    pub index: BTreeSet<(IndexKey, Place)>,
    /// Attachments.
    pub attachments: BTreeMap<String, Bytes>,
}

/// What a call may change.
#[derive(Clone)]
enum Write {
    Create(StoredLog),
    State(LogId, LogState),
    Commit(Batch),
}

#[derive(Default)]
struct State {
    contents: Contents,
    /// Names of the calls made, in order.
    calls: Vec<&'static str>,
    /// By number of the call, counted from the first one ever made.
    faults: BTreeMap<usize, Fault>,
    /// Writes on their way, by the number of the call they come before.
    late: Vec<(usize, Write)>,
    /// Every head that was ever stored, in order.
    heads: Vec<(LogId, Head)>,
}

impl State {
    /// Counts a call and lets what was on its way until then arrive. Gives the fault that hits it.
    fn begin(&mut self, name: &'static str) -> Option<(usize, Fault)> {
        let number = self.calls.len();
        self.calls.push(name);
        self.arrive(number);
        Some((number, self.faults.remove(&number)?))
    }

    fn arrive(&mut self, number: usize) {
        let (due, late) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(at, _)| *at <= number);
        self.late = late;
        let due: Vec<(usize, Write)> = due;
        for (_, write) in due {
            // Nobody waits for this answer any more.
            let _ = self.apply(&write);
        }
    }

    fn apply(&mut self, write: &Write) -> Result<Commit, StorageError> {
        let contents = &mut self.contents;
        let outcome = match write {
            Write::Create(log) => contents.create(log),
            Write::State(log, state) => contents.set_state(*log, *state),
            Write::Commit(batch) => contents.commit(batch)?,
        };
        if outcome == Commit::Committed {
            match write {
                Write::Create(log) => self.heads.push((log.info.id, log.head.clone())),
                Write::State(..) => {}
                Write::Commit(batch) => {
                    let parts = batch.logs.iter();
                    self.heads
                        .extend(parts.map(|part| (part.log, part.head.to.clone())));
                }
            }
        }
        Ok(outcome)
    }
}

/// Storage in memory. Clones of its `Arc` are the replicas' view of one database.
pub struct MemoryStorage {
    secret: IndexSecret,
    shared: bool,
    state: Mutex<State>,
    /// Commits share it; [`MemoryStorage::hold_commits`] has it alone.
    gate: Arc<RwLock<()>>,
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::with_contents(Contents::default())
    }
}

impl MemoryStorage {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that says of itself that others may write to it.
    #[must_use]
    pub fn shared() -> Self {
        Self {
            shared: true,
            ..Self::default()
        }
    }

    /// A store with what another one held.
    #[must_use]
    pub fn with_contents(contents: Contents) -> Self {
        let state = Mutex::new(State {
            contents,
            ..State::default()
        });
        Self {
            secret: IndexSecret([7; 32]),
            shared: false,
            state,
            gate: Arc::default(),
        }
    }

    /// A copy of all that is stored.
    #[must_use]
    pub fn contents(&self) -> Contents {
        self.lock().contents.clone()
    }

    /// Changes what is stored, behind the engine's back.
    pub fn damage(&self, change: impl FnOnce(&mut Contents)) {
        change(&mut self.lock().contents);
    }

    /// Names of all calls so far, in order; their places are the numbers for [`MemoryStorage::fail`].
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        self.lock().calls.clone()
    }

    /// Lets the call of that number, counted from the first one ever made, fail.
    pub fn fail(&self, call: usize, fault: Fault) {
        self.lock().faults.insert(call, fault);
    }

    /// How many of the faults asked for have not come yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.lock().faults.len()
    }

    /// Lets no further call fail. What was on its way is lost.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.faults.clear();
        state.late.clear();
    }

    /// Every head that was ever stored, in order: each of them some reader may have seen.
    #[must_use]
    pub fn heads(&self) -> Vec<(LogId, Head)> {
        self.lock().heads.clone()
    }

    /// Waits for running commits; others wait until the guard is dropped.
    pub async fn hold_commits(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.gate).write_owned().await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, name: &'static str, read: impl FnOnce(&Contents) -> T) -> Result<T, StorageError> {
        let mut state = self.lock();
        match state.begin(name) {
            None => Ok(read(&state.contents)),
            Some(_) => Err(StorageError::new("injected: failed")),
        }
    }

    fn write(&self, name: &'static str, write: Write) -> Result<Commit, StorageError> {
        let mut state = self.lock();
        match state.begin(name) {
            None => state.apply(&write),
            Some((_, Fault::Fails)) => Err(StorageError::new("injected: failed")),
            Some((_, Fault::FailsButApplied)) => {
                state.apply(&write)?;
                Err(StorageError::new("injected: failed but applied"))
            }
            Some((number, Fault::AppliedLater(calls))) => {
                state.late.push((number.saturating_add(calls), write));
                Err(StorageError::new("injected: failed, applied later"))
            }
        }
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn reserved(self: Arc<Self>) -> Arc<dyn Storage> {
        self
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    async fn secret(&self) -> Result<IndexSecret, StorageError> {
        self.read("secret", |_| self.secret)
    }

    async fn logs(&self) -> Result<Vec<StoredLog>, StorageError> {
        self.read("logs", |contents| contents.logs.values().cloned().collect())
    }

    async fn create_log(&self, log: &StoredLog) -> Result<Commit, StorageError> {
        self.write("create_log", Write::Create(log.clone()))
    }

    async fn set_state(&self, log: LogId, state: LogState) -> Result<Commit, StorageError> {
        self.write("set_state", Write::State(log, state))
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StorageError> {
        let _open = self.gate.read().await;
        self.write("commit", Write::Commit(batch.clone()))
    }

    async fn probe(&self) -> Result<(), StorageError> {
        self.read("probe", |_| ())
    }

    async fn leaves(&self, log: LogId, start: u64, count: u32) -> Result<Vec<StoredLeaf>, StorageError> {
        self.read("leaves", |contents| {
            let (from, to) = (
                Place { log, index: start },
                start.saturating_add(u64::from(count)),
            );
            let found = contents.leaves.range(from..Place { log, index: to });
            found.map(|(_, leaf)| leaf.clone()).collect()
        })
    }

    async fn leaves_at(&self, places: &[Place]) -> Result<Vec<Option<StoredLeaf>>, StorageError> {
        self.read("leaves_at", |contents| {
            places.iter().map(|p| contents.leaves.get(p).cloned()).collect()
        })
    }

    async fn tiles(&self, log: LogId, tiles: &[TileId]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.read("tiles", |contents| {
            let stored = |tile: &TileId| contents.tiles.get(&(log, *tile)).cloned();
            tiles.iter().map(stored).collect()
        })
    }

    async fn find(&self, keys: &[IndexKey], limit: u32) -> Result<Vec<(IndexKey, Place)>, StorageError> {
        let (first, last) = (
            Place {
                log: LogId(0),
                index: 0,
            },
            Place {
                log: LogId(u32::MAX),
                index: u64::MAX,
            },
        );
        let keys: BTreeSet<&IndexKey> = keys.iter().collect();
        self.read("find", |contents| {
            let rows = keys
                .into_iter()
                .flat_map(|key| contents.index.range((*key, first)..=(*key, last)).rev());
            rows.take(limit as usize).copied().collect()
        })
    }

    async fn find_below(
        &self,
        key: IndexKey,
        log: LogId,
        below: u64,
        limit: u32,
    ) -> Result<Vec<u64>, StorageError> {
        let at = |index| (key, Place { log, index });
        self.read("find_below", |contents| {
            let rows = contents.index.range(at(0)..at(below)).rev();
            rows.take(limit as usize).map(|(_, place)| place.index).collect()
        })
    }

    async fn attachment(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.read("attachment", |contents| contents.attachments.get(key).cloned())
    }

    async fn index_rows(
        &self,
        after: Option<(IndexKey, Place)>,
        limit: u32,
    ) -> Result<Vec<(IndexKey, Place)>, StorageError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.read("index_rows", |contents| {
            let rows = contents.index.range((from, Bound::Unbounded));
            rows.take(limit as usize).copied().collect()
        })
    }

    async fn attachments(&self, after: Option<&str>, limit: u32) -> Result<Vec<Attachment>, StorageError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.read("attachments", |contents| {
            let found = contents.attachments.range::<str, _>((from, Bound::Unbounded));
            let found = found.take(limit as usize).map(|(key, data)| Attachment {
                key: key.clone(),
                data: data.clone(),
            });
            found.collect()
        })
    }
}

impl Contents {
    fn create(&mut self, log: &StoredLog) -> Commit {
        let (id, origin) = (log.info.id, &log.info.spec.origin);
        let mut rows = self.logs.values();
        if rows.any(|row| row.info.id == id || row.info.spec.origin == *origin) {
            return Commit::Conflict;
        }
        self.logs.insert(id, log.clone());
        Commit::Committed
    }

    fn set_state(&mut self, log: LogId, state: LogState) -> Commit {
        match self.logs.get_mut(&log) {
            Some(row) if row.info.state != LogState::Frozen => {
                row.info.state = state;
                Commit::Committed
            }
            _ => Commit::Conflict,
        }
    }

    fn commit(&mut self, batch: &Batch) -> Result<Commit, StorageError> {
        for part in &batch.logs {
            let stands = self.logs.get(&part.log).is_some_and(|row| {
                let (size, root) = (row.head.size, row.head.root);
                row.info.state == LogState::Active
                    && size == part.head.from_size
                    && root == part.head.from_root
            });
            if !stands {
                return Ok(Commit::Conflict);
            }
            let taken = |leaf: &StoredLeaf| {
                self.leaves.contains_key(&Place {
                    log: part.log,
                    index: leaf.index,
                })
            };
            if part.leaves.iter().any(taken) {
                return Err(StorageError::new("a leaf is stored already"));
            }
        }
        for part in &batch.logs {
            if let Some(row) = self.logs.get_mut(&part.log) {
                row.head = part.head.to.clone();
            }
            let places = part.leaves.iter().map(|leaf| {
                (
                    Place {
                        log: part.log,
                        index: leaf.index,
                    },
                    leaf.clone(),
                )
            });
            self.leaves.extend(places);
            self.tiles.extend(
                part.tiles
                    .iter()
                    .map(|(tile, bytes)| ((part.log, *tile), bytes.clone())),
            );
        }
        self.index.extend(batch.index.iter().copied());
        for attachment in &batch.attachments {
            self.attachments
                .entry(attachment.key.clone())
                .or_insert_with(|| attachment.data.clone());
        }
        Ok(Commit::Committed)
    }
}
