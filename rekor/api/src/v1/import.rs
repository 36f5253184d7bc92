//! Entries of another Rekor v1, as they are kept when its log is taken over: body, time, signed entry timestamp and
//! attestation stay what they were.

use bytes::Bytes;
use common_engine::{Attachment, ImportedLeaf, LogKind, StoredLeaf};
use common_tlog::sha256;
use rekor_entry::{committed, statement_keys};

use super::shards::Shard;
use crate::personality::{Extra, attestation_key, nothing, rest, timestamped};
use crate::terms;

/// An entry as the other log gives it.
#[derive(Debug, Clone)]
pub struct ImportedEntry {
    /// The canonical body.
    pub body: Bytes,
    /// Unix seconds.
    pub integrated_time: u64,
    /// The signed entry timestamp.
    pub set: Vec<u8>,
    /// The attestation, where it is kept.
    pub attestation: Option<Bytes>,
}

/// Why an entry is not taken over.
#[derive(Debug, thiserror::Error)]
pub enum ImportRefusal {
    /// The promise is not one of the log's key.
    #[error("its signed entry timestamp does not verify over body, time and virtual index {0}")]
    Timestamp(u64),
    /// The attestation is another one.
    #[error("its attestation has digest sha256:{got}, expected {expected}")]
    Attestation {
        /// Told by the body.
        expected: String,
        /// Calculated.
        got: String,
    },
}

/// The leaf of an entry that `shard` has at `index`.
///
/// # Errors
/// [`ImportRefusal`].
pub fn imported_leaf(shard: &Shard, index: u64, entry: ImportedEntry) -> Result<ImportedLeaf, ImportRefusal> {
    let ImportedEntry {
        body,
        integrated_time,
        set,
        attestation,
    } = entry;
    let time = integrated_time.saturating_mul(1_000);
    let signed = timestamped(shard, &body, index, time);
    let key = shard.public_key();
    key.verify(key.default_hash(), signed.as_bytes(), &set)
        .map_err(|_| ImportRefusal::Timestamp(shard.virtual_index(index)))?;
    let mut attachments = Vec::new();
    let beside = match committed::read(&body) {
        Ok(told) => {
            attachments.extend(attached(attestation, told.attestation_key)?);
            let statement = attachments
                .iter()
                .flat_map(|(_, kept)| statement_keys(&kept.data));
            let keys: Vec<String> = told.index_keys.iter().cloned().chain(statement).collect();
            let name = attachments.first().map_or("", |(name, _)| name.as_str());
            rest(name, &keys, &told.index_keys)
        }
        // It is found by place and hash all the same.
        Err(_) => nothing(),
    };
    let leaf = StoredLeaf {
        index,
        time,
        extra: Extra::encode(&set, time, &beside),
        data: body,
    };
    Ok(ImportedLeaf {
        time,
        terms: terms::of_imported(LogKind::RekorV1, &leaf),
        extra: leaf.extra,
        data: leaf.data,
        attachments: attachments.into_iter().map(|(_, kept)| kept).collect(),
    })
}

/// The attestation with its name, if the entry has one and it was kept.
fn attached(
    data: Option<Bytes>,
    expected: Option<String>,
) -> Result<Option<(String, Attachment)>, ImportRefusal> {
    let (Some(data), Some(expected)) = (data, expected) else {
        return Ok(None);
    };
    let got = sha256(&[&data]).to_string();
    if expected != format!("sha256:{got}") {
        return Err(ImportRefusal::Attestation { expected, got });
    }
    let key = attestation_key(&expected);
    Ok(Some((expected, Attachment { key, data })))
}

#[cfg(test)]
mod tests;
