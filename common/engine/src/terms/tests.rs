#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]
//! A log of words: each leaf is found by its words, from version 1 on.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::{KeyHint, Note};
use common_tlog::{Hash, leaf_hash};

use super::*;
use crate::fsck::{Flaw, Fsck, KindCheck, LogCheck, Report, Terms};
use crate::memory::{Fault, MemoryStorage};
use crate::{
    Clock, Engine, Entry, Head, LogConfig, LogKind, LogSpec, LogState, NoAnchor, Options, ReadError,
    SealError, Sealed,
};

const LOG: LogId = LogId(3);

/// A word in the leaf's extra, which is not in the leaf, is told only if it is kept there: "lost" says that one was not.
#[derive(Clone, Copy)]
struct Words {
    version: u32,
}

fn words(leaf: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(leaf);
    text.split(' ').map(|word| format!("word:{word}")).collect()
}

impl Personality for Words {
    fn seal(&self, entry: &Entry, _index: u64, _time: u64) -> Result<Sealed, SealError> {
        Ok(Sealed {
            leaf: entry.body.clone(),
            extra: entry.aux.clone(),
        })
    }

    fn checkpoint(&self, size: u64, root: &Hash, _time: u64) -> Result<String, SealError> {
        let mut note =
            Note::new(Checkpoint::new("words", size, *root).to_string()).map_err(SealError::new)?;
        note.push("words", KeyHint([1; 4]), vec![7; 64])
            .map_err(SealError::new)?;
        Ok(note.to_string())
    }

    fn terms_version(&self) -> u32 {
        self.version
    }

    fn terms(&self, leaf: &StoredLeaf) -> LeafTerms {
        LeafTerms {
            terms: words(&leaf.data),
            complete: &leaf.extra[..] != b"lost",
        }
    }
}

impl KindCheck for Words {
    fn head(&self, _head: &Head) -> Result<(), Flaw> {
        Ok(())
    }

    fn terms_version(&self) -> u32 {
        self.version
    }

    fn terms(&self, leaf: &StoredLeaf) -> Result<Terms, Flaw> {
        Ok(Terms {
            known: Vec::new(),
            later: words(&leaf.data),
            complete: true,
        })
    }

    fn attachments(&self, _leaf: &StoredLeaf) -> Result<Vec<String>, Flaw> {
        Ok(Vec::new())
    }

    fn leaf(&self, _leaf: &StoredLeaf, _attachments: &[Bytes]) -> Result<(), Flaw> {
        Ok(())
    }

    fn attachment(&self, _key: &str, _data: &[u8]) -> Option<Result<(), Flaw>> {
        None
    }
}

fn spec() -> LogSpec {
    LogSpec {
        kind: LogKind::RekorV2,
        origin: "words".to_owned(),
        tree_id: 0,
        key_id: "test".to_owned(),
        leaf_limit: 1_000,
        created: 0,
    }
}

/// Each look at the clock is a second later.
async fn open(storage: &Arc<MemoryStorage>, version: u32, start: u64) -> Engine {
    let seconds = AtomicU64::new(start);
    let clock = Clock::new(move || UNIX_EPOCH + Duration::from_secs(seconds.fetch_add(1, Ordering::Relaxed)));
    let log = LogConfig {
        id: LOG,
        spec: spec(),
        personality: Arc::new(Words { version }),
    };
    let storage = Arc::clone(storage) as Arc<dyn Storage>;
    Engine::open(storage, vec![log], Arc::new(NoAnchor), clock, Options::default())
        .await
        .unwrap()
}

async fn add(engine: &Engine, version: u32, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let body = Bytes::from(format!("{number} {}", number % 7));
        let entry = Entry {
            identity: leaf_hash(&body),
            terms: if version == 0 { Vec::new() } else { words(&body) },
            aux: Bytes::from_static(if number == 5 { b"lost" } else { b"" }),
            body,
            attachments: Vec::new(),
        };
        engine.submit(LOG, entry).await.unwrap();
    }
}

