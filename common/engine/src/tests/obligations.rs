//! The matrix can fail: a store that breaks one of the obligations of [`Storage`] is caught by the same workload and
//! audit, or refused by the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use common_tlog::TileId;

use super::harness::*;
use super::workload::*;
use crate::memory::{Contents, Fault, MemoryStorage};
use crate::{
    Attachment, Batch, Commit, IndexKey, IndexSecret, LogId, LogState, NoAnchor, Options, Place, Storage,
    StorageError, StoredLeaf, StoredLog, SubmitError,
};

/// Which obligation is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaks {
    /// A commit of several logs stores the leaves of one of them, without their index rows, and fails.
    Atomicity,
    /// The same, and it reports success.
    AtomicitySilently,
    /// A commit does not look where the head stands.
    CompareAndSwap,
    /// It looks at the size and not at the root.
    RootInCompareAndSwap,
    /// A commit is reported and not stored.
    Durability,
    /// A failed look-up answers "absent".
    Lookups,
    /// A look-up does not see the last commit.
    Visibility,
    /// Index rows are not stored.
    Index,
    /// A grown tile stays as it was.
    Tiles,
}

struct Broken {
    inner: Arc<MemoryStorage>,
    breaks: Breaks,
    commits: AtomicUsize,
}

impl Broken {
    /// Stores the batch wherever the head stands.
    fn force(&self, batch: &Batch) {
        self.inner.damage(|contents: &mut Contents| {
            for part in &batch.logs {
                if let Some(row) = contents.logs.get_mut(&part.log) {
                    row.head = part.head.to.clone();
                }
                for leaf in &part.leaves {
                    let place = Place {
                        log: part.log,
                        index: leaf.index,
                    };
                    contents.leaves.insert(place, leaf.clone());
                }
                for (tile, bytes) in &part.tiles {
                    contents.tiles.insert((part.log, *tile), bytes.clone());
                }
            }
            contents.index.extend(batch.index.iter().copied());
        });
    }
}

#[async_trait]
impl Storage for Broken {
    fn reserved(self: Arc<Self>) -> Arc<dyn Storage> {
        self
    }

    async fn secret(&self) -> Result<IndexSecret, StorageError> {
        self.inner.secret().await
    }

    async fn logs(&self) -> Result<Vec<StoredLog>, StorageError> {
        self.inner.logs().await
    }

    async fn create_log(&self, log: &StoredLog) -> Result<Commit, StorageError> {
        self.inner.create_log(log).await
    }

