//! Logs, entries and an auditor that believes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::compact::CompactRange;
use common_tlog::note::{KeyHint, Note};
use common_tlog::proof::{verify_consistency, verify_inclusion};
use common_tlog::{Hash, leaf_hash};
use tokio::sync::OwnedRwLockWriteGuard;
use tokio::task::JoinHandle;

use crate::memory::MemoryStorage;
use crate::{
    Anchor, AnchorError, Clock, Engine, Entry, Head, LogConfig, LogId, LogKind, LogSpec, NoAnchor, OpenError,
    Options, Outcome, Personality, Published, Receipt, SealError, Sealed, Storage, StoredLeaf, SubmitError,
};

pub(super) const V1: LogId = LogId(1);
pub(super) const CT: LogId = LogId(2);

/// Seals a body as the leaf, with place and time beside it; `aux` tells it to misbehave. With `stamped`, place and
/// time are in the leaf, as in a CT log, and identity is the hash of the body alone.
pub(super) struct TestLog {
    pub(super) origin: String,
    pub(super) stamped: bool,
}

impl Personality for TestLog {
    fn seal(&self, entry: &Entry, index: u64, time: u64) -> Result<Sealed, SealError> {
        match &entry.aux[..] {
            b"error" => return Err(SealError::new("asked to fail")),
            b"panic" => panic!("asked to panic"),
            _ => {}
        }
        let stamp = format!("{index}@{time}");
        let leaf = if self.stamped {
            Bytes::from([stamp.as_bytes(), b"|", &entry.body].concat())
        } else {
            entry.body.clone()
        };
        Ok(Sealed {
            leaf,
            extra: stamp.into(),
        })
    }

    fn checkpoint(&self, size: u64, root: &Hash, _time: u64) -> Result<String, SealError> {
        let mut note = Note::new(Checkpoint::new(self.origin.as_str(), size, *root).to_string())
            .map_err(SealError::new)?;
        note.push(&self.origin, KeyHint([1; 4]), vec![7; 64])
            .map_err(SealError::new)?;
        Ok(note.to_string())
    }

    fn identity(&self, leaf: &StoredLeaf, hash: &Hash) -> Hash {
        if !self.stamped {
            return *hash;
        }
        let at = leaf
            .data
            .iter()
            .position(|byte| *byte == b'|')
            .map_or(0, |at| at + 1);
        leaf_hash(&leaf.data[at..])
    }
}

pub(super) fn entry(body: impl AsRef<[u8]>) -> Entry {
    let body = Bytes::copy_from_slice(body.as_ref());
    Entry {
        identity: leaf_hash(&body),
        body,
        aux: Bytes::new(),
        terms: Vec::new(),
        attachments: Vec::new(),
    }
}

/// A clock that a test sets; milliseconds.
pub(super) fn clock(millis: &Arc<AtomicU64>) -> Clock {
    let millis = Arc::clone(millis);
    Clock::new(move || UNIX_EPOCH + Duration::from_millis(millis.load(Ordering::Relaxed)))
}

pub(super) fn config(id: LogId, personality: Arc<dyn Personality>, origin: &str) -> LogConfig {
    let kind = if id == CT { LogKind::Ct } else { LogKind::RekorV1 };
    let spec = LogSpec {
        kind,
        origin: origin.to_owned(),
        tree_id: u64::from(id.0),
        key_id: "test".to_owned(),
        leaf_limit: 65_535,
        created: 5,
    };
    LogConfig {
        id,
        spec,
        personality,
    }
}

pub(super) fn configs() -> Vec<LogConfig> {
    let log = |id: LogId, origin: &str, stamped| {
        config(
            id,
            Arc::new(TestLog {
                origin: origin.to_owned(),
                stamped,
            }),
            origin,
        )
    };
    vec![log(V1, "v1.test", false), log(CT, "ct.test", true)]
}

pub(super) async fn open_with(
    storage: Arc<dyn Storage>,
    anchor: Arc<dyn Anchor>,
    options: Options,
) -> Result<Engine, OpenError> {
    let millis = Arc::new(AtomicU64::new(1_800_000_000_000));
    Engine::open(storage, configs(), anchor, clock(&millis), options).await
}

pub(super) async fn open(storage: &Arc<MemoryStorage>) -> Engine {
    let storage: Arc<dyn Storage> = Arc::clone(storage) as _;
    open_with(storage, Arc::new(NoAnchor), Options::default())
        .await
        .unwrap()
}

/// Submits all at once and gives the answers in order.
pub(super) async fn submit_all(
    engine: &Engine,
    entries: Vec<(LogId, Entry)>,
) -> Vec<Result<Outcome, SubmitError>> {
    let tasks: Vec<_> = entries
        .into_iter()
        .map(|(log, entry)| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.submit(log, entry).await })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

/// Appends `count` new entries, in batches of whatever comes together.
pub(super) async fn fill(engine: &Engine, log: LogId, name: &str, count: usize) -> Vec<Receipt> {
    let entries = (0..count).map(|n| (log, entry(format!("{name} {n}")))).collect();
    let answers = submit_all(engine, entries).await;
    answers
        .into_iter()
        .map(|answer| answer.unwrap().receipt().clone())
        .collect()
}

/// Keeps the writer busy: entries submitted from now on queue until `release`.
pub(super) struct Busy {
    gate: OwnedRwLockWriteGuard<()>,
    first: JoinHandle<Result<Outcome, SubmitError>>,
}

