//! Logs that are opened and closed while entries are logged.

use std::sync::Arc;

use super::harness::*;
use crate::memory::MemoryStorage;
use crate::{LogConfig, LogId, LogState, NoAnchor, OpenError, Options, SubmitError};

const NEXT: LogId = LogId(7);

fn log(id: LogId, origin: &str) -> LogConfig {
    let personality = TestLog {
        origin: origin.to_owned(),
        stamped: false,
    };
    config(id, Arc::new(personality), origin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_opened_beside_busy_ones_and_is_there_after_a_restart() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    let busy = {
        let engine = engine.clone();
        tokio::spawn(async move {
            for number in 0..200 {
                engine.submit(V1, entry(format!("busy {number}"))).await.unwrap();
            }
        })
    };
    assert!(matches!(
        engine.submit(NEXT, entry("early")).await,
        Err(SubmitError::UnknownLog(NEXT))
    ));
    let opened = engine.open_log(log(NEXT, "next")).await.unwrap();
    assert_eq!((opened.id, opened.state), (NEXT, LogState::Active));
    let receipt = engine.submit(NEXT, entry("first")).await.unwrap();
    assert_eq!(receipt.receipt().leaf.index, 0);
    assert!(matches!(
        engine.open_log(log(NEXT, "next")).await,
        Err(OpenError::LogNumber(NEXT))
    ));
    assert!(
        matches!(
            engine.open_log(log(LogId(8), "next")).await,
            Err(OpenError::Race(_))
        ),
        "an origin is one log's"
    );
    busy.await.unwrap();
    engine.shutdown().await;

    // Its row is there: a start, or a running engine that does not have it yet, goes on with it.
    let engine = open(&storage).await;
    let head = {
        engine.open_log(log(NEXT, "next")).await.unwrap();
        engine.head(NEXT).unwrap()
    };
    assert_eq!(head.size, 1);
    let again = engine.submit(NEXT, entry("first")).await.unwrap();
    assert!(matches!(again, crate::Outcome::Duplicate(_)), "deduplicated");
    assert!(
        matches!(
            engine.submit(V1, entry("first")).await.unwrap(),
            crate::Outcome::Sequenced(_)
        ),
        "per log"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_final_head_has_every_entry_that_was_acknowledged() {
    for round in 0..20 {
        let storage = Arc::new(MemoryStorage::new());
        let engine = open(&storage).await;
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    let mut last = None;
                    for number in 0.. {
                        match engine.submit(V1, entry(format!("{writer} {number}"))).await {
                            Ok(outcome) => last = Some(outcome.receipt().leaf.index),
                            // In the queue already, or too late for it.
                            Err(SubmitError::Frozen | SubmitError::Unavailable) => return last,
                            Err(other) => panic!("{other}"),
                        }
                    }
                    last
                })
            })
            .collect();
        while engine.head(V1).unwrap().size < round {
            tokio::task::yield_now().await;
        }
        let last = engine.freeze(V1).await.unwrap();
        assert_eq!(engine.freeze(V1).await.unwrap(), last, "again the same");
        for writer in writers {
            assert!(writer.await.unwrap().is_none_or(|index| index < last.size));
        }
        assert_eq!(engine.head(V1).unwrap(), last);
        assert_eq!(engine.log(V1).unwrap().state, LogState::Frozen);
        let late = engine.submit(V1, entry("late")).await;
        assert!(
            matches!(late, Err(SubmitError::Unavailable)),
            "its successor may be open in a moment: {late:?}"
        );
    }
}

#[tokio::test]
async fn an_engine_that_stops_opens_nothing() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open_with(Arc::clone(&storage) as _, Arc::new(NoAnchor), Options::default())
        .await
        .unwrap();
    engine.shutdown().await;
    assert!(matches!(
        engine.open_log(log(NEXT, "next")).await,
        Err(OpenError::Stopping)
    ));
}

#[tokio::test]
async fn a_log_that_was_opened_survives_the_reload_after_a_failed_commit() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    engine.open_log(log(NEXT, "next")).await.unwrap();
    engine.submit(NEXT, entry("before")).await.unwrap();
    // Another engine moves the head: a conflict, and a reload.
    let other = open(&storage).await;
    other.open_log(log(NEXT, "next")).await.unwrap();
    other.submit(NEXT, entry("other")).await.unwrap();
    let after = engine.submit(NEXT, entry("after")).await.unwrap();
    assert_eq!(after.receipt().leaf.index, 2);
}
