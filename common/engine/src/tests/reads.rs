//! Reads: bounds, every proof against an oracle, nothing wrong ever served.

use std::sync::Arc;

use common_tlog::compact::CompactRange;
use common_tlog::proof::{verify_consistency, verify_inclusion};
use common_tlog::tile::tiles_for;
use common_tlog::{Hash, TileId, leaf_hash};
use proptest::prelude::*;

use super::harness::*;
use crate::memory::MemoryStorage;
use crate::sequencer::LOOK;
use crate::{Corrupt, LogId, LogState, NoAnchor, Options, ReadError, StoreError};

/// Roots of every size, by an independent way.
fn roots(leaves: &[Vec<u8>]) -> Vec<Hash> {
    let mut tree = CompactRange::new();
    let mut roots = vec![tree.root()];
    for leaf in leaves {
        tree.append(leaf).unwrap();
        roots.push(tree.root());
    }
    roots
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Batches of any sizes make the tree that appending one by one makes, and all proofs in it verify.
    #[test]
    fn any_batches_make_the_tree_of_the_oracle(sizes in prop::collection::vec(1usize..400, 1..4), seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let storage = Arc::new(MemoryStorage::new());
            let engine = open(&storage).await;
            for (round, count) in sizes.iter().enumerate() {
                fill(&engine, V1, &format!("{round}"), *count).await;
            }
            let size = engine.head(V1).unwrap().size;
            assert_eq!(size, sizes.iter().sum::<usize>() as u64);
            let mut leaves = Vec::new();
            while (leaves.len() as u64) < size {
                let more = engine.leaves(V1, leaves.len() as u64, 1_000).await.unwrap();
                leaves.extend(more.into_iter().map(|leaf| leaf.data.to_vec()));
            }
            let roots = roots(&leaves);
            assert_eq!(engine.head(V1).unwrap().root, *roots.last().unwrap());
            let mut state = seed;
            let mut random = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            for _ in 0..60 {
                let to = random(size) + 1;
                let index = random(to);
                let proof = engine.inclusion_proof(V1, index, to).await.unwrap();
                let hash = leaf_hash(&leaves[index as usize]);
                verify_inclusion(index, to, &hash, &proof, &roots[to as usize]).unwrap();
                let from = index + 1;
                let proof = engine.consistency_proof(V1, from, to).await.unwrap();
                verify_consistency(from, to, &roots[from as usize], &roots[to as usize], &proof).unwrap();
            }
            engine.shutdown().await;
        });
    }
}