async fn completed(engine: &Engine) {
    for _ in 0..20_000 {
        if engine.indexed(LOG).unwrap().missing().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{:?} after all that time", engine.indexed(LOG));
}

async fn check(storage: &MemoryStorage) -> Report {
    let logs = [LogCheck {
        id: LOG,
        spec: spec(),
        kind: Arc::new(Words { version: 1 }),
    }];
    let fsck = Fsck {
        storage,
        logs: &logs,
        published: &[],
        limit: 10,
        progress: &|_| {},
    };
    fsck.run().await.unwrap()
}

#[tokio::test]
async fn older_leaves_get_their_terms_while_the_log_goes_on() {
    let storage = Arc::new(MemoryStorage::new());
    let old = open(&storage, 0, 1_000).await;
    add(&old, 0, 0..600).await;
    assert_eq!(old.indexed(LOG), None, "a log that is not searched");
    old.shutdown().await;
    assert_eq!(check(&storage).await.findings, [], "before it is opened");

    let engine = open(&storage, 1, 10_000).await;
    let first = engine.indexed(LOG).unwrap();
    assert_eq!(first.from, 600);
    add(&engine, 1, 600..650).await;
    let three = engine.find_below(LOG, "word:3", u64::MAX, 1_000).await.unwrap();
    let new: Vec<u64> = (600..650).rev().filter(|n| n % 7 == 3).collect();
    assert_eq!(three[..new.len()], new, "new leaves are found at once");
    completed(&engine).await;
    let all: Vec<u64> = (0..650).rev().filter(|n| n % 7 == 3).collect();
    // Of the leaf of number 3 both words are the same.
    assert_eq!(
        engine.find_below(LOG, "word:3", u64::MAX, 1_000).await.unwrap(),
        all
    );
    assert_eq!(engine.find_below(LOG, "word:3", 100, 2).await.unwrap(), [94, 87]);
    let indexed = engine.indexed(LOG).unwrap();
    assert_eq!(
        (indexed.until, indexed.from, indexed.partial_below),
        (600, 600, 6)
    );
    engine.shutdown().await;
    assert_eq!(check(&storage).await.findings, []);

    // Nothing is left to do, and nothing is done again.
    let before = storage.contents().index;
    let engine = open(&storage, 1, 20_000).await;
    assert_eq!(engine.indexed(LOG), Some(indexed));
    engine.shutdown().await;
    assert_eq!(storage.contents().index, before);
}

#[tokio::test]
async fn a_new_log_is_complete_from_its_first_leaf() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage, 1, 1_000).await;
    assert_eq!(engine.indexed(LOG), Some(Indexed::default()));
    assert_eq!(check(&storage).await.findings, [], "an empty log");
    engine.shutdown().await;
    let engine = open(&storage, 1, 2_000).await;
    add(&engine, 1, 0..3).await;
    engine.shutdown().await;
    let engine = open(&storage, 1, 3_000).await;
    assert_eq!(engine.indexed(LOG), Some(Indexed::default()));
    assert_eq!(check(&storage).await.findings, []);
    // A row that is taken away is missed.
    let secret = storage.secret().await.unwrap();
    let row = (secret.term("word:2"), Place { log: LOG, index: 2 });
    storage.damage(|contents| assert!(contents.index.remove(&row)));
    let findings = check(&storage).await.findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].what, "index row");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_is_taken_again() {
    for fault in [Fault::Fails, Fault::FailsButApplied] {
        let storage = Arc::new(MemoryStorage::new());
        let old = open(&storage, 0, 1_000).await;
        add(&old, 0, 0..300).await;
        old.shutdown().await;
        let engine = open(&storage, 1, 10_000).await;
        assert_eq!(
            storage.calls().last(),
            Some(&"commit"),
            "the mark, before an entry is taken"
        );
        let next = storage.calls().len();
        for call in next..next + 12 {
            storage.fail(call, fault);
        }
        completed(&engine).await;
        engine.shutdown().await;
        storage.heal();
        assert_eq!(check(&storage).await.findings, [], "{fault:?}");
        let rows = storage.contents().index.len();
        // 300 hashes, 300 numbers, 300 remainders (the first seven are the number), the marks.
        assert!(rows >= 893, "{rows}");
    }
}

