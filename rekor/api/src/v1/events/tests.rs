#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use common_pki::key::KeyAlgorithm;
use http::StatusCode;
use serde_json::Value;

use super::*;
use crate::testing::{HOST, NEW, Stack, hashedrekord, post, signer, unbase64};
use crate::v1;

/// A stack whose v1 router announces to a queue of `capacity`.
async fn announcing(capacity: usize) -> (Stack, axum::Router, mpsc::Receiver<Event>) {
    let stack = Stack::new().await;
    let (events, queued) = queue(capacity);
    let service = v1::Service::new(
        stack.engine.clone(),
        vec![(NEW, stack.shard.clone())],
        v1::Policy::default(),
        v1::Limits::default(),
    )
    .unwrap()
    .announcing(events);
    let router = v1::router(Arc::new(service));
    (stack, router, queued)
}

#[tokio::test]
async fn a_new_entry_is_announced_once_with_its_proof() {
    let (stack, router, mut queued) = announcing(8).await;
    let request = hashedrekord(&*signer(KeyAlgorithm::EcdsaP256), b"content").to_string();
    let reply = post(&router, "/api/v1/log/entries", request.clone()).await;
    assert_eq!(reply.status, StatusCode::CREATED);
    let again = post(&router, "/api/v1/log/entries", request).await;
    assert_eq!(again.status, StatusCode::CONFLICT);

    let event = queued.try_recv().unwrap();
    assert!(queued.try_recv().is_err(), "a duplicate is no new entry");
    let answer = reply.json();
    let entry = &answer[&event.id];
    let announced: Value = serde_json::from_str(&event.json).unwrap();
    assert_eq!(announced["id"], event.id.as_str());
    assert_eq!(announced["specversion"], "1.0");
    assert_eq!(announced["type"], NEW_ENTRY);
    assert_eq!(announced["source"], "/createLogEntry");
    assert_eq!(announced["rekor_entry_kind"], "hashedrekord");
    assert_eq!(announced["rekor_signing_subjects"], "");
    assert!(announced["time"].as_str().unwrap().ends_with('Z'), "{announced}");
    let data: Value = serde_json::from_str(announced["data"].as_str().unwrap()).unwrap();
    assert_eq!(data["canonicalizedBody"], entry["body"]);
    assert_eq!(data["logIndex"], entry["logIndex"].to_string());
    assert_eq!(data["integratedTime"], entry["integratedTime"].to_string());
    assert_eq!(unbase64(&data["logId"]["keyId"]), stack.shard.key_digest());
    assert_eq!(
        data["inclusionPromise"],
        serde_json::json!({
            "signedEntryTimestamp": entry["verification"]["signedEntryTimestamp"],
        })
    );
    let checkpoint = data["inclusionProof"]["checkpoint"]["envelope"].as_str().unwrap();
    assert!(checkpoint.starts_with(HOST), "{checkpoint}");
}

#[tokio::test]
async fn a_full_queue_and_one_nobody_reads_hold_up_no_write() {
    let (_stack, router, queued) = announcing(1).await;
    let signer = signer(KeyAlgorithm::EcdsaP256);
    for number in 0..4_u8 {
        let request = hashedrekord(&*signer, &[number]).to_string();
        let reply = post(&router, "/api/v1/log/entries", request).await;
        assert_eq!(reply.status, StatusCode::CREATED);
    }
    assert_eq!(queued.len(), 1);
    drop(queued);
    let request = hashedrekord(&*signer, b"another").to_string();
    let reply = post(&router, "/api/v1/log/entries", request).await;
    assert_eq!(reply.status, StatusCode::CREATED);
}

#[test]
fn times_are_rfc_3339() {
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    assert_eq!(rfc3339(1_800_000_000), "2027-01-15T08:00:00Z");
}
