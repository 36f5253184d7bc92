//! No writer meets an exchange half-way.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Active;

#[tokio::test(start_paused = true)]
async fn writers_inside_finish_and_those_behind_meet_the_next() {
    let active = Arc::new(Active::new(1));
    let inside = active.enter().await;
    let exchange = {
        let active = Arc::clone(&active);
        tokio::spawn(async move {
            let closed = active.close().await;
            sleep(Duration::from_secs(1)).await;
            closed.reopen(2);
        })
    };
    sleep(Duration::from_millis(1)).await;
    let behind = {
        let active = Arc::clone(&active);
        tokio::spawn(async move { *active.enter().await })
    };
    sleep(Duration::from_millis(1)).await;
    assert!(!exchange.is_finished() && !behind.is_finished());
    assert_eq!((*inside, *active.load()), (1, 1), "readers do not wait");
    drop(inside);
    assert_eq!(behind.await.unwrap(), 2);
    exchange.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_gives_up_changes_nothing() {
    let active = Active::new(1);
    let inside = active.enter().await;
    assert!(
        timeout(Duration::from_secs(1), active.close()).await.is_err(),
        "somebody is inside"
    );
    drop(inside);
    drop(active.close().await);
    assert_eq!(*active.enter().await, 1);
}
