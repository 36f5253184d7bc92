//! Statuses and headers that do not depend on entries.

use axum::body::Body;
use common_pki::key::KeyAlgorithm;
use http::Request;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use serde_json::json;

use crate::testing::{Reply, Stack, get, hashedrekord, post, recorded_request, send, signer};
use crate::v1::{Limits, metrics};

const ENTRIES: &str = "/api/v1/log/entries";

fn never_cached(reply: &Reply, what: &str) {
    let cache = reply.header("cache-control");
    assert_eq!(
        cache, "no-cache, no-store, no-transform, must-revalidate, private, max-age=0",
        "{what}"
    );
    assert_eq!(reply.header("pragma"), "no-cache", "{what}");
    assert_eq!(reply.header("x-accel-expires"), "0", "{what}");
    assert_eq!(reply.header("expires"), "Thu, 01 Jan 1970 00:00:00 GMT", "{what}");
}

#[tokio::test]
async fn no_answer_of_any_route_may_be_cached() {
    let stack = Stack::new().await;
    let zeros = "0".repeat(64);
    for (path, status) in [
        ("/api/v1/log", 200),
        ("/api/v1/log/", 200),
        ("/api/v1/log/publicKey", 200),
        ("/api/v1/log/publicKey?treeID=1", 400),
        ("/api/v1/log/proof?lastSize=1", 400),
        ("/api/v1/log/proof", 422),
        ("/api/v1/log/entries?logIndex=0", 404),
        (&format!("/api/v1/log/entries/{zeros}"), 404),
        (&format!("/api/v1/log/entries/{zeros}/"), 404),
        ("/api/v1/nothing", 404),
    ] {
        let reply = get(&stack.v1, path).await;
        assert_eq!(reply.status, status, "{path}");
        never_cached(&reply, path);
    }
    for path in [
        ENTRIES,
        "/api/v1/log/entries/retrieve",
        "/api/v1/log/entries/retrieve/",
        "/api/v1/index/retrieve",
    ] {
        let reply = post(&stack.v1, path, "{}").await;
        assert!(reply.status == 200 || reply.status == 422, "{path}");
        never_cached(&reply, path);
    }
    if let Some(request) = recorded_request("rekor-v1", "hashedrekord secp256r1 sha256") {
        for status in [201, 409] {
            let reply = post(&stack.v1, ENTRIES, request.clone()).await;
            assert_eq!(reply.status, status);
            never_cached(&reply, "create");
        }
    }
    let ping = get(&stack.v1, "/ping").await;
    assert_eq!(
        (
            &ping.body[..],
            ping.header("content-type"),
            ping.header("cache-control")
        ),
        (&b"."[..], "text/plain", "no-store")
    );
}

#[tokio::test]
async fn an_absent_entry_is_404_without_a_body() {
    let stack = Stack::new().await;
    for path in [
        "/api/v1/log/entries?logIndex=0".to_owned(),
        format!("{ENTRIES}/{}", "0".repeat(64)),
        format!("{ENTRIES}/{}1{}", "0".repeat(15), "0".repeat(64)),
    ] {
        let reply = get(&stack.v1, &path).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.body[..]),
            (404, &b""[..]),
            "{path}"
        );
        assert!(reply.headers.get("content-type").is_none(), "{path}");
    }
}

#[tokio::test]
async fn wrong_methods_name_the_right_ones() {
    let stack = Stack::new().await;
    for (method, path, allow) in [
        ("DELETE", ENTRIES, "GET,POST"),
        ("PUT", "/api/v1/log", "GET"),
        ("GET", "/api/v1/index/retrieve", "POST"),
        ("GET", "/api/v1/log/entries/retrieve/", "POST"),
        ("POST", "/api/v1/log/publicKey", "GET"),
    ] {
        let reply = send(
            &stack.v1,
            Request::builder()
                .method(method)
                .uri(path)
                .body(Body::empty())
                .unwrap(),
        )
        .await;
        let message = format!("method {method} is not allowed, but [{allow}] are");
        assert_eq!(
            (reply.status.as_u16(), reply.header("allow")),
            (405, allow),
            "{method} {path}"
        );
        assert_eq!(reply.json(), json!({"code": 405, "message": message}));
    }
    let unknown = get(&stack.v1, "/api/v1/a/b").await;
    assert_eq!(
        unknown.json(),
        json!({"code": 404, "message": "path /api/v1/a/b was not found"})
    );
}

