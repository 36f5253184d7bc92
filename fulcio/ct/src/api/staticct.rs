//! C2SP static-ct-api, monitoring side.

use super::error::ApiError;
use super::{A_MINUTE, FOR_EVER, NOW};
use crate::log::{CtLog, attachment_key};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use common_engine::StoredLeaf;
use common_tlog::TileId;
use common_tlog::tile::{FULL_WIDTH, TileKind, TilePath};
use http::header;
use std::sync::Arc;

/// static-ct-api "Merkle Tree": levels 0 to 5 hold a tree of 2⁴⁸ leaves, more than `leaf_index` can number.
const MAX_LEVEL: u8 = 5;

/// `checkpoint`.
pub(crate) async fn checkpoint(State(log): State<Arc<CtLog>>) -> Result<Response, ApiError> {
    let head = log.head()?;
    Ok((
        NOW,
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        head.checkpoint.clone(),
    )
        .into_response())
}

/// `tile/L/N[.p/W]` and `tile/data/N[.p/W]`.
pub(crate) async fn tile(
    State(log): State<Arc<CtLog>>,
    Path(path): Path<String>,
) -> Result<Response, ApiError> {
    let size = log.head()?.size;
    let unknown = || ApiError::UnknownTile(size);
    // The numbering is tlog-tiles'; only the name of the entries differs, and theirs is not served here.
    let canonical = match path.strip_prefix("data/") {
        Some(rest) => format!("tile/entries/{rest}"),
        None if path.starts_with("entries/") => return Err(unknown()),
        None => format!("tile/{path}"),
    };
    let TilePath { kind, index, width } = canonical.parse().map_err(|_| unknown())?;
    let _admitted = match kind {
        TileKind::Hashes { .. } => log.reads().enter()?,
        TileKind::Entries => log.ranges().enter()?,
    };
    let bytes = match kind {
        TileKind::Hashes { level } if level <= MAX_LEVEL => {
            log.engine().tile(log.id(), level, index, width).await?
        }
        TileKind::Hashes { .. } => None,
        TileKind::Entries => data_tile(&log, index, width, size).await?,
    };
    let bytes = bytes.ok_or_else(unknown)?;
    // A partial tile never changes either, but the full one takes its place (C2SP tlog-tiles "Partial Tiles").
    let cache = if width == FULL_WIDTH { FOR_EVER } else { A_MINUTE };
    Ok((cache, [(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

async fn data_tile(log: &CtLog, index: u64, width: u16, size: u64) -> Result<Option<Bytes>, ApiError> {
    if width > (TileId { level: 0, index }).width(size) {
        return Ok(None);
    }
    let start = index.saturating_mul(u64::from(FULL_WIDTH));
    let leaves = log.engine().leaves(log.id(), start, u32::from(width)).await?;
    let bytes: usize = leaves
        .iter()
        .map(|leaf| leaf.data.len().saturating_add(leaf.extra.len()))
        .sum();
    let mut out = BytesMut::with_capacity(bytes);
    for StoredLeaf { data, extra, .. } in &leaves {
        // A TileLeaf begins with the TimestampedEntry, which is the MerkleTreeLeaf without version and type.
        out.extend_from_slice(data.get(2..).ok_or(ApiError::Unreadable)?);
        out.extend_from_slice(extra);
    }
    Ok(Some(out.freeze()))
}

/// `issuer/HEX`.
pub(crate) async fn issuer(
    State(log): State<Arc<CtLog>>,
    Path(fingerprint): Path<String>,
) -> Result<Response, ApiError> {
    let lowercase_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if fingerprint.len() != 64 || !fingerprint.bytes().all(lowercase_hex) {
        return Err(ApiError::UnknownIssuer);
    }
    let der = log
        .engine()
        .attachment(&attachment_key(&fingerprint))
        .await?
        .ok_or(ApiError::UnknownIssuer)?;
    Ok((FOR_EVER, [(header::CONTENT_TYPE, "application/pkix-cert")], der).into_response())
}
