//! Inclusion and consistency proofs: checking them (RFC 9162 §2.1.3.2 and §2.1.4.2, the same proofs
//! as RFC 6962 §2.1.1 and §2.1.2) and making them from the nodes of a tree.
//!
//! Making a proof has two steps so that storage may be asynchronous: a [`Plan`] says which tiles it
//! takes, and [`Plan::evaluate`] turns their nodes into hashes. [`inclusion`] and [`consistency`] do
//! both at once over a reader that already has the nodes.

use crate::{Hash, MAX_SIZE, TileId, empty_root, node_hash};

/// The most hashes any proof has while sizes stay within [`MAX_SIZE`]: a path of 63, and before it the
/// node that a consistency proof starts from.
pub const MAX_HASHES: usize = 64;

/// Why a proof does not hold, or cannot exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// No such leaf in a tree of this size.
    #[error("leaf index {index} is outside a tree of size {size}")]
    IndexOutOfRange {
        /// The leaf's index, counted from 0.
        index: u64,
        /// The number of leaves in the tree.
        size: u64,
    },
    /// The size exceeds [`MAX_SIZE`].
    #[error("tree size {0} is larger than 2^63-1")]
    SizeTooLarge(u64),
    /// A consistency proof runs from the smaller tree to the larger one.
    #[error("the first tree size {from} is larger than the second, {to}")]
    SizesReversed {
        /// The size asked to be the earlier one.
        from: u64,
        /// The size asked to be the later one.
        to: u64,
    },
    /// A consistency proof from the empty tree would say nothing (RFC 6962 §2.1.2 asks 0 < m).
    #[error("there is no consistency proof from an empty tree")]
    FromEmpty,
    /// The proof from a tree that is its own only peak does not repeat it.
    #[error("a consistency proof from {0} leaves does not have the peaks of their tree")]
    NoPeaks(u64),
    /// The sizes decide how many hashes a proof has.
    #[error("the proof has {got} hashes, expected {expected}")]
    Length {
        /// How many hashes the sizes ask for.
        expected: usize,
        /// How many came.
        got: usize,
    },
    /// The proof leads to another root.
    #[error("the proof leads to root {calculated}, expected {expected}")]
    RootMismatch {
        /// The root claimed.
        expected: Hash,
        /// The root that the proof leads to.
        calculated: Hash,
    },
}

/// Checks that `leaf` (a leaf *hash*) stands at `index` in the tree of `size` leaves under `root`.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    same_root(root, root_from_inclusion(index, size, leaf, proof)?)
}

