//! Wrong requests of every shape: always a 4xx, and nothing is logged.

use common_engine::memory::Fault;
use serde_json::{Value, json};

use crate::testing::{NEW, Stack, TILES, get, mutations, post, recorded_request, signed_statement};

const ENTRIES: &str = "/api/v1/log/entries";
const RETRIEVE: &str = "/api/v1/log/entries/retrieve";
const INDEX: &str = "/api/v1/index/retrieve";

/// Mutations that leave a valid entry.
fn harmless(place: &str) -> bool {
    // One of two signatures is an entry too.
    let fewer_signatures =
        place.ends_with("/signatures/0 removed") || place.ends_with("/signatures/1 removed");
    // Key IDs are hints. The client's hash of the envelope is not compared with it (rekor
    // `pkg/types/intoto/v0.0.2/entry.go`).
    let unused =
        place.contains("/keyid") || place.contains("/content/hash/value") || place.contains("/payloadHash");
    fewer_signatures || unused
}

#[tokio::test]
async fn an_entry_with_one_wrong_place_is_refused() {
    let stack = Stack::new().await;
    for name in [
        "hashedrekord secp256r1 sha256",
        "hashedrekord certificate with SANs",
        "dsse two signatures",
        "intoto 0.0.2 two signatures",
    ] {
        let Some(request) = recorded_request("rekor-v1", name) else {
            return;
        };
        let valid: Value = serde_json::from_str(&request).unwrap();
        let mutations = mutations(&valid);
        assert!(mutations.len() > 50, "{name}");
        for (place, mutated) in mutations {
            if harmless(&place) {
                continue;
            }
            let reply = post(&stack.v1, ENTRIES, mutated.to_string()).await;
            assert!(
                reply.status.is_client_error(),
                "{name} {place}: {} {:?} for {mutated}",
                reply.status,
                reply.body
            );
            assert!(!reply.message().is_empty(), "{name} {place}");
            assert_eq!(stack.size(NEW), 0, "{name} {place} was logged");
            // The same as something to look up: found, not found or refused, never a failure.
            let reply = post(&stack.v1, RETRIEVE, json!({"entries": [mutated]}).to_string()).await;
            assert!(
                reply.status == 200 || reply.status == 400 || reply.status == 422,
                "{name} {place}: {:?}",
                reply.body
            );
        }
    }
}

#[tokio::test]
async fn an_envelope_with_one_wrong_place_is_refused() {
    let stack = Stack::new().await;
    let Some(request) = recorded_request("rekor-v1", "dsse two signatures") else {
        return;
    };
    let valid: Value = serde_json::from_str(&request).unwrap();
    let envelope: Value =
        serde_json::from_str(valid["spec"]["proposedContent"]["envelope"].as_str().unwrap()).unwrap();
    for (place, mutated) in mutations(&envelope) {
        if harmless(&place) {
            continue;
        }
        let mut entry = valid.clone();
        entry["spec"]["proposedContent"]["envelope"] = json!(mutated.to_string());
        let reply = post(&stack.v1, ENTRIES, entry.to_string()).await;
        assert!(
            reply.status.is_client_error(),
            "{place}: {} {:?} for {mutated}",
            reply.status,
            reply.body
        );
        assert_eq!(stack.size(NEW), 0, "{place} was logged");
    }
}

