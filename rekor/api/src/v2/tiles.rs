//! The read side: checkpoint, tiles and entry bundles (C2SP tlog-tiles).

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common_engine::{Engine, LogId};
use common_tlog::tile::{FULL_WIDTH, TileKind, TilePath};
use common_tlog::{TileId, bundle_codec};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::Reads;
use super::error::ApiError;

/// A full tile never changes and never goes away.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// A partial one never changes either, but may go once the full one is there. Marked short because a cache
/// that mixes up paths or queries once served wrong proofs for a log (TrustAsia log2026a, May 2026).
const SHORT: &str = "public, max-age=60";

/// GET `checkpoint`: the newest signed head.
pub(super) async fn checkpoint(State(reads): State<Reads>) -> Result<Response, ApiError> {
    let head = reads.service.engine.head(reads.log).ok_or(ApiError::NotFound)?;
    Ok((
        [
            (CONTENT_TYPE, "text/plain; charset=utf-8"),
            (CACHE_CONTROL, "no-store"),
        ],
        head.checkpoint.clone(),
    )
        .into_response())
}

/// GET `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]`.
///
/// Whatever is not there, or beyond the published tree, or not even a tile path, is 404: clients fall back
/// from a partial tile to the full one on that status only.
pub(super) async fn tile(
    State(Reads { service, log }): State<Reads>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    // What is not UTF-8 once its percent signs are decoded is no tile path either.
    let Path(path) = path.map_err(|_| ApiError::NotFound)?;
    let path: TilePath = format!("tile/{path}").parse().map_err(|_| ApiError::NotFound)?;
    let head = service.engine.head(log).ok_or(ApiError::NotFound)?;
    // An entry bundle is as wide as the tile of its leaf hashes.
    let level = match path.kind {
        TileKind::Hashes { level } => level,
        TileKind::Entries => 0,
    };
    if path.width
        > (TileId {
            level,
            index: path.index,
        })
        .width(head.size)
    {
        return Err(ApiError::NotFound);
    }
    let _admitted = service.reads.enter()?;
    let bytes = match path.kind {
        TileKind::Hashes { level } => service
            .engine
            .tile(log, level, path.index, path.width)
            .await?
            .ok_or(ApiError::NotFound)?,
        TileKind::Entries => bundle(&service.engine, log, path.index, path.width).await?,
    };
    let keep = if path.width == FULL_WIDTH { FOREVER } else { SHORT };
    Ok((
        [(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, keep)],
        bytes,
    )
        .into_response())
}

async fn bundle(engine: &Engine, log: LogId, index: u64, width: u16) -> Result<Bytes, ApiError> {
    let start = index.saturating_mul(u64::from(FULL_WIDTH));
    let leaves = engine.leaves(log, start, u32::from(width)).await?;
    if leaves.len() != usize::from(width) {
        tracing::error!(
            index,
            width,
            got = leaves.len(),
            "an entry bundle under the published head is not complete"
        );
        return Err(ApiError::Internal);
    }
    let bundle = bundle_codec::encode(leaves.iter().map(|leaf| &leaf.data)).map_err(|cause| {
        tracing::error!(%cause, index, "an entry bundle cannot be encoded");
        ApiError::Internal
    })?;
    Ok(bundle.into())
}
