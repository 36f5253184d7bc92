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

fn thread_name() -> Option<String> {
    std::thread::current().name().map(str::to_owned)
}

#[tokio::test]
async fn a_driven_future_takes_its_steps_on_the_pool() {
    let pool = Arc::new(Pool::new(1, 8).unwrap());
    let inner = Arc::clone(&pool);
    let steps = pool.drive(async move {
        let first = thread_name();
        // A pool of one thread: a step that was queued behind the poll it is part of would never come.
        let second = inner.run(thread_name).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let third = tokio::spawn(async { 3 }).await.unwrap();
        (first, second, third, thread_name(), inner.pending())
    });
    let on_the_pool = Some("cpu-0".to_owned());
    let (first, second, third, last, pending) = steps.await.unwrap();
    assert_eq!(
        [first, second, last],
        [on_the_pool.clone(), on_the_pool.clone(), on_the_pool]
    );
    assert_eq!((third, pending), (3, 1));
    assert_eq!(pool.pending(), 0);
}

#[tokio::test]
async fn a_driven_future_waits_without_a_thread() {
    let pool = Arc::new(Pool::new(1, 2).unwrap());
    let (open, gate) = oneshot::channel::<()>();
    let waiting = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.drive(gate).await }
    });
    while pool.pending() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.run(|| 7).await, Ok(7), "its thread is free");
    let blocked = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.drive(std::future::pending::<()>()).await }
    });
    while pool.pending() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        pool.drive(async { 8 }).await,
        Err(Overloaded),
        "it keeps its place"
    );
    blocked.abort();
    while pool.pending() == 2 {
        tokio::task::yield_now().await;
    }
    open.send(()).unwrap();
    assert_eq!(waiting.await.unwrap(), Ok(Ok(())));
    assert_eq!(pool.pending(), 0);
}

#[tokio::test]
async fn a_panic_of_a_driven_future_reaches_its_caller() {
    let pool = Arc::new(Pool::new(1, 8).unwrap());
    let caller = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.drive(async { panic!("as expected") }).await }
    });
    assert!(caller.await.unwrap_err().is_panic());
    assert_eq!(pool.run(|| 9).await, Ok(9));
}
