//! Transparency-log core: what a Merkle tree log is, in bytes, and nothing about running one.
//!
//! Implements the RFC 6962 tree (hashing, inclusion and consistency proofs, made and checked), the
//! C2SP tlog-tiles layout (addresses, partial tiles, entry bundles, growing the right edge) and the
//! C2SP signed-note, tlog-checkpoint and tlog-cosignature texts with the key identifiers that
//! Sigstore's logs use.
//!
//! Leaves out: signatures (callers sign and verify the text of a note, see `common/pki`), storage,
//! ordering, clocks and every network protocol. Nothing here fails but on malformed input, and
//! nothing here panics on any.
//!
//! Built on by the log engine (appending, proofs for receipts), the Rekor and CT interfaces
//! (checkpoints, tiles), bundle verification and the monitor, which checks logs from public reads.

pub mod audit;
pub mod bundle_codec;
pub mod checkpoint;
pub mod compact;
pub mod cosignature;
pub mod edge;
mod hash;
pub mod note;
pub mod notekey;
pub mod proof;
pub mod tile;

pub use edge::{Grown, RightEdge};
pub use hash::{Hash, HashParseError, empty_root, leaf_hash, node_hash, sha256};
pub use proof::{NodeReader, Plan, ProofError};
pub use tile::{TileId, TileSet};

/// Largest tree size handled: sizes and indexes travel as signed 64-bit integers in every Sigstore
/// interface (protobuf-specs `sigstore_rekor.proto`, `int64 tree_size`). It keeps every proof
/// within [`proof::MAX_HASHES`].
pub const MAX_SIZE: u64 = i64::MAX as u64;

#[cfg(test)]
mod oracle;
