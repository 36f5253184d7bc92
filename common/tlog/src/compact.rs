//! A compact range from the first leaf: the perfect subtrees a tree of some size consists of, enough
//! to append leaves and know the root. Readers that rebuild a root from a stream of leaves use it;
//! the writer, which also answers proofs, keeps a [`crate::RightEdge`].

use crate::{Hash, MAX_SIZE, ProofError, empty_root, leaf_hash, node_hash};

/// The roots of the perfect subtrees of a tree, from the largest to the smallest: one for each bit
/// set in the size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompactRange {
    size: u64,
    peaks: Vec<Hash>,
}

impl CompactRange {
    /// The empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: 0,
            peaks: Vec::new(),
        }
    }

    /// How many leaves were appended.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf, hashing it.
    pub fn append(&mut self, leaf: &[u8]) -> Result<(), ProofError> {
        self.append_hash(leaf_hash(leaf))
    }

    /// Appends a leaf by its hash.
    pub fn append_hash(&mut self, leaf: Hash) -> Result<(), ProofError> {
        let size = self.size.checked_add(1).filter(|size| *size <= MAX_SIZE);
        let size = size.ok_or(ProofError::SizeTooLarge(self.size))?;
        let mut node = leaf;
        // Each trailing one of the old size is a subtree that the new leaf completes.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size = size;
        Ok(())
    }

    /// The root over the leaves so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        peaks.next().map_or_else(empty_root, |last| {
            peaks.fold(*last, |right, left| node_hash(left, &right))
        })
    }
}

#[cfg(test)]
mod tests;
