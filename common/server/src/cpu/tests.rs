#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use super::*;

#[tokio::test]
async fn answers_come_back() {
    let answers = futures_of(64).await;
    assert_eq!(answers, (0..64u64).map(|n| n * n).collect::<Vec<_>>());
}

async fn futures_of(count: u64) -> Vec<u64> {
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(run(move || n * n))).collect();
    let mut out = Vec::new();
    for task in tasks {
        out.push(task.await.unwrap().unwrap());
    }
    out
}

#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let pool = Arc::new(Pool::new(1, 2).unwrap());
    let (open, gate) = mpsc::channel::<()>();
    let blocked = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.run(move || gate.recv()).await }
    });
    let waiting = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.run(|| 7).await }
    });
    while pool.pending() < 2 {
        tokio::task::yield_now().await;
    }
    let touched = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&touched);
    assert_eq!(
        pool.run(move || seen.store(true, Ordering::SeqCst)).await,
        Err(Overloaded)
    );
    open.send(()).unwrap();
    blocked.await.unwrap().unwrap().unwrap();
    assert_eq!(waiting.await.unwrap(), Ok(7));
    assert!(!touched.load(Ordering::SeqCst), "a refused job must not run");
    assert_eq!(pool.run(|| 8).await, Ok(8));
}

#[tokio::test]
async fn work_goes_on_when_the_caller_goes_away() {
    let pool = Arc::new(Pool::new(1, 8).unwrap());
    let (open, gate) = mpsc::channel::<()>();
    let (done, finished) = mpsc::channel::<()>();
    let caller = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move {
            pool.run(move || {
                gate.recv().unwrap();
                done.send(()).unwrap();
            })
            .await
        }
    });
    while pool.pending() == 0 {
        tokio::task::yield_now().await;
    }
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    open.send(()).unwrap();
    finished
        .recv_timeout(std::time::Duration::from_secs(10))
        .expect("the job ran to its end");
}

#[tokio::test]
async fn a_panic_reaches_the_caller_and_frees_its_slot() {
    let pool = Arc::new(Pool::new(1, 1).unwrap());
    let caller = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.run(|| -> u8 { panic!("a job broke") }).await }
    });
    assert!(caller.await.unwrap_err().is_panic());
    assert_eq!(pool.run(|| 1).await, Ok(1));
    assert_eq!(pool.pending(), 0);
}
