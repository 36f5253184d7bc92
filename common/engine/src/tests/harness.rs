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
    let log = |id| {
        let personality = personality(id);
        let origin = personality.origin.clone();
        config(id, Arc::new(personality), &origin)
    };
    vec![log(V1), log(CT)]
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

/// What an audit found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Receipts held against a head.
    pub(super) receipts: u64,
    /// Checkpoints held against another one by consistency proof.
    pub(super) checkpoints: u64,
    /// Acknowledged leaves that are not there, or not as they were promised.
    pub(super) lost: Vec<String>,
    /// Checkpoints that are not of one tree.
    pub(super) forks: Vec<String>,
    /// Entries that are there twice, or have two places.
    pub(super) doubled: Vec<String>,
    /// Anything else that contradicts itself.
    pub(super) broken: Vec<String>,
}

impl Findings {
    pub(super) fn faults(&self) -> Vec<&String> {
        let kinds = [&self.lost, &self.forks, &self.doubled, &self.broken];
        kinds.into_iter().flatten().collect()
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.receipts += other.receipts;
        self.checkpoints += other.checkpoints;
        self.lost.extend(other.lost);
        self.forks.extend(other.forks);
        self.doubled.extend(other.doubled);
        self.broken.extend(other.broken);
    }
}

/// Everything that was promised to clients, to be held against the log later.
#[derive(Default)]
pub(super) struct Promises {
    receipts: Vec<Receipt>,
    /// Root by log and size: there is one, for ever.
    roots: BTreeMap<(LogId, u64), Hash>,
    /// Place by identity: there is one, for ever.
    places: BTreeMap<(LogId, Hash), u64>,
    findings: Findings,
}

impl Promises {
    pub(super) fn head(&mut self, log: LogId, head: &Head) {
        let signed = Note::parse(head.checkpoint.as_bytes())
            .ok()
            .and_then(|note| Checkpoint::parse(note.text()).ok())
            .map(|signed| (signed.size, signed.root));
        if signed != Some((head.size, head.root)) {
            let broken = format!(
                "log {log}: the checkpoint at size {} is for {signed:?}",
                head.size
            );
            self.findings.broken.push(broken);
        }
        let root = *self.roots.entry((log, head.size)).or_insert(head.root);
        if root != head.root {
            let fork = format!("log {log}: two roots were published for size {}", head.size);
            self.findings.forks.push(fork);
        }
    }

    pub(super) fn receipt(&mut self, receipt: &Receipt) {
        let (log, leaf, head) = (receipt.log, &receipt.leaf, &receipt.head);
        let hash = leaf_hash(&leaf.data);
        if let Err(error) = verify_inclusion(leaf.index, head.size, &hash, &receipt.proof, &head.root) {
            let broken = format!("log {log}: the proof of leaf {} is wrong: {error}", leaf.index);
            self.findings.broken.push(broken);
        }
        let identity = personality(log).identity(leaf, &hash);
        let place = *self.places.entry((log, identity)).or_insert(leaf.index);
        if place != leaf.index {
            let doubled = format!(
                "log {log}: an entry was promised place {place} and {}",
                leaf.index
            );
            self.findings.doubled.push(doubled);
        }
        self.head(log, head);
        self.receipts.push(receipt.clone());
    }

    /// Holds everything promised against what the engine says now, and the log against itself.
    pub(super) async fn audit(&mut self, engine: &Engine, storage: &MemoryStorage) {
        let findings = self.examine(engine, storage).await;
        assert!(findings.faults().is_empty(), "{findings:#?}");
    }

    /// The same, to be judged by the caller. Gives what was found since the last time.
    pub(super) async fn examine(&mut self, engine: &Engine, storage: &MemoryStorage) -> Findings {
        for (log, head) in storage.heads() {
            self.head(log, &head);
        }
        let contents = storage.contents();
        for info in engine.logs() {
            let head = engine.head(info.id).unwrap();
            self.head(info.id, &head);
            if let Err(broken) = self.examine_tree(engine, info.id, &head).await {
                self.findings.broken.push(broken);
            }
            self.examine_checkpoints(engine, info.id, &head).await;
            for (tile, width) in common_tlog::tile::tiles_for(head.size) {
                let served = engine.tile(info.id, tile.level, tile.index, width).await;
                let stored = contents.tiles.get(&(info.id, tile));
                let stored = stored.and_then(|bytes| bytes.get(..usize::from(width) * 32));
                if served.ok().flatten().as_deref() != stored {
                    let broken = format!("log {}: {tile:?} is not served as it is stored", info.id);
                    self.findings.broken.push(broken);
                }
            }
        }
        // Many receipts may speak of one leaf.
        let mut kept_leaves: BTreeMap<(LogId, u64), StoredLeaf> = BTreeMap::new();
        for receipt in &self.receipts {
            self.findings.receipts += 1;
            let place = (receipt.log, receipt.leaf.index);
            if kept_leaves.get(&place) == Some(&receipt.leaf) {
                continue;
            }
            match kept(engine, receipt).await {
                Ok(()) => drop(kept_leaves.insert(place, receipt.leaf.clone())),
                Err(lost) => {
                    let lost = format!("log {}: leaf {}: {lost}", place.0, place.1);
                    self.findings.lost.push(lost);
                }
            }
        }
        std::mem::take(&mut self.findings)
    }

