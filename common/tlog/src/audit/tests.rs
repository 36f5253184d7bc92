#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "tests"
)]

use super::*;
use crate::RightEdge;
use crate::hash::leaf_hash;
use crate::tile::tiles_for;

/// Leaf hashes, tiles and root of a sound tree.
#[derive(Clone)]
struct Tree {
    leaves: Vec<Hash>,
    tiles: HashMap<TileId, Vec<u8>>,
    root: Hash,
}

fn tree(size: u64) -> Tree {
    let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let grown = RightEdge::empty().grow(&leaves).unwrap();
    let mut tiles: HashMap<_, _> = grown.full_tiles().collect();
    tiles.extend(grown.partial_tiles().map(|(id, _, bytes)| (id, bytes)));
    let root = grown.edge().root();
    Tree { leaves, tiles, root }
}

fn audit(tree: &Tree) -> Audited {
    let mut audit = Audit::new(tree.leaves.len() as u64, tree.root, 10);
    let mut asked = Vec::new();
    while let Some(chunk) = audit.next() {
        let range = chunk.start as usize..(chunk.start + chunk.count) as usize;
        let given = chunk
            .tiles
            .iter()
            .filter_map(|(id, _)| Some((*id, tree.tiles.get(id)?)));
        asked.extend(chunk.tiles.iter().copied());
        audit.check(&tree.leaves[range], &given.collect()).unwrap();
    }
    asked.sort_unstable();
    asked.dedup();
    let mut all: Vec<_> = tiles_for(tree.leaves.len() as u64).collect();
    all.sort_unstable();
    assert_eq!(asked, all, "every tile of the tree was looked at");
    audit.finish()
}

fn flip(hash: &mut Hash) -> Hash {
    hash.0[7] ^= 0x10;
    *hash
}

const SIZES: [u64; 10] = [1, 2, 3, 255, 256, 257, 511, 1_000, 65_536, 66_900];

#[test]
fn a_sound_tree_has_no_finding() {
    for size in SIZES.into_iter().chain([0, 65_535, 65_537, 131_072, 140_001]) {
        let tree = tree(size);
        let audited = audit(&tree);
        assert_eq!(audited.findings, [], "size {size}");
        assert_eq!((audited.root, audited.more), (tree.root, 0));
    }
}

#[test]
fn a_changed_leaf_is_named_and_the_tiles_above_are_not() {
    for size in SIZES {
        let sound = tree(size);
        for index in [0, size / 3, size / 2, size - 1] {
            let mut tree = sound.clone();
            let got = flip(&mut tree.leaves[index as usize]);
            let expected = sound.leaves[index as usize];
            let audited = audit(&tree);
            assert_eq!(
                audited.findings,
                [Finding::Leaf { index, expected, got }],
                "{index} of {size}"
            );
            assert_eq!(audited.root, sound.root, "the tiles lead to the signed root");
        }
    }
}

#[test]
fn a_changed_tile_is_named_and_neither_its_leaves_nor_the_tiles_around() {
    for size in SIZES {
        let sound = tree(size);
        for (id, width) in tiles_for(size) {
            if id.level == 0 && id.index > 3 && id.index % 97 != 0 && width == 256 {
                continue;
            }
            for entry in [0, width / 2, width - 1] {
                let mut tree = sound.clone();
                let at = usize::from(entry) * 32;
                tree.tiles.get_mut(&id).unwrap()[at + 31] ^= 1;
                let [
                    Finding::Tile {
                        tile,
                        entry: named,
                        expected,
                        got,
                        ..
                    },
                ] = audit(&tree).findings[..]
                else {
                    panic!("{id:?} of {size}: {:?}", audit(&tree).findings)
                };
                assert_eq!((tile, named), (id, entry));
                assert_ne!(expected, got);
                assert_eq!(expected.0[..], sound.tiles[&id][at..at + 32]);
            }
        }
    }
}

#[test]
fn missing_short_and_torn_tiles_are_named() {
    for size in [1, 300, 66_900] {
        let sound = tree(size);
        for (id, width) in tiles_for(size).filter(|(id, _)| id.index % 100 == 0 || id.level > 0) {
            let mut tree = sound.clone();
            tree.tiles.remove(&id);
            let missing = Finding::TileMissing { tile: id, width };
            assert_eq!(audit(&tree).findings, [missing], "{id:?} of {size}");
            for length in [0, sound.tiles[&id].len() - 1, sound.tiles[&id].len() + 1] {
                let mut tree = sound.clone();
                tree.tiles.get_mut(&id).unwrap().resize(length, 0);
                let named = Finding::TileLength {
                    tile: id,
                    width,
                    got: length,
                };
                assert_eq!(audit(&tree).findings, [named], "{id:?} of {size}");
            }
        }
    }
}

#[test]
fn what_a_writer_added_to_a_partial_tile_is_none_of_this_tree() {
    let mut wider = tree(66_900);
    let tree = Tree {
        leaves: wider.leaves.drain(..66_800).collect(),
        ..tree(66_800)
    };
    let tree = Tree {
        tiles: wider.tiles,
        ..tree
    };
    assert_eq!(audit(&tree).findings, []);
}

#[test]
fn leaves_changed_together_with_their_tile_are_named_as_one_part() {
    let sound = tree(66_900);
    let mut tree = sound.clone();
    let changed = flip(&mut tree.leaves[1_000]);
    let id = TileId { level: 0, index: 3 };
    tree.tiles.get_mut(&id).unwrap()[(1_000 - 768) * 32..][..32].copy_from_slice(&changed.0);
    let [Finding::Subtree { tile, expected, got }] = audit(&tree).findings[..] else {
        panic!("{:?}", audit(&tree).findings)
    };
    assert_eq!(tile, id);
    assert_eq!(
        expected.0[..],
        sound.tiles[&TileId { level: 1, index: 0 }][96..128]
    );
    assert_ne!(expected, got);
}

#[test]
fn a_tree_under_another_root_is_told_by_the_root_alone() {
    for size in SIZES {
        let mut tree = tree(size);
        let sound = tree.root;
        let expected = flip(&mut tree.root);
        let audited = audit(&tree);
        assert_eq!(
            audited.findings,
            [Finding::Root {
                size,
                expected,
                got: sound
            }]
        );
        assert_eq!(audited.root, sound);
    }
}

#[test]
fn where_nothing_decides_both_sides_are_named() {
    let mut tree = tree(300);
    // Leaf and tile changed, each in its own way.
    flip(&mut tree.leaves[5]);
    tree.tiles.get_mut(&TileId { level: 0, index: 0 }).unwrap()[5 * 32] ^= 1;
    let audited = audit(&tree);
    assert!(
        matches!(
            audited.findings[0],
            Finding::Disagreement {
                tile: TileId { level: 0, index: 0 },
                entry: 5,
                ..
            }
        ),
        "{:?}",
        audited.findings
    );
}

#[test]
fn findings_are_bounded_and_counted() {
    let mut tree = tree(400);
    for leaf in &mut tree.leaves[300..325] {
        flip(leaf);
    }
    let audited = audit(&tree);
    assert_eq!((audited.findings.len(), audited.more), (10, 15));
}

#[test]
fn a_miscounted_chunk_is_refused() {
    let tree = tree(10);
    let mut audit = Audit::new(10, tree.root, 10);
    let none: HashMap<TileId, Vec<u8>> = HashMap::new();
    let refused = Miscounted { expected: 10, got: 9 };
    assert_eq!(audit.check(&tree.leaves[..9], &none), Err(refused));
}
