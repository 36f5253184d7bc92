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
use crate::types::{Attachment, LogId, LogState, StoredLeaf};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done.
    Fails,
    /// It is done, and reported as failed: a lost reply. The same as [`Fault::Fails`] for a read.
    FailsButApplied,
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

#[derive(Default)]
struct State {
    contents: Contents,
    /// Names of the calls made, in order.
    calls: Vec<&'static str>,
    /// By number of the call, counted from the first one ever made.
    faults: BTreeMap<usize, Fault>,
}

/// Storage in memory. Clones of its `Arc` are the replicas' view of one database.
pub struct MemoryStorage {
    secret: IndexSecret,
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

    /// A store with what another one held.
    #[must_use]
    pub fn with_contents(contents: Contents) -> Self {
        let state = Mutex::new(State {
            contents,
            ..State::default()
        });
        Self {
            secret: IndexSecret([7; 32]),
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

    /// Lets no further call fail.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }

    /// Waits for running commits; others wait until the guard is dropped.
    pub async fn hold_commits(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.gate).write_owned().await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call<T>(
        &self,
        name: &'static str,
        apply: impl FnOnce(&mut Contents) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut state = self.lock();
        let number = state.calls.len();
        state.calls.push(name);
        let fault = state.faults.get(&number).copied();
        if fault == Some(Fault::Fails) {
            return Err(StorageError::new("injected: failed"));
        }
        let result = apply(&mut state.contents)?;
        if fault.is_some() {
            Err(StorageError::new("injected: failed but applied"))
        } else {
            Ok(result)
        }
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn reserved(self: Arc<Self>) -> Arc<dyn Storage> {
        self
    }

    async fn secret(&self) -> Result<IndexSecret, StorageError> {
        self.call("secret", |_| Ok(self.secret))
    }

    async fn logs(&self) -> Result<Vec<StoredLog>, StorageError> {
        self.call("logs", |contents| Ok(contents.logs.values().cloned().collect()))
    }

    async fn create_log(&self, log: &StoredLog) -> Result<Commit, StorageError> {
        self.call("create_log", |contents| {
            let origin = &log.info.spec.origin;
            if contents
                .logs
                .values()
                .any(|l| l.info.id == log.info.id || l.info.spec.origin == *origin)
            {
                return Ok(Commit::Conflict);
            }
            contents.logs.insert(log.info.id, log.clone());
            Ok(Commit::Committed)
        })
    }

    async fn set_state(&self, log: LogId, state: LogState) -> Result<Commit, StorageError> {
        self.call("set_state", |contents| match contents.logs.get_mut(&log) {
            Some(row) if row.info.state != LogState::Frozen => {
                row.info.state = state;
                Ok(Commit::Committed)
            }
            _ => Ok(Commit::Conflict),
        })
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StorageError> {
        let _open = self.gate.read().await;
        self.call("commit", |contents| contents.commit(batch))
    }

    async fn probe(&self) -> Result<(), StorageError> {
        self.call("probe", |_| Ok(()))
    }

    async fn leaves(&self, log: LogId, start: u64, count: u32) -> Result<Vec<StoredLeaf>, StorageError> {
        self.call("leaves", |contents| {
            let (from, to) = (
                Place { log, index: start },
                start.saturating_add(u64::from(count)),
            );
            Ok(contents
                .leaves
                .range(from..Place { log, index: to })
                .map(|(_, leaf)| leaf.clone())
                .collect())
        })
    }

    async fn leaves_at(&self, places: &[Place]) -> Result<Vec<Option<StoredLeaf>>, StorageError> {
        self.call("leaves_at", |contents| {
            Ok(places.iter().map(|p| contents.leaves.get(p).cloned()).collect())
        })
    }

    async fn tiles(&self, log: LogId, tiles: &[TileId]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.call("tiles", |contents| {
            Ok(tiles
                .iter()
                .map(|t| contents.tiles.get(&(log, *t)).cloned())
                .collect())
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
        self.call("find", |contents| {
            let rows = keys
                .into_iter()
                .flat_map(|key| contents.index.range((*key, first)..=(*key, last)).rev());
            Ok(rows.take(limit as usize).copied().collect())
        })
    }

    async fn attachment(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.call("attachment", |contents| {
            Ok(contents.attachments.get(key).cloned())
        })
    }

    async fn index_rows(
        &self,
        after: Option<(IndexKey, Place)>,
        limit: u32,
    ) -> Result<Vec<(IndexKey, Place)>, StorageError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.call("index_rows", |contents| {
            let rows = contents.index.range((from, Bound::Unbounded));
            Ok(rows.take(limit as usize).copied().collect())
        })
    }

    async fn attachments(&self, after: Option<&str>, limit: u32) -> Result<Vec<Attachment>, StorageError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.call("attachments", |contents| {
            let found = contents.attachments.range::<str, _>((from, Bound::Unbounded));
            let found = found.take(limit as usize).map(|(key, data)| Attachment {
                key: key.clone(),
                data: data.clone(),
            });
            Ok(found.collect())
        })
    }
}

impl Contents {
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