#[tokio::test]
async fn no_checkpoint_is_visible_whose_tiles_are_not_readable() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    let writer = tokio::spawn({
        let engine = engine.clone();
        async move {
            for round in 0..30 {
                fill(&engine, V1, &format!("{round}"), 37).await;
            }
        }
    });
    let mut seen = 0;
    while !writer.is_finished() {
        let head = engine.head(V1).unwrap();
        for (tile, width) in tiles_for(head.size) {
            let bytes = engine.tile(V1, tile.level, tile.index, width).await.unwrap();
            assert_eq!(bytes.unwrap().len(), usize::from(width) * 32);
        }
        if head.size > 0 {
            assert!(engine.leaf(V1, head.size - 1).await.unwrap().is_some());
            engine
                .inclusion_proof(V1, head.size - 1, head.size)
                .await
                .unwrap();
            seen += 1;
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    assert!(seen > 5, "readers and the writer ran side by side");
}

#[tokio::test]
async fn nothing_beyond_the_published_head_is_served() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    fill(&engine, V1, "a", 300).await;
    let size = engine.head(V1).unwrap().size;
    // Committed by another replica, not published by this one.
    let replica = open(&storage).await;
    fill(&replica, V1, "b", 300).await;
    assert_eq!(engine.leaf(V1, size).await.unwrap(), None);
    assert_eq!(engine.leaves(V1, size - 2, 10).await.unwrap().len(), 2);
    assert_eq!(engine.leaves(V1, size, 10).await.unwrap(), vec![]);
    assert_eq!(engine.leaves(V1, u64::MAX, u32::MAX).await.unwrap(), vec![]);
    let hidden = replica.leaf(V1, size).await.unwrap().unwrap();
    assert_eq!(
        engine.find_leaf(V1, &leaf_hash(&hidden.data)).await.unwrap(),
        None
    );
    // Tile 1 has 44 hashes here, and is full in storage.
    for (level, index, width, served) in [
        (0, 0, 256, true),
        (0, 0, 1, true),
        (0, 1, 44, true),
        (0, 1, 1, true),
        (1, 0, 1, true),
        (0, 1, 45, false),
        (0, 1, 256, false),
        (0, 2, 1, false),
        (1, 0, 2, false),
        (2, 0, 1, false),
        (0, 0, 0, false),
        (0, 0, 257, false),
        (63, 0, 1, false),
        (255, u64::MAX, u16::MAX, false),
    ] {
        let tile = engine.tile(V1, level, index, width).await.unwrap();
        assert_eq!(
            tile.map(|bytes| bytes.len()),
            served.then(|| usize::from(width) * 32),
            "{level}/{index}/{width}"
        );
    }
    for (index, at) in [(size, size), (0, size + 1), (0, 0), (u64::MAX, u64::MAX)] {
        assert!(matches!(
            engine.inclusion_proof(V1, index, at).await,
            Err(ReadError::OutOfRange { .. })
        ));
    }
    for (from, to) in [(0, 1), (0, 0), (2, 1), (1, size + 1), (u64::MAX, u64::MAX)] {
        assert!(matches!(
            engine.consistency_proof(V1, from, to).await,
            Err(ReadError::OutOfRange { .. })
        ));
    }
    assert!(engine.consistency_proof(V1, size, size).await.unwrap().is_empty());
    assert!(matches!(
        engine.leaf(LogId(7), 0).await,
        Err(ReadError::UnknownLog(LogId(7)))
    ));
}

#[tokio::test]
async fn a_proof_from_damaged_tiles_is_withheld() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    fill(&engine, V1, "a", 600).await;
    let flip = TileId { level: 0, index: 0 };
    storage.damage(|contents| {
        let mut bytes = contents.tiles[&(V1, flip)].to_vec();
        bytes[32 * 9 + 4] ^= 1;
        contents.tiles.insert((V1, flip), bytes.into());
    });
    // Leaf 3 is proven with the damaged node, leaf 300 is not.
    let error = engine.inclusion_proof(V1, 3, 600).await.unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::Store(StoreError::Corrupt(Corrupt::Proof { .. }))
        ),
        "{error}"
    );
    engine.inclusion_proof(V1, 300, 600).await.unwrap();
    // A duplicate of a leaf that cannot be proven gets no receipt.
    engine.submit(V1, entry("a 3")).await.unwrap_err();
    engine.submit(V1, entry("new")).await.unwrap();
}

#[tokio::test]
async fn a_damaged_leaf_is_never_served() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    fill(&engine, V1, "a", 300).await;
    let place = crate::Place { log: V1, index: 7 };
    let intact = leaf_hash(&storage.contents().leaves[&place].data);
    storage.damage(|contents| contents.leaves.get_mut(&place).unwrap().data = "b".into());
    for error in [
        engine.leaf(V1, 7).await.unwrap_err(),
        engine.leaves(V1, 0, 256).await.unwrap_err(),
    ] {
        let ReadError::Store(StoreError::Corrupt(corrupt)) = error else {
            panic!("{error}")
        };
        assert_eq!(
            corrupt,
            Corrupt::Leaf {
                log: V1,
                index: 7,
                expected: intact,
                got: leaf_hash(b"b")
            }
        );
    }
    assert_eq!(engine.find_leaf(V1, &intact).await.unwrap(), None);
    assert_eq!(engine.leaves(V1, 8, 292).await.unwrap().len(), 292);
}

