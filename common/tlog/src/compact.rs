//! A compact range from the first leaf: the perfect subtrees a tree of some size consists of, enough
//! to append leaves and know the root. Readers that rebuild a root from a stream of leaves use it;
//! the writer, which also answers proofs, keeps a [`crate::RightEdge`].

use crate::proof::{check_length, consistency_len};
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

    /// Restores a range from what [`CompactRange::peaks`] gave.
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Result<Self, ProofError> {
        if size > MAX_SIZE {
            return Err(ProofError::SizeTooLarge(size));
        }
        let expected = usize::try_from(size.count_ones()).unwrap_or(usize::MAX);
        check_length(expected, &peaks)?;
        Ok(Self { size, peaks })
    }

    /// The range of the first `from` leaves, out of the proof that the tree of `to` leaves extends theirs (RFC 9162 §2.1.4.1).
    /// This is how a reader joins a log near its end: such a proof names each peak of the first tree. What comes out is no more
    /// true than the proof: append the leaves that follow and compare roots.
    ///
    /// `from` must be no power of two: that tree is its own only peak, which no proof repeats.
    pub fn from_consistency(from: u64, to: u64, proof: &[Hash]) -> Result<Self, ProofError> {
        check_length(consistency_len(from, to)?, proof)?;
        if from.is_power_of_two() || from == to {
            return Err(ProofError::NoPeaks(from));
        }
        let (mut node, mut last) = (from.saturating_sub(1), to.saturating_sub(1));
        let odd = node.trailing_ones();
        node = node.checked_shr(odd).unwrap_or(0);
        last = last.checked_shr(odd).unwrap_or(0);
        let mut hashes = proof.iter().copied();
        // The smallest peak comes first: it is where the path begins.
        let mut peaks: Vec<Hash> = hashes.next().into_iter().collect();
        for hash in hashes {
            // A left sibling on the way up from the first tree's last node is a peak of it (RFC 9162 §2.1.4.2, step 5).
            if node & 1 == 1 || node == last {
                peaks.push(hash);
                let skipped = node.trailing_zeros();
                node = node.checked_shr(skipped).unwrap_or(0);
                last = last.checked_shr(skipped).unwrap_or(0);
            }
            node >>= 1;
            last >>= 1;
        }
        peaks.reverse();
        Self::from_peaks(from, peaks)
    }

    /// The perfect subtrees, from the largest to the smallest.
    #[must_use]
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
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
