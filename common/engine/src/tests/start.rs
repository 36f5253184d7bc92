//! Start-up: what is stored must be what was signed and published.

use std::sync::Arc;

use common_tlog::{Hash, TileId};

use super::harness::*;
use crate::memory::{Contents, MemoryStorage};
use crate::{Corrupt, LogId, NoAnchor, OpenError, Options, Place, StoreError};

async fn filled(count: usize) -> Contents {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    fill(&engine, V1, "a", count).await;
    fill(&engine, CT, "b", 3).await;
    engine.shutdown().await;
    storage.contents()
}

async fn refusal(contents: Contents) -> Corrupt {
    let storage = Arc::new(MemoryStorage::with_contents(contents));
    match open_with(storage, Arc::new(NoAnchor), Options::default()).await {
        Err(OpenError::Store(StoreError::Corrupt(corrupt))) => corrupt,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn changed(contents: &Contents, change: impl FnOnce(&mut Contents)) -> Contents {
    let mut contents = contents.clone();
    change(&mut contents);
    contents
}

#[tokio::test]
async fn the_contract_holds_for_storage_in_memory() {
    crate::contract::check(async || Arc::new(MemoryStorage::new())).await;
}

#[tokio::test]
async fn every_flipped_byte_on_the_right_edge_is_found() {
    // A partial last tile, and a full one whose level has none to the right.
    for count in [5usize, 256, 261] {
        let contents = filled(count).await;
        let last_tile = (count as u64 - 1) / 256;
        for tile in [
            TileId {
                level: 0,
                index: last_tile,
            },
            TileId { level: 1, index: 0 },
        ] {
            let Some(bytes) = contents.tiles.get(&(V1, tile)) else {
                continue;
            };
            for at in (0..bytes.len()).step_by(if count == 5 { 1 } else { 97 }) {
                let mut bytes = bytes.to_vec();
                bytes[at] ^= 0x10;
                let damaged = changed(&contents, |c| drop(c.tiles.insert((V1, tile), bytes.into())));
                let corrupt = refusal(damaged).await;
                assert!(matches!(
                    corrupt,
                    Corrupt::Root { .. } | Corrupt::Leaf { .. } | Corrupt::Proof { .. }
                ));
            }
        }
    }
}

#[tokio::test]
async fn every_flipped_byte_of_a_last_leaf_is_found_and_named() {
    let contents = filled(260).await;
    for index in [256, 259] {
        let place = Place { log: V1, index };
        for at in 0..contents.leaves[&place].data.len() {
            let damaged = changed(&contents, |c| {
                let leaf = c.leaves.get_mut(&place).unwrap();
                let mut data = leaf.data.to_vec();
                data[at] ^= 1;
                leaf.data = data.into();
            });
            assert!(matches!(refusal(damaged).await, Corrupt::Leaf { index: named, .. } if named == index));
        }
        let missing = changed(&contents, |c| drop(c.leaves.remove(&place)));
        assert_eq!(refusal(missing).await, Corrupt::LeafMissing(V1, index));
    }
}

#[tokio::test]
async fn the_root_recomputed_at_start_equals_the_signed_one() {
    let contents = filled(260).await;
    let head =
        |change: fn(&mut crate::Head)| changed(&contents, |c| change(&mut c.logs.get_mut(&V1).unwrap().head));
    let corrupt = refusal(head(|head| head.root = Hash([3; 32]))).await;
    assert!(
        matches!(
            corrupt,
            Corrupt::Root {
                log: V1,
                size: 260,
                ..
            }
        ),
        "{corrupt}"
    );
    let corrupt = refusal(head(|head| head.size = 259)).await;
    assert!(matches!(corrupt, Corrupt::Root { size: 259, .. }), "{corrupt}");
    let corrupt = refusal(head(|head| head.size = 261)).await;
    assert!(
        matches!(
            corrupt,
            Corrupt::TileWidth {
                expected: 160,
                got: 128,
                ..
            }
        ),
        "{corrupt}"
    );
    let corrupt = refusal(head(|head| head.size = u64::MAX)).await;
    assert_eq!(corrupt, Corrupt::Size(V1, u64::MAX));
    let corrupt = refusal(head(|head| {
        head.checkpoint = head.checkpoint.replace("260", "261")
    }))
    .await;
    assert!(matches!(corrupt, Corrupt::Checkpoint { .. }), "{corrupt}");
    let corrupt = refusal(head(|head| {
        head.checkpoint = head.checkpoint.replace("v1.test\n", "v2.test\n")
    }))
    .await;
    assert!(matches!(corrupt, Corrupt::Checkpoint { .. }), "{corrupt}");
    let corrupt = refusal(head(|head| head.checkpoint.truncate(20))).await;
    assert_eq!(corrupt, Corrupt::CheckpointSyntax(V1));
    let tile = TileId { level: 0, index: 1 };
    let corrupt = refusal(changed(&contents, |c| drop(c.tiles.remove(&(V1, tile))))).await;
    assert_eq!(corrupt, Corrupt::TileMissing { log: V1, tile });
}

#[tokio::test]
async fn a_store_older_than_a_published_checkpoint_is_refused() {
    let storage = Arc::new(MemoryStorage::new());
    let anchor = Arc::new(TestAnchor::default());
    let engine = open_with(
        Arc::clone(&storage) as _,
        Arc::clone(&anchor) as _,
        Options::default(),
    )
    .await
    .unwrap();
    fill(&engine, V1, "a", 10).await;
    let backup = storage.contents();
    fill(&engine, V1, "b", 300).await;
    engine.shutdown().await;
    let start = async |contents: Contents| {
        let storage = Arc::new(MemoryStorage::with_contents(contents));
        open_with(storage, Arc::clone(&anchor) as _, Options::default()).await
    };
    let corrupt = |result: Result<crate::Engine, OpenError>| match result {
        Err(OpenError::Store(StoreError::Corrupt(corrupt))) => corrupt,
        other => panic!("expected a refusal, got {other:?}"),
    };
    assert_eq!(
        corrupt(start(backup.clone()).await),
        Corrupt::Behind {
            log: V1,
            published: 310,
            got: 10
        }
    );
    assert_eq!(
        corrupt(start(Contents::default()).await),
        Corrupt::LogMissing("ct.test".to_owned())
    );

    // Another history of the same or a larger size.
    for more in [300, 500] {
        let other = Arc::new(MemoryStorage::with_contents(backup.clone()));
        let engine = open(&other).await;
        fill(&engine, V1, "c", more).await;
        engine.shutdown().await;
        assert!(matches!(
            corrupt(start(other.contents()).await),
            Corrupt::Forked {
                log: V1,
                size: 310,
                ..
            }
        ));
    }

    // The store itself, and one that is ahead of the anchor, start.
    start(storage.contents()).await.unwrap().shutdown().await;
    let engine = open(&storage).await;
    fill(&engine, V1, "d", 300).await;
    engine.shutdown().await;
    start(storage.contents()).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_configuration_that_differs_from_the_store_is_refused_by_field() {
    let contents = filled(1).await;
    let open = async |change: fn(&mut crate::LogSpec)| {
        let storage = Arc::new(MemoryStorage::with_contents(contents.clone()));
        let mut logs = configs();
        change(&mut logs[0].spec);
        let millis = Arc::new(std::sync::atomic::AtomicU64::new(1_800_000_000_000));
        crate::Engine::open(
            storage,
            logs,
            Arc::new(NoAnchor),
            clock(&millis),
            Options::default(),
        )
        .await
    };
    let changes = [
        (
            "kind",
            (|spec| spec.kind = crate::LogKind::RekorV2) as fn(&mut crate::LogSpec),
        ),
        ("origin", |spec| spec.origin.push('x')),
        ("tree ID", |spec| spec.tree_id += 1),
        ("key ID", |spec| spec.key_id.clear()),
        ("leaf limit", |spec| spec.leaf_limit = 1),
    ];
    for (name, change) in changes {
        match open(change).await {
            Err(OpenError::Spec {
                log: V1,
                field,
                expected,
                got,
            }) => {
                assert_eq!(field, name);
                assert_ne!(expected, got);
            }
            other => panic!("expected a refusal, got {other:?}"),
        }
    }
    open(|spec| spec.created = 99).await.unwrap();
}

#[tokio::test]
async fn log_numbers_are_checked() {
    for numbers in [[LogId(1), LogId(1)], [LogId(1), LogId(0x1_0000)]] {
        let mut logs = configs();
        logs[0].id = numbers[0];
        logs[1].id = numbers[1];
        let storage = Arc::new(MemoryStorage::new());
        let millis = Arc::new(std::sync::atomic::AtomicU64::new(1_800_000_000_000));
        let result = crate::Engine::open(
            storage,
            logs,
            Arc::new(NoAnchor),
            clock(&millis),
            Options::default(),
        )
        .await;
        assert!(matches!(result, Err(OpenError::LogNumber(id)) if id == numbers[1]));
    }
}

#[tokio::test]
async fn the_last_leaves_are_checked_a_few_at_a_time() {
    let storage = Arc::new(MemoryStorage::with_contents(filled(256).await));
    open(&storage).await;
    // 8 MiB hold 128 leaves of the longest; the other log has three leaves.
    let calls = storage.calls();
    assert_eq!(calls.iter().filter(|call| **call == "leaves").count(), 3);
}
