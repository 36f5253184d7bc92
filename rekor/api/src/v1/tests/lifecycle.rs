//! An entry's way through the API: created, found in every way, never twice.

use serde_json::{Value, json};

use super::{verify_checkpoint, verify_entry};
use crate::testing::{NEW, Stack, exchanges, get, post, recorded_request, unbase64};

const ENTRIES: &str = "/api/v1/log/entries";
const P256: &str = "hashedrekord secp256r1 sha256";

#[tokio::test]
async fn an_entry_is_found_by_every_name_and_always_verifies() {
    let stack = Stack::new().await;
    let Some(exchanges) = exchanges("rekor-v1") else {
        return;
    };
    let accepted: Vec<_> = exchanges
        .iter()
        .filter(|one| {
            one.status == 201
                && ["hashedrekord", "dsse"]
                    .iter()
                    .any(|kind| one.name.starts_with(kind))
        })
        .collect();
    assert!(accepted.len() > 10);
    for (index, exchange) in accepted.iter().enumerate() {
        let created = post(&stack.v1, ENTRIES, exchange.request.clone()).await;
        assert_eq!(created.status, 201, "{}: {:?}", exchange.name, created.body);
        let id = verify_entry(&created.json(), &stack.shard);
        assert_eq!(created.header("etag"), id, "bare, not quoted");
        assert_eq!(created.header("location"), format!("{ENTRIES}/{id}"));
        assert_eq!(created.json()[&id]["logIndex"], index);
    }
    for (index, exchange) in accepted.iter().enumerate() {
        let by_index = get(&stack.v1, &format!("{ENTRIES}?logIndex={index}")).await;
        assert_eq!(by_index.status, 200);
        let id = verify_entry(&by_index.json(), &stack.shard);
        assert_eq!(
            by_index.json()[&id]["verification"]["inclusionProof"]["treeSize"],
            accepted.len()
        );
        for name in [
            id.clone(),
            id.to_uppercase(),
            id[16..].to_owned(),
            id[16..].to_uppercase(),
        ] {
            let by_name = get(&stack.v1, &format!("{ENTRIES}/{name}")).await;
            assert_eq!(by_name.status, 200);
            assert_eq!(
                by_name.json(),
                by_index.json(),
                "the stored timestamp is returned, not a new one"
            );
        }
        let proposed: Value = serde_json::from_str(&exchange.request).unwrap();
        for query in [
            json!({"logIndexes": [index]}),
            json!({"entryUUIDs": [id]}),
            json!({"entryUUIDs": [id[16..]]}),
            json!({"entries": [proposed]}),
        ] {
            let found = post(&stack.v1, "/api/v1/log/entries/retrieve/", query.to_string()).await;
            assert_eq!(found.json(), json!([by_index.json()]), "{query}");
        }
    }
}

