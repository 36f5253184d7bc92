#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use common_tlog::empty_root;

use super::*;
use crate::types::{LogKind, LogSpec, Sealed};

struct Plain;

impl Personality for Plain {
    fn seal(&self, entry: &Entry, _index: u64, _time: u64) -> Result<Sealed, SealError> {
        Ok(Sealed {
            leaf: entry.body.clone(),
            extra: Bytes::new(),
        })
    }

    fn checkpoint(&self, size: u64, _root: &Hash, _time: u64) -> Result<String, SealError> {
        Ok(format!("{size}"))
    }
}

fn tip() -> Tip {
    let spec = LogSpec {
        kind: LogKind::RekorV2,
        origin: "log".to_owned(),
        tree_id: 0,
        key_id: String::new(),
        leaf_limit: 100,
        created: 0,
    };
    Tip {
        info: Arc::new(LogInfo {
            id: LogId(1),
            spec,
            state: LogState::Active,
        }),
        head: Arc::new(Head {
            size: 0,
            root: empty_root(),
            checkpoint: String::new(),
            time: 0,
        }),
        edge: RightEdge::empty(),
        personality: Arc::new(Plain),
    }
}

fn leaves(count: u64) -> Vec<NewLeaf> {
    let leaf = |index: u64| {
        let leaf = StoredLeaf {
            index,
            time: 0,
            data: format!("leaf {index}").into(),
            extra: Bytes::new(),
        };
        NewLeaf {
            submission: 0,
            hash: leaf_hash(&leaf.data),
            keys: Vec::new(),
            leaf,
        }
    };
    (0..count).map(leaf).collect()
}

/// Incident I1: one bit that flipped between hashing and storing made a log whose entries did not match its root.
#[test]
fn a_bit_that_flips_before_the_signature_is_found() {
    let tip = tip();
    let (part, next) = extend(&tip, 1, &leaves(300)).unwrap().unwrap();
    let (size, root) = (next.head.size, next.head.root);
    check_before_signing(&tip, &leaves(300), &part.tiles, size, &root).unwrap();

    for index in [0, 255, 256, 299] {
        let mut flipped = leaves(300);
        let mut data = flipped[index].leaf.data.to_vec();
        data[0] ^= 1;
        flipped[index].leaf.data = data.into();
        let found = check_before_signing(&tip, &flipped, &part.tiles, size, &root).unwrap_err();
        assert!(matches!(found, Corrupt::Leaf { index: named, .. } if named == index as u64));
    }
    for tile in 0..part.tiles.len() {
        for at in (0..part.tiles[tile].1.len()).step_by(31) {
            let mut tiles = part.tiles.clone();
            let mut bytes = tiles[tile].1.to_vec();
            bytes[at] ^= 0x80;
            tiles[tile].1 = bytes.into();
            check_before_signing(&tip, &leaves(300), &tiles, size, &root).unwrap_err();
        }
    }
    let found = check_before_signing(&tip, &leaves(300), &part.tiles, size, &Hash([1; 32])).unwrap_err();
    assert!(matches!(found, Corrupt::Root { .. }));
}

/// The same on top of an older tree, whose right edge waits in memory between two batches: a flipped bit in a hash that
/// has no pair yet is in no other hash, and yet must not be signed over.
#[test]
fn a_bit_that_flips_in_the_right_edge_is_found() {
    for size in [1, 2, 255, 256, 257, 300, 301] {
        let mut tip = tip();
        let older = usize::try_from(size).unwrap();
        let (_, next) = extend(&tip, 1, &leaves(size)).unwrap().unwrap();
        tip.head = next.head;
        tip.edge = next.grown.into_edge();
        let later: Vec<NewLeaf> = leaves(size + 400).into_iter().skip(older).collect();
        extend(&tip, 1, &later).unwrap().unwrap();

        let tiles: Vec<_> = tip.edge.tiles().collect();
        for (flipped, byte) in (0..tiles.len()).flat_map(|tile| [9, 31].map(|byte| (tile, byte))) {
            let mut tiles = tiles.clone();
            let bytes = &mut tiles[flipped].2;
            let last = bytes.len() - 32 + byte;
            bytes[last] ^= 1;
            tip.edge =
                RightEdge::load(size, tiles.into_iter().map(|(tile, _, bytes)| (tile, bytes))).unwrap();
            let found = extend(&tip, 1, &later).err().unwrap();
            assert!(
                matches!(found, Corrupt::Proof { index, .. } if index == size),
                "{size}: {found}"
            );
        }
    }
}
