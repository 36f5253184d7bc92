//! Submitters that keep every receipt, and an audit of what they were promised.

use std::collections::BTreeMap;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use common_engine::{Anchor, Engine, NoAnchor, Outcome, Receipt, SubmitError};
use common_tlog::compact::CompactRange;
use common_tlog::proof::{verify_consistency, verify_inclusion};
use common_tlog::{Hash, leaf_hash};

use super::*;
use crate::testlog::{LOG, entry, open_engine};

pub(super) async fn engine(storage: PostgresStorage) -> Engine {
    let anchor: Arc<dyn Anchor> = Arc::new(NoAnchor);
    open_engine(Arc::new(storage), anchor).await.unwrap()
}

/// Everything that was promised.
#[derive(Default)]
pub(super) struct Promises {
    receipts: StdMutex<Vec<Receipt>>,
    refusals: StdMutex<BTreeMap<String, usize>>,
    stop: AtomicBool,
}

impl Promises {
    pub(super) fn count(&self) -> usize {
        self.receipts.lock().unwrap().len()
    }

    pub(super) fn refusals(&self) -> BTreeMap<String, usize> {
        self.refusals.lock().unwrap().clone()
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Submits one entry until it is in, as a client that repeats after a 503 does.
    pub(super) async fn submit(&self, engine: &Engine, body: &str) {
        let end = Instant::now() + Duration::from_secs(90);
        loop {
            match engine.submit(LOG, entry(body.to_owned())).await {
                Ok(outcome) => {
                    let receipt = outcome.receipt().clone();
                    assert_eq!(
                        &receipt.leaf.data[..],
                        body.as_bytes(),
                        "the receipt is for the entry"
                    );
                    self.receipts.lock().unwrap().push(receipt);
                    return;
                }
                Err(error @ (SubmitError::Unavailable | SubmitError::Overloaded)) => {
                    *self
                        .refusals
                        .lock()
                        .unwrap()
                        .entry(error.to_string())
                        .or_default() += 1;
                    assert!(Instant::now() < end, "the log does not recover");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Sixteen submitters who do not stop before they are told to, nor before each has had `least` entries in.
    pub(super) fn submitters(
        self: &Arc<Self>,
        engine: &Engine,
        name: &str,
        least: usize,
    ) -> tokio::task::JoinSet<()> {
        let mut tasks = tokio::task::JoinSet::new();
        for submitter in 0..16 {
            let (promises, engine, name) = (Arc::clone(self), engine.clone(), name.to_owned());
            tasks.spawn(async move {
                let mut number = 0;
                while number < least || !promises.stop.load(Ordering::Relaxed) {
                    promises
                        .submit(&engine, &format!("{name} {submitter} {number}"))
                        .await;
                    number += 1;
                }
            });
        }
        tasks
    }

    /// Holds every receipt against the log as the store has it now: all are in one tree, no entry is in it twice, and
    /// every head ever shown is consistent with the last one.
    pub(super) async fn audit(&self, storage: PostgresStorage) -> u64 {
        let engine = engine(storage).await;
        let head = engine.head(LOG).unwrap();
        let mut roots: BTreeMap<u64, Hash> = BTreeMap::new();
        for receipt in self.receipts.lock().unwrap().iter() {
            let (hash, shown) = (leaf_hash(&receipt.leaf.data), &receipt.head);
            verify_inclusion(receipt.leaf.index, shown.size, &hash, &receipt.proof, &shown.root).unwrap();
            let root = *roots.entry(shown.size).or_insert(shown.root);
            assert_eq!(root, shown.root, "two roots at size {}", shown.size);
            assert!(shown.size <= head.size, "a head that was shown is lost");
        }
        let mut tree = CompactRange::new();
        let mut leaves = Vec::new();
        while tree.size() < head.size {
            for leaf in engine.leaves(LOG, tree.size(), 1_000).await.unwrap() {
                tree.append(&leaf.data).unwrap();
                if let Some(root) = roots.get(&tree.size()) {
                    assert_eq!(*root, tree.root(), "a head that was shown is not of this tree");
                }
                leaves.push(leaf);
            }
        }
        assert_eq!(tree.root(), head.root);
        for receipt in self.receipts.lock().unwrap().iter() {
            assert_eq!(
                leaves[usize::try_from(receipt.leaf.index).unwrap()],
                receipt.leaf,
                "an acknowledged leaf is lost or changed"
            );
        }
        for (size, root) in roots.iter().step_by(1 + roots.len() / 50) {
            let proof = engine.consistency_proof(LOG, *size, head.size).await.unwrap();
            verify_consistency(*size, head.size, root, &head.root, &proof).unwrap();
        }
        let mut bodies: Vec<&Bytes> = leaves.iter().map(|leaf| &leaf.data).collect();
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), leaves.len(), "an entry is in the tree twice");
        assert!(matches!(
            engine.submit(LOG, entry("one more".to_owned())).await.unwrap(),
            Outcome::Sequenced(_)
        ));
        engine.shutdown().await;
        head.size
    }
}
