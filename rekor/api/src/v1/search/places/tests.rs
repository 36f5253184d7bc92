#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;

use super::*;
use crate::testing::{NEW, Stack, hashedrekord, post, recorded_request, signer};
use common_pki::key::KeyAlgorithm;

const ENTRIES: &str = "/api/v1/log/entries";

fn has(leaf: &StoredLeaf, terms: &[&str]) -> Option<bool> {
    has_all(
        leaf,
        &terms.iter().map(|term| (*term).to_owned()).collect::<Vec<_>>(),
    )
}

#[tokio::test]
async fn a_body_tells_its_terms_but_not_those_of_a_payload_that_is_gone() {
    let stack = Stack::new().await;
    let request = hashedrekord(&*signer(KeyAlgorithm::EcdsaP256), b"content").to_string();
    assert_eq!(post(&stack.v1, ENTRIES, request).await.status, 201);
    let leaf = stack.engine.leaf(NEW, 0).await.unwrap().unwrap();
    let digest = format!("sha256:{}", common_tlog::sha256(&[b"content"]));
    let another = format!("sha256:{}", common_tlog::sha256(&[b"another"]));
    assert_eq!(has(&leaf, &[&digest]), Some(true));
    assert_eq!(has(&leaf, &[&digest, "a@example.com"]), Some(false));
    assert_eq!(has(&leaf, &[&another]), Some(false), "there is no payload");
    let unreadable = StoredLeaf {
        data: "{}".into(),
        ..leaf
    };
    assert_eq!(has(&unreadable, &[&digest]), None);

    let Some(request) = recorded_request("rekor-v1", "dsse one signature in-toto") else {
        return;
    };
    let proposed: Value = serde_json::from_str(&request).unwrap();
    assert_eq!(post(&stack.v1, ENTRIES, request).await.status, 201);
    let leaf = stack.engine.leaf(NEW, 1).await.unwrap().unwrap();
    let key = proposed.pointer("/spec/proposedContent/verifiers/0").unwrap();
    let key = rekor_entry::Verifier::from_pem(&crate::testing::unbase64(key))
        .unwrap()
        .key_hash();
    assert_eq!(has(&leaf, &[&key]), Some(true));
    assert_eq!(has(&leaf, &[&key, "a@example.com"]), Some(false));
    assert_eq!(has(&leaf, &["https://example.com/a"]), Some(false));
    assert_eq!(
        has(&leaf, &[&key, &another]),
        None,
        "may be a subject of its payload"
    );
}
