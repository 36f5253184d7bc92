//! RFC 6962 §2.1 written down as the clause defines it, over whole lists of leaf hashes and with its
//! own hashing: what the tests compare every shortcut with.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use aws_lc_rs::digest::{SHA256, digest};

use crate::{Hash, RightEdge, TileSet};

fn sha(parts: &[&[u8]]) -> Hash {
    Hash::from_slice(digest(&SHA256, &parts.concat()).as_ref()).unwrap()
}

fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// `MTH(D[n])`.
pub(crate) fn root(d: &[Hash]) -> Hash {
    match d {
        [] => sha(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = d.split_at(split(d.len()));
            sha(&[&[1], &root(left).0, &root(right).0])
        }
    }
}

/// `PATH(m, D[n])`.
pub(crate) fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
    if d.len() == 1 {
        return Vec::new();
    }
    let k = split(d.len());
    let (mut path, sibling) = if m < k {
        (path(m, &d[..k]), root(&d[k..]))
    } else {
        (path(m - k, &d[k..]), root(&d[..k]))
    };
    path.push(sibling);
    path
}

/// `PROOF(m, D[n])`, started with `whole` set.
pub(crate) fn consistency(m: usize, d: &[Hash], whole: bool) -> Vec<Hash> {
    if m == d.len() {
        return if whole { Vec::new() } else { vec![root(d)] };
    }
    let k = split(d.len());
    let (mut proof, sibling) = if m <= k {
        (consistency(m, &d[..k], whole), root(&d[k..]))
    } else {
        (consistency(m - k, &d[k..], false), root(&d[..k]))
    };
    proof.push(sibling);
    proof
}

/// `n` different leaf hashes.
pub(crate) fn leaves(n: usize) -> Vec<Hash> {
    (0..n).map(|number| sha(&[&[0], &number.to_be_bytes()])).collect()
}

/// The tiles of a tree, as a writer that stores every commit leaves them behind: `batch` leaves each.
pub(crate) fn tiles(leaves: &[Hash], batch: usize) -> TileSet {
    let mut set = TileSet::new();
    let mut edge = RightEdge::empty();
    for chunk in leaves.chunks(batch) {
        let grown = edge.grow(chunk).unwrap();
        for (id, bytes) in grown.full_tiles() {
            set.insert(id, bytes);
        }
        for (id, width, bytes) in grown.partial_tiles() {
            assert_eq!(bytes.len(), usize::from(width) * 32);
            set.insert(id, bytes);
        }
        edge = grown.into_edge();
    }
    set
}
