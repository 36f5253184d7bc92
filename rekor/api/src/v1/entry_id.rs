//! Entry IDs: 16 hex digits of tree ID, then 64 of leaf hash (rekor `pkg/sharding/sharding.go`).

use std::fmt;

use common_tlog::Hash;
use http::HeaderValue;

use super::error::ApiError;
use crate::json;

/// What go-openapi demands of an entry UUID anywhere.
pub(crate) const PATTERN: &str = "^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$";

/// The ID of a tree: 1 to 2^63-1. Decimal in JSON, queries and origins; 16 hex digits in entry IDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeId(u64);

impl TreeId {
    /// `None` for 0 and for anything that is not a positive `int64`: upstream refuses both.
    #[must_use]
    pub fn new(id: u64) -> Option<Self> {
        (id != 0 && i64::try_from(id).is_ok()).then_some(TreeId(id))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place-independent name of an entry: its shard and its leaf hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryId {
    pub(crate) tree: TreeId,
    pub(crate) leaf: Hash,
}

impl EntryId {
    /// Appends the 80 lower-case hex digits.
    pub(crate) fn write(&self, out: &mut String) {
        json::hex(out, &self.tree.0.to_be_bytes());
        json::hex(out, self.leaf.as_bytes());
    }

    /// The ID as a header value: `ETag` carries it bare, without the quotes RFC 9110 §8.8.3 asks for, because
    /// sigstore-go indexes the answer's JSON with it (sigstore-go `pkg/sign/transparency.go`).
    pub(crate) fn header(&self) -> HeaderValue {
        let mut text = String::with_capacity(80);
        self.write(&mut text);
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(80);
        self.write(&mut out);
        f.write_str(&out)
    }
}

/// What a client may name an entry by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryRef {
    /// 80 digits: an entry of one shard.
    Full { tree: TreeId, leaf: Hash },
    /// 64 digits: a leaf hash, wherever it is.
    Bare(Hash),
}

impl EntryRef {
    /// `Ok(None)` when `text` does not have the shape at all, which the caller reports with the place the
    /// text came from.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, ApiError> {
        let hash = |digits: &str| -> Option<Hash> {
            let mut bytes = [0; 32];
            hex::decode_to_slice(digits, &mut bytes).ok()?;
            Some(Hash(bytes))
        };
        match text.len() {
            64 => Ok(hash(text).map(EntryRef::Bare)),
            80 => {
                let Some((tree, leaf)) = text.split_at_checked(16) else {
                    return Ok(None);
                };
                let mut id = [0; 8];
                let (Ok(()), Some(leaf)) = (hex::decode_to_slice(tree, &mut id), hash(leaf)) else {
                    return Ok(None);
                };
                match TreeId::new(u64::from_be_bytes(id)) {
                    Some(tree) => Ok(Some(EntryRef::Full { tree, leaf })),
                    None => Err(ApiError::BadTreeIdPart(tree.to_owned())),
                }
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
