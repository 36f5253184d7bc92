#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use common_pki::key::KeyAlgorithm;
use common_server::admission::Bounds;
use serde_json::json;

use crate::testing::{Reply, Stack, get, hashedrekord, post, signer};
use crate::{v1, v2};

/// Which of the three kinds of request there is no room for.
async fn full(writes: bool, reads: bool, expensive_reads: bool) -> Stack {
    let none = |full, otherwise| if full { Bounds::fixed(0) } else { otherwise };
    let limits = v1::Limits {
        writes: none(writes, Bounds::WRITES),
        reads: none(reads, Bounds::READS),
        expensive_reads: none(expensive_reads, Bounds::EXPENSIVE_READS),
        ..v1::Limits::default()
    };
    Stack::with(limits, v2::Limits::default()).await
}

fn entry() -> String {
    hashedrekord(signer(KeyAlgorithm::EcdsaP256).as_ref(), b"some content").to_string()
}

#[track_caller]
fn assert_refused(reply: &Reply) {
    assert_eq!(reply.status.as_u16(), 503);
    assert!(["1", "2", "3"].contains(&reply.header("retry-after")));
    assert_eq!(
        reply.json(),
        json!({"code": 503, "message": "the log is overloaded, retry later"})
    );
}

#[tokio::test]
async fn writes_that_do_not_fit_are_refused_and_reads_go_on() {
    let stack = full(true, false, false).await;
    assert_refused(&post(&stack.v1, "/api/v1/log/entries", entry()).await);
    // Nothing of it is looked at.
    assert_refused(&post(&stack.v1, "/api/v1/log/entries", "{").await);
    assert_eq!(get(&stack.v1, "/api/v1/log").await.status, 200);
    assert_eq!(get(&stack.v1, "/api/v1/log/entries?logIndex=0").await.status, 404);
}

#[tokio::test]
async fn reads_that_do_not_fit_are_refused_and_writes_go_on() {
    let stack = full(false, true, true).await;
    assert_eq!(post(&stack.v1, "/api/v1/log/entries", entry()).await.status, 201);
    let id = "0".repeat(64);
    for path in [
        "/api/v1/log/entries?logIndex=0".to_owned(),
        format!("/api/v1/log/entries/{id}"),
        "/api/v1/log/proof?lastSize=1".to_owned(),
    ] {
        assert_refused(&get(&stack.v1, &path).await);
    }
    for (path, body) in [
        ("/api/v1/log/entries/retrieve", r#"{"logIndexes":[0]}"#),
        ("/api/v1/index/retrieve", r#"{"email":"a@example.com"}"#),
    ] {
        assert_refused(&post(&stack.v1, path, body).await);
    }
    assert_eq!(
        get(&stack.v1, "/api/v1/log").await.status,
        200,
        "the head is in memory"
    );
}

#[tokio::test]
async fn searches_that_do_not_fit_do_not_stop_other_reads() {
    let stack = full(false, false, true).await;
    assert_refused(
        &post(
            &stack.v1,
            "/api/v1/index/retrieve",
            r#"{"email":"a@example.com"}"#,
        )
        .await,
    );
    assert_eq!(get(&stack.v1, "/api/v1/log/entries?logIndex=0").await.status, 404);
}

#[tokio::test]
async fn what_is_done_makes_room() {
    let limits = v1::Limits {
        writes: Bounds::fixed(1),
        ..v1::Limits::default()
    };
    let stack = Stack::with(limits, v2::Limits::default()).await;
    let entry = entry();
    for expected in [201, 409, 409] {
        let reply = post(&stack.v1, "/api/v1/log/entries", entry.clone()).await;
        assert_eq!(reply.status.as_u16(), expected);
    }
}