impl Busy {
    pub(super) async fn new(engine: &Engine, storage: &MemoryStorage) -> Self {
        let gate = storage.hold_commits().await;
        let before = storage.calls().len();
        let own = engine.clone();
        let first = tokio::spawn(async move { own.submit(V1, entry("keeps the writer busy")).await });
        // Its look-up is made: the writer has taken it, and nothing else comes into its batch.
        while storage.calls().len() == before {
            tokio::task::yield_now().await;
        }
        Self { gate, first }
    }

    /// Waits until `count` entries have queued.
    pub(super) async fn queued(&self, engine: &Engine, count: usize) {
        while engine.queued() < count {
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn release(self) {
        drop(self.gate);
        self.first.await.unwrap().unwrap();
    }
}

/// An anchor in memory.
#[derive(Default)]
pub(super) struct TestAnchor(pub(super) Mutex<BTreeMap<String, Published>>);

#[async_trait]
impl Anchor for TestAnchor {
    async fn load(&self) -> Result<Vec<Published>, AnchorError> {
        Ok(self.0.lock().unwrap().values().cloned().collect())
    }

    async fn advance(&self, heads: &[Published]) -> Result<(), AnchorError> {
        self.0
            .lock()
            .unwrap()
            .extend(heads.iter().map(|head| (head.origin.clone(), head.clone())));
        Ok(())
    }
}

/// Everything that was promised to clients, to be held against the log later.
#[derive(Default)]
pub(super) struct Promises {
    receipts: Vec<Receipt>,
    /// Root by log and size: there is one, for ever.
    roots: BTreeMap<(LogId, u64), Hash>,
}

impl Promises {
    pub(super) fn head(&mut self, log: LogId, head: &Head) {
        let note = Note::parse(head.checkpoint.as_bytes()).unwrap();
        let signed = Checkpoint::parse(note.text()).unwrap();
        assert_eq!(
            (signed.size, signed.root),
            (head.size, head.root),
            "the checkpoint is for the head"
        );
        let root = *self.roots.entry((log, head.size)).or_insert(head.root);
        assert_eq!(
            root, head.root,
            "a fork: two roots for log {log} at size {}",
            head.size
        );
    }

    pub(super) fn receipt(&mut self, receipt: &Receipt) {
        let (hash, head) = (leaf_hash(&receipt.leaf.data), &receipt.head);
        verify_inclusion(receipt.leaf.index, head.size, &hash, &receipt.proof, &head.root).unwrap();
        self.head(receipt.log, head);
        self.receipts.push(receipt.clone());
    }

    /// Holds everything promised against what the engine says now, and the log against itself.
    pub(super) async fn audit(&mut self, engine: &Engine, storage: &MemoryStorage) {
        for info in engine.logs() {
            let log = info.id;
            let head = engine.head(log).unwrap();
            self.head(log, &head);
            let personality = configs()
                .into_iter()
                .find(|config| config.id == log)
                .unwrap()
                .personality;
            let mut tree = CompactRange::new();
            let mut identities = BTreeSet::new();
            let mut time = 0;
            while tree.size() < head.size {
                let leaves = engine.leaves(log, tree.size(), 1_000).await.unwrap();
                assert!(!leaves.is_empty());
                for leaf in leaves {
                    assert_eq!(leaf.index, tree.size());
                    assert!(leaf.time >= time, "time goes backwards");
                    time = leaf.time;
                    assert!(
                        identities.insert(personality.identity(&leaf, &leaf_hash(&leaf.data))),
                        "leaf {} is a duplicate",
                        leaf.index
                    );
                    tree.append(&leaf.data).unwrap();
                    if let Some(root) = self.roots.get(&(log, tree.size())) {
                        assert_eq!(*root, tree.root(), "an old checkpoint is not of this tree");
                    }
                }
            }
            assert_eq!(tree.root(), head.root);
            let promised = self
                .roots
                .keys()
                .filter(|(of, size)| *of == log && *size > 0)
                .map(|(_, size)| *size);
            let sizes: Vec<u64> = promised.collect();
            assert!(
                sizes.iter().all(|size| *size <= head.size),
                "a published head is lost"
            );
            for size in sizes {
                let proof = engine.consistency_proof(log, size, head.size).await.unwrap();
                let old = self.roots[&(log, size)];
                verify_consistency(size, head.size, &old, &head.root, &proof).unwrap();
            }
            for (tile, width) in common_tlog::tile::tiles_for(head.size) {
                let bytes = engine
                    .tile(log, tile.level, tile.index, width)
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(
                    bytes,
                    storage.contents().tiles[&(log, tile)][..usize::from(width) * 32]
                );
            }
        }
        for receipt in &self.receipts {
            let stored = engine.leaf(receipt.log, receipt.leaf.index).await.unwrap();
            assert_eq!(
                stored.as_ref(),
                Some(&receipt.leaf),
                "an acknowledged leaf is lost or changed"
            );
            let size = engine.head(receipt.log).unwrap().size;
            engine
                .inclusion_proof(receipt.log, receipt.leaf.index, size)
                .await
                .unwrap();
            let found = engine
                .find_leaf(receipt.log, &leaf_hash(&receipt.leaf.data))
                .await
                .unwrap();
            assert_eq!(found.as_ref(), Some(&receipt.leaf));
        }
    }
}
