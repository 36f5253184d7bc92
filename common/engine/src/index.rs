//! Index keys: 64 bits of a keyed hash, short so that the index stays small and its inserts cheap.
//!
//! The secret keeps anyone from preparing entries that share a key. It does not make a key a proof of anything:
//! whoever looks up a leaf by its hash compares the full hash with the row found (a truncated deduplication key let
//! a log promise inclusion of a certificate that it did not hold, sunlight v0.8.1).

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use common_tlog::Hash;

use crate::types::LogId;

/// First 8 bytes of SHA-256(secret ‖ kind ‖ what).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexKey(pub u64);

/// The random key of one store's index.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IndexSecret(pub [u8; 32]);

impl fmt::Debug for IndexSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IndexSecret(…)")
    }
}

impl IndexSecret {
    /// Key of a search term, across logs.
    #[must_use]
    pub fn term(&self, term: &str) -> IndexKey {
        self.key(b't', &[term.as_bytes()])
    }

    /// Key of a leaf hash or of an entry identity in one log. Both share a row where they are equal.
    #[must_use]
    pub fn leaf(&self, log: LogId, hash: &Hash) -> IndexKey {
        self.key(b'l', &[&log.0.to_be_bytes(), &hash.0])
    }

    /// Key of a row by which the index speaks of itself (see `terms`).
    pub(crate) fn mark(&self, log: LogId, version: u32, name: &str) -> IndexKey {
        let (log, version) = (log.0.to_be_bytes(), version.to_be_bytes());
        self.key(b'm', &[&log, &version, name.as_bytes()])
    }

    fn key(&self, kind: u8, parts: &[&[u8]]) -> IndexKey {
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        context.update(&[kind]);
        for part in parts {
            context.update(part);
        }
        let digest = context.finish();
        IndexKey(
            digest
                .as_ref()
                .iter()
                .take(8)
                .fold(0, |key, byte| (key << 8) | u64::from(*byte)),
        )
    }
}

#[cfg(test)]
mod tests;