#[tokio::test]
async fn a_timestamp_is_made_once_and_kept() {
    let stack = Stack::new().await;
    let Some(request) = recorded_request("rekor-v1", P256) else {
        return;
    };
    let created = post(&stack.v1, ENTRIES, request).await.json();
    let (id, entry) = created.as_object().unwrap().iter().next().unwrap();
    for _ in 0..2 {
        let read = get(&stack.v1, &format!("{ENTRIES}/{id}")).await.json();
        assert_eq!(
            read[id]["verification"]["signedEntryTimestamp"],
            entry["verification"]["signedEntryTimestamp"]
        );
        assert_eq!(read[id]["integratedTime"], entry["integratedTime"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_duplicates_one_is_created_and_all_others_point_at_it() {
    let stack = Stack::new().await;
    let Some(request) = recorded_request("rekor-v1", P256) else {
        return;
    };
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (router, request) = (stack.v1.clone(), request.clone());
            tokio::spawn(async move { post(&router, ENTRIES, request).await })
        })
        .collect();
    let mut created = Vec::new();
    let mut locations = Vec::new();
    for task in tasks {
        let reply = task.await.unwrap();
        match reply.status.as_u16() {
            201 => created.push(verify_entry(&reply.json(), &stack.shard)),
            409 => {
                let id = reply.header("etag").to_owned();
                let message =
                    format!("an equivalent entry already exists in the transparency log with UUID {id}");
                assert_eq!(reply.json(), json!({"code": 409, "message": message}));
                locations.push(reply.header("location").to_owned());
            }
            other => panic!("{other}: {:?}", reply.body),
        }
    }
    assert_eq!(created.len(), 1);
    assert_eq!(locations, vec![format!("{ENTRIES}/{}", created[0]); 63]);
    assert_eq!(stack.size(NEW), 1);
    // The place a 409 names can be read at once.
    assert_eq!(
        verify_entry(&get(&stack.v1, &locations[0]).await.json(), &stack.shard),
        created[0]
    );
}

#[tokio::test]
async fn an_attestation_is_read_back_but_not_echoed() {
    let stack = Stack::new().await;
    let Some(request) = recorded_request("rekor-v1", "intoto 0.0.2") else {
        return;
    };
    let proposed: Value = serde_json::from_str(&request).unwrap();
    // The wire form wraps the payload's own base64 once more.
    let payload = unbase64(&proposed["spec"]["content"]["envelope"]["payload"]);
    let created = post(&stack.v1, ENTRIES, request).await;
    assert_eq!(created.status, 201, "{:?}", created.body);
    let id = verify_entry(&created.json(), &stack.shard);
    assert!(created.json()[&id].get("attestation").is_none());
    let read = get(&stack.v1, &format!("{ENTRIES}/{id}")).await.json();
    assert_eq!(verify_entry(&read, &stack.shard), id);
    assert_eq!(
        unbase64(&Value::from(String::from_utf8(payload).unwrap())),
        unbase64(&read[&id]["attestation"]["data"])
    );
    let retrieved = post(
        &stack.v1,
        &format!("{ENTRIES}/retrieve"),
        json!({"entryUUIDs": [id]}).to_string(),
    )
    .await;
    assert_eq!(retrieved.json(), json!([read]));
}

#[tokio::test]
async fn the_log_describes_itself_from_the_empty_tree_on() {
    let stack = Stack::new().await;
    let empty = get(&stack.v1, "/api/v1/log").await;
    assert_eq!(empty.status, 200);
    let info = empty.json();
    assert_eq!(info["treeSize"], 0);
    assert_eq!(info["rootHash"], common_tlog::empty_root().to_string());
    assert_eq!(info["treeID"], stack.shard.tree().to_string());
    assert_eq!(info["inactiveShards"], Value::Null);
    assert_eq!(
        verify_checkpoint(info["signedTreeHead"].as_str().unwrap(), &stack.shard).size,
        0
    );
    let key = get(&stack.v1, "/api/v1/log/publicKey").await;
    assert_eq!(key.header("content-type"), "application/x-pem-file");
    assert_eq!(key.body, stack.shard.public_key().to_pem());
    let ahead = get(&stack.v1, "/api/v1/log/proof?lastSize=1").await;
    assert_eq!(
        ahead.message(),
        "the tree size requested(1) was greater than what is currently observable(0)"
    );
}

#[tokio::test]
async fn every_pair_of_sizes_is_proven_consistent() {
    let stack = Stack::new().await;
    let Some(exchanges) = exchanges("rekor-v1") else {
        return;
    };
    let mut roots = Vec::new();
    for exchange in exchanges
        .iter()
        .filter(|one| one.status == 201 && one.name.starts_with("hashedrekord"))
    {
        assert_eq!(
            post(&stack.v1, ENTRIES, exchange.request.clone()).await.status,
            201
        );
        let info = get(&stack.v1, "/api/v1/log").await.json();
        roots.push(verify_checkpoint(info["signedTreeHead"].as_str().unwrap(), &stack.shard).root);
    }
    let tree = stack.shard.tree();
    for last in 1..=roots.len() {
        for first in 1..=last {
            let query = format!("/api/v1/log/proof?firstSize={first}&lastSize={last}&treeID={tree}");
            let proof = get(&stack.v1, &query).await.json();
            let hashes: Vec<_> = proof["hashes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|hash| hash.as_str().unwrap().parse().unwrap())
                .collect();
            let (from, to) = (u64::try_from(first).unwrap(), u64::try_from(last).unwrap());
            common_tlog::proof::verify_consistency(from, to, &roots[first - 1], &roots[last - 1], &hashes)
                .unwrap();
            assert_eq!(
                proof["rootHash"],
                roots.last().unwrap().to_string(),
                "the root of the whole tree"
            );
        }
    }
    let swapped = get(&stack.v1, "/api/v1/log/proof?firstSize=5&lastSize=2").await;
    assert_eq!(
        (swapped.status.as_u16(), swapped.message().as_str()),
        (400, "firstSize(5) must be less than lastSize(2)")
    );
    let unknown = get(&stack.v1, "/api/v1/log/proof?lastSize=2&treeID=1").await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.message().as_str()),
        (400, "no log range found for tree ID 1")
    );
    let huge = get(
        &stack.v1,
        "/api/v1/log/proof?lastSize=2&treeID=9223372036854775808",
    )
    .await;
    assert_eq!(
        (huge.status.as_u16(), huge.message().as_str()),
        (400, "invalid tree ID specified: 9223372036854775808")
    );
    let unset = get(&stack.v1, "/api/v1/log/proof?lastSize=2&treeID=").await;
    assert_eq!(unset.status, 200, "rekor-cli sends the parameter empty");
}

#[tokio::test]
async fn retrieval_keeps_order_repeats_and_skips_what_is_missing() {
    let stack = Stack::new().await;
    let Some(request) = recorded_request("rekor-v1", P256) else {
        return;
    };
    let other = recorded_request("rekor-v1", "hashedrekord secp384r1 sha384").unwrap();
    let first = verify_entry(&post(&stack.v1, ENTRIES, request).await.json(), &stack.shard);
    let second = verify_entry(&post(&stack.v1, ENTRIES, other).await.json(), &stack.shard);
    let absent = "0".repeat(64);
    let elsewhere = format!("{:016x}{}", 1, &first[16..]);
    let query = json!({"logIndexes": [1, 7, 1], "entryUUIDs": [second[16..], absent, elsewhere, first]});
    let found = post(&stack.v1, "/api/v1/log/entries/retrieve", query.to_string())
        .await
        .json();
    let ids: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| verify_entry(entry, &stack.shard))
        .collect();
    // Full IDs, then bare hashes, then indexes.
    assert_eq!(
        ids.iter().collect::<Vec<_>>(),
        [&first, &second, &second, &second]
    );
}
