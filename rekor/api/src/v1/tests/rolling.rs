//! A shard takes over from another while entries come in.

use std::sync::Arc;

use common_engine::memory::MemoryStorage;
use common_engine::{LogKind, LogState};
use common_pki::key::KeyAlgorithm;
use tokio::task::JoinSet;

use super::verify_entry;
use crate::testing::{HOST, NEW, OLD, config, exchanges, get, open, post, shard, signer};
use crate::v1::{Limits, Policy, Service, router};

const ENTRIES: &str = "/api/v1/log/entries";

#[tokio::test(flavor = "multi_thread")]
async fn no_entry_is_refused_while_a_shard_takes_over() {
    let Some(exchanges) = exchanges("rekor-v1") else {
        return;
    };
    let accepted = exchanges.into_iter().filter(|one| one.status == 201);
    let requests: Vec<_> = accepted.map(|one| one.request).collect();
    let (old, personality) = shard(11, 0, &signer(KeyAlgorithm::EcdsaP256));
    let first = config(OLD, LogKind::RekorV1, old.origin(HOST), 11, personality);
    let engine = open(Arc::new(MemoryStorage::new()), vec![first]).await;
    let service = Arc::new(
        Service::new(
            engine.clone(),
            vec![(OLD, old.clone())],
            Policy::default(),
            Limits::default(),
        )
        .unwrap(),
    );
    let log = router(Arc::clone(&service));

    let mut writers = JoinSet::new();
    for request in requests.clone() {
        let log = log.clone();
        writers.spawn(async move { post(&log, ENTRIES, request).await });
    }
    while engine.head(OLD).unwrap().size < 5 {
        tokio::task::yield_now().await;
    }
    let rolling = service.close().await;
    let last = engine.freeze(OLD).await.unwrap();
    let (new, personality) = shard(22, last.size, &signer(KeyAlgorithm::EcdsaP256));
    let second = config(NEW, LogKind::RekorV1, new.origin(HOST), 22, personality);
    engine.open_log(second).await.unwrap();
    rolling
        .reopen(vec![(OLD, old.clone()), (NEW, new.clone())])
        .unwrap();

    let mut indexes = Vec::new();
    while let Some(reply) = writers.join_next().await {
        let reply = reply.unwrap();
        assert_eq!(reply.status, 201, "{:?}", reply.body);
        let entry = reply.json();
        let index = entry.as_object().unwrap().values().next().unwrap()["logIndex"]
            .as_u64()
            .unwrap();
        verify_entry(&entry, if index < last.size { &old } else { &new });
        indexes.push(index);
    }
    indexes.sort_unstable();
    assert_eq!(indexes, (0..requests.len() as u64).collect::<Vec<_>>());
    assert_eq!(engine.log(OLD).unwrap().state, LogState::Frozen);
    let info = get(&log, "/api/v1/log").await.json();
    assert_eq!(info["treeID"], "22");
    assert_eq!(info["inactiveShards"][0]["treeID"], "11");
    assert_eq!(info["inactiveShards"][0]["treeSize"], last.size);
}

#[tokio::test]
async fn a_roll_that_is_given_up_leaves_the_shard_as_it_was() {
    let Some(exchanges) = exchanges("rekor-v1") else {
        return;
    };
    let request = exchanges
        .into_iter()
        .find(|one| one.status == 201)
        .unwrap()
        .request;
    let (only, personality) = shard(11, 0, &signer(KeyAlgorithm::EcdsaP256));
    let row = config(OLD, LogKind::RekorV1, only.origin(HOST), 11, personality);
    let engine = open(Arc::new(MemoryStorage::new()), vec![row]).await;
    let service = Service::new(
        engine,
        vec![(OLD, only.clone())],
        Policy::default(),
        Limits::default(),
    );
    let service = Arc::new(service.unwrap());
    let (stray, _) = shard(22, 5, &signer(KeyAlgorithm::EcdsaP256));
    service
        .close()
        .await
        .reopen(vec![(OLD, only.clone()), (NEW, stray)])
        .unwrap_err();
    drop(service.close().await);
    let reply = post(&router(service), ENTRIES, request).await;
    verify_entry(&reply.json(), &only);
}
