//! Several engines on one database.

use std::collections::BTreeSet;

use super::harness::{Promises, engine};
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_write_one_tree() {
    let server = Server::shared();
    let name = server.database();
    let one = engine(store(&server, &name).await).await;
    let two = engine(store(&server, &name).await).await;
    let promises = Arc::new(Promises::default());
    let start = std::time::Instant::now();
    let (mut ones, mut twos) = (
        promises.submitters(&one, "one", 40),
        promises.submitters(&two, "two", 40),
    );
    promises.stop();
    while ones.join_next().await.is_some() {}
    while twos.join_next().await.is_some() {}
    let elapsed = start.elapsed();
    // What one replica logged is a duplicate at the other.
    promises.submit(&two, "one 0 0").await;
    promises.submit(&one, "two 0 0").await;
    one.shutdown().await;
    two.shutdown().await;
    let stored = store(&server, &name).await;
    let leaves = stored.leaves(crate::testlog::LOG, 0, 10_000).await.unwrap();
    let owners: Vec<u8> = leaves.iter().map(|leaf| leaf.data[0]).collect();
    let changes = owners.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let size = promises.audit(stored).await;
    eprintln!(
        "two replicas: {size} leaves in {elapsed:?}, the writer changed {changes} times, refused: {:?}",
        promises.refusals()
    );
    assert_eq!(size, 2 * 16 * 40);
    assert!(changes > 10, "they take turns");
    assert!(
        promises.refusals().is_empty(),
        "nobody is refused because of the other: {:?}",
        promises.refusals()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_entries_at_two_replicas_are_logged_once() {
    let server = Server::shared();
    let name = server.database();
    let one = engine(store(&server, &name).await).await;
    let two = engine(store(&server, &name).await).await;
    let promises = Arc::new(Promises::default());
    let mut submitting = tokio::task::JoinSet::new();
    for number in 0..200 {
        for engine in [one.clone(), two.clone()] {
            let promises = Arc::clone(&promises);
            submitting.spawn(async move { promises.submit(&engine, &format!("same {number}")).await });
        }
    }
    submitting.join_all().await;
    one.shutdown().await;
    two.shutdown().await;
    assert_eq!(promises.count(), 400);
    assert_eq!(promises.audit(store(&server, &name).await).await, 200);
    let stored = store(&server, &name).await;
    let leaves = stored.leaves(crate::testlog::LOG, 0, 1_000).await.unwrap();
    let different: BTreeSet<&Bytes> = leaves.iter().map(|leaf| &leaf.data).collect();
    assert_eq!(different.len(), leaves.len());
}
