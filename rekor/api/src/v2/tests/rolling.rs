//! A shard takes over from another while entries come in.

use std::sync::Arc;
use std::time::Duration;

use common_engine::memory::MemoryStorage;
use common_engine::{LogId, LogKind};
use common_pki::key::KeyAlgorithm;
use tokio::task::JoinSet;

use super::ENTRIES;
use super::replay::wanted;
use crate::RekorV2;
use crate::personality::log_id;
use crate::testing::{HOST, TILES, config, exchanges, get, open, post, signer};
use crate::v2::{Limits, Policy, Service, router};

const NEXT: LogId = LogId(9);
const NEXT_HOST: &str = "log-2.example.com";

#[tokio::test(flavor = "multi_thread")]
async fn no_entry_is_refused_and_each_shard_is_read_at_its_own_place() {
    let Some(exchanges) = exchanges("rekor-v2") else {
        return;
    };
    // Keys under a label that does not describe them are taken upstream only (docs/divergences.md).
    let accepted = exchanges
        .into_iter()
        .filter(|one| one.status == 201 && wanted(one).is_none());
    let mut requests: Vec<_> = accepted.map(|one| one.request).collect();
    let late = requests.pop().unwrap();
    let (one, two) = (signer(KeyAlgorithm::Ed25519), signer(KeyAlgorithm::Ed25519));
    let ids = [(HOST, &one), (NEXT_HOST, &two)].map(|(host, key)| {
        let id = log_id(host, key.public_key()).unwrap();
        id.to_base64()
    });
    let row = |log, host: &str, signer| {
        let personality = Arc::new(RekorV2::new(host, signer).unwrap());
        config(log, LogKind::RekorV2, host.to_owned(), 0, personality)
    };
    let first = row(TILES, HOST, Arc::clone(&one));
    let engine = open(Arc::new(MemoryStorage::new()), vec![first]).await;
    let service = Service::new(
        engine.clone(),
        TILES,
        HOST,
        one.public_key(),
        Policy::default(),
        Limits::default(),
    );
    let service = Arc::new(service.unwrap());
    let root = router(Arc::clone(&service), TILES);

    let mut writers = JoinSet::new();
    for request in requests.clone() {
        let root = root.clone();
        writers.spawn(async move { post(&root, ENTRIES, request).await });
    }
    while engine.head(TILES).unwrap().size < 2 {
        tokio::task::yield_now().await;
    }
    let rolling = service.close().await;
    let last = engine.freeze(TILES).await.unwrap();
    // Whoever comes now finds a frozen log, and waits for the next.
    let late = tokio::spawn({
        let root = root.clone();
        async move { post(&root, ENTRIES, late).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!late.is_finished());
    let second = row(NEXT, NEXT_HOST, Arc::clone(&two));
    engine.open_log(second).await.unwrap();
    rolling.reopen(NEXT, NEXT_HOST, two.public_key()).unwrap();

    let late = late.await.unwrap();
    assert_eq!(late.status, 201, "{:?}", late.body);
    assert_eq!(late.json()["logId"]["keyId"], ids[1]);
    let mut taken = [0, 0];
    while let Some(reply) = writers.join_next().await {
        let reply = reply.unwrap();
        assert_eq!(reply.status, 201, "{:?}", reply.body);
        let id = reply.json()["logId"]["keyId"].as_str().unwrap().to_owned();
        taken[ids.iter().position(|known| *known == id).unwrap()] += 1;
    }
    assert_eq!(
        (taken[0], taken[0] + taken[1]),
        (last.size, requests.len() as u64)
    );

    // Writers may stay at the old URL; readers find there what was always there.
    let again = post(&root, ENTRIES, requests[0].clone()).await;
    assert!([201, 409].contains(&again.status.as_u16()), "{:?}", again.body);
    assert!(
        get(&root, "/checkpoint")
            .await
            .body
            .starts_with(format!("{HOST}\n{}\n", last.size).as_bytes())
    );
    let shard = router(service, NEXT);
    assert!(
        get(&shard, "/api/v2/checkpoint")
            .await
            .body
            .starts_with(format!("{NEXT_HOST}\n").as_bytes())
    );
}
