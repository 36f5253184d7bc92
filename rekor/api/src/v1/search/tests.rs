#![allow(clippy::unwrap_used, reason = "tests")]

use axum::body::Body;
use bytes::Bytes;
use common_engine::{Entry, LogKind};
use common_pki::key::KeyAlgorithm;
use common_tlog::leaf_hash;
use serde_json::{Value, json};

use super::*;
use crate::terms::key_term;
use crate::testing::{NEW, Stack, TILES, hashedrekord, post, recorded_request, signer};
use crate::v1::Limits;
use crate::v1::entry_id::EntryId;

const INDEX: &str = "/api/v1/index/retrieve";

fn parse(query: Value) -> Result<Search, String> {
    Search::parse(query.to_string().as_bytes()).map_err(|error| error.to_string())
}

fn terms(query: Value) -> Vec<String> {
    parse(query).unwrap().terms
}

#[test]
fn terms_are_lower_case_and_hashes_get_their_algorithm() {
    assert_eq!(terms(json!({"email": "Dev@Example.com"})), ["dev@example.com"]);
    assert_eq!(
        terms(json!({"subject": "HTTPS://example.com/Path"})),
        ["https://example.com/path"]
    );
    for (algorithm, length) in [("sha1", 40), ("sha256", 64), ("sha384", 96), ("sha512", 128)] {
        let digits = "Ab".repeat(length / 2);
        let term = format!("{algorithm}:{}", digits.to_lowercase());
        assert_eq!(terms(json!({"hash": digits})), [term.as_str()]);
        assert_eq!(
            terms(json!({"hash": format!("{algorithm}:{digits}")})),
            [term.as_str()]
        );
        assert!(parse(json!({"hash": format!("md5:{digits}")})).is_err());
    }
    assert_eq!(terms(json!({})), Vec::<String>::new());
    assert_eq!(
        terms(json!({"email": "", "subject": null, "hash": "", "operator": ""})),
        Vec::<String>::new()
    );
}

#[test]
fn what_breaks_the_schema_is_refused_in_go_openapis_words() {
    let long = "x".repeat(513);
    for (query, message) in [
        (
            json!({"email": "not an email"}),
            "email in body must be of type email: \"not an email\"",
        ),
        (
            json!({"email": "@example.com"}),
            "email in body must be of type email: \"@example.com\"",
        ),
        (
            json!({"subject": long}),
            "subject in body should be at most 512 chars long",
        ),
        (
            json!({"operator": "xor"}),
            "operator in body should be one of [and or]",
        ),
        (
            json!({"publicKey": {"content": "enp6"}}),
            "publicKey.publicKey.format in body is required",
        ),
        (
            json!({"publicKey": {"format": "x509", "content": "enp6"}}),
            "public key provided could not be parsed",
        ),
        (
            json!({"publicKey": {"format": "x509"}}),
            "public key provided could not be parsed",
        ),
        (
            json!({"publicKey": {"format": "pgp", "content": "enp6"}}),
            "public key provided could not be parsed",
        ),
        (
            json!({"publicKey": {"format": "tuf", "content": "enp6"}}),
            "public key provided could not be parsed",
        ),
        (
            json!({"publicKey": {"format": "x509", "url": "http://127.0.0.1/"}}),
            "public key provided could not be parsed",
        ),
    ] {
        assert_eq!(parse(query).unwrap_err(), message);
    }
    assert!(
        parse(json!({"hash": "abcd"}))
            .unwrap_err()
            .starts_with("hash in body should match '^(sha512:)?[0-9a-fA-F]{128}$|")
    );
}

async fn search(stack: &Stack, query: Value) -> Value {
    post(&stack.v1, INDEX, query.to_string()).await.json()
}

#[tokio::test]
async fn a_dsse_entry_is_found_by_its_public_key() {
    // Upstream stores a prefixed hash that its own search never asks for.
    let stack = Stack::new().await;
    let Some(request) = recorded_request("rekor-v1", "dsse one signature in-toto") else {
        return;
    };
    let entry: Value = serde_json::from_str(&request).unwrap();
    let key = entry
        .pointer("/spec/proposedContent/verifiers/0")
        .unwrap()
        .clone();
    let created = post(&stack.v1, "/api/v1/log/entries", Body::from(request)).await;
    let id = created.header("etag").to_owned();
    assert_eq!(
        search(&stack, json!({"publicKey": {"format": "x509", "content": key}})).await,
        json!([id])
    );
}

async fn limited(limits: Limits) -> Stack {
    Stack::with(limits, crate::v2::Limits::default()).await
}

fn entry(number: u32, term: &str) -> Entry {
    let body = Bytes::from(format!("{number}"));
    Entry {
        identity: leaf_hash(&body),
        body,
        aux: Bytes::new(),
        terms: [term, &number.to_string()]
            .map(|key| key_term(LogKind::RekorV1, key))
            .to_vec(),
        attachments: vec![],
    }
}

