//! Entry bundles (C2SP tlog-tiles "Log Entries"): up to 256 leaves, each after its length in two
//! big-endian bytes.

use crate::tile::FULL_WIDTH;

/// Largest leaf a bundle holds, in bytes.
pub const MAX_LEAF: usize = u16::MAX as usize;

/// Why leaves do not make a bundle, or bytes are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// A leaf's length must fit two bytes.
    #[error("a leaf of an entry bundle has at most {MAX_LEAF} bytes, got {0}")]
    LeafTooLarge(usize),
    /// A bundle has 1 to 256 leaves.
    #[error("an entry bundle has at most {FULL_WIDTH} leaves")]
    TooManyLeaves,
    /// The bytes end within a leaf; counted from 0.
    #[error("the entry bundle ends within leaf {0}")]
    Truncated(usize),
}

/// Encodes leaves as an entry bundle.
pub fn encode<L: AsRef<[u8]>>(leaves: impl IntoIterator<Item = L>) -> Result<Vec<u8>, BundleError> {
    let mut bundle = Vec::new();
    for (count, leaf) in leaves.into_iter().enumerate() {
        if count >= usize::from(FULL_WIDTH) {
            return Err(BundleError::TooManyLeaves);
        }
        let leaf = leaf.as_ref();
        let length = u16::try_from(leaf.len()).map_err(|_| BundleError::LeafTooLarge(leaf.len()))?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(leaf);
    }
    Ok(bundle)
}

/// The leaves of an entry bundle, borrowed from it.
pub fn decode(bundle: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let mut leaves = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        if leaves.len() >= usize::from(FULL_WIDTH) {
            return Err(BundleError::TooManyLeaves);
        }
        let truncated = BundleError::Truncated(leaves.len());
        let (length, after) = rest.split_first_chunk::<2>().ok_or(truncated.clone())?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (leaf, after) = after.split_at_checked(length).ok_or(truncated)?;
        leaves.push(leaf);
        rest = after;
    }
    Ok(leaves)
}

#[cfg(test)]
mod tests;
