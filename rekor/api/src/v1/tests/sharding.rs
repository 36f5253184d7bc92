//! Two shards: the first was rolled over, the second takes entries.

use std::sync::Arc;

use common_engine::memory::MemoryStorage;
use common_engine::{LogKind, LogState};
use common_pki::key::KeyAlgorithm;
use serde_json::{Value, json};

use super::{verify_checkpoint, verify_entry};
use crate::testing::{HOST, NEW, OLD, config, exchanges, get, open, post, shard, signer};
use crate::v1::{Limits, Policy, Service, ShardsError, router};

const ENTRIES: &str = "/api/v1/log/entries";

#[tokio::test]
async fn entries_of_both_shards_are_one_log() {
    let Some(exchanges) = exchanges("rekor-v1") else {
        return;
    };
    let requests: Vec<_> = exchanges
        .into_iter()
        .filter(|one| one.status == 201 && one.name.starts_with("hashedrekord"))
        .map(|one| one.request)
        .take(5)
        .collect();
    let storage = Arc::new(MemoryStorage::new());
    let (old, old_personality) = shard(11, 0, &signer(KeyAlgorithm::EcdsaP256));
    let old_config = config(OLD, LogKind::RekorV1, old.origin(HOST), 11, old_personality);

    // The first life of the log: one shard, three entries, then closed.
    let engine = open(Arc::clone(&storage), vec![old_config.clone()]).await;
    let service = Service::new(
        engine.clone(),
        vec![(OLD, old.clone())],
        Policy::default(),
        Limits::default(),
    )
    .unwrap();
    let first_life = router(Arc::new(service));
    for request in &requests[..3] {
        assert_eq!(post(&first_life, ENTRIES, request.clone()).await.status, 201);
    }
    engine.set_state(OLD, LogState::Frozen).await.unwrap();
    let late = post(&first_life, ENTRIES, requests[4].clone()).await;
    assert_eq!((late.status.as_u16(), late.header("allow")), (405, "GET"));
    engine.shutdown().await;

    // The second: a new tree and key, its entries numbered on from the first.
    let (new, new_personality) = shard(22, 3, &signer(KeyAlgorithm::EcdsaP256));
    let new_config = config(NEW, LogKind::RekorV1, new.origin(HOST), 22, new_personality);
    let engine = open(storage, vec![old_config, new_config]).await;
    let both = vec![(OLD, old.clone()), (NEW, new.clone())];
    let service = Service::new(engine.clone(), both, Policy::default(), Limits::default()).unwrap();
    let log = router(Arc::new(service));
    // A copy in an old shard is no duplicate (rekor `tests/sharding-e2e-test.sh`).
    for request in &requests[2..5] {
        assert_eq!(
            verify_entry(&post(&log, ENTRIES, request.clone()).await.json(), &new)[..16],
            *"0000000000000016"
        );
    }

    let mut ids = Vec::new();
    for index in 0..6 {
        let entry = get(&log, &format!("{ENTRIES}?logIndex={index}")).await.json();
        ids.push(verify_entry(&entry, if index < 3 { &old } else { &new }));
        assert_eq!(entry[&ids[index]]["logIndex"], index);
        assert_eq!(
            get(&log, &format!("{ENTRIES}/{}", ids[index])).await.json(),
            entry
        );
    }
    assert_eq!(get(&log, &format!("{ENTRIES}?logIndex=6")).await.status, 404);
    // The same leaf in both shards: the active one answers a bare UUID, retrieval gives both.
    let bare = &ids[2][16..];
    assert_eq!(bare, &ids[3][16..]);
    assert_eq!(
        verify_entry(&get(&log, &format!("{ENTRIES}/{bare}")).await.json(), &new),
        ids[3]
    );
    let found = post(
        &log,
        "/api/v1/log/entries/retrieve",
        json!({"entryUUIDs": [bare]}).to_string(),
    )
    .await
    .json();
    assert_eq!(
        [verify_entry(&found[0], &new), verify_entry(&found[1], &old)],
        [ids[3].clone(), ids[2].clone()]
    );
    // An entry that only the old shard has is found by its bare UUID too.
    assert_eq!(
        verify_entry(
            &get(&log, &format!("{ENTRIES}/{}", &ids[0][16..])).await.json(),
            &old
        ),
        ids[0]
    );
    // The right leaf under the wrong tree is nothing.
    assert_eq!(
        get(&log, &format!("{ENTRIES}/{}{}", &ids[5][..16], &ids[0][16..]))
            .await
            .status,
        404
    );

    let info = get(&log, "/api/v1/log").await.json();
    assert_eq!((&info["treeID"], &info["treeSize"]), (&json!("22"), &json!(3)));
    let [inactive] = &info["inactiveShards"].as_array().unwrap()[..] else {
        panic!("one inactive shard")
    };
    assert_eq!(
        (&inactive["treeID"], &inactive["treeSize"]),
        (&json!("11"), &json!(3))
    );
    assert_eq!(
        verify_checkpoint(inactive["signedTreeHead"].as_str().unwrap(), &old).size,
        3
    );
    assert_eq!(
        get(&log, "/api/v1/log").await.json()["inactiveShards"],
        info["inactiveShards"],
        "the old head is final"
    );

    assert_eq!(
        get(&log, "/api/v1/log/publicKey").await.body,
        new.public_key().to_pem()
    );
    assert_eq!(
        get(&log, "/api/v1/log/publicKey?treeID=11").await.body,
        old.public_key().to_pem()
    );
    assert_eq!(
        get(&log, "/api/v1/log/proof?firstSize=2&lastSize=3&treeID=11")
            .await
            .json()["rootHash"],
        inactive["rootHash"]
    );

    // The index finds entries of both shards.
    let entry: Value = serde_json::from_str(&requests[2]).unwrap();
    let digest = entry["spec"]["data"]["hash"]["value"].as_str().unwrap();
    let hits = post(
        &log,
        "/api/v1/index/retrieve",
        json!({"hash": digest}).to_string(),
    )
    .await
    .json();
    assert_eq!(hits, json!([ids[3], ids[2]]));
}

#[tokio::test]
async fn shards_that_do_not_make_one_log_are_refused() {
    let (one, one_personality) = shard(11, 0, &signer(KeyAlgorithm::EcdsaP256));
    let (two, two_personality) = shard(22, 1, &signer(KeyAlgorithm::EcdsaP256));
    let logs = vec![
        config(OLD, LogKind::RekorV1, one.origin(HOST), 11, one_personality),
        config(NEW, LogKind::RekorV1, two.origin(HOST), 22, two_personality),
    ];
    let engine = open(Arc::new(MemoryStorage::new()), logs).await;
    let service =
        |shards| Service::new(engine.clone(), shards, Policy::default(), Limits::default()).map(|_| ());
    assert!(matches!(service(vec![]), Err(ShardsError::Empty)));
    assert!(matches!(
        service(vec![(NEW, two.clone()), (OLD, one.clone())]),
        Err(ShardsError::Overlap {
            expected: 1,
            got: 0,
            ..
        })
    ));
    assert!(matches!(
        service(vec![(OLD, one.clone()), (NEW, one.clone())]),
        Err(ShardsError::SameTree(_))
    ));
    assert!(matches!(
        service(vec![(common_engine::LogId(9), one.clone())]),
        Err(ShardsError::Unknown { .. })
    ));
    assert!(
        matches!(service(vec![(NEW, one)]), Err(ShardsError::Unknown { .. })),
        "the tree of another ID"
    );
}
