#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "tests"
)]

use proptest::prelude::*;

use super::*;
use crate::{
    oracle,
    proof::{consistency, verify_inclusion},
    tile::{right_edge, tiles_for},
};

fn grown(leaves: &[Hash]) -> RightEdge {
    RightEdge::empty().grow(leaves).unwrap().into_edge()
}

#[test]
fn roots_for_all_sizes_to_1100() {
    let leaves = oracle::leaves(1_100);
    let mut edge = RightEdge::empty();
    assert_eq!(edge.root(), empty_root());
    for size in 1..=leaves.len() {
        edge = edge.grow(&leaves[size - 1..size]).unwrap().into_edge();
        assert_eq!(edge.size(), size as u64);
        assert_eq!(edge.root(), oracle::root(&leaves[..size]), "size {size}");
        // The edge is a function of the leaves, not of the batches they came in.
        let listed: Vec<_> = edge.tiles().map(|(id, width, _)| (id, width)).collect();
        assert_eq!(listed, right_edge(size as u64));
        let loaded = RightEdge::load(edge.size(), edge.tiles().map(|(id, _, bytes)| (id, bytes))).unwrap();
        assert_eq!(loaded.root(), edge.root());
    }
}

/// Every batch is proven from memory alone, wherever it begins and ends.
#[test]
fn batches_are_proven_from_what_they_touched() {
    let leaves = oracle::leaves(66_000);
    let cuts = [
        0, 1, 3, 200, 255, 256, 257, 511, 770, 1_024, 5_000, 65_279, 65_280, 65_535, 65_536, 65_537, 66_000,
    ];
    let mut edge = RightEdge::empty();
    for pair in cuts.windows(2) {
        let (before, size) = (pair[0], pair[1]);
        let grown = edge.grow(&leaves[before..size]).unwrap();
        let root = oracle::root(&leaves[..size]);
        assert_eq!(grown.edge().root(), root);
        assert_eq!(grown.before(), before as u64);
        for index in before..size {
            let proof = grown.inclusion(index as u64).unwrap();
            if index - before < 2 || size - index < 2 || index % 8_009 == 0 {
                assert_eq!(
                    proof,
                    oracle::path(index, &leaves[..size]),
                    "leaf {index} of {size}"
                );
            }
            assert_eq!(
                verify_inclusion(index as u64, size as u64, &leaves[index], &proof, &root),
                Ok(())
            );
        }
        if before > 0 {
            let proof = consistency(before as u64, size as u64, &grown).unwrap();
            assert_eq!(proof, oracle::consistency(before, &leaves[..size], true));
        }
        // What was there stays usable: a batch that could not be stored is made again.
        assert_eq!(edge.root(), oracle::root(&leaves[..before]));
        edge = grown.into_edge();
    }
}

