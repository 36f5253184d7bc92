#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::routing::post;

use super::*;

/// A server that answers Rekor v2 writes with what `status` says of each request's number, from 0.
async fn server(status: fn(u64) -> u16) -> String {
    let number = Arc::new(AtomicU64::new(0));
    let answer = async move |body: Bytes| {
        let status = status(number.fetch_add(1, Ordering::Relaxed));
        (StatusCode::from_u16(status).unwrap(), body)
    };
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let router = Router::new().route(Work::V2.path(), post(answer));
    tokio::spawn(async move { axum::serve(socket, router).await });
    url
}

fn requests(count: usize) -> Arc<Vec<Bytes>> {
    Arc::new((0..count).map(|n| Bytes::from(n.to_string())).collect())
}

async fn loaded(url: &str, clients: u16, count: usize, window: Duration) -> Outcome {
    let target = Target::attach(url, &[]).await.unwrap();
    let plan = Plan::new(Work::V2, &target, clients).unwrap();
    tokio::task::spawn_blocking(move || run(&plan, &requests(count), window))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_sent_once_and_counted() {
    let url = server(|_| 201).await;
    let outcome = loaded(&url, 8, 300, Duration::from_secs(60)).await;
    assert_eq!(outcome.latencies.len(), 300);
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    assert!(outcome.ran_out && outcome.elapsed < Duration::from_secs(60));
    assert!(outcome.latencies.is_sorted());
    assert!((8..=SAMPLES).contains(&outcome.samples.len()));
    for (number, answer) in &outcome.samples {
        assert_eq!(*answer, number.to_string(), "the answer belongs to the request");
    }
    assert!(outcome.client_cpu.is_some() == cfg!(target_os = "linux"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_counted_by_status() {
    let url = server(|number| if number % 10 == 3 { 503 } else { 201 }).await;
    let outcome = loaded(&url, 2, 100, Duration::from_secs(60)).await;
    assert_eq!(outcome.errors, BTreeMap::from([("503".to_owned(), 10)]));
    assert_eq!(outcome.latencies.len(), 90);
    // The wrong success is no success.
    let url = server(|_| 200).await;
    assert_eq!(
        loaded(&url, 1, 3, Duration::from_secs(60)).await.errors,
        BTreeMap::from([("200".to_owned(), 3)])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_ends_a_window() {
    let url = server(|_| 201).await;
    let outcome = loaded(&url, 2, 1_000_000, Duration::from_millis(200)).await;
    assert!(!outcome.ran_out && !outcome.latencies.is_empty());
    assert!((Duration::from_millis(200)..Duration::from_secs(10)).contains(&outcome.elapsed));
}

#[tokio::test]
async fn only_an_instance_that_answers_is_loaded() {
    for url in [
        "https://localhost:1",
        "http://localhost/path",
        "localhost:3000",
        "http://user@localhost",
        "http://h/?q",
    ] {
        assert!(
            Target::attach(url, &[])
                .await
                .unwrap_err()
                .to_string()
                .contains("expected http://"),
            "{url}"
        );
    }
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = Target::attach(&format!("http://{free}"), &[])
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("does not answer"), "{refused}");
}
