//! Single faults by name, each with exactly what follows from it. All of them together are in `matrix`.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::harness::*;
use crate::anchor::{INTERVAL, PATIENCE};
use crate::memory::{Fault, MemoryStorage};
use crate::{Anchor, AnchorError, Options, Outcome, Published, SubmitError};

/// The number that the next call will have.
fn next(storage: &MemoryStorage) -> usize {
    storage.calls().len()
}

#[tokio::test]
async fn a_commit_that_failed_but_is_in_is_acknowledged() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    // The look-up comes first, then the commit.
    storage.fail(next(&storage) + 1, Fault::FailsButApplied);
    let outcome = engine.submit(V1, entry("a")).await.unwrap();
    assert!(matches!(outcome, Outcome::Sequenced(_)));
    assert_eq!(storage.contents().leaves.len(), 1);
    let again = engine.submit(V1, entry("a")).await.unwrap();
    assert!(matches!(again, Outcome::Duplicate(_)));
}

#[tokio::test]
async fn a_commit_that_failed_and_is_not_in_is_refused() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    storage.fail(next(&storage) + 1, Fault::Fails);
    let error = engine.submit(V1, entry("a")).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unavailable));
    assert_eq!(engine.head(V1).unwrap().size, 0);
    assert!(matches!(
        engine.submit(V1, entry("a")).await.unwrap(),
        Outcome::Sequenced(_)
    ));
}

/// Incident I14: a failed read was taken for "not present", and the entry logged twice.
#[tokio::test]
async fn a_failed_look_up_is_never_taken_for_absent() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    engine.submit(V1, entry("a")).await.unwrap();
    for read in 0..2 {
        // First the index rows, then the leaves they lead to.
        storage.fail(next(&storage) + read, Fault::Fails);
        let error = engine.submit(V1, entry("a")).await.unwrap_err();
        assert!(matches!(error, SubmitError::Unavailable));
    }
    assert!(matches!(
        engine.submit(V1, entry("a")).await.unwrap(),
        Outcome::Duplicate(_)
    ));
    assert_eq!(engine.head(V1).unwrap().size, 1);
}

/// Incident I2: a log went on after a reload that had failed itself.
#[tokio::test(start_paused = true)]
async fn a_failed_reload_yields_no_writer() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    fill(&engine, V1, "before", 3).await;
    let commit = next(&storage) + 1;
    storage.fail(commit, Fault::Fails);
    for reload in 1..=4 {
        storage.fail(commit + reload, Fault::Fails);
    }
    engine.submit(V1, entry("a")).await.unwrap_err();
    let calls = storage.calls();
    assert_eq!(
        calls[commit..commit + 5],
        ["commit", "logs", "logs", "logs", "logs"],
        "only reloads follow"
    );
    let outcome = engine.submit(V1, entry("a")).await.unwrap();
    assert_eq!(outcome.receipt().leaf.index, 3);
    assert!(engine.is_writable());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_went_back_is_never_written_again() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    let old = storage.contents();
    fill(&engine, V1, "a", 3).await;
    // A backup is restored under the running engine, then a commit fails on it.
    storage.damage(|contents| *contents = old);
    let error = engine.submit(V1, entry("b")).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unavailable));
    assert!(!engine.is_writable());
    assert!(storage.contents().leaves.is_empty(), "no second history");
    assert_eq!(engine.head(V1).unwrap().size, 3);
    engine.shutdown().await;
}

/// A disk that can be read and not written to: what a reload finds is sound, and nothing can be logged all the same.
#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_written_to_is_not_ready() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    assert!(engine.is_writable());
    let first = next(&storage);
    for call in first + 1..first + 40 {
        // The commit, and the probe of each reload.
        if (call - first) % 4 == 1 {
            storage.fail(call, Fault::Fails);
        }
    }
    let error = engine.submit(V1, entry("a")).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unavailable));
    assert!(!engine.is_writable());
    let calls = storage.calls();
    let reload = ["logs", "tiles", "tiles", "probe"];
    assert_eq!(calls[first..first + 2], ["find", "commit"]);
    assert_eq!(calls[first + 2..first + 10], [reload, reload].concat());
    storage.heal();
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert!(engine.is_writable(), "found out without an entry");
    engine.submit(V1, entry("a")).await.unwrap();
}

#[tokio::test]
async fn another_writer_is_no_reason_not_to_be_ready() {
    let storage = Arc::new(MemoryStorage::new());
    let (engine, other) = (open(&storage).await, open(&storage).await);
    fill(&other, V1, "other", 1).await;
    fill(&engine, V1, "own", 1).await;
    assert!(engine.is_writable());
    assert!(!storage.calls().contains(&"probe"));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Sound,
    Fails,
    Hangs,
}

struct Record(watch::Receiver<Disk>);

#[async_trait]
impl Anchor for Record {
    async fn load(&self) -> Result<Vec<Published>, AnchorError> {
        Ok(Vec::new())
    }

    async fn advance(&self, _heads: &[Published]) -> Result<(), AnchorError> {
        let mut disk = self.0.clone();
        if *disk.borrow() == Disk::Fails {
            return Err(AnchorError {
                path: "nowhere".to_owned(),
                reason: "injected".to_owned(),
            });
        }
        let _ = disk.wait_for(|disk| *disk != Disk::Hangs).await;
        Ok(())
    }
}

/// Heads that nothing outside the store knows of stay few: whoever brings an older store back could fork the log behind
/// the last one that is recorded.
#[tokio::test(start_paused = true)]
async fn a_log_takes_nothing_while_its_record_lags() {
    for fault in [Disk::Fails, Disk::Hangs] {
        let (set, disk) = watch::channel(Disk::Sound);
        let storage = Arc::new(MemoryStorage::new());
        let engine = open_with(
            Arc::clone(&storage) as _,
            Arc::new(Record(disk)),
            Options::default(),
        );
        let engine = engine.await.unwrap();
        fill(&engine, V1, "recorded", 1).await;
        tokio::time::sleep(INTERVAL * 4).await;
        assert!(engine.is_writable());
        set.send_replace(fault);
        fill(&engine, V1, "not recorded", 1).await;
        tokio::time::sleep(PATIENCE + INTERVAL * 2).await;
        assert!(!engine.is_writable(), "{fault:?}");
        let refused = engine.submit(V1, entry("refused")).await;
        assert!(matches!(refused, Err(SubmitError::Unavailable)), "{fault:?}");
        assert_eq!(engine.head(V1).unwrap().size, 2, "nothing came after them");
        set.send_replace(Disk::Sound);
        tokio::time::sleep(INTERVAL * 2).await;
        assert!(engine.is_writable(), "{fault:?}");
        fill(&engine, V1, "recorded again", 1).await;
        engine.shutdown().await;
    }
}