#[test]
fn a_leaf_of_an_earlier_batch_needs_stored_tiles() {
    let leaves = oracle::leaves(600);
    let grown = grown(&leaves[..599]).grow(&leaves[599..]).unwrap();
    assert_eq!(
        grown.inclusion(5),
        Err(MakeError::Read(MissingNode {
            tile: TileId { level: 0, index: 0 },
            level: 0,
            index: 4
        }))
    );
    assert!(grown.inclusion(600).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However leaves are batched, the tiles of the final tree hold the subtree roots.
    #[test]
    fn stored_tiles_do_not_depend_on_batches(batches in prop::collection::vec(1..400usize, 1..9)) {
        let leaves = oracle::leaves(batches.iter().sum());
        let mut stored = std::collections::HashMap::new();
        let mut edge = RightEdge::empty();
        let mut at = 0;
        for batch in batches {
            let grown = edge.grow(&leaves[at..at + batch]).unwrap();
            at += batch;
            for (id, bytes) in grown.full_tiles() {
                prop_assert!(stored.get(&id).is_none_or(|old: &Vec<u8>| old.len() < 8192), "full tile written twice");
                prop_assert_eq!(bytes.len(), 8192);
                stored.insert(id, bytes);
            }
            for (id, _, bytes) in grown.partial_tiles() {
                if let Some(old) = stored.insert(id, bytes) {
                    prop_assert!(stored[&id].len() > old.len() && stored[&id].starts_with(&old));
                }
            }
            edge = grown.into_edge();
        }
        for (id, width) in tiles_for(at as u64) {
            let span = 256usize.pow(u32::from(id.level));
            let expected: Vec<u8> = (0..usize::from(width))
                .map(|node| (id.index as usize * 256 + node) * span)
                .flat_map(|start| oracle::root(&leaves[start..start + span]).0)
                .collect();
            prop_assert_eq!(&stored[&id], &expected);
        }
        prop_assert_eq!(stored.len(), tiles_for(at as u64).count());
    }
}

#[test]
fn a_wider_tile_than_the_size_asks_is_cut() {
    let leaves = oracle::leaves(700);
    let tiles: Vec<_> = grown(&leaves).tiles().map(|(id, _, bytes)| (id, bytes)).collect();
    let loaded = RightEdge::load(600, tiles).unwrap();
    assert_eq!(loaded.root(), oracle::root(&leaves[..600]));
    let again = loaded.grow(&leaves[600..]).unwrap();
    assert_eq!(again.edge().root(), oracle::root(&leaves));
}

#[test]
fn an_incomplete_edge_is_refused() {
    let edge = grown(&oracle::leaves(600));
    let (low, high) = (TileId { level: 0, index: 2 }, TileId { level: 1, index: 0 });
    let tiles: Vec<_> = edge.tiles().map(|(id, _, bytes)| (id, bytes)).collect();
    let error = |size, tiles: Vec<(TileId, Vec<u8>)>| RightEdge::load(size, tiles).err();
    assert_eq!(error(600, Vec::new()), Some(EdgeError::MissingTile(low)));
    assert_eq!(
        error(600, tiles[..1].to_vec()),
        Some(EdgeError::MissingTile(high))
    );
    assert_eq!(
        error(601, tiles.clone()),
        Some(EdgeError::ShortTile {
            tile: low,
            expected: 89 * 32,
            got: 88 * 32
        })
    );
    assert_eq!(error(600, tiles), None);
    assert_eq!(
        error(u64::MAX, Vec::new()),
        Some(EdgeError::SizeTooLarge(u64::MAX))
    );
    assert_eq!(error(0, Vec::new()), None);
}

#[test]
fn growing_by_nothing_changes_nothing() {
    let edge = grown(&oracle::leaves(300));
    let same = edge.grow(&[]).unwrap();
    assert_eq!(same.edge().root(), edge.root());
    assert_eq!(same.full_tiles().count() + same.partial_tiles().count(), 0);
}

/// What a writer checks before it signs: tiles that a batch has not touched need not be given.
#[test]
fn a_grown_tree_is_restored_from_the_tiles_that_grew() {
    let leaves = oracle::leaves(1_500);
    for (before, size) in [
        (0, 300),
        (255, 256),
        (256, 257),
        (300, 310),
        (511, 513),
        (700, 1_500),
    ] {
        let edge = grown(&leaves[..before]);
        let next = edge.grow(&leaves[before..size]).unwrap();
        let tiles: Vec<_> = next.partial_tiles().map(|(id, _, bytes)| (id, bytes)).collect();
        let restored = edge.load_grown(size as u64, tiles.clone()).unwrap();
        assert_eq!(restored.root(), next.edge().root());
        assert!(restored.tiles().eq(next.edge().tiles()), "{before} to {size}");
        for missing in 0..tiles.len() {
            let mut fewer = tiles.clone();
            let (id, _) = fewer.remove(missing);
            assert_eq!(
                edge.load_grown(size as u64, fewer).err(),
                Some(EdgeError::MissingTile(id))
            );
        }
    }
}