    /// Hashes all leaves again, and holds the root after each against what was published.
    async fn examine_tree(&mut self, engine: &Engine, log: LogId, head: &Head) -> Result<(), String> {
        let personality = personality(log);
        let mut tree = CompactRange::new();
        let mut identities = BTreeSet::new();
        let mut time = 0;
        while tree.size() < head.size {
            let leaves = engine.leaves(log, tree.size(), 1_000).await;
            let leaves = leaves.map_err(|error| format!("log {log}: {error}"))?;
            for leaf in leaves {
                if leaf.index != tree.size() || leaf.time < time {
                    return Err(format!(
                        "log {log}: leaf {} has a wrong place or time",
                        leaf.index
                    ));
                }
                time = leaf.time;
                if !identities.insert(personality.identity(&leaf, &leaf_hash(&leaf.data))) {
                    let doubled = format!("log {log}: leaf {} is a duplicate", leaf.index);
                    self.findings.doubled.push(doubled);
                }
                tree.append(&leaf.data).map_err(|error| error.to_string())?;
                let root = self.roots.get(&(log, tree.size()));
                if root.is_some_and(|root| *root != tree.root()) {
                    let fork = format!(
                        "log {log}: the checkpoint of size {} is not of this tree",
                        tree.size()
                    );
                    self.findings.forks.push(fork);
                }
            }
        }
        if tree.root() == head.root {
            Ok(())
        } else {
            Err(format!("log {log}: the leaves do not hash to the head"))
        }
    }

    async fn examine_checkpoints(&mut self, engine: &Engine, log: LogId, head: &Head) {
        let of_log = self.roots.range((log, 1)..=(log, u64::MAX));
        let old: Vec<(u64, Hash)> = of_log.map(|((_, size), root)| (*size, *root)).collect();
        for (size, root) in old {
            self.findings.checkpoints += 1;
            if size > head.size {
                let lost = format!("log {log}: the published head of size {size} is lost");
                self.findings.lost.push(lost);
                continue;
            }
            let proof = engine.consistency_proof(log, size, head.size).await;
            let verified = proof
                .ok()
                .map(|proof| verify_consistency(size, head.size, &root, &head.root, &proof).is_ok());
            if verified != Some(true) {
                let fork = format!(
                    "log {log}: no proof from the checkpoint of size {size} to {}",
                    head.size
                );
                self.findings.forks.push(fork);
            }
        }
    }
}

fn personality(log: LogId) -> TestLog {
    TestLog {
        origin: if log == CT { "ct.test" } else { "v1.test" }.to_owned(),
        stamped: log == CT,
    }
}

/// Whether the leaf of a receipt is served, found and proven at the head of now.
async fn kept(engine: &Engine, receipt: &Receipt) -> Result<(), String> {
    let (log, leaf) = (receipt.log, &receipt.leaf);
    let hash = leaf_hash(&leaf.data);
    let stored = engine.leaf(log, leaf.index).await;
    if stored.map_err(|error| error.to_string())?.as_ref() != Some(leaf) {
        return Err("an acknowledged leaf is lost or changed".to_owned());
    }
    let head = engine.head(log).ok_or("no head")?;
    let proof = engine.inclusion_proof(log, leaf.index, head.size).await;
    let proof = proof.map_err(|error| error.to_string())?;
    verify_inclusion(leaf.index, head.size, &hash, &proof, &head.root).map_err(|error| error.to_string())?;
    let found = engine.find_leaf(log, &hash).await;
    if found.map_err(|error| error.to_string())?.as_ref() != Some(leaf) {
        return Err("an acknowledged leaf is not found by its hash".to_owned());
    }
    Ok(())
}
