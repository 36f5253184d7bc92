//! An entry as Rekor v1 answers it (rekor `openapi.yaml`, LogEntry), in the form a bundle keeps.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::format::{
    Checkpoint, InclusionPromise, InclusionProof, KindVersion, LogId, TransparencyLogEntry,
};
use serde::Deserialize;

/// Not such an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogEntryError {
    /// Not the JSON of one.
    #[error("expected a Rekor v1 log entry: {0}")]
    Json(#[from] serde_json::Error),
    /// The JSON of none.
    #[error("expected one log entry, got none")]
    None,
    /// A member in another encoding.
    #[error("expected {0} in hexadecimal: {1}")]
    Hex(&'static str, hex::FromHexError),
    /// A member in another encoding.
    #[error("expected {0} in base64: {1}")]
    Base64(&'static str, base64::DecodeError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogEntry {
    body: String,
    integrated_time: u64,
    #[serde(rename = "logID")]
    log_id: String,
    log_index: u64,
    verification: Verification,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    inclusion_proof: Proof,
    signed_entry_timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proof {
    checkpoint: String,
    hashes: Vec<String>,
    log_index: u64,
    root_hash: String,
    tree_size: u64,
}

/// What a body says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    kind: String,
    api_version: String,
}

/// The entry of an answer: one entry by its UUID.
///
/// # Errors
/// [`LogEntryError`] names what is not as expected.
pub(crate) fn parse(answer: &[u8]) -> Result<TransparencyLogEntry, LogEntryError> {
    let entries: BTreeMap<String, LogEntry> = serde_json::from_slice(answer)?;
    convert(entries.into_values().next().ok_or(LogEntryError::None)?)
}

/// The entries of an answer to a search by proposals (rekor `openapi.yaml`, searchLogQuery), each with its UUID.
///
/// # Errors
/// [`LogEntryError`] names what is not as expected.
pub(crate) fn parse_list(answer: &[u8]) -> Result<Vec<(String, TransparencyLogEntry)>, LogEntryError> {
    let found: Vec<BTreeMap<String, LogEntry>> = serde_json::from_slice(answer)?;
    found
        .into_iter()
        .flatten()
        .map(|(uuid, entry)| Ok((uuid, convert(entry)?)))
        .collect()
}

fn convert(entry: LogEntry) -> Result<TransparencyLogEntry, LogEntryError> {
    let unhex = |what, text: &str| hex::decode(text).map_err(|error| LogEntryError::Hex(what, error));
    let unbase64 = |what, text: &str| {
        STANDARD
            .decode(text)
            .map_err(|error| LogEntryError::Base64(what, error))
    };
    let body = unbase64("body", &entry.body)?;
    let Body { kind, api_version } = serde_json::from_slice(&body)?;
    let Verification {
        inclusion_proof: proof,
        signed_entry_timestamp,
    } = entry.verification;
    Ok(TransparencyLogEntry {
        log_index: entry.log_index,
        log_id: LogId {
            key_id: unhex("logID", &entry.log_id)?,
        },
        kind_version: KindVersion {
            kind,
            version: api_version,
        },
        integrated_time: entry.integrated_time,
        inclusion_promise: Some(InclusionPromise {
            signed_entry_timestamp: unbase64("signedEntryTimestamp", &signed_entry_timestamp)?,
        }),
        inclusion_proof: Some(InclusionProof {
            log_index: proof.log_index,
            root_hash: unhex("rootHash", &proof.root_hash)?,
            tree_size: proof.tree_size,
            hashes: proof
                .hashes
                .iter()
                .map(|hash| unhex("hashes", hash))
                .collect::<Result<_, _>>()?,
            checkpoint: Checkpoint {
                envelope: proof.checkpoint,
            },
        }),
        canonicalized_body: body,
    })
}