#[tokio::test]
async fn hits_are_newest_first_without_repetition_and_only_of_this_log() {
    let stack = Stack::new().await;
    let mut ids = Vec::new();
    for number in 0..300 {
        let entry = entry(
            number,
            if number % 100 == 0 {
                "a@example.com"
            } else {
                "b@example.com"
            },
        );
        ids.push(
            EntryId {
                tree: stack.shard.tree(),
                leaf: entry.identity,
            }
            .to_string(),
        );
        stack.engine.submit(NEW, entry.clone()).await.unwrap();
        stack.engine.submit(TILES, entry).await.unwrap();
    }
    let newest_first: Vec<_> = [200, 100, 0].iter().filter_map(|at| ids.get(*at)).collect();
    assert_eq!(
        search(&stack, json!({"email": "A@example.com"})).await,
        json!(newest_first)
    );
    assert_eq!(
        search(
            &stack,
            json!({"email": "a@example.com", "subject": "A@EXAMPLE.COM"})
        )
        .await,
        json!(newest_first)
    );
    assert_eq!(
        search(
            &stack,
            json!({"email": "a@example.com", "subject": "100", "operator": "and"})
        )
        .await,
        json!([ids.get(100)])
    );
    assert_eq!(
        search(
            &stack,
            json!({"email": "a@example.com", "subject": "101", "operator": "and"})
        )
        .await,
        json!([])
    );
    assert_eq!(
        search(&stack, json!({"subject": "299", "email": "nobody@example.com"})).await,
        json!([ids.get(299)])
    );
}

#[tokio::test]
async fn more_matches_than_allowed_are_an_error_not_a_part_of_them() {
    let stack = limited(Limits {
        search_results: 3,
        ..Limits::default()
    })
    .await;
    for number in 0..4 {
        stack
            .engine
            .submit(NEW, entry(number, "a@example.com"))
            .await
            .unwrap();
        let reply = post(&stack.v1, INDEX, json!({"email": "a@example.com"}).to_string()).await;
        if number < 3 {
            assert_eq!(
                reply.json().as_array().unwrap().len(),
                usize::try_from(number).unwrap() + 1
            );
        } else {
            assert_eq!(reply.status, 400);
            assert_eq!(
                reply.message(),
                "more than 3 entries match one of the terms; search for a narrower term"
            );
        }
    }
}

#[tokio::test]
async fn the_matches_of_all_terms_together_are_bounded() {
    let stack = limited(Limits {
        search_results: 3,
        ..Limits::default()
    })
    .await;
    for (number, term) in ["a@example.com", "a@example.com", "b@example.com", "b@example.com"]
        .into_iter()
        .enumerate()
    {
        let entry = entry(u32::try_from(number).unwrap(), term);
        stack.engine.submit(NEW, entry).await.unwrap();
    }
    // Two of one and one more, then the same one twice, then two and two.
    for (email, subject, found) in [
        ("a@example.com", "2", Some(3)),
        ("b@example.com", "2", Some(2)),
        ("a@example.com", "b@example.com", None),
    ] {
        let query = json!({"email": email, "subject": subject}).to_string();
        let reply = post(&stack.v1, INDEX, query).await;
        match found {
            Some(found) => assert_eq!(reply.json().as_array().unwrap().len(), found),
            None => assert_eq!(
                reply.json(),
                json!({
                    "code": 400,
                    "message": "more than 3 entries match one of the terms; search for a narrower term",
                })
            ),
        }
    }
}

#[tokio::test]
async fn matches_that_lie_too_far_apart_are_refused() {
    let stack = limited(Limits {
        search_tiles: 1,
        ..Limits::default()
    })
    .await;
    for number in 0..300 {
        let term = match number {
            0 | 255 => "near@example.com",
            1 | 256 => "far@example.com",
            _ => "other@example.com",
        };
        stack.engine.submit(NEW, entry(number, term)).await.unwrap();
    }
    let near = search(&stack, json!({"email": "near@example.com"})).await;
    assert_eq!(near.as_array().unwrap().len(), 2);
    assert_eq!(
        search(&stack, json!({"email": "far@example.com"})).await,
        json!({
            "code": 400,
            "message": "the entries that match are spread over more than 1 tiles of the log; search for a narrower term",
        })
    );
}

#[tokio::test]
async fn a_busy_key_and_a_digest_are_found_a_busy_key_alone_is_not() {
    let stack = limited(Limits {
        search_results: 2,
        ..Limits::default()
    })
    .await;
    let (busy, other) = (signer(KeyAlgorithm::EcdsaP256), signer(KeyAlgorithm::EcdsaP256));
    let mut ids = Vec::new();
    for (signer, content) in [
        (&busy, "a"),
        (&busy, "b"),
        (&other, "b"),
        (&busy, "c"),
        (&other, "d"),
    ] {
        let request = hashedrekord(&**signer, content.as_bytes()).to_string();
        let created = post(&stack.v1, "/api/v1/log/entries", request).await;
        assert_eq!(created.status, 201);
        ids.push(created.header("etag").to_owned());
    }
    let pem = STANDARD.encode(busy.public_key().to_pem());
    let query = |content: &str, operator: &str| {
        json!({
            "publicKey": {"format": "x509", "content": pem},
            "hash": common_tlog::sha256(&[content.as_bytes()]).to_string(),
            "operator": operator,
        })
    };
    for (content, found) in [
        ("a", json!([ids.first()])),
        // Another key signed it as well.
        ("b", json!([ids.get(1)])),
        ("d", json!([])),
        ("never signed", json!([])),
    ] {
        assert_eq!(search(&stack, query(content, "and")).await, found, "{content}");
    }
    let alone = json!({"publicKey": {"format": "x509", "content": pem}, "operator": "and"});
    for query in [query("a", "or"), alone] {
        assert_eq!(post(&stack.v1, INDEX, query.to_string()).await.status, 400);
    }
}

/// GHSA-4c4x-jm2x-pf9j (CVE-2026-24117): upstream fetched the address of a key that was searched for.
#[tokio::test]
async fn ghsa_4c4x_a_keys_address_in_a_search_is_not_asked() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/key", listener.local_addr().unwrap());
    let stack = Stack::new().await;
    let query = json!({"publicKey": {"format": "x509", "url": url}});
    let reply = post(&stack.v1, INDEX, query.to_string()).await;
    assert!(reply.status.is_client_error(), "{}", reply.status);
    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}