#[tokio::test]
async fn broken_json_is_400_never_500() {
    let stack = Stack::new().await;
    let Some(request) = recorded_request("rekor-v1", "hashedrekord secp256r1 sha256") else {
        return;
    };
    let deep = "[".repeat(100_000);
    let deep_object = "{\"spec\":".repeat(100_000);
    let nul = "{\"kind\":\"hashedrekord\u{0}\"}";
    let mut broken: Vec<Vec<u8>> = [
        deep.as_str(),
        deep_object.as_str(),
        nul,
        "{",
        "\"",
        "tru",
        "1e999999",
        "\u{feff}{}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    broken.push(b"\xff\xfe".to_vec());
    broken.push(b"{\"kind\":\"\xff\"}".to_vec());
    broken.extend(
        (1..request.len())
            .step_by(17)
            .map(|length| request.as_bytes()[..length].to_vec()),
    );
    for body in broken {
        for path in [ENTRIES, RETRIEVE, INDEX] {
            let shown = String::from_utf8_lossy(&body)
                .chars()
                .take(60)
                .collect::<String>();
            let reply = post(&stack.v1, path, body.clone()).await;
            // A search that names nothing finds nothing: members it does not know are not looked into.
            let ignored = path != ENTRIES && reply.status == 200 && reply.body == "[]\n";
            assert!(
                reply.status.is_client_error() || ignored,
                "{path} {shown}: {} {:?}",
                reply.status,
                reply.body
            );
        }
    }
    assert_eq!(stack.size(NEW), 0);
}

#[tokio::test]
async fn a_search_with_one_wrong_place_is_answered_or_refused() {
    let stack = Stack::new().await;
    let valid = json!({
        "email": "dev@example.com", "subject": "https://example.com/path", "operator": "and",
        "hash": "sha256:dd441c1099b935ab928250917e5428ae89c50d08781dcd44ce75148b572db599",
        "publicKey": {"format": "x509", "content": "enp6"},
    });
    for (place, mutated) in mutations(&valid) {
        let reply = post(&stack.v1, INDEX, mutated.to_string()).await;
        assert!(!reply.status.is_server_error(), "{place}: {:?}", reply.body);
    }
    let valid =
        json!({"entryUUIDs": ["0".repeat(64)], "logIndexes": [1, 2], "entries": [{"kind": "hashedrekord"}]});
    for (place, mutated) in mutations(&valid) {
        let reply = post(&stack.v1, RETRIEVE, mutated.to_string()).await;
        assert!(!reply.status.is_server_error(), "{place}: {:?}", reply.body);
    }
}

#[tokio::test]
async fn long_lists_are_refused_by_their_length() {
    let stack = Stack::new().await;
    let many = vec!["0".repeat(64); 11];
    for (query, code, message) in [
        (
            json!({"logIndexes": vec![0; 1_000_000]}),
            611,
            "logIndexes in body should have at most 10 items",
        ),
        (
            json!({"entryUUIDs": many}),
            611,
            "entryUUIDs in body should have at most 10 items",
        ),
        (
            json!({"entries": vec![json!({}); 11]}),
            611,
            "entries in body should have at most 10 items",
        ),
        (
            json!({"entryUUIDs": []}),
            612,
            "entryUUIDs in body should have at least 1 items",
        ),
        (
            json!({"entryUUIDs": &many[..6], "logIndexes": [1, 2, 3, 4, 5]}),
            422,
            "more than max allowed 10 entries in request",
        ),
    ] {
        let reply = post(&stack.v1, RETRIEVE, query.to_string()).await;
        assert_eq!(reply.json(), json!({"code": code, "message": message}));
        assert_eq!(reply.status, 422);
    }
}

#[tokio::test]
async fn an_answer_does_not_repeat_what_was_sent_at_any_length() {
    let stack = Stack::new().await;
    let long = "x".repeat(1_000_000);
    for (path, request) in [
        (ENTRIES, json!({"kind": long, "apiVersion": "0.0.1", "spec": {}})),
        (
            ENTRIES,
            json!({"kind": "hashedrekord", "apiVersion": long, "spec": {}}),
        ),
        (
            ENTRIES,
            json!({"kind": "hashedrekord", "apiVersion": "0.0.1", "spec": long}),
        ),
        (RETRIEVE, json!({"logIndexes": long})),
        (RETRIEVE, json!({"entryUUIDs": [long]})),
        (INDEX, json!({"email": long})),
        (INDEX, json!({"publicKey": long})),
    ] {
        let reply = post(&stack.v1, path, request.to_string()).await;
        assert!(
            reply.status.is_client_error() && reply.body.len() < 4_096,
            "{path}: {} {} bytes",
            reply.status,
            reply.body.len()
        );
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_is_422_in_the_apis_shape() {
    let stack = Stack::new().await;
    let pattern = "^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$";
    for uuid in ["%ff", "%FF%fe/", "%c3%28", "zz"] {
        let reply = get(&stack.v1, &format!("{ENTRIES}/{uuid}")).await;
        let message = format!("entryUUID in path should match '{pattern}'");
        assert_eq!(reply.json(), json!({"code": 605, "message": message}), "{uuid}");
        assert_eq!(
            (reply.status.as_u16(), reply.header("content-type")),
            (422, "application/json"),
            "{uuid}"
        );
    }
    let reply = get(&stack.v1, "/api/v1/%ff").await;
    assert_eq!(
        reply.json(),
        json!({"code": 404, "message": "path /api/v1/%ff was not found"})
    );
}

#[tokio::test]
async fn a_store_that_fails_asks_to_retry() {
    let stack = Stack::new().await;
    let path = format!("{ENTRIES}/{}", "0".repeat(64));
    stack.storage.fail(stack.storage.calls().len(), Fault::Fails);
    let reply = get(&stack.v1, &path).await;
    assert_eq!(reply.status.as_u16(), 503);
    assert!(["1", "2", "3"].contains(&reply.header("retry-after")));
    assert_eq!(
        reply.json(),
        json!({"code": 503, "message": "the log could not be read, retry later"})
    );
    assert_eq!(get(&stack.v1, &path).await.status, 404, "and then it answers");
}

/// Everything of an entry is found, or the entry is refused: a statement of as many subjects as sigstore-go verifies is taken, and found by
/// the last of them.
#[tokio::test]
async fn a_statement_that_would_be_found_by_too_much_is_refused() {
    let stack = Stack::new().await;
    let statement = |subjects: usize| {
        let subjects = (0..subjects).map(|number| json!({"digest": {"sha256": format!("{number:064x}")}}));
        let statement = json!({"predicateType": "p", "subject": subjects.collect::<Vec<_>>()});
        signed_statement(&statement.to_string())
    };
    let (v1, v2) = statement(4_000);
    assert_eq!(post(&stack.v1, ENTRIES, v1.to_string()).await.status, 201);
    assert_eq!(
        post(&stack.v2, "/api/v2/log/entries", v2.to_string())
            .await
            .status,
        201
    );
    for kind in ["rekor-v1", "rekor-v2"] {
        let term = format!("{kind}/sha256:{:064x}", 3_999);
        assert_eq!(stack.engine.search(&term, 9).await.unwrap().len(), 1, "{kind}");
    }
    let (v1, v2) = statement(4_100);
    let refused = [
        post(&stack.v1, ENTRIES, v1.to_string()).await,
        post(&stack.v2, "/api/v2/log/entries", v2.to_string()).await,
    ];
    for reply in refused {
        let said = reply.message();
        assert_eq!(reply.status, 400, "{said}");
        assert!(said.contains("an entry has at most 4096, got more"), "{said}");
    }
    assert_eq!((stack.size(NEW), stack.size(TILES)), (1, 1));
}
