//! The write path: order, deduplication, isolation of bad entries, cancellation, overload, two writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common_tlog::{Hash, leaf_hash};

use super::harness::*;
use crate::memory::MemoryStorage;
use crate::{
    Attachment, Engine, Entry, LogId, LogState, NoAnchor, Options, Outcome, Personality, Place, SealError,
    Sealed, Storage, SubmitError,
};

fn misbehaving(body: &str, how: &'static str) -> Entry {
    Entry {
        aux: Bytes::from_static(how.as_bytes()),
        ..entry(body)
    }
}

/// Has all of `entries` in one batch.
async fn in_one_batch(
    engine: &Engine,
    storage: &MemoryStorage,
    entries: Vec<(LogId, Entry)>,
) -> Vec<Result<Outcome, SubmitError>> {
    let busy = Busy::new(engine, storage).await;
    let (count, own) = (entries.len(), engine.clone());
    let answers = tokio::spawn(async move { submit_all(&own, entries).await });
    busy.queued(engine, count).await;
    busy.release().await;
    answers.await.unwrap()
}

#[tokio::test]
async fn acknowledged_means_durable_included_and_provable_for_ever() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    let mut promises = Promises::default();
    for round in 0..4 {
        for (log, count) in [(V1, 1), (V1, 300), (CT, 7), (V1, 0), (CT, 250)] {
            for receipt in fill(&engine, log, &format!("round {round}, {count}"), count).await {
                // What a receipt speaks of is in storage by the time it is seen.
                let contents = storage.contents();
                let place = Place {
                    log,
                    index: receipt.leaf.index,
                };
                assert_eq!(contents.leaves.get(&place), Some(&receipt.leaf));
                assert!(contents.logs[&log].head.size >= receipt.head.size);
                promises.receipt(&receipt);
            }
        }
    }
    promises.audit(&engine, &storage).await;
    engine.shutdown().await;
    let again = open(&Arc::new(MemoryStorage::with_contents(storage.contents()))).await;
    promises.audit(&again, &storage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundreds_of_tasks_with_duplicates_among_them_get_one_leaf_each() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    // Each of 150 entries is submitted four times, at once.
    let entries = (0..600)
        .map(|n| (if n % 2 == 0 { V1 } else { CT }, entry(format!("{}", n % 150))))
        .collect();
    let mut promises = Promises::default();
    let (mut new, mut places) = (0, std::collections::HashMap::new());
    for answer in submit_all(&engine, entries).await {
        let outcome = answer.unwrap();
        new += usize::from(matches!(outcome, Outcome::Sequenced(_)));
        let receipt = outcome.receipt();
        promises.receipt(receipt);
        let body = receipt
            .leaf
            .data
            .rsplit(|byte| *byte == b'|')
            .next()
            .unwrap()
            .to_vec();
        let index = places.entry((receipt.log, body)).or_insert(receipt.leaf.index);
        assert_eq!(
            *index, receipt.leaf.index,
            "all submitters of an entry get the same place"
        );
    }
    assert_eq!(new, 150);
    promises.audit(&engine, &storage).await;
}

#[tokio::test]
async fn one_bad_entry_fails_only_itself() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    let wrong_identity = Entry {
        identity: Hash([9; 32]),
        ..entry("wrong")
    };
    // Place and time make it too long, which only its sealing shows.
    let large = entry(vec![b'x'; 65_535]);
    let answers = in_one_batch(
        &engine,
        &storage,
        vec![
            (V1, entry("first")),
            (V1, misbehaving("error", "error")),
            (V1, entry("second")),
            (V1, misbehaving("panic", "panic")),
            (CT, misbehaving("ct", "error")),
            (V1, wrong_identity),
            (CT, large),
            (V1, entry("third")),
            (V1, misbehaving("error", "error")),
            (CT, entry("fourth")),
        ],
    )
    .await;
    let kinds: Vec<&str> = answers
        .iter()
        .map(|answer| match answer {
            Ok(Outcome::Sequenced(_)) => "new",
            Ok(Outcome::Duplicate(_)) => "duplicate",
            Err(SubmitError::Seal(_)) => "seal",
            Err(SubmitError::TooLarge {
                limit: 65_535,
                got: 65_536..,
            }) => "large",
            Err(_) => "other",
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "new", "seal", "new", "seal", "seal", "seal", "large", "new", "seal", "new"
        ]
    );
    let indexes: Vec<u64> = answers
        .iter()
        .flatten()
        .map(|outcome| outcome.receipt().leaf.index)
        .collect();
    assert_eq!(indexes, [1, 2, 3, 0], "no gap, in order of arrival");
    let mut promises = Promises::default();
    answers
        .iter()
        .flatten()
        .for_each(|outcome| promises.receipt(outcome.receipt()));
    promises.audit(&engine, &storage).await;
}

