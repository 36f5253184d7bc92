//! Creating entries.

use axum::body::Body;
use common_engine::LogState;
use http::Request;
use serde_json::json;

use super::{ENTRIES, verify_entry};
use crate::testing::{HOST, NEW, Stack, TILES, dsse_request, post, recorded_request, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_duplicates_one_is_created_and_all_others_name_its_index() {
    let stack = Stack::new().await;
    let Some(request) = recorded_request("rekor-v2", "p256") else {
        return;
    };
    let other = recorded_request("rekor-v2", "p384").unwrap();
    assert_eq!(post(&stack.v2, ENTRIES, other).await.status, 201);
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (router, request) = (stack.v2.clone(), request.clone());
            tokio::spawn(async move { post(&router, ENTRIES, request).await })
        })
        .collect();
    let mut created = 0;
    for task in tasks {
        let reply = task.await.unwrap();
        match reply.status.as_u16() {
            201 => {
                verify_entry(&reply.json(), &stack);
                assert_eq!(reply.json()["logIndex"], "1");
                created += 1;
            }
            409 => {
                assert_eq!(reply.header("x-log-index"), "1");
                let message = "an equivalent entry already exists in the transparency log with index 1";
                assert_eq!(
                    reply.json(),
                    json!({"code": 6, "message": message, "details": []})
                );
            }
            other => panic!("{other}: {:?}", reply.body),
        }
    }
    assert_eq!((created, stack.size(TILES)), (1, 2));
}

#[tokio::test]
async fn any_content_type_is_json() {
    let stack = Stack::new().await;
    let Some(request) = recorded_request("rekor-v2", "p256") else {
        return;
    };
    let reply = send(
        &stack.v2,
        Request::post(ENTRIES)
            .header("content-type", "text/plain")
            .body(Body::from(request))
            .unwrap(),
    )
    .await;
    assert_eq!(reply.status, 201);
    assert_eq!(
        (reply.header("content-type"), reply.header("cache-control")),
        ("application/json", "no-store")
    );
}

#[tokio::test]
async fn terms_of_an_entry_are_few() {
    let stack = Stack::new().await;
    let requests = [
        // Key hash with and without its prefix, payload, subject; key, signature.
        (Some(dsse_request().to_string()), 6),
        // Key hash, digest; key, signature.
        (recorded_request("rekor-v2", "p256"), 4),
        // The same: this certificate has no name.
        (recorded_request("rekor-v2", "certificate"), 4),
    ];
    for (request, terms) in requests {
        let Some(request) = request else { continue };
        let before = stack.storage.contents().index.len();
        let created = post(&stack.v2, ENTRIES, request).await;
        assert_eq!(created.status, 201, "{:?}", created.body);
        // One more is the row by which a duplicate is found.
        let rows = stack.storage.contents().index.len() - before;
        assert_eq!(rows, terms + 1, "{:?}", created.body);
    }
}

#[tokio::test]
async fn a_log_that_is_closed_says_so_in_plain_text() {
    for state in [LogState::ReadOnly, LogState::Frozen] {
        let stack = Stack::new().await;
        stack.engine.set_state(TILES, state).await.unwrap();
        let request = recorded_request("rekor-v2", "p256").unwrap_or_else(|| "{}".to_owned());
        for body in [request.as_str(), "{", ""] {
            let reply = post(&stack.v2, ENTRIES, body.to_owned()).await;
            assert_eq!(reply.status, 405);
            assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
            assert_eq!(
                reply.body,
                "This log has been frozen, please switch to the latest log.\n"
            );
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_an_invalid_argument() {
    let stack = Stack::with(
        crate::v1::Limits::default(),
        crate::v2::Limits {
            body: 1_000,
            ..crate::v2::Limits::default()
        },
    )
    .await;
    let reply = post(&stack.v2, ENTRIES, " ".repeat(1_001)).await;
    assert_eq!(
        reply.status, 400,
        "not 413: the gateway reads the body inside the call"
    );
    assert_eq!(
        reply.json(),
        json!({"code": 3, "message": "request body too large: at most 1000 bytes are read", "details": []})
    );
    assert_eq!(
        post(&stack.v2, ENTRIES, " ".repeat(1_000)).await.message(),
        "invalid type, must be hashedrekord"
    );
}

#[tokio::test]
async fn a_stopped_log_asks_to_retry() {
    let stack = Stack::new().await;
    let Some(request) = recorded_request("rekor-v2", "p256") else {
        return;
    };
    stack.engine.shutdown().await;
    let reply = post(&stack.v2, ENTRIES, request).await;
    assert_eq!(reply.status.as_u16(), 503);
    assert!(["1", "2", "3"].contains(&reply.header("retry-after")));
    assert_eq!(reply.json()["code"], 14);
}

#[tokio::test]
async fn a_service_is_made_for_its_own_log_only() {
    use crate::v2::{Limits, Policy, Service, ServiceError};
    let stack = Stack::new().await;
    let make = |log, host, key| {
        Service::new(
            stack.engine.clone(),
            log,
            host,
            key,
            Policy::default(),
            Limits::default(),
        )
        .map(|_| ())
    };
    assert!(matches!(
        make(NEW, HOST, &stack.v2_key),
        Err(ServiceError::UnknownLog { .. })
    ));
    assert!(matches!(
        make(TILES, "other.example.com", &stack.v2_key),
        Err(ServiceError::UnknownLog { .. })
    ));
    assert!(matches!(
        make(TILES, HOST, stack.shard.public_key()),
        Err(ServiceError::Key(_))
    ));
}

#[tokio::test]
async fn a_panic_shows_nothing() {
    let reply = crate::v2::panicked(Box::new("index out of bounds"));
    let body = axum::body::to_bytes(reply.into_body(), usize::MAX).await.unwrap();
    assert_eq!(
        body,
        "{\"code\":13,\"message\":\"internal server error\",\"details\":[]}"
    );
}

#[tokio::test]
async fn errors_of_routing_are_the_gateways() {
    let stack = Stack::new().await;
    for (method, path, status, code, message) in [
        ("GET", "/api/v2/nothing", 404, 5, "Not Found"),
        ("POST", "/api/v2/log/entries/1", 404, 5, "Not Found"),
        ("GET", ENTRIES, 501, 12, "Method Not Allowed"),
        ("DELETE", ENTRIES, 501, 12, "Method Not Allowed"),
        ("POST", "/api/v2/checkpoint", 501, 12, "Method Not Allowed"),
        ("POST", "/tile/0/000", 501, 12, "Method Not Allowed"),
    ] {
        let reply = send(
            &stack.v2,
            Request::builder()
                .method(method)
                .uri(path)
                .body(Body::empty())
                .unwrap(),
        )
        .await;
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(
            reply.json(),
            json!({"code": code, "message": message, "details": []})
        );
        assert_eq!(reply.header("cache-control"), "no-store");
    }
}