/// The root an inclusion proof leads to (RFC 9162 §2.1.3.2, steps 2 to 4).
pub fn root_from_inclusion(index: u64, size: u64, leaf: &Hash, proof: &[Hash]) -> Result<Hash, ProofError> {
    check_length(inclusion_len(index, size)?, proof)?;
    let (mut node, mut last) = (index, size.saturating_sub(1));
    let mut root = *leaf;
    for sibling in proof {
        if node & 1 == 1 || node == last {
            root = node_hash(sibling, &root);
            // A last node without a right sibling rises unhashed to the level where it has a left one.
            let skipped = node.trailing_zeros();
            node = node.checked_shr(skipped).unwrap_or(0);
            last = last.checked_shr(skipped).unwrap_or(0);
        } else {
            root = node_hash(&root, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    Ok(root)
}

/// Checks that the tree of `to` leaves under `to_root` extends the tree of `from` leaves under
/// `from_root`. Equal sizes, and the empty first tree, take the empty proof.
pub fn verify_consistency(
    from: u64,
    to: u64,
    from_root: &Hash,
    to_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if from == 0 && to <= MAX_SIZE {
        check_length(0, proof)?;
        same_root(from_root, empty_root())?;
        return if to == 0 {
            same_root(to_root, empty_root())
        } else {
            Ok(())
        };
    }
    check_length(consistency_len(from, to)?, proof)?;
    if from == to {
        return same_root(to_root, *from_root);
    }
    // RFC 9162 §2.1.4.2, step 2: a full first tree is a node of the second, its own seed.
    let (seed, rest) = match proof.split_first() {
        Some((first, rest)) if !from.is_power_of_two() => (*first, rest),
        _ => (*from_root, proof),
    };
    let (mut node, mut last) = (from.saturating_sub(1), to.saturating_sub(1));
    let odd = node.trailing_ones();
    node = node.checked_shr(odd).unwrap_or(0);
    last = last.checked_shr(odd).unwrap_or(0);
    let (mut first_root, mut second_root) = (seed, seed);
    for hash in rest {
        if node & 1 == 1 || node == last {
            first_root = node_hash(hash, &first_root);
            second_root = node_hash(hash, &second_root);
            let skipped = node.trailing_zeros();
            node = node.checked_shr(skipped).unwrap_or(0);
            last = last.checked_shr(skipped).unwrap_or(0);
        } else {
            second_root = node_hash(&second_root, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    same_root(from_root, first_root)?;
    same_root(to_root, second_root)
}

/// How many hashes the inclusion proof of leaf `index` in a tree of `size` leaves has.
pub fn inclusion_len(index: u64, size: u64) -> Result<usize, ProofError> {
    if size > MAX_SIZE {
        return Err(ProofError::SizeTooLarge(size));
    }
    if index >= size {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    Ok(path_len(index, size))
}

/// How many hashes the consistency proof between two sizes has.
pub fn consistency_len(from: u64, to: u64) -> Result<usize, ProofError> {
    if to > MAX_SIZE {
        return Err(ProofError::SizeTooLarge(to));
    }
    if from > to {
        return Err(ProofError::SizesReversed { from, to });
    }
    if from == 0 {
        return Err(ProofError::FromEmpty);
    }
    if from == to {
        return Ok(0);
    }
    // It is the path of the first tree's last node, which starts above that node's full subtree.
    let below = usize::try_from(from.trailing_zeros()).unwrap_or(MAX_HASHES);
    let path = path_len(from.saturating_sub(1), to).saturating_sub(below);
    Ok(path.saturating_add(usize::from(!from.is_power_of_two())))
}

/// Hashes on the way from leaf `index` to the root: one per level up to where the paths of the leaf
/// and of the last leaf meet, then one per left sibling.
fn path_len(index: u64, size: u64) -> usize {
    let inner = u64::BITS.saturating_sub((index ^ size.saturating_sub(1)).leading_zeros());
    let border = index.checked_shr(inner).unwrap_or(0).count_ones();
    usize::try_from(inner.saturating_add(border)).unwrap_or(MAX_HASHES)
}

pub(crate) fn check_length(expected: usize, proof: &[Hash]) -> Result<(), ProofError> {
    if proof.len() == expected {
        Ok(())
    } else {
        Err(ProofError::Length {
            expected,
            got: proof.len(),
        })
    }
}

fn same_root(expected: &Hash, calculated: Hash) -> Result<(), ProofError> {
    if *expected == calculated {
        Ok(())
    } else {
        Err(ProofError::RootMismatch {
            expected: *expected,
            calculated,
        })
    }
}

/// Where the nodes of a tree come from.
pub trait NodeReader {
    /// What a failed read answers.
    type Error;

    /// The hash of the perfect subtree over leaves `index·2^level .. (index+1)·2^level`. Only
    /// subtrees that are complete at the proof's tree size are asked for.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;

    /// The root over the leaves `range`, whose start is aligned as in RFC 6962 §2.1. A reader that
    /// keeps roots of the ragged right side may answer from there.
    fn range(&self, range: Range) -> Result<Hash, Self::Error> {
        fold(self, range)
    }
}

/// Hashes the perfect subtrees of `range` together, from the right.
pub(crate) fn fold<R: NodeReader + ?Sized>(nodes: &R, range: Range) -> Result<Hash, R::Error> {
    let mut root = None;
    for (level, index) in range.perfect_nodes() {
        let node = nodes.node(level, index)?;
        root = Some(root.map_or(node, |right| node_hash(&node, &right)));
    }
    Ok(root.unwrap_or_else(empty_root))
}

impl<F, E> NodeReader for F
where
    F: Fn(u8, u64) -> Result<Hash, E>,
{
    type Error = E;

    fn node(&self, level: u8, index: u64) -> Result<Hash, E> {
        self(level, index)
    }
}

/// The leaves `start .. end`, a subtree of RFC 6962 §2.1: `start` is a multiple of the smallest power
/// of two not below the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First leaf.
    pub start: u64,
    /// One past the last leaf.
    pub end: u64,
}

impl Range {
    /// The perfect subtrees that make up this one as (level, index), from right to left.
    pub fn perfect_nodes(self) -> impl Iterator<Item = (u8, u64)> {
        let mut length = self.end.saturating_sub(self.start);
        let mut end = self.end;
        std::iter::from_fn(move || {
            if length == 0 {
                return None;
            }
            let level = length.trailing_zeros();
            let width = length & length.wrapping_neg();
            length &= !width;
            end = end.saturating_sub(width);
            Some((u8::try_from(level).ok()?, end.checked_shr(level)?))
        })
    }

    /// Splits at the largest power of two below the length, `k` of RFC 6962 §2.1.
    const fn split(self) -> Option<(Self, Self)> {
        let length = self.end.saturating_sub(self.start);
        if length < 2 {
            return None;
        }
        let k = 1 << length.saturating_sub(1).ilog2();
        let middle = self.start.saturating_add(k);
        Some((
            Self {
                start: self.start,
                end: middle,
            },
            Self {
                start: middle,
                end: self.end,
            },
        ))
    }
}

/// What a proof is made of, before any node is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    size: u64,
    ranges: Vec<Range>,
}

impl Plan {
    /// The inclusion proof of leaf `index` in the tree of `size` leaves: `PATH(m, D[n])` of RFC 6962
    /// §2.1.1.
    pub fn inclusion(index: u64, size: u64) -> Result<Self, ProofError> {
        let mut ranges = Vec::with_capacity(inclusion_len(index, size)?);
        let mut tree = Range { start: 0, end: size };
        while let Some((left, right)) = tree.split() {
            if index < left.end {
                ranges.push(right);
                tree = left;
            } else {
                ranges.push(left);
                tree = right;
            }
        }
        ranges.reverse();
        Ok(Self { size, ranges })
    }

    /// The consistency proof between two sizes: `PROOF(m, D[n])` of RFC 6962 §2.1.2.
    pub fn consistency(from: u64, to: u64) -> Result<Self, ProofError> {
        let mut ranges = Vec::with_capacity(consistency_len(from, to)?);
        let mut tree = Range { start: 0, end: to };
        while tree.end != from {
            let Some((left, right)) = tree.split() else { break };
            if from <= left.end {
                ranges.push(right);
                tree = left;
            } else {
                ranges.push(left);
                tree = right;
            }
        }
        // The first tree's own root is known to whoever asks: left out (SUBPROOF with b = true).
        if tree.start != 0 {
            ranges.push(tree);
        }
        ranges.reverse();
        Ok(Self { size: to, ranges })
    }

    /// The tiles that hold the nodes, each once, with the width it has in this tree: what to fetch
    /// into a [`crate::TileSet`] before [`Plan::evaluate`].
    #[must_use]
    pub fn tiles(&self) -> Vec<(TileId, u16)> {
        let mut tiles: Vec<TileId> = self
            .ranges
            .iter()
            .flat_map(|range| range.perfect_nodes())
            .map(|(level, index)| TileId::of_node(level, index))
            .collect();
        tiles.sort_unstable();
        tiles.dedup();
        tiles
            .into_iter()
            .map(|tile| (tile, tile.width(self.size)))
            .collect()
    }

    /// Reads the nodes and gives the proof's hashes, from the leaf towards the root.
    pub fn evaluate<R: NodeReader>(&self, nodes: &R) -> Result<Vec<Hash>, R::Error> {
        self.ranges.iter().map(|range| nodes.range(*range)).collect()
    }
}

/// A proof that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MakeError<E> {
    /// There is no such proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A node could not be read.
    #[error("reading a tree node: {0}")]
    Read(E),
}

/// Makes the inclusion proof of leaf `index` in the tree of `size` leaves.
pub fn inclusion<R: NodeReader>(index: u64, size: u64, nodes: &R) -> Result<Vec<Hash>, MakeError<R::Error>> {
    Plan::inclusion(index, size)?
        .evaluate(nodes)
        .map_err(MakeError::Read)
}

/// Makes the consistency proof between two sizes.
pub fn consistency<R: NodeReader>(from: u64, to: u64, nodes: &R) -> Result<Vec<Hash>, MakeError<R::Error>> {
    Plan::consistency(from, to)?
        .evaluate(nodes)
        .map_err(MakeError::Read)
}

#[cfg(test)]
mod tests;
