//! Times: never back within a log, and never far from the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::harness::*;
use crate::memory::MemoryStorage;
use crate::{Engine, NoAnchor, OpenError, Options, Outcome, Storage, SubmitError};

#[tokio::test]
async fn time_never_goes_back_within_a_log() {
    let storage = Arc::new(MemoryStorage::new());
    let millis = Arc::new(AtomicU64::new(2_000));
    let store: Arc<dyn Storage> = Arc::clone(&storage) as _;
    let engine = Engine::open(
        store,
        configs(),
        Arc::new(NoAnchor),
        clock(&millis),
        Options::default(),
    )
    .await
    .unwrap();
    let mut times = Vec::new();
    for now in [3_000, 2_500, 3_500] {
        millis.store(now, Ordering::Relaxed);
        let outcome = engine.submit(V1, entry(format!("{now}"))).await.unwrap();
        assert_eq!(outcome.receipt().head.time, outcome.receipt().leaf.time);
        times.push(outcome.receipt().leaf.time);
    }
    assert_eq!(times, [3_000, 3_000, 3_500]);
}

#[tokio::test]
async fn a_clock_far_behind_the_head_stops_the_log_until_it_has_caught_up() {
    let storage = Arc::new(MemoryStorage::new());
    let millis = Arc::new(AtomicU64::new(1_000));
    let open = async || {
        let store: Arc<dyn Storage> = Arc::clone(&storage) as _;
        let (anchor, options) = (Arc::new(NoAnchor), Options::default());
        Engine::open(store, configs(), anchor, clock(&millis), options).await
    };
    let engine = open().await.unwrap();
    let submit = async |now: u64| {
        millis.store(now, Ordering::Relaxed);
        engine.submit(V1, entry(format!("{now}"))).await
    };
    // The clock jumps ahead and back.
    submit(100_000).await.unwrap();
    assert!(matches!(submit(39_999).await, Err(SubmitError::Unavailable)));
    assert_eq!(engine.head(V1).unwrap().size, 1);
    match open().await {
        Err(OpenError::Clock { log, head, now, .. }) => assert_eq!((log, head, now), (V1, 100_000, 39_999)),
        other => panic!("expected a refusal, got {other:?}"),
    }
    // Another log is not concerned, and neither is what is stored.
    engine.submit(CT, entry("a")).await.unwrap();
    let again = engine.submit(V1, entry("100000")).await.unwrap();
    assert!(matches!(again, Outcome::Duplicate(_)));
    submit(40_000).await.unwrap();
    open().await.unwrap();
}
