#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use proptest::prelude::*;

use super::*;
use crate::oracle;

#[test]
fn paths_of_the_specification() {
    // C2SP tlog-tiles "Merkle Tree": index 1234067.
    let path = "tile/0/x001/x234/067";
    let parsed: TilePath = path.parse().unwrap();
    assert_eq!(
        parsed,
        TilePath {
            kind: TileKind::Hashes { level: 0 },
            index: 1_234_067,
            width: 256
        }
    );
    assert_eq!(
        TileId {
            level: 0,
            index: 1_234_067
        }
        .path(256),
        path
    );
    assert_eq!(TileId { level: 1, index: 7 }.path(17), "tile/1/007.p/17");
    let entries: TilePath = "tile/entries/x001/000.p/255".parse().unwrap();
    assert_eq!(
        entries,
        TilePath {
            kind: TileKind::Entries,
            index: 1_000,
            width: 255
        }
    );
    assert_eq!(
        TileId {
            level: 0,
            index: u64::MAX
        }
        .path(256),
        "tile/0/x018/x446/x744/x073/x709/x551/615"
    );
}

#[test]
fn only_canonical_paths_are_read() {
    for bad in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile//000",
        "tile/entries",
        "tile/entry/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/x001",
        "tile/0/001/002",
        "tile/0/x001/x002",
        "tile/0/x01/002",
        "tile/0/X001/002",
        "tile/0/00a",
        "tile/0/٠٠١",
        "tile/0/001.p",
        "tile/0/001.p/",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/01",
        "tile/0/001.p/1/",
        "tile/0/001.p/1.p/1",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
        "tile/0/001 ",
    ] {
        assert_eq!(bad.parse::<TilePath>(), Err(TilePathError), "{bad}");
    }
}

proptest! {
    #[test]
    fn paths_read_back(level in 0..=MAX_LEVEL, index: u64, shift in 0..64u32, width in 1..=FULL_WIDTH, entries: bool) {
        let kind = if entries { TileKind::Entries } else { TileKind::Hashes { level } };
        let path = TilePath { kind, index: index >> shift, width };
        prop_assert_eq!(path.to_string().parse(), Ok(path));
    }

    #[test]
    fn any_text_is_read_back_or_refused(text in "tile/[0-9e]{0,3}/[x0-9/]{0,12}(\\.p/[0-9]{0,4})?") {
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn widths_add_up(size in 0..=crate::MAX_SIZE, shift in 0..63u32) {
        let size = size >> shift;
        for (id, width) in right_edge(size) {
            prop_assert!((1..256).contains(&width));
            prop_assert_eq!(id.width(size), width);
            prop_assert_eq!(TileId { index: id.index + 1, ..id }.width(size), 0);
            let nodes = size >> (8 * u32::from(id.level));
            prop_assert_eq!(id.index * 256 + u64::from(width), nodes);
        }
    }
}

#[test]
fn the_specifications_tree_of_70000_leaves() {
    // C2SP tlog-tiles "Partial Tiles".
    let counted = |level| {
        let tiles: Vec<_> = tiles_for(70_000).filter(|(id, _)| id.level == level).collect();
        let full = tiles.iter().filter(|(_, width)| *width == 256).count();
        (
            full,
            tiles.iter().map(|(_, width)| *width).find(|width| *width < 256),
        )
    };
    assert_eq!(counted(0), (273, Some(112)));
    assert_eq!(counted(1), (1, Some(17)));
    assert_eq!(counted(2), (0, Some(1)));
    assert_eq!(counted(3), (0, None));
    assert_eq!(
        right_edge(70_000),
        [
            (TileId { level: 0, index: 273 }, 112),
            (TileId { level: 1, index: 1 }, 17),
            (TileId { level: 2, index: 0 }, 1)
        ]
    );
    assert_eq!(right_edge(0), []);
    assert_eq!(right_edge(256), [(TileId { level: 1, index: 0 }, 1)]);
    assert_eq!(tiles_for(0).count(), 0);
}

#[test]
fn nodes_of_a_tile_are_subtree_roots() {
    let leaves = oracle::leaves(256);
    let bytes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
    for level in 0..=8u8 {
        let width = 1usize << level;
        for index in 0..256 / width {
            let expected = oracle::root(&leaves[index * width..(index + 1) * width]);
            assert_eq!(node_in_tile(&bytes, level, index as u16), Some(expected));
            // One byte short of the node's last hash.
            assert_eq!(
                node_in_tile(&bytes[..(index + 1) * width * 32 - 1], level, index as u16),
                None
            );
        }
        assert_eq!(node_in_tile(&bytes, level, (256 / width) as u16), None);
    }
    assert_eq!(node_in_tile(&bytes, 9, 0), None);
    assert_eq!(node_in_tile(&bytes, 8, u16::MAX), None);
}

#[test]
fn a_missing_node_is_named() {
    let set = oracle::tiles(&oracle::leaves(300), 300);
    let tile = TileId { level: 0, index: 1 };
    assert_eq!(
        set.node(0, 300),
        Err(MissingNode {
            tile,
            level: 0,
            index: 300
        })
    );
    assert_eq!(set.node(0, 299), Ok(oracle::leaves(300)[299]));
    assert!(set.node(63, u64::MAX).is_err());
    assert!(set.node(255, u64::MAX).is_err());
}
