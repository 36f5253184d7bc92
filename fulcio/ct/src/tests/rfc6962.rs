//! The RFC 6962 endpoints, checked with nothing but their answers and the log's key.

use super::{ORIGIN, START, World, base64, path};
use common_pki::sct::{self, TimestampedEntry};
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::Note;
use common_tlog::notekey::NoteKey;
use common_tlog::proof::{verify_consistency, verify_inclusion};
use common_tlog::{Hash, empty_root, leaf_hash};
use http::{Method, StatusCode, header};
use serde_json::json;

fn hash(value: &serde_json::Value) -> Hash {
    Hash::from_slice(&base64(value)).unwrap()
}

#[tokio::test]
async fn an_empty_log_has_a_signed_head() {
    let world = World::new().await;
    let head = world.json("/ct/v1/get-sth").await;
    assert_eq!(
        (&head["tree_size"], &head["timestamp"]),
        (&json!(0), &json!(START))
    );
    assert_eq!(hash(&head["sha256_root_hash"]), empty_root());
    let signed = sct::sth_signed_data(START, 0, &empty_root().0);
    let signature = base64(&head["tree_head_signature"]);
    sct::verify_digitally_signed(world.personality.public_key(), &signed, &signature).unwrap();
}

#[tokio::test]
async fn the_head_is_the_checkpoint() {
    let world = World::new().await;
    world.fill(3).await;
    let head = world.json("/ct/v1/get-sth").await;
    let reply = world.get("/ct/checkpoint").await;
    assert_eq!(reply.headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    assert_eq!(reply.cache(), "no-cache");
    let note = Note::parse(&reply.body).unwrap();
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    assert_eq!((checkpoint.origin.as_str(), checkpoint.size), (ORIGIN, 3));
    assert!(checkpoint.extensions.is_empty());
    assert_eq!(checkpoint.root, hash(&head["sha256_root_hash"]));
    let hint = NoteKey::TreeHead(Hash(world.personality.log_id())).hint(ORIGIN);
    let line = note.signatures_by(ORIGIN, hint).next().unwrap();
    assert_eq!(
        line.signature[..8],
        head["timestamp"].as_u64().unwrap().to_be_bytes()
    );
    assert_eq!(line.signature[8..], base64(&head["tree_head_signature"]));
    let signed = sct::sth_signed_data(head["timestamp"].as_u64().unwrap(), 3, &checkpoint.root.0);
    sct::verify_digitally_signed(world.personality.public_key(), &signed, &line.signature[8..]).unwrap();
}

#[tokio::test]
async fn every_entry_is_proven_at_every_size() {
    let world = World::new().await;
    let mut roots = vec![empty_root()];
    for _ in 0..9 {
        let precertificate = world.authority.precertificate(roots.len() as u64);
        world
            .log
            .add_pre_chain(precertificate.to_der(), &world.authority.chain())
            .await
            .unwrap();
        roots.push(hash(&world.json("/ct/v1/get-sth").await["sha256_root_hash"]));
    }
    let entries = world.json("/ct/v1/get-entries?start=0&end=8").await;
    let leaves: Vec<Hash> = entries["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| leaf_hash(&base64(&e["leaf_input"])))
        .collect();
    for size in 1..=9u64 {
        let root = roots[usize::try_from(size).unwrap()];
        for (index, leaf) in (0..size).zip(&leaves) {
            let reply = world.proof_by_hash(leaf, size).await;
            assert_eq!(reply.cache(), "public, max-age=86400");
            let proof: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(proof["leaf_index"], index);
            verify_inclusion(index, size, leaf, &path(&proof["audit_path"]), &root).unwrap();
            let both = world
                .json(&format!(
                    "/ct/v1/get-entry-and-proof?leaf_index={index}&tree_size={size}"
                ))
                .await;
            assert_eq!(leaf_hash(&base64(&both["leaf_input"])), *leaf);
            assert_eq!(both["audit_path"], proof["audit_path"]);
        }
        for first in 1..=size {
            let reply = world
                .json(&format!("/ct/v1/get-sth-consistency?first={first}&second={size}"))
                .await;
            let from = roots[usize::try_from(first).unwrap()];
            verify_consistency(first, size, &from, &root, &path(&reply["consistency"])).unwrap();
        }
    }
    let beyond = world.proof_by_hash(&leaves[8], 8).await;
    assert_eq!(
        beyond.status,
        StatusCode::NOT_FOUND,
        "the leaf is in no tree of size 8"
    );
}

#[tokio::test]
async fn empty_proofs_are_lists() {
    let world = World::new().await;
    world.fill(1).await;
    let entries = world.json("/ct/v1/get-entries?start=0&end=0").await;
    let leaf = leaf_hash(&base64(&entries["entries"][0]["leaf_input"]));
    assert_eq!(
        world.proof_by_hash(&leaf, 1).await.text(),
        r#"{"leaf_index":0,"audit_path":[]}"#
    );
    for query in [
        "first=0&second=1",
        "first=1&second=1",
        "first=0&second=0",
        "first=0&second=99",
    ] {
        let reply = world.get(&format!("/ct/v1/get-sth-consistency?{query}")).await;
        assert_eq!(reply.text(), r#"{"consistency":[]}"#, "{query}");
    }
    let both = world
        .json("/ct/v1/get-entry-and-proof?leaf_index=0&tree_size=1")
        .await;
    assert_eq!(both["audit_path"], json!([]));
}

/// RFC 6962 §4.6: fewer entries than asked may come, and a reader goes on after the last.
#[tokio::test]
async fn at_most_256_entries_come_and_the_next_ask_is_aligned() {
    let world = World::new().await;
    super::staticct::fill_quickly(&world, 258).await;
    for (start, end, count, cache) in [
        (0, 999_999, 256, "public, max-age=86400"),
        (0, 256, 256, "public, max-age=86400"),
        (3, 258, 253, "public, max-age=86400"),
        (256, 511, 2, "public, max-age=60"),
    ] {
        let reply = world
            .get(&format!("/ct/v1/get-entries?start={start}&end={end}"))
            .await;
        let entries: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let got = entries["entries"].as_array().unwrap().len();
        assert_eq!((got, reply.cache()), (count, cache), "{start}..={end}");
    }
}

#[tokio::test]
async fn entries_carry_what_was_submitted() {
    let world = World::new().await;
    let logged = world.fill(3).await;
    let reply = world.get("/ct/v1/get-entries?start=1&end=9").await;
    assert_eq!(reply.cache(), "public, max-age=60", "the range will grow");
    let entries: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(entries["entries"].as_array().unwrap().len(), 2);
    assert_eq!(
        world.get("/ct/v1/get-entries?start=1&end=2").await.cache(),
        "public, max-age=86400"
    );
    let chain = world.authority.chain();
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    for (position, (entry, precertificate)) in entries["entries"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&logged[1..])
        .enumerate()
    {
        let leaf = TimestampedEntry::from_leaf(&base64(&entry["leaf_input"])).unwrap();
        assert_eq!(
            leaf.entry,
            sct::precert_entry(
                precertificate,
                common_pki::key::Signer::public_key(&world.authority.signer)
            )
        );
        assert_eq!(sct::leaf_index(&leaf.extensions), Some(position as u64 + 1));
        let expected = sct::precert_extra_data(precertificate.to_der(), &chain).unwrap();
        assert_eq!(base64(&entry["extra_data"]), expected);
    }
    let roots = world.json("/ct/v1/get-roots").await;
    assert_eq!(roots["certificates"].as_array().unwrap().len(), 1);
    assert_eq!(base64(&roots["certificates"][0]), world.authority.root.to_der());
}

#[tokio::test]
async fn malformed_requests_are_told_why() {
    let world = World::new().await;
    world.fill(2).await;
    let hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D";
    for (query, status) in [
        ("get-sth-consistency", 400),
        ("get-sth-consistency?first=1", 400),
        ("get-sth-consistency?first=1&second=", 400),
        ("get-sth-consistency?first=a&second=2", 400),
        ("get-sth-consistency?first=-1&second=2", 400),
        ("get-sth-consistency?first=%2B1&second=2", 400),
        ("get-sth-consistency?first=1.0&second=2", 400),
        ("get-sth-consistency?first=2&second=1", 400),
        ("get-sth-consistency?first=1&second=3", 400),
        ("get-sth-consistency?first=1&second=99999999999999999999999", 400),
        ("get-proof-by-hash", 400),
        ("get-proof-by-hash?hash=&tree_size=1", 400),
        ("get-proof-by-hash?hash=short&tree_size=1", 400),
        ("get-proof-by-hash?hash=AAAA&tree_size=1", 400),
        (&format!("get-proof-by-hash?hash={hash}"), 400),
        (&format!("get-proof-by-hash?hash={hash}&tree_size=0"), 400),
        (&format!("get-proof-by-hash?hash={hash}&tree_size=x"), 400),
        (&format!("get-proof-by-hash?hash={hash}&tree_size=2"), 404),
        (&format!("get-proof-by-hash?hash={hash}&tree_size=3"), 404),
        ("get-entries", 400),
        ("get-entries?start=0", 400),
        ("get-entries?start=1&end=0", 400),
        ("get-entries?start=2&end=5", 400),
        ("get-entries?start=-1&end=0", 400),
        (
            "get-entries?start=18446744073709551615&end=18446744073709551615",
            400,
        ),
        ("get-entry-and-proof?leaf_index=0", 400),
        ("get-entry-and-proof?leaf_index=0&tree_size=0", 400),
        ("get-entry-and-proof?leaf_index=1&tree_size=1", 400),
        ("get-entry-and-proof?leaf_index=0&tree_size=3", 400),
    ] {
        let reply = world.get(&format!("/ct/v1/{query}")).await;
        assert_eq!(reply.status, status, "{query}: {}", reply.text());
        let words = reply.status.canonical_reason().unwrap();
        assert!(
            reply.text().starts_with(&format!("{words}\n")) && reply.text().len() > words.len() + 2,
            "{query}"
        );
        assert_eq!(reply.headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(reply.cache(), "no-store", "{query}");
    }
    let many: Vec<String> = (0..50).map(|n| format!("p{n}=1")).collect();
    assert_eq!(
        world
            .get(&format!("/ct/v1/get-entries?{}", many.join("&")))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_plus_that_became_a_space_is_understood() {
    let world = World::new().await;
    // Some leaf hash in base64 has a plus soon; the chance that twenty leaves have none is one in 10^5 or so.
    for serial in 1..=60 {
        let precertificate = world.authority.precertificate(serial);
        world
            .log
            .add_pre_chain(precertificate.to_der(), &world.authority.chain())
            .await
            .unwrap();
    }
    let entries = world.json("/ct/v1/get-entries?start=0&end=59").await;
    let with_plus = entries["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| leaf_hash(&base64(&e["leaf_input"])).to_base64());
    let hash = with_plus.into_iter().find(|hash| hash.contains('+')).unwrap();
    assert_eq!(
        world
            .get(&format!("/ct/v1/get-proof-by-hash?hash={hash}&tree_size=60"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn methods_are_checked_and_submission_is_disabled() {
    let world = World::new().await;
    for endpoint in [
        "get-sth",
        "get-sth-consistency",
        "get-proof-by-hash",
        "get-entries",
        "get-entry-and-proof",
        "get-roots",
    ] {
        let reply = world.send(Method::POST, &format!("/ct/v1/{endpoint}")).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{endpoint}");
        assert_eq!(reply.text(), "Method Not Allowed\nmethod not allowed: POST\n");
    }
    for endpoint in ["add-chain", "add-pre-chain"] {
        assert_eq!(
            world.get(&format!("/ct/v1/{endpoint}")).await.status,
            StatusCode::METHOD_NOT_ALLOWED
        );
        for prefix in ["/ct/v1", "/ct/ct/v1"] {
            let reply = world.send(Method::POST, &format!("{prefix}/{endpoint}")).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN);
            assert!(
                reply
                    .text()
                    .starts_with("Forbidden\nsubmission over HTTP is disabled"),
                "{}",
                reply.text()
            );
        }
    }
    // Under the submission prefix that names the log, the reads are the same.
    assert_eq!(
        world.json("/ct/ct/v1/get-sth").await,
        world.json("/ct/v1/get-sth").await
    );
}