#[tokio::test]
async fn a_frozen_log_gets_its_terms_too() {
    let storage = Arc::new(MemoryStorage::new());
    let old = open(&storage, 0, 1_000).await;
    add(&old, 0, 0..20).await;
    old.set_state(LOG, LogState::Frozen).await.unwrap();
    old.shutdown().await;
    let engine = open(&storage, 1, 10_000).await;
    completed(&engine).await;
    assert_eq!(
        engine.find_below(LOG, "word:19", u64::MAX, 9).await.unwrap(),
        [19]
    );
    engine.shutdown().await;
}

#[tokio::test]
async fn leaves_are_found_by_place_and_by_time() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage, 1, 1_000).await;
    add(&engine, 1, 0..40).await;
    let leaves = engine.leaves(LOG, 0, 40).await.unwrap();
    let some = engine.leaves_at(LOG, &[7, 0, 39, 7]).await.unwrap();
    let indexes: Vec<u64> = some.iter().map(|leaf| leaf.index).collect();
    assert_eq!(indexes, [7, 0, 39, 7]);
    assert_eq!(some[0], leaves[7]);
    assert!(matches!(
        engine.leaves_at(LOG, &[40]).await,
        Err(ReadError::OutOfRange { got: 40, .. })
    ));
    for leaf in &leaves {
        let first = leaves.iter().position(|other| other.time >= leaf.time).unwrap();
        assert_eq!(engine.first_at(LOG, leaf.time).await.unwrap(), first as u64);
        let behind = leaves.iter().position(|other| other.time > leaf.time);
        assert_eq!(
            engine.first_at(LOG, leaf.time + 1).await.unwrap(),
            behind.unwrap_or(40) as u64
        );
    }
    assert_eq!(engine.first_at(LOG, 0).await.unwrap(), 0);
    assert_eq!(engine.first_at(LOG, u64::MAX).await.unwrap(), 40);
    engine.shutdown().await;
}

/// A backup reads the index for as long as it takes, and a log may be getting its terms meanwhile.
#[tokio::test]
async fn a_copy_of_the_index_claims_nothing_that_was_written_behind_it() {
    let storage = Arc::new(MemoryStorage::new());
    let old = open(&storage, 0, 1_000).await;
    add(&old, 0, 0..900).await;
    old.shutdown().await;
    let begun = open(&storage, 1, 10_000).await;
    begun.shutdown().await;
    let marks = Marks::read(storage.as_ref(), [(LOG, 1)]).await.unwrap();
    let passed = storage.contents().index;
    let engine = open(&storage, 1, 20_000).await;
    completed(&engine).await;
    engine.shutdown().await;
    // The copy had gone past the terms when they were written, and came to the marks later.
    let keys = mark_keys(&storage.secret().await.unwrap(), LOG, 1);
    let all = storage.contents().index;
    let late = all.iter().filter(|(key, _)| keys.contains(key)).copied();
    let copied: BTreeSet<_> = passed.iter().copied().chain(late).collect();
    storage.damage(|contents| contents.index.clone_from(&copied));
    assert_ne!(check(&storage).await.findings, [], "what would be copied else");
    storage.damage(|contents| contents.index.retain(|row| marks.had(row)));
    assert_eq!(check(&storage).await.findings, []);
    // Whoever opens the copy goes on where it stands.
    let engine = open(&storage, 1, 30_000).await;
    completed(&engine).await;
    assert_eq!(storage.contents().index, all);
    engine.shutdown().await;
}