#[tokio::test]
async fn duplicates_within_a_batch_and_against_storage_name_the_first_leaf() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    fill(&engine, V1, "old", 1).await;
    let entries = vec![
        (V1, entry("new")),
        (V1, entry("old 0")),
        (V1, entry("new")),
        (CT, entry("new")),
    ];
    let answers: Vec<Outcome> = in_one_batch(&engine, &storage, entries)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(matches!(&answers[0], Outcome::Sequenced(receipt) if receipt.leaf.index == 2));
    assert!(
        matches!(&answers[1], Outcome::Duplicate(receipt) if receipt.leaf.index == 0 && receipt.head.size == 3)
    );
    assert!(matches!(&answers[2], Outcome::Duplicate(receipt) if receipt == answers[0].receipt()));
    assert!(
        matches!(&answers[3], Outcome::Sequenced(receipt) if receipt.leaf.index == 0),
        "logs are apart"
    );
}

/// Incident I13: a deduplication key that was shorter than the hash.
#[tokio::test]
async fn an_index_row_alone_does_not_make_a_duplicate() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    fill(&engine, V1, "old", 1).await;
    let secret = storage.secret().await.unwrap();
    let hash = leaf_hash(b"other");
    // As if the keys of both collided.
    storage.damage(|contents| {
        contents
            .index
            .insert((secret.leaf(V1, &hash), Place { log: V1, index: 0 }));
    });
    assert_eq!(engine.find_leaf(V1, &hash).await.unwrap(), None);
    let outcome = engine.submit(V1, entry("other")).await.unwrap();
    assert!(matches!(outcome, Outcome::Sequenced(_)));
    assert_eq!(engine.find_leaf(V1, &hash).await.unwrap().unwrap().index, 1);
}

