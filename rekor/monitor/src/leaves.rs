//! The two forms in which logs serve their leaves.

use bytes::Bytes;
use common_pki::sct;
use common_tlog::{Hash, bundle_codec, leaf_hash, sha256};

/// How a log serves its leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `tile/entries/…`: the leaves themselves (C2SP tlog-tiles "Log entries").
    Entries,
    /// `tile/data/…`: certificates with their chains (C2SP static-ct-api "Log entries").
    Certificates,
}

impl Dialect {
    /// Both, in the order they are tried.
    pub(crate) const ALL: [Self; 2] = [Self::Entries, Self::Certificates];

    /// The specification's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Entries => "tlog-tiles",
            Self::Certificates => "static-ct",
        }
    }

    /// Longest full bundle. Entries have a length of 16 bits; of certificates 64 KiB each are plenty.
    pub(crate) fn limit(self) -> usize {
        match self {
            Self::Entries => 256 * (2 + 0xffff),
            Self::Certificates => 64 << 20,
        }
    }

    /// The leaves of a bundle whose first leaf has the index `first`.
    pub(crate) fn leaves(self, bundle: &Bytes, first: u64) -> Result<Vec<Leaf>, Malformed> {
        match self {
            Self::Entries => {
                let leaves = bundle_codec::decode(bundle).map_err(|error| Malformed(error.to_string()))?;
                let leaves = leaves.into_iter().map(|leaf| Leaf {
                    hash: leaf_hash(leaf),
                    index: None,
                    issuers: Vec::new(),
                    content: bundle.slice_ref(leaf),
                });
                Ok(leaves.collect())
            }
            Self::Certificates => certificates(bundle, first),
        }
    }
}

/// What is needed of a leaf.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) hash: Hash,
    /// Where it says itself that it is.
    pub(crate) index: Option<u64>,
    /// Fingerprints of its issuers.
    pub(crate) issuers: Vec<Hash>,
    /// What is hashed, without the two octets before a TimestampedEntry: a part of the bundle.
    pub(crate) content: Bytes,
}

/// Bytes that are no bundle.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(String);

/// Most leaves of a bundle.
const MOST: usize = 256;

/// Reads TileLeaf after TileLeaf: `TimestampedEntry ‖ [precertificate<2^24>] ‖ Fingerprint chain<2^16>`. The Merkle leaf
/// is the TimestampedEntry after version and type, both zero (RFC 6962 §3.4).
fn certificates(bundle: &Bytes, first: u64) -> Result<Vec<Leaf>, Malformed> {
    let mut rest = bundle.as_ref();
    let mut leaves: Vec<Leaf> = Vec::new();
    while !rest.is_empty() {
        let number = leaves.len();
        if number >= MOST {
            return Err(Malformed(format!("more than {MOST} leaves")));
        }
        let index = first.saturating_add(number as u64);
        let (leaf, after) = tile_leaf(bundle, rest)
            .ok_or_else(|| Malformed(format!("leaf {index} is cut short or malformed")))?;
        leaves.push(leaf);
        rest = after;
    }
    Ok(leaves)
}

/// The leaf at the beginning of `bytes`, which are what is left of `bundle`.
fn tile_leaf<'a>(bundle: &Bytes, bytes: &'a [u8]) -> Option<(Leaf, &'a [u8])> {
    let (_time, rest) = bytes.split_first_chunk::<8>()?;
    let (kind, rest) = rest.split_first_chunk::<2>()?;
    let precertificate = match kind {
        [0, 0] => false,
        [0, 1] => true,
        _ => return None,
    };
    let rest = if precertificate {
        rest.split_first_chunk::<32>()?.1
    } else {
        rest
    };
    let (_certificate, rest) = long(rest)?;
    let (extensions, rest) = short(rest)?;
    let length = bytes.len().checked_sub(rest.len())?;
    let entry = bytes.get(..length)?;
    let rest = if precertificate { long(rest)?.1 } else { rest };
    let (chain, rest) = short(rest)?;
    let (issuers, tail) = chain.as_chunks::<32>();
    let leaf = Leaf {
        hash: sha256(&[&[0, 0, 0], entry]),
        index: sct::leaf_index(extensions),
        issuers: issuers.iter().copied().map(Hash).collect(),
        content: bundle.slice_ref(entry),
    };
    tail.is_empty().then_some((leaf, rest))
}

/// A part after its length in 24 bits.
fn long(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<3>()?;
    let length = length
        .iter()
        .fold(0usize, |length, byte| length << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

/// A part after its length in 16 bits.
fn short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests;
