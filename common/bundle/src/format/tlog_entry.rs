//! `TransparencyLogEntry` (`protobuf-specs protos/sigstore_rekor.proto`): what a bundle keeps of a log, and what Rekor v2 answers.

use serde::{Deserialize, Serialize};

use super::protojson;

/// One entry of a transparency log with its proofs, in the form of a bundle: what is not set is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransparencyLogEntry {
    /// Index of the entry in its log; for Rekor v1 counted over all shards.
    #[serde(with = "protojson::unsigned", default)]
    pub log_index: u64,
    /// Which log.
    pub log_id: LogId,
    /// What the body is.
    pub kind_version: KindVersion,
    /// Unix seconds at which a Rekor v1 log took the entry; 0 for Rekor v2, which promises no time.
    #[serde(with = "protojson::unsigned", default, skip_serializing_if = "is_zero")]
    pub integrated_time: u64,
    /// Rekor v1's promise to include the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inclusion_promise: Option<InclusionPromise>,
    /// Proof that the log holds the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inclusion_proof: Option<InclusionProof>,
    /// The Merkle leaf.
    #[serde(with = "protojson::bytes", default)]
    pub canonicalized_body: Vec<u8>,
}

/// Identifies a log by its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogId {
    /// SHA-256 over the key's SPKI (Rekor v1, CT, ECDSA v2) or the full note key hash (Ed25519 v2): 32 octets.
    #[serde(with = "protojson::bytes")]
    pub key_id: Vec<u8>,
}

/// Kind and version of an entry body, such as `hashedrekord` `0.0.1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindVersion {
    /// Entry kind.
    pub kind: String,
    /// Version of the kind's schema.
    pub version: String,
}

/// A signed entry timestamp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InclusionPromise {
    /// The log's signature over body, time, log and index.
    #[serde(with = "protojson::bytes")]
    pub signed_entry_timestamp: Vec<u8>,
}

/// A Merkle inclusion proof (RFC 6962 §2.1.1) with the checkpoint it leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InclusionProof {
    /// Index of the entry within this tree: one shard, for Rekor v1.
    #[serde(with = "protojson::unsigned", default)]
    pub log_index: u64,
    /// Root of the tree the proof is for.
    #[serde(with = "protojson::bytes")]
    pub root_hash: Vec<u8>,
    /// Size of that tree.
    #[serde(with = "protojson::unsigned")]
    pub tree_size: u64,
    /// Sibling hashes from the leaf up.
    #[serde(with = "protojson::bytes_list", default)]
    pub hashes: Vec<Vec<u8>>,
    /// The signed tree head; empty in some version 0.1 bundles, whose proof then proves nothing.
    #[serde(default, skip_serializing_if = "Checkpoint::is_empty")]
    pub checkpoint: Checkpoint,
}

/// A signed note (C2SP tlog-checkpoint).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The note with its signature lines.
    pub envelope: String,
}

impl Checkpoint {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.envelope.is_empty()
    }
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}