#[tokio::test]
async fn a_submitter_that_goes_away_disturbs_nobody() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    let busy = Busy::new(&engine, &storage).await;
    let tasks: Vec<_> = (0..60)
        .map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.submit(V1, entry(format!("{n}"))).await })
        })
        .collect();
    busy.queued(&engine, 60).await;
    for (n, task) in tasks.iter().enumerate() {
        if n % 3 == 0 {
            task.abort();
        }
    }
    busy.release().await;
    let mut promises = Promises::default();
    for (n, task) in tasks.into_iter().enumerate() {
        match task.await {
            Ok(answer) => promises.receipt(answer.unwrap().receipt()),
            Err(error) => assert!(error.is_cancelled() && n % 3 == 0),
        }
    }
    engine.shutdown().await;
    assert_eq!(engine.head(V1).unwrap().size, 61, "what was queued is logged");
    promises.audit(&engine, &storage).await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_loses_nothing_it_admitted() {
    let storage = Arc::new(MemoryStorage::new());
    let options = Options {
        queue_entries: 10,
        batch_entries: 4,
        ..Options::default()
    };
    let store: Arc<dyn Storage> = Arc::clone(&storage) as _;
    let engine = open_with(store, Arc::new(NoAnchor), options).await.unwrap();
    let busy = Busy::new(&engine, &storage).await;
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.submit(V1, entry(format!("{n}"))).await })
        })
        .collect();
    busy.queued(&engine, 10).await;
    // All others are refused at once, while the ten wait.
    while tasks.iter().filter(|task| task.is_finished()).count() < 90 {
        tokio::task::yield_now().await;
    }
    busy.release().await;
    let (mut logged, mut refused) = (0, 0);
    let mut promises = Promises::default();
    for task in tasks {
        match task.await.unwrap() {
            Ok(outcome) => {
                promises.receipt(outcome.receipt());
                logged += 1;
            }
            Err(error) => {
                assert!(matches!(error, SubmitError::Overloaded), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!((logged, refused), (10, 90));
    assert_eq!(engine.head(V1).unwrap().size, 11);
    promises.audit(&engine, &storage).await;
}

#[tokio::test]
async fn bytes_in_the_queue_are_bounded_too() {
    let storage = Arc::new(MemoryStorage::new());
    let options = Options {
        queue_bytes: 40_000,
        ..Options::default()
    };
    let store: Arc<dyn Storage> = Arc::clone(&storage) as _;
    let engine = open_with(store, Arc::new(NoAnchor), options).await.unwrap();
    let error = engine.submit(V1, entry(vec![0; 40_000])).await.unwrap_err();
    assert!(
        matches!(error, SubmitError::TooLarge { limit: 40_000, got } if got > 40_000),
        "{error}"
    );
    let busy = Busy::new(&engine, &storage).await;
    let (entries, own) = (
        (0..4).map(|n| (V1, entry(vec![n; 15_000]))).collect(),
        engine.clone(),
    );
    let answers = tokio::spawn(async move { submit_all(&own, entries).await });
    busy.queued(&engine, 2).await;
    busy.release().await;
    let (admitted, refused): (Vec<_>, Vec<_>) = answers.await.unwrap().into_iter().partition(Result::is_ok);
    assert_eq!((admitted.len(), refused.len()), (2, 2));
    assert!(
        refused
            .iter()
            .all(|answer| matches!(answer, Err(SubmitError::Overloaded)))
    );
    // The room is free again.
    engine.submit(V1, entry(vec![9; 30_000])).await.unwrap();
}

#[tokio::test]
async fn a_body_that_no_leaf_can_hold_is_refused_before_it_is_queued() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    let calls = storage.calls().len();
    for log in [V1, CT] {
        let error = engine.submit(log, entry(vec![b'x'; 65_536])).await.unwrap_err();
        let expected = matches!(
            error,
            SubmitError::TooLarge {
                limit: 65_535,
                got: 65_536
            }
        );
        assert!(expected, "{error}");
    }
    assert_eq!(storage.calls().len(), calls, "the writer never saw it");
    engine.submit(V1, entry(vec![b'x'; 65_535])).await.unwrap();
}

#[tokio::test]
async fn index_rows_in_the_queue_and_in_a_batch_are_bounded() {
    let storage = Arc::new(MemoryStorage::new());
    let options = Options {
        queue_bytes: 100_000,
        batch_rows: 20,
        ..Options::default()
    };
    let store: Arc<dyn Storage> = Arc::clone(&storage) as _;
    let engine = open_with(store, Arc::new(NoAnchor), options).await.unwrap();
    let with_terms = |body: &str, count: usize| Entry {
        terms: (0..count).map(|n| format!("{body} {n}")).collect(),
        ..entry(body)
    };
    let error = engine.submit(V1, with_terms("many", 50)).await.unwrap_err();
    assert!(
        matches!(error, SubmitError::TooLarge { limit: 100_000, .. }),
        "{error}"
    );
    let entries = (0..4).map(|n| (V1, with_terms(&format!("{n}"), 8))).collect();
    let before = storage.calls().iter().filter(|call| **call == "commit").count();
    let answers = in_one_batch(&engine, &storage, entries).await;
    assert!(answers.iter().all(Result::is_ok));
    let commits = storage.calls().iter().filter(|call| **call == "commit").count() - before;
    assert_eq!(
        commits, 3,
        "one that kept the writer busy, and two of two entries each"
    );
}

/// Two engines on one store, as two replicas or two processes would be.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_on_one_log_cannot_split_it() {
    let storage = Arc::new(MemoryStorage::new());
    let engines = [open(&storage).await, open(&storage).await];
    let mut tasks = Vec::new();
    for (engine, name) in engines.iter().zip(["left", "right"]) {
        for n in 0..100 {
            let engine = engine.clone();
            tasks.push(tokio::spawn(async move {
                let own = engine.submit(V1, entry(format!("{name} {n}"))).await;
                [own, engine.submit(V1, entry(format!("both {n}"))).await]
            }));
        }
    }
    let mut promises = Promises::default();
    let mut unavailable = 0;
    for task in tasks {
        for answer in task.await.unwrap() {
            match answer {
                Ok(outcome) => promises.receipt(outcome.receipt()),
                Err(error) => {
                    assert!(matches!(error, SubmitError::Unavailable), "{error}");
                    unavailable += 1;
                }
            }
        }
    }
    assert!(unavailable < 200, "both make progress");
    for engine in &engines {
        // Each learns of the other's last batch with its own next one.
        engine.submit(V1, entry("last")).await.unwrap();
        promises.audit(engine, &storage).await;
    }
}

struct BrokenSigner(TestLog, AtomicU64);

impl Personality for BrokenSigner {
    fn seal(&self, entry: &Entry, index: u64, time: u64) -> Result<Sealed, SealError> {
        self.0.seal(entry, index, time)
    }

    fn checkpoint(&self, size: u64, root: &Hash, time: u64) -> Result<String, SealError> {
        match self.1.fetch_add(1, Ordering::Relaxed) {
            1 => Err(SealError::new("no signature today")),
            2 => panic!("the signer panicked"),
            _ => self.0.checkpoint(size, root, time),
        }
    }
}

#[tokio::test]
async fn a_signer_that_fails_refuses_its_log_and_no_other() {
    let storage = Arc::new(MemoryStorage::new());
    let mut logs = configs();
    let inner = TestLog {
        origin: "v1.test".to_owned(),
        stamped: false,
    };
    logs[0].personality = Arc::new(BrokenSigner(inner, AtomicU64::new(0)));
    let millis = Arc::new(AtomicU64::new(1));
    let store: Arc<dyn Storage> = Arc::clone(&storage) as _;
    let engine = Engine::open(
        store,
        logs,
        Arc::new(NoAnchor),
        clock(&millis),
        Options::default(),
    )
    .await
    .unwrap();
    for _ in 0..2 {
        let error = engine.submit(V1, entry("a")).await.unwrap_err();
        assert!(matches!(error, SubmitError::Seal(_)), "{error}");
    }
    engine.submit(CT, entry("b")).await.unwrap();
    assert_eq!(
        engine.head(V1).unwrap().size,
        0,
        "an unsigned head is never stored"
    );
    assert_eq!(
        engine.submit(V1, entry("a")).await.unwrap().receipt().leaf.index,
        0
    );
}

#[tokio::test]
async fn closed_logs_take_nothing_and_still_answer() {
    let storage = Arc::new(MemoryStorage::new());
    let (engine, replica) = (open(&storage).await, open(&storage).await);
    fill(&engine, V1, "a", 2).await;
    engine.set_state(V1, LogState::ReadOnly).await.unwrap();
    assert!(matches!(
        engine.submit(V1, entry("b")).await,
        Err(SubmitError::ReadOnly)
    ));
    // The other replica finds out when it tries to commit.
    assert!(matches!(
        replica.submit(V1, entry("b")).await,
        Err(SubmitError::ReadOnly)
    ));
    assert_eq!(replica.log(V1).unwrap().state, LogState::ReadOnly);
    engine.set_state(V1, LogState::Active).await.unwrap();
    fill(&engine, V1, "c", 1).await;
    engine.set_state(V1, LogState::Frozen).await.unwrap();
    assert!(matches!(
        engine.submit(V1, entry("d")).await,
        Err(SubmitError::Frozen)
    ));
    engine.set_state(V1, LogState::Active).await.unwrap_err();
    engine.submit(CT, entry("d")).await.unwrap();
    assert_eq!(engine.leaves(V1, 0, 10).await.unwrap().len(), 3);
    assert!(matches!(
        engine.submit(LogId(9), entry("d")).await,
        Err(SubmitError::UnknownLog(LogId(9)))
    ));
}

#[tokio::test]
async fn shutdown_drains_what_had_queued_and_records_the_last_head() {
    let storage = Arc::new(MemoryStorage::new());
    let anchor = Arc::new(TestAnchor::default());
    let store: Arc<dyn Storage> = Arc::clone(&storage) as _;
    let engine = open_with(store, Arc::clone(&anchor) as _, Options::default())
        .await
        .unwrap();
    let busy = Busy::new(&engine, &storage).await;
    let (entries, own) = (
        (0..40).map(|n| (V1, entry(format!("{n}")))).collect(),
        engine.clone(),
    );
    let answers = tokio::spawn(async move { submit_all(&own, entries).await });
    busy.queued(&engine, 40).await;
    let own = engine.clone();
    let stopping = tokio::spawn(async move { own.shutdown().await });
    tokio::task::yield_now().await;
    busy.release().await;
    stopping.await.unwrap();
    assert!(answers.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(engine.head(V1).unwrap().size, 41);
    assert_eq!(anchor.0.lock().unwrap()["v1.test"].size, 41);
    assert!(matches!(
        engine.submit(V1, entry("late")).await,
        Err(SubmitError::ShuttingDown)
    ));
    assert!(!engine.is_writable());
    assert!(engine.leaf(V1, 0).await.unwrap().is_some(), "reads go on");
    engine.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_engine_does_nothing() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    fill(&engine, V1, "a", 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let calls = storage.calls().len();
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert_eq!(storage.calls().len(), calls);
}

#[tokio::test]
async fn attachments_and_terms_are_stored_with_their_entry() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    let attached = |body: &str, data: &'static str| Entry {
        terms: vec![
            "email:a@example.com".to_owned(),
            format!("body:{body}"),
            "email:a@example.com".to_owned(),
        ],
        attachments: vec![Attachment {
            key: "sha256:x".to_owned(),
            data: Bytes::from_static(data.as_bytes()),
        }],
        ..entry(body)
    };
    engine.submit(V1, attached("a", "first")).await.unwrap();
    engine.submit(CT, attached("b", "second")).await.unwrap();
    engine.submit(V1, attached("c", "third")).await.unwrap();
    assert_eq!(
        engine.attachment("sha256:x").await.unwrap(),
        Some(Bytes::from_static(b"first"))
    );
    assert_eq!(engine.attachment("sha256:y").await.unwrap(), None);
    let newest_first = [(CT, 0), (V1, 1), (V1, 0)];
    assert_eq!(
        engine.search("email:a@example.com", 10).await.unwrap(),
        newest_first
    );
    assert_eq!(
        engine.search("email:a@example.com", 2).await.unwrap(),
        newest_first[..2]
    );
    assert_eq!(engine.search("body:c", 10).await.unwrap(), [(V1, 1)]);
    assert_eq!(engine.search("body:C", 10).await.unwrap(), []);
}

/// A writer that had reloaded while the log was closed kept refusing what its log took again.
#[tokio::test]
async fn a_log_that_is_opened_again_takes_entries_also_from_a_writer_that_had_reloaded() {
    let storage = Arc::new(MemoryStorage::new());
    let (engine, replica) = (open(&storage).await, open(&storage).await);
    engine.set_state(V1, LogState::ReadOnly).await.unwrap();
    fill(&replica, CT, "moves the head", 1).await;
    fill(&engine, CT, "has to reload", 1).await;
    engine.set_state(V1, LogState::Active).await.unwrap();
    engine.submit(V1, entry("a")).await.unwrap();
}
