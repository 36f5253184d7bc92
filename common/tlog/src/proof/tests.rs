#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "tests"
)]

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;
use crate::{leaf_hash, oracle};

/// Sizes at which a tree's shape changes, and some between.
fn sizes() -> Vec<usize> {
    let around = |edge: usize| [edge - 1, edge, edge + 1];
    let mut sizes: Vec<usize> = (1..=70).chain([1_000, 1_100]).collect();
    sizes.extend([128, 256, 512, 768, 1_024].into_iter().flat_map(around));
    sizes
}

#[test]
fn inclusion_proofs_of_every_leaf() {
    let leaves = oracle::leaves(1_100);
    let tiles = oracle::tiles(&leaves, 97);
    for size in sizes() {
        let tree = &leaves[..size];
        let root = oracle::root(tree);
        for (index, leaf) in tree.iter().enumerate() {
            let proof = inclusion(index as u64, size as u64, &tiles).unwrap();
            if size <= 70 || index % 61 == 0 || index + 2 > size {
                assert_eq!(proof, oracle::path(index, tree), "leaf {index} of {size}");
            }
            assert_eq!(
                verify_inclusion(index as u64, size as u64, leaf, &proof, &root),
                Ok(())
            );
        }
    }
}

#[test]
fn consistency_proofs_between_sampled_sizes() {
    let leaves = oracle::leaves(1_100);
    let tiles = oracle::tiles(&leaves, 256);
    for to in sizes() {
        let to_root = oracle::root(&leaves[..to]);
        for from in (1..=to).filter(|from| to <= 70 || from % 13 == 0 || from % 64 < 2 || from + 2 > to) {
            let from_root = oracle::root(&leaves[..from]);
            let proof = consistency(from as u64, to as u64, &tiles).unwrap();
            assert_eq!(
                proof,
                oracle::consistency(from, &leaves[..to], true),
                "{from} to {to}"
            );
            let verdict = verify_consistency(from as u64, to as u64, &from_root, &to_root, &proof);
            assert_eq!(verdict, Ok(()), "{from} to {to}");
        }
    }
}

#[test]
fn proofs_where_the_third_tile_level_starts() {
    let leaves = oracle::leaves(65_537);
    let tiles = oracle::tiles(&leaves, 1_000);
    for size in [65_535, 65_536, 65_537] {
        let tree = &leaves[..size];
        let root = oracle::root(tree);
        for index in [0, 256, 32_768, 65_279, 65_280, size - 1] {
            let proof = inclusion(index as u64, size as u64, &tiles).unwrap();
            assert_eq!(proof, oracle::path(index, tree), "leaf {index} of {size}");
            assert_eq!(
                verify_inclusion(index as u64, size as u64, &tree[index], &proof, &root),
                Ok(())
            );
        }
        for from in [1, 257, 32_768, 65_280, 65_535] {
            let from_root = oracle::root(&leaves[..from]);
            let proof = consistency(from as u64, size as u64, &tiles).unwrap();
            assert_eq!(proof, oracle::consistency(from, tree, true), "{from} to {size}");
            assert_eq!(
                verify_consistency(from as u64, size as u64, &from_root, &root, &proof),
                Ok(())
            );
        }
    }
}

#[test]
fn no_changed_inclusion_proof_holds() {
    let leaves = oracle::leaves(40);
    let tiles = oracle::tiles(&leaves, 40);
    for size in [1u64, 2, 3, 7, 8, 9, 33, 40] {
        let root = oracle::root(&leaves[..size as usize]);
        for index in 0..size {
            let leaf = leaves[index as usize];
            let proof = inclusion(index, size, &tiles).unwrap();
            let refused = |index, size, leaf: &Hash, proof: &[Hash], root: &Hash| {
                assert!(
                    verify_inclusion(index, size, leaf, proof, root).is_err(),
                    "{index} of {size}: {proof:?}"
                );
            };
            for other in (0..=size + 1).filter(|other| *other != index) {
                refused(other, size, &leaf, &proof, &root);
            }
            refused(index, size, &Hash::default(), &proof, &root);
            refused(index, size, &leaf, &proof, &Hash::default());
            refused(index, size, &leaf, &[proof.as_slice(), &[root]].concat(), &root);
            for at in 0..proof.len() {
                let mut changed = proof.clone();
                changed[at].0[31] ^= 1;
                refused(index, size, &leaf, &changed, &root);
                changed.remove(at);
                refused(index, size, &leaf, &changed, &root);
            }
        }
    }
}

#[test]
fn no_changed_consistency_proof_holds() {
    let leaves = oracle::leaves(40);
    let tiles = oracle::tiles(&leaves, 40);
    for to in 1..=40u64 {
        let to_root = oracle::root(&leaves[..to as usize]);
        for from in 1..=to {
            let from_root = oracle::root(&leaves[..from as usize]);
            let proof = consistency(from, to, &tiles).unwrap();
            let refused = |from_root: &Hash, to_root: &Hash, proof: &[Hash]| {
                assert!(
                    verify_consistency(from, to, from_root, to_root, proof).is_err(),
                    "{from} to {to}"
                );
            };
            refused(&Hash::default(), &to_root, &proof);
            refused(&from_root, &Hash::default(), &proof);
            refused(&from_root, &to_root, &[proof.as_slice(), &[to_root]].concat());
            for at in 0..proof.len() {
                let mut changed = proof.clone();
                changed[at].0[0] ^= 0x80;
                refused(&from_root, &to_root, &changed);
                changed.remove(at);
                refused(&from_root, &to_root, &changed);
            }
        }
    }
}

