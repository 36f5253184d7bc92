#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use common_engine::fsck::KindCheck as _;
use common_pki::key::KeyAlgorithm;

use super::*;
use crate::RekorV1Check;
use crate::testing::{HOST, Stack, exchanges, get, hashedrekord, post, signer, unbase64};

/// What the API of `stack` gives of the entry at `index`.
async fn entry(stack: &Stack, index: u64) -> ImportedEntry {
    let answer = get(&stack.v1, &format!("/api/v1/log/entries?logIndex={index}"))
        .await
        .json();
    let entry = answer.as_object().unwrap().values().next().unwrap().clone();
    let attestation = entry.pointer("/attestation/data").map(unbase64);
    ImportedEntry {
        body: unbase64(&entry["body"]).into(),
        integrated_time: entry["integratedTime"].as_u64().unwrap(),
        set: unbase64(entry.pointer("/verification/signedEntryTimestamp").unwrap()),
        attestation: attestation.map(Into::into),
    }
}

fn stored(index: u64, leaf: &ImportedLeaf) -> StoredLeaf {
    StoredLeaf {
        index,
        time: leaf.time,
        data: leaf.data.clone(),
        extra: leaf.extra.clone(),
    }
}

/// Kinds whose bodies do not hold what some of their terms are of: payloads, and comments of keys.
const PARTLY: [&str; 4] = ["dsse", "intoto", "cose", "rekord"];

#[tokio::test]
async fn imported_entries_have_the_terms_of_their_own_log_and_say_which_are_gone() {
    let Some(exchanges) = exchanges("rekor-v1") else {
        return;
    };
    let stack = Stack::new().await;
    for exchange in exchanges.iter().filter(|exchange| exchange.status == 201) {
        post(&stack.v1, &exchange.path, exchange.request.clone()).await;
    }
    let check = RekorV1Check::new(stack.shard.clone(), HOST);
    let (mut all, mut partly) = (0, 0);
    for index in 0..stack.size(crate::testing::NEW) {
        let leaf = imported_leaf(&stack.shard, index, entry(&stack, index).await).unwrap();
        let stored = stored(index, &leaf);
        let attachments: Vec<Bytes> = leaf.attachments.iter().map(|one| one.data.clone()).collect();
        check.leaf(&stored, &attachments).unwrap();
        // What `fsck` expects of such a leaf is what was imported.
        let expected = check.terms(&stored).unwrap();
        let mut terms: Vec<String> = expected.known.into_iter().chain(expected.later).collect();
        terms.sort();
        let mut imported = leaf.terms.terms.clone();
        imported.sort();
        assert_eq!(imported, terms, "entry {index}");
        let own = stack
            .engine
            .leaf(crate::testing::NEW, index)
            .await
            .unwrap()
            .unwrap();
        let mut own = terms::of_imported(LogKind::RekorV1, &own).terms;
        own.sort();
        if leaf.terms.complete {
            assert_eq!(imported, own, "entry {index}");
            all += 1;
        } else {
            let kind = committed::read(&leaf.data).unwrap().kind;
            assert!(PARTLY.contains(&kind), "{kind}");
            partly += 1;
        }
    }
    assert!(all >= 10 && partly >= 1, "{all} and {partly}");
}

#[tokio::test]
async fn what_the_log_did_not_promise_is_not_taken_over() {
    let stack = Stack::new().await;
    let signer = signer(KeyAlgorithm::EcdsaP256);
    post(
        &stack.v1,
        "/api/v1/log/entries",
        hashedrekord(&*signer, b"promised").to_string(),
    )
    .await;
    let entry = entry(&stack, 0).await;
    imported_leaf(&stack.shard, 0, entry.clone()).unwrap();
    let refused = |index, entry| {
        matches!(
            imported_leaf(&stack.shard, index, entry),
            Err(ImportRefusal::Timestamp(_))
        )
    };
    let mut body = entry.body.to_vec();
    body.push(b' ');
    for (index, changed) in [
        (1, entry.clone()),
        (
            0,
            ImportedEntry {
                integrated_time: entry.integrated_time + 1,
                ..entry.clone()
            },
        ),
        (
            0,
            ImportedEntry {
                body: body.into(),
                ..entry.clone()
            },
        ),
        (
            0,
            ImportedEntry {
                set: Vec::new(),
                ..entry
            },
        ),
    ] {
        assert!(refused(index, changed.clone()), "{changed:?}");
    }
}

#[test]
fn a_kind_that_is_not_known_is_kept_without_terms() {
    let signer = signer(KeyAlgorithm::EcdsaP256);
    let (shard, _) = crate::testing::shard(7, 0, &signer);
    let body = Bytes::from_static(br#"{"apiVersion":"9.9.9","kind":"unheard","spec":{}}"#);
    let set = signer
        .sign(timestamped(&shard, &body, 3, 1_000).as_bytes())
        .unwrap();
    let entry = ImportedEntry {
        body,
        integrated_time: 1,
        set,
        attestation: Some(Bytes::from_static(b"of nothing")),
    };
    let leaf = imported_leaf(&shard, 3, entry).unwrap();
    assert_eq!(
        (
            leaf.terms.terms.len(),
            leaf.terms.complete,
            leaf.attachments.len()
        ),
        (0, false, 0)
    );
    let check = RekorV1Check::new(shard, HOST);
    let stored = stored(3, &leaf);
    check.leaf(&stored, &[]).unwrap();
    assert!(check.attachments(&stored).unwrap().is_empty());
    let terms = check.terms(&stored).unwrap();
    assert!(terms.known.is_empty() && terms.later.is_empty() && terms.complete);
}
