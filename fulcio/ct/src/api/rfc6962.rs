//! RFC 6962 §4.

use super::error::ApiError;
use super::parameters::Parameters;
use super::{A_DAY, A_MINUTE, NOW};
use crate::log::CtLog;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_engine::StoredLeaf;
use common_tlog::Hash;
use serde::Serialize;
use std::sync::Arc;

/// Entries in one answer: fewer than asked may come (RFC 6962 §4.6), and a leaf with its chain is some kilobytes. As
/// many as a tile has, so that the cut ranges are those of `tile/data`. Larger requests are cut so that the next ones
/// are aligned, and therefore the same for every reader.
const MAX_ENTRIES: u64 = 256;

#[derive(Serialize)]
struct SignedTreeHead {
    tree_size: u64,
    timestamp: u64,
    sha256_root_hash: String,
    tree_head_signature: String,
}

/// §4.3. The signature is the checkpoint's own, so both dialects show one and the same tree head.
pub(crate) async fn get_sth(State(log): State<Arc<CtLog>>) -> Result<Response, ApiError> {
    let head = log.head()?;
    let signature = log
        .personality()
        .tree_head_signature(&head.checkpoint)
        .map_err(|error| ApiError::internal(&error))?;
    let body = SignedTreeHead {
        tree_size: head.size,
        timestamp: signature.timestamp,
        sha256_root_hash: head.root.to_base64(),
        tree_head_signature: STANDARD.encode(signature.digitally_signed),
    };
    Ok((NOW, Json(body)).into_response())
}

#[derive(Serialize)]
struct Consistency {
    consistency: Vec<String>,
}

/// §4.4.
pub(crate) async fn get_sth_consistency(
    State(log): State<Arc<CtLog>>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let (first, second) = (parameters.number("first")?, parameters.number("second")?);
    if second < first {
        return Err(ApiError::Parameter(format!(
            "invalid first, second params: {first}, {second}: second is smaller"
        )));
    }
    let size = log.head()?.size;
    let _admitted = log.reads().enter()?;
    // ct-go answers before it looks at the tree: everything is consistent with nothing.
    let proof = if first == 0 {
        Vec::new()
    } else if second > size {
        return Err(ApiError::TreeSize { wanted: second, size });
    } else {
        log.engine().consistency_proof(log.id(), first, second).await?
    };
    Ok((
        A_DAY,
        Json(Consistency {
            consistency: base64_path(&proof),
        }),
    )
        .into_response())
}

#[derive(Serialize)]
struct ProofByHash {
    leaf_index: u64,
    audit_path: Vec<String>,
}

/// §4.5.
pub(crate) async fn get_proof_by_hash(
    State(log): State<Arc<CtLog>>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let (hash, wanted) = (parameters.hash("hash")?, positive(&parameters, "tree_size")?);
    let size = log.head()?.size;
    if wanted > size {
        return Err(ApiError::ProofTreeSize { wanted, size });
    }
    let _admitted = log.reads().enter()?;
    let leaf = log.engine().find_leaf(log.id(), &hash).await?;
    let leaf = leaf
        .filter(|leaf| leaf.index < wanted)
        .ok_or(ApiError::UnknownHash(wanted))?;
    let proof = log.engine().inclusion_proof(log.id(), leaf.index, wanted).await?;
    Ok((
        A_DAY,
        Json(ProofByHash {
            leaf_index: leaf.index,
            audit_path: base64_path(&proof),
        }),
    )
        .into_response())
}

#[derive(Serialize)]
struct Entry {
    leaf_input: String,
    extra_data: String,
}

#[derive(Serialize)]
struct Entries {
    entries: Vec<Entry>,
}

/// §4.6.
pub(crate) async fn get_entries(
    State(log): State<Arc<CtLog>>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let (start, end) = (parameters.number("start")?, parameters.number("end")?);
    if start > end {
        return Err(ApiError::Parameter(format!(
            "start ({start}) and end ({end}) is not a valid range"
        )));
    }
    let size = log.head()?.size;
    if start >= size {
        return Err(ApiError::TreeSize {
            wanted: start.saturating_add(1),
            size,
        });
    }
    let _admitted = log.ranges().enter()?;
    let wanted = range_length(start, end);
    let leaves = log.engine().leaves(log.id(), start, wanted).await?;
    let mut entries = Vec::with_capacity(leaves.len());
    for leaf in &leaves {
        entries.push(entry(&log, leaf).await?);
    }
    let cache = if entries.len() as u64 == u64::from(wanted) {
        A_DAY
    } else {
        A_MINUTE
    };
    Ok((cache, Json(Entries { entries })).into_response())
}

/// How many entries are served of an inclusive range. A range of the maximal length ends just before a multiple of that length
/// (ct-go `parseGetEntriesRange`), so that a reader who goes on from there asks what other readers ask.
fn range_length(start: u64, end: u64) -> u32 {
    let length = end.saturating_sub(start).saturating_add(1).min(MAX_ENTRIES);
    let beyond = start.saturating_add(length).checked_rem(MAX_ENTRIES).unwrap_or(0);
    let length = if length == MAX_ENTRIES {
        length.saturating_sub(beyond)
    } else {
        length
    };
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[derive(Serialize)]
struct EntryAndProof {
    leaf_input: String,
    extra_data: String,
    audit_path: Vec<String>,
}

/// §4.8.
pub(crate) async fn get_entry_and_proof(
    State(log): State<Arc<CtLog>>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let (index, wanted) = (
        parameters.number("leaf_index")?,
        positive(&parameters, "tree_size")?,
    );
    if index >= wanted {
        return Err(ApiError::Parameter(format!(
            "leaf_index ({index}) out of range for tree of size {wanted}"
        )));
    }
    let size = log.head()?.size;
    if wanted > size {
        return Err(ApiError::TreeSize { wanted, size });
    }
    let _admitted = log.reads().enter()?;
    let leaf = log
        .engine()
        .leaf(log.id(), index)
        .await?
        .ok_or(ApiError::Unreadable)?;
    let proof = log.engine().inclusion_proof(log.id(), index, wanted).await?;
    let Entry {
        leaf_input,
        extra_data,
    } = entry(&log, &leaf).await?;
    Ok((
        A_DAY,
        Json(EntryAndProof {
            leaf_input,
            extra_data,
            audit_path: base64_path(&proof),
        }),
    )
        .into_response())
}

#[derive(Serialize)]
struct Roots {
    certificates: Vec<String>,
}

/// §4.7.
pub(crate) async fn get_roots(State(log): State<Arc<CtLog>>) -> Response {
    let certificates = log
        .roots()
        .iter()
        .map(|root| STANDARD.encode(root.to_der()))
        .collect();
    (NOW, Json(Roots { certificates })).into_response()
}

async fn entry(log: &CtLog, leaf: &StoredLeaf) -> Result<Entry, ApiError> {
    let extra_data = log.extra_data(leaf).await?;
    Ok(Entry {
        leaf_input: STANDARD.encode(&leaf.data),
        extra_data: STANDARD.encode(extra_data),
    })
}

fn base64_path(proof: &[Hash]) -> Vec<String> {
    proof.iter().map(Hash::to_base64).collect()
}

fn positive(parameters: &Parameters, name: &'static str) -> Result<u64, ApiError> {
    match parameters.number(name)? {
        0 => Err(ApiError::Parameter(format!(
            "parameter '{name}' is malformed: expected a decimal number from 1"
        ))),
        number => Ok(number),
    }
}

#[cfg(test)]
mod tests;