#[test]
fn the_empty_tree() {
    let (empty, root) = (empty_root(), leaf_hash(b"a"));
    assert_eq!(verify_consistency(0, 0, &empty, &empty, &[]), Ok(()));
    assert_eq!(verify_consistency(0, 1, &empty, &root, &[]), Ok(()));
    assert_eq!(
        verify_consistency(0, 1, &empty, &root, &[root]),
        Err(ProofError::Length { expected: 0, got: 1 })
    );
    assert!(verify_consistency(0, 1, &root, &root, &[]).is_err());
    assert!(verify_consistency(0, 0, &empty, &root, &[]).is_err());
    assert_eq!(
        verify_inclusion(0, 0, &root, &[], &root),
        Err(ProofError::IndexOutOfRange { index: 0, size: 0 })
    );
    assert_eq!(Plan::consistency(0, 5), Err(ProofError::FromEmpty));
}

#[test]
fn hostile_sizes_are_answered() {
    let hash = Hash::default();
    let long = vec![hash; 64];
    for size in [u64::MAX, 1 << 63] {
        assert_eq!(
            verify_inclusion(0, size, &hash, &long, &hash),
            Err(ProofError::SizeTooLarge(size))
        );
        assert_eq!(
            verify_consistency(1, size, &hash, &hash, &long),
            Err(ProofError::SizeTooLarge(size))
        );
        assert_eq!(
            verify_consistency(0, size, &hash, &hash, &[]),
            Err(ProofError::SizeTooLarge(size))
        );
    }
    assert_eq!(inclusion_len(0, MAX_SIZE), Ok(63));
    assert_eq!(inclusion_len(MAX_SIZE - 1, MAX_SIZE), Ok(62));
    assert!(root_from_inclusion(MAX_SIZE - 1, MAX_SIZE, &hash, &long[..62]).is_ok());
    assert_eq!(consistency_len((1 << 62) + 1, MAX_SIZE), Ok(MAX_HASHES));
    assert_eq!(
        verify_consistency(5, 4, &hash, &hash, &[]),
        Err(ProofError::SizesReversed { from: 5, to: 4 })
    );
    // A plan over the largest tree stays a list of nodes.
    let plan = Plan::inclusion(MAX_SIZE / 3, MAX_SIZE).unwrap();
    assert!(plan.tiles().len() <= 64, "{:?}", plan.tiles());
}

#[test]
fn lengths_follow_from_the_sizes() {
    let leaves = oracle::leaves(130);
    for size in 1..=130usize {
        for at in 1..=size {
            let path = oracle::path(at - 1, &leaves[..size]);
            assert_eq!(inclusion_len(at as u64 - 1, size as u64), Ok(path.len()));
            let proof = oracle::consistency(at, &leaves[..size], true);
            assert_eq!(
                consistency_len(at as u64, size as u64),
                Ok(proof.len()),
                "{at} to {size}"
            );
        }
    }
}

#[test]
fn a_plan_names_the_tiles_it_reads() {
    let leaves = oracle::leaves(1_100);
    let all = oracle::tiles(&leaves, 1_100);
    let plan = Plan::inclusion(300, 1_100).unwrap();
    let tiles = plan.tiles();
    assert_eq!(
        tiles,
        [
            (TileId { level: 0, index: 1 }, 256),
            (TileId { level: 0, index: 4 }, 76),
            (TileId { level: 1, index: 0 }, 4)
        ]
    );
    let without = |left_out: TileId| {
        plan.evaluate(&|level, index| {
            if TileId::of_node(level, index) == left_out {
                Err(left_out)
            } else {
                Ok(all.node(level, index).unwrap())
            }
        })
    };
    for (tile, _) in tiles {
        assert_eq!(without(tile), Err(tile));
    }
    assert!(without(TileId { level: 0, index: 0 }).is_ok());
}

/// Proofs that the public logs gave out.
#[test]
fn recorded_proofs_hold() {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/conformance");
    for case in ["happy-path-v0.3", "rekor2-happy-path"] {
        let Ok(bundle) = std::fs::read(format!("{vectors}/{case}/bundle.sigstore.json")) else {
            eprintln_skip(case);
            continue;
        };
        let bundle: serde_json::Value = serde_json::from_slice(&bundle).unwrap();
        let entry = &bundle["verificationMaterial"]["tlogEntries"][0];
        let proof = &entry["inclusionProof"];
        let number = |value: &serde_json::Value| value.as_str().unwrap().parse::<u64>().unwrap();
        let hash = |value: &serde_json::Value| Hash::from_base64(value.as_str().unwrap()).unwrap();
        let leaf = leaf_hash(
            &STANDARD
                .decode(entry["canonicalizedBody"].as_str().unwrap())
                .unwrap(),
        );
        let hashes: Vec<Hash> = proof["hashes"].as_array().unwrap().iter().map(hash).collect();
        let (index, size, root) = (
            number(&proof["logIndex"]),
            number(&proof["treeSize"]),
            hash(&proof["rootHash"]),
        );
        assert_eq!(verify_inclusion(index, size, &leaf, &hashes, &root), Ok(()));
        assert!(verify_inclusion(index - 1, size, &leaf, &hashes, &root).is_err());
    }
}

#[expect(clippy::print_stderr, reason = "says why nothing was checked")]
fn eprintln_skip(case: &str) {
    eprintln!("skipped: no recorded case {case}");
}