    async fn set_state(&self, log: LogId, state: LogState) -> Result<Commit, StorageError> {
        self.inner.set_state(log, state).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StorageError> {
        let number = self.commits.fetch_add(1, Ordering::Relaxed);
        let mut changed = batch.clone();
        match self.breaks {
            Breaks::Atomicity if batch.logs.len() > 1 => {
                changed.logs.truncate(1);
                changed.index.clear();
                self.inner.commit(&changed).await?;
                return Err(StorageError::new("the connection was lost"));
            }
            Breaks::AtomicitySilently if batch.logs.len() > 1 => changed.logs.truncate(1),
            Breaks::CompareAndSwap => {
                self.force(batch);
                return Ok(Commit::Committed);
            }
            Breaks::RootInCompareAndSwap => {
                let rows = self.inner.logs().await?;
                let stands =
                    |id: LogId, size: u64| rows.iter().any(|row| row.info.id == id && row.head.size == size);
                if batch
                    .logs
                    .iter()
                    .all(|part| stands(part.log, part.head.from_size))
                {
                    self.force(batch);
                    return Ok(Commit::Committed);
                }
            }
            Breaks::Durability if number == 2 => return Ok(Commit::Committed),
            Breaks::Index => changed.index.clear(),
            Breaks::Tiles => {
                for part in &mut changed.logs {
                    part.tiles.truncate(1);
                    if part.head.from_size > 0 {
                        part.tiles.clear();
                    }
                }
            }
            _ => {}
        }
        self.inner.commit(&changed).await
    }

    async fn probe(&self) -> Result<(), StorageError> {
        self.inner.probe().await
    }

    async fn leaves(&self, log: LogId, start: u64, count: u32) -> Result<Vec<StoredLeaf>, StorageError> {
        self.inner.leaves(log, start, count).await
    }

    async fn leaves_at(&self, places: &[Place]) -> Result<Vec<Option<StoredLeaf>>, StorageError> {
        self.inner.leaves_at(places).await
    }

    async fn tiles(&self, log: LogId, tiles: &[TileId]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.inner.tiles(log, tiles).await
    }

    async fn find(&self, keys: &[IndexKey], limit: u32) -> Result<Vec<(IndexKey, Place)>, StorageError> {
        let found = self.inner.find(keys, limit).await;
        match self.breaks {
            Breaks::Lookups => Ok(found.unwrap_or_default()),
            Breaks::Visibility => {
                let contents = self.inner.contents();
                let old = |place: &Place| contents.logs[&place.log].head.size > place.index + 2;
                Ok(found?.into_iter().filter(|(_, place)| old(place)).collect())
            }
            _ => found,
        }
    }

    async fn find_below(
        &self,
        key: IndexKey,
        log: LogId,
        below: u64,
        limit: u32,
    ) -> Result<Vec<u64>, StorageError> {
        self.inner.find_below(key, log, below, limit).await
    }

    async fn attachment(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.inner.attachment(key).await
    }

    async fn index_rows(
        &self,
        after: Option<(IndexKey, Place)>,
        limit: u32,
    ) -> Result<Vec<(IndexKey, Place)>, StorageError> {
        self.inner.index_rows(after, limit).await
    }

    async fn attachments(&self, after: Option<&str>, limit: u32) -> Result<Vec<Attachment>, StorageError> {
        self.inner.attachments(after, limit).await
    }
}

fn broken(inner: Arc<MemoryStorage>, breaks: Breaks) -> Arc<dyn Storage> {
    let commits = AtomicUsize::new(0);
    Arc::new(Broken {
        inner,
        breaks,
        commits,
    })
}

/// What the workload and its audit say about a store that breaks an obligation.
fn findings(breaks: Breaks, case: &Case) -> Findings {
    let wrap: fn(Arc<MemoryStorage>) -> Arc<dyn Storage> = match breaks {
        Breaks::Atomicity => |inner| broken(inner, Breaks::Atomicity),
        Breaks::AtomicitySilently => |inner| broken(inner, Breaks::AtomicitySilently),
        Breaks::CompareAndSwap => |inner| broken(inner, Breaks::CompareAndSwap),
        Breaks::RootInCompareAndSwap => |inner| broken(inner, Breaks::RootInCompareAndSwap),
        Breaks::Durability => |inner| broken(inner, Breaks::Durability),
        Breaks::Lookups => |inner| broken(inner, Breaks::Lookups),
        Breaks::Visibility => |inner| broken(inner, Breaks::Visibility),
        Breaks::Index => |inner| broken(inner, Breaks::Index),
        Breaks::Tiles => |inner| broken(inner, Breaks::Tiles),
    };
    run(case, wrap).findings
}

#[test]
fn a_store_that_breaks_an_obligation_is_caught() {
    use Breaks::*;
    for breaks in [
        Atomicity,
        AtomicitySilently,
        CompareAndSwap,
        Durability,
        Visibility,
        Index,
        Tiles,
    ] {
        let found = findings(breaks, &Case::default());
        let faults = found.faults();
        println!("obligations: without {breaks:?}: {:?}", faults.first());
        assert!(!faults.is_empty(), "{breaks:?} was not caught");
        match breaks {
            // The next start compares the store with the anchor.
            CompareAndSwap => assert!(
                faults.iter().any(|fault| fault.contains("was published")),
                "{found:#?}"
            ),
            Atomicity | Visibility | Index => assert!(!found.doubled.is_empty(), "{found:#?}"),
            _ => {}
        }
    }
}

/// Incident I14: a failed read taken for "not present" makes duplicate leaves.
#[test]
fn a_failed_look_up_that_answers_absent_is_caught() {
    let honest = run(&Case::default(), |inner| inner);
    let look_ups = honest
        .calls
        .iter()
        .enumerate()
        .filter(|(_, call)| **call == "find");
    let doubled = look_ups.filter(|(call, _)| {
        let case = Case {
            storage: vec![(*call, Fault::Fails)],
            ..Case::default()
        };
        assert!(run(&case, |inner| inner).findings.faults().is_empty());
        !findings(Breaks::Lookups, &case).doubled.is_empty()
    });
    assert!(doubled.count() >= 3);
}

/// Another history of the same size under a running engine: the root decides, the size cannot.
#[test]
fn a_compare_and_swap_on_the_size_alone_is_caught() {
    for honest in [true, false] {
        run_paused(async {
            let memory = Arc::new(MemoryStorage::new());
            let store: Arc<dyn Storage> = if honest {
                Arc::clone(&memory) as _
            } else {
                broken(Arc::clone(&memory), Breaks::RootInCompareAndSwap)
            };
            let engine = open_with(store, Arc::new(NoAnchor), Options::default())
                .await
                .unwrap();
            let mut promises = Promises::default();
            for receipt in fill(&engine, V1, "ours", 3).await {
                promises.receipt(&receipt);
            }
            let other = Arc::new(MemoryStorage::new());
            fill(&open(&other).await, V1, "theirs", 3).await;
            memory.damage(|contents| *contents = other.contents());
            let before = memory.contents().leaves.len();
            let answer = engine.submit(V1, entry("one more")).await;
            if honest {
                assert!(matches!(answer, Err(SubmitError::Unavailable)));
                assert!(!engine.is_writable());
                assert_eq!(
                    memory.contents().leaves.len(),
                    before,
                    "nothing was written over another history"
                );
            } else {
                promises.receipt(answer.unwrap().receipt());
                let found = promises.examine(&engine, &memory).await;
                assert!(!found.lost.is_empty() && !found.broken.is_empty(), "{found:#?}");
            }
        });
    }
}