#[tokio::test]
async fn a_missing_leaf_or_tile_is_an_error_and_not_an_absence() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    fill(&engine, V1, "a", 600).await;
    storage.damage(|contents| {
        contents.leaves.retain(|place, _| place.index != 5);
        contents
            .tiles
            .retain(|(_, tile), _| *tile != TileId { level: 0, index: 1 });
    });
    let corrupt = |error: ReadError| match error {
        ReadError::Store(StoreError::Corrupt(corrupt)) => corrupt,
        other => panic!("{other}"),
    };
    assert_eq!(
        corrupt(engine.leaf(V1, 5).await.unwrap_err()),
        Corrupt::LeafMissing(V1, 5)
    );
    assert_eq!(
        corrupt(engine.leaves(V1, 0, 10).await.unwrap_err()),
        Corrupt::LeafMissing(V1, 5)
    );
    let missing = Corrupt::TileMissing {
        log: V1,
        tile: TileId { level: 0, index: 1 },
    };
    assert_eq!(corrupt(engine.tile(V1, 0, 1, 256).await.unwrap_err()), missing);
    assert_eq!(
        corrupt(engine.inclusion_proof(V1, 300, 600).await.unwrap_err()),
        missing
    );
}

#[tokio::test(start_paused = true)]
async fn reads_beyond_the_bound_wait_shortly_and_are_refused() {
    let storage = Arc::new(MemoryStorage::new());
    let options = Options {
        concurrent_reads: 1,
        ..Options::default()
    };
    let engine = open_with(storage, Arc::new(NoAnchor), options).await.unwrap();
    fill(&engine, V1, "a", 2).await;
    let slow = engine.shared.reader.turn().await.unwrap();
    let hash = leaf_hash(b"a 0");
    let refusals = [
        engine.leaf(V1, 0).await.unwrap_err(),
        engine.leaves(V1, 0, 2).await.unwrap_err(),
        engine.find_leaf(V1, &hash).await.unwrap_err(),
        engine.inclusion_proof(V1, 0, 2).await.unwrap_err(),
        engine.consistency_proof(V1, 1, 2).await.unwrap_err(),
        engine.tile(V1, 0, 0, 2).await.unwrap_err(),
        engine.search("a", 1).await.unwrap_err(),
        engine.attachment("a").await.unwrap_err(),
    ];
    for error in refusals {
        assert!(matches!(error, ReadError::Busy), "{error}");
    }
    // The writer, and the proof of a duplicate, need no turn.
    fill(&engine, V1, "a", 3).await;
    let own = engine.clone();
    let waiting = tokio::spawn(async move { own.leaf(V1, 0).await });
    tokio::task::yield_now().await;
    drop(slow);
    assert!(waiting.await.unwrap().unwrap().is_some());
}

/// A replica that is only asked, and never written to.
#[tokio::test(start_paused = true)]
async fn a_replica_that_only_reads_learns_of_what_others_log() {
    let storage = Arc::new(MemoryStorage::shared());
    let (writer, reader) = (open(&storage).await, open(&storage).await);
    let before = storage.contents();
    fill(&writer, V1, "a", 300).await;
    tokio::time::sleep(LOOK * 3).await;
    let head = writer.head(V1).unwrap();
    assert_eq!(reader.head(V1).unwrap(), head);
    assert!(reader.leaf(V1, 299).await.unwrap().is_some());
    reader.inclusion_proof(V1, 0, 300).await.unwrap();
    writer.freeze(V1).await.unwrap();
    tokio::time::sleep(LOOK * 3).await;
    assert_eq!(reader.log(V1).unwrap().state, LogState::Frozen);
    writer.shutdown().await;

    // What is not an extension of what it has shown is not shown, and nothing is added to it.
    storage.damage(|contents| *contents = before);
    tokio::time::sleep(LOOK * 3).await;
    assert_eq!(reader.head(V1).unwrap(), head);
    assert!(!reader.is_writable());
    reader.shutdown().await;
}