#[tokio::test]
async fn media_types_are_negotiated() {
    let stack = Stack::new().await;
    let with = |path: &str, accept: &'static str| {
        Request::get(path)
            .header("accept", accept)
            .body(Body::empty())
            .unwrap()
    };
    let reply = send(&stack.v1, with("/api/v1/log", "text/html")).await;
    assert_eq!(
        reply.json(),
        json!({"code": 406, "message": "unsupported media type requested, only [application/json] are available"})
    );
    assert_eq!(reply.status, 406);
    assert_eq!(
        send(&stack.v1, with("/api/v1/log", "text/html, */*;q=0.1"))
            .await
            .status,
        200
    );
    assert_eq!(
        send(&stack.v1, with("/api/v1/log/publicKey", "application/x-pem-file"))
            .await
            .status,
        200
    );
    // The key as a text within JSON, to whoever takes nothing else.
    let reply = send(&stack.v1, with("/api/v1/log/publicKey", "application/json")).await;
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.json(), json!(stack.shard.public_key().to_pem()));
    // Who sends JSON takes it, whatever the header says.
    let request = Request::post("/api/v1/log/entries/retrieve")
        .header("content-type", "application/json")
        .header("accept", "text/plain")
        .body(Body::from(r#"{"entries":[]}"#))
        .unwrap();
    assert_eq!(send(&stack.v1, request).await.json(), json!([]));
    for path in [ENTRIES, "/api/v1/log/entries/retrieve", "/api/v1/index/retrieve"] {
        let request = Request::post(path)
            .header("content-type", "text/plain")
            .body(Body::from("x"))
            .unwrap();
        let reply = send(&stack.v1, request).await;
        let message = "unsupported media type \"text/plain\", only [application/json] are allowed";
        assert_eq!(reply.json(), json!({"code": 415, "message": message}));
        assert_eq!(reply.status, 415);
    }
    for (path, parameter) in [
        (ENTRIES, "proposedEntry"),
        ("/api/v1/log/entries/retrieve", "entry"),
        ("/api/v1/index/retrieve", "query"),
    ] {
        let reply = post(&stack.v1, path, "").await;
        assert_eq!(
            reply.json(),
            json!({"code": 602, "message": format!("{parameter} in body is required")})
        );
        assert_eq!(reply.status, 422);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_nothing_is_logged() {
    let limits = Limits {
        body: 1_000,
        ..Limits::default()
    };
    let stack = Stack::with(limits, crate::v2::Limits::default()).await;
    for path in [ENTRIES, "/api/v1/log/entries/retrieve", "/api/v1/index/retrieve"] {
        let reply = post(&stack.v1, path, " ".repeat(1_001)).await;
        assert_eq!(
            reply.json(),
            json!({"code": 413, "message": "Request Entity Too Large. Limit set to 1000"})
        );
        assert_eq!(reply.status, 413);
        assert_ne!(post(&stack.v1, path, " ".repeat(1_000)).await.status, 413);
    }
    assert_eq!(stack.size(crate::testing::NEW), 0);
}

#[tokio::test]
async fn browsers_may_ask_from_anywhere() {
    let stack = Stack::new().await;
    let preflight = Request::options(ENTRIES)
        .header("origin", "https://search.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .body(Body::empty())
        .unwrap();
    let reply = send(&stack.v1, preflight).await;
    assert!(reply.status.is_success());
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    assert_eq!(reply.header("access-control-allow-methods"), "GET,POST,HEAD");
    assert!(
        reply
            .header("access-control-allow-headers")
            .contains("content-type")
    );
    assert_eq!(reply.header("access-control-allow-credentials"), "");
    let simple = Request::get("/api/v1/log")
        .header("origin", "https://search.example.com")
        .body(Body::empty())
        .unwrap();
    assert_eq!(
        send(&stack.v1, simple)
            .await
            .header("access-control-allow-origin"),
        "*"
    );
}

#[tokio::test]
async fn the_query_of_a_submission_stays_in_its_location_without_the_api_key() {
    let stack = Stack::new().await;
    let Some(request) = recorded_request("rekor-v1", "hashedrekord secp256r1 sha256") else {
        return;
    };
    for status in [201, 409] {
        let reply = post(
            &stack.v1,
            &format!("{ENTRIES}/?a=1&apiKey=secret&b=%2F"),
            request.clone(),
        )
        .await;
        assert_eq!(reply.status, status);
        assert_eq!(
            reply.header("location"),
            format!("{ENTRIES}/{}?a=1&b=%2F", reply.header("etag"))
        );
    }
}

#[tokio::test]
async fn figures_under_the_names_of_upstream() {
    let mut builder = PrometheusBuilder::new();
    for name in metrics::HISTOGRAMS {
        let matcher = Matcher::Full(name.to_owned());
        builder = builder
            .set_buckets_for_metric(matcher, &metrics::BUCKETS)
            .unwrap();
    }
    let recorder = builder.build_recorder();
    let guard = ::metrics::set_default_local_recorder(&recorder);
    let stack = Stack::new().await;
    let entry = hashedrekord(&*signer(KeyAlgorithm::EcdsaP256), b"counted").to_string();
    for _ in 0..2 {
        post(&stack.v1, ENTRIES, entry.clone()).await;
    }
    get(&stack.v1, &format!("{ENTRIES}/{}", "00".repeat(32))).await;
    get(&stack.v1, "/api/v1/nothing/here").await;
    let invented = Request::builder().method("INVENTED").uri(ENTRIES);
    send(&stack.v1, invented.body(Body::empty()).unwrap()).await;
    drop(guard);
    let text = recorder.handle().render();
    for line in [
        r#"rekor_api_latency_count{path="/api/v1/log/entries",code="201"} 1"#,
        r#"rekor_api_latency_summary_count{path="/api/v1/log/entries",code="409"} 1"#,
        r#"rekor_latency_by_api_count{path="/api/v1/log/entries",method="POST"} 2"#,
        r#"rekor_latency_by_api_bucket{path="/api/v1/log/entries",method="POST",le="60000000000"} 2"#,
        r#"rekor_qps_by_api{path="/api/v1/log/entries/{entryUUID}",method="GET",code="404"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains("INVENTED") && !text.contains("nothing"), "{text}");
}
