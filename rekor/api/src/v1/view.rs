//! An entry as clients see it: `{"<entry ID>": {…}}`, members in upstream's order (rekor `openapi.yaml`,
//! LogEntry).

use bytes::Bytes;
use common_engine::{Head, StoredLeaf};
use common_tlog::Hash;

use super::entry_id::EntryId;
use super::shards::Shard;
use crate::json;
use crate::personality::integrated_time;

/// All that one entry's answer is made of. Proof, root, size and checkpoint are those of `head`.
pub(crate) struct EntryView<'a> {
    pub(crate) shard: &'a Shard,
    pub(crate) id: EntryId,
    pub(crate) leaf: &'a StoredLeaf,
    pub(crate) set: &'a [u8],
    pub(crate) proof: &'a [Hash],
    pub(crate) head: &'a Head,
    pub(crate) attestation: Option<&'a Bytes>,
}

impl EntryView<'_> {
    /// Room for the object: base64 of what is binary, 64 digits and three marks for each hash, the note with its
    /// escapes, and the fixed parts, which stay below 640.
    fn size(&self) -> usize {
        self.leaf
            .data
            .len()
            .saturating_add(self.attestation.map_or(0, Bytes::len))
            .saturating_add(self.set.len())
            .saturating_mul(4)
            .div_euclid(3)
            .saturating_add(self.proof.len().saturating_mul(67))
            .saturating_add(self.head.checkpoint.len())
            .saturating_add(640)
    }

    /// Appends the one-member object.
    pub(crate) fn write(&self, out: &mut String) {
        out.reserve(self.size());
        out.push_str("{\"");
        self.id.write(out);
        out.push_str("\":{");
        if let Some(attestation) = self.attestation {
            out.push_str("\"attestation\":{\"data\":");
            json::base64(out, attestation);
            out.push_str("},");
        }
        out.push_str("\"body\":");
        json::base64(out, &self.leaf.data);
        out.push_str(",\"integratedTime\":");
        json::number(out, integrated_time(self.leaf.time));
        out.push_str(",\"logID\":\"");
        out.push_str(self.shard.log_id());
        out.push_str("\",\"logIndex\":");
        json::number(out, self.shard.virtual_index(self.leaf.index));
        out.push_str(",\"verification\":{\"inclusionProof\":{\"checkpoint\":");
        json::string(out, &self.head.checkpoint);
        out.push_str(",\"hashes\":");
        json::hashes(out, self.proof, quoted_hex);
        out.push_str(",\"logIndex\":");
        json::number(out, self.leaf.index);
        out.push_str(",\"rootHash\":");
        quoted_hex(out, &self.head.root);
        out.push_str(",\"treeSize\":");
        json::number(out, self.head.size);
        out.push_str("},\"signedEntryTimestamp\":");
        json::base64(out, self.set);
        out.push_str("}}}");
    }
}

/// A hash the way v1 writes all of them.
pub(crate) fn quoted_hex(out: &mut String, hash: &Hash) {
    out.push('"');
    json::hex(out, hash.as_bytes());
    out.push('"');
}

#[cfg(test)]
mod tests;
