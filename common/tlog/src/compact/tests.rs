#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use rs_merkle::{Hasher, MerkleTree};

use super::*;
use crate::oracle;

/// rs_merkle as RFC 6962 hashes; its lone nodes rise unhashed, which gives the same trees.
#[derive(Clone)]
struct Rfc6962;

impl Hasher for Rfc6962 {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data)
            .as_ref()
            .try_into()
            .unwrap()
    }

    fn concat_and_hash(left: &[u8; 32], right: Option<&[u8; 32]>) -> [u8; 32] {
        right.map_or(*left, |right| {
            Self::hash(&[&[1], left.as_slice(), right].concat())
        })
    }
}

#[test]
fn roots_agree_with_both_oracles_for_all_sizes_to_1100() {
    let leaves = oracle::leaves(1_100);
    let mut range = CompactRange::new();
    for size in 0..=leaves.len() {
        assert_eq!(range.size(), size as u64);
        assert_eq!(range.root(), oracle::root(&leaves[..size]), "size {size}");
        if let Some(leaf) = leaves.get(size) {
            range.append_hash(*leaf).unwrap();
        }
    }
    let plain: Vec<_> = leaves.iter().map(|leaf| leaf.0).collect();
    for size in (1..=leaves.len()).filter(|size| size % 7 == 0 || size.is_power_of_two() || *size < 140) {
        let tree = MerkleTree::<Rfc6962>::from_leaves(&plain[..size]);
        assert_eq!(tree.root(), Some(oracle::root(&leaves[..size]).0), "size {size}");
        for index in [0, size / 3, size / 2, size - 1] {
            let path: Vec<_> = oracle::path(index, &leaves[..size])
                .iter()
                .map(|hash| hash.0)
                .collect();
            assert_eq!(
                tree.proof(&[index]).proof_hashes(),
                path,
                "leaf {index} of {size}"
            );
        }
    }
}

#[test]
fn leaves_are_hashed_when_appended_as_bytes() {
    let mut range = CompactRange::new();
    range.append(b"one").unwrap();
    assert_eq!(range.root(), leaf_hash(b"one"));
}

#[test]
fn a_tree_that_no_client_counts_is_not_made() {
    let mut full = CompactRange {
        size: MAX_SIZE,
        peaks: vec![Hash::default(); 63],
    };
    assert_eq!(
        full.append(b"one too many"),
        Err(ProofError::SizeTooLarge(MAX_SIZE))
    );
}

#[test]
fn a_consistency_proof_has_the_peaks_of_the_first_tree() {
    let leaves = oracle::leaves(260);
    let mut range = CompactRange::new();
    for from in 1..leaves.len() {
        range.append_hash(leaves[from - 1]).unwrap();
        for to in from + 1..=leaves.len() {
            let proof = oracle::consistency(from, &leaves[..to], true);
            let found = CompactRange::from_consistency(from as u64, to as u64, &proof);
            if from.is_power_of_two() {
                assert_eq!(found, Err(ProofError::NoPeaks(from as u64)));
            } else {
                assert_eq!(found.as_ref(), Ok(&range), "{from} of {to}");
            }
        }
    }
}

#[test]
fn a_range_is_restored_from_as_many_peaks_as_its_size_has() {
    let mut range = CompactRange::new();
    for leaf in oracle::leaves(13) {
        range.append_hash(leaf).unwrap();
    }
    let restored = CompactRange::from_peaks(13, range.peaks().to_vec());
    assert_eq!(restored.as_ref(), Ok(&range));
    let short = CompactRange::from_peaks(13, range.peaks()[1..].to_vec());
    assert_eq!(short, Err(ProofError::Length { expected: 3, got: 2 }));
    assert!(CompactRange::from_peaks(u64::MAX, vec![Hash::default(); 64]).is_err());
    assert!(CompactRange::from_consistency(5, 5, &[]).is_err());
    assert!(CompactRange::from_consistency(3, 5, &[]).is_err());
}
