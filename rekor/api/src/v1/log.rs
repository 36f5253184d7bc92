//! The log as a whole: its heads, its keys, and proofs that it only grows.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use common_engine::LogId;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use super::entry_id::TreeId;
use super::error::ApiError;
use super::negotiate::{JSON, PEM, Params, accepts};
use super::shards::{Shard, Shards};
use super::view::quoted_hex;
use super::{Service, json_response};
use crate::json;

/// How long an attestation may be to be kept, in bytes.
const ATTESTATION_LIMIT: HeaderName = HeaderName::from_static("x-max-attestation-size");

impl Service {
    /// The four members that describe one shard, without the braces around them.
    fn write_head(&self, out: &mut String, (log, shard): &(LogId, Shard)) -> Result<(), ApiError> {
        let head = self.engine.head(*log).ok_or(ApiError::Internal)?;
        out.push_str("\"rootHash\":");
        quoted_hex(out, &head.root);
        out.push_str(",\"signedTreeHead\":");
        json::string(out, &head.checkpoint);
        out.push_str(",\"treeID\":\"");
        json::number(out, shard.tree().get());
        out.push_str("\",\"treeSize\":");
        json::number(out, head.size);
        Ok(())
    }
}

impl Shards {
    /// The shard a `treeID` parameter names, the active one without it.
    fn named(&self, tree: Option<&str>) -> Result<&(LogId, Shard), ApiError> {
        let Some(text) = tree else {
            return Ok(self.active());
        };
        let number: i64 = text.parse().map_err(|_| ApiError::BadTreeId(text.to_owned()))?;
        let number = u64::try_from(number).map_err(|_| ApiError::BadTreeId(text.to_owned()))?;
        TreeId::new(number)
            .and_then(|tree| self.by_tree(tree))
            .ok_or(ApiError::UnknownTree(number))
    }
}

/// GET `/api/v1/log`. `stable` and other parameters are ignored, as upstream does since stable checkpoints
/// were removed.
pub(super) async fn info(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    accepts(&headers, &[JSON])?;
    let mut out = String::with_capacity(512);
    out.push_str("{\"inactiveShards\":");
    let shards = service.shards.load();
    if shards.inactive().is_empty() {
        out.push_str("null");
    } else {
        out.push('[');
        for (at, shard) in shards.inactive().iter().enumerate() {
            out.push_str(if at == 0 { "{" } else { ",{" });
            service.write_head(&mut out, shard)?;
            out.push('}');
        }
        out.push(']');
    }
    out.push(',');
    service.write_head(&mut out, shards.active())?;
    out.push_str("}\n");
    let mut response = json_response(StatusCode::OK, out);
    let limit = HeaderValue::from(service.policy.max_attestation_size);
    response.headers_mut().insert(ATTESTATION_LIMIT, limit);
    Ok(response)
}

/// GET `/api/v1/log/proof`: consistency (RFC 6962 §2.1.2) from `firstSize` (1 when absent) to `lastSize`.
///
/// `rootHash` is the root at the time of the answer, not at `lastSize` (rekor `openapi.yaml`,
/// ConsistencyProof).
pub(super) async fn proof(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    accepts(&headers, &[JSON])?;
    let params = Params::of(&uri);
    let first = params.integer("firstSize", 1)?.unwrap_or(1);
    let last = params.required_integer("lastSize", 1)?;
    let tree = params.tree_id()?;
    if first > last {
        return Err(ApiError::SizesSwapped { first, last });
    }
    let shards = service.shards.load();
    let (log, _) = shards.named(tree)?;
    let head = service.engine.head(*log).ok_or(ApiError::Internal)?;
    if last > head.size {
        return Err(ApiError::SizeAhead {
            requested: last,
            size: head.size,
        });
    }
    let _admitted = service.reads.enter()?;
    let proof = if first == last {
        Vec::new()
    } else {
        service.engine.consistency_proof(*log, first, last).await?
    };
    let mut out = String::with_capacity(2_048);
    out.push_str("{\"hashes\":");
    json::hashes(&mut out, &proof, quoted_hex);
    out.push_str(",\"rootHash\":");
    quoted_hex(&mut out, &head.root);
    out.push_str("}\n");
    Ok(json_response(StatusCode::OK, out))
}

/// GET `/api/v1/log/publicKey`
pub(super) async fn public_key(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let form = accepts(&headers, &[PEM, JSON])?;
    let params = Params::of(&uri);
    // rekor `pkg/api/public_key.go` tells no cause here.
    let shards = service.shards.load();
    let (_, shard) = shards
        .named(params.tree_id()?)
        .map_err(|_| ApiError::UnknownTreeKey)?;
    let pem = shard.public_key().to_pem();
    // go-openapi adds the API's own form to those of each operation (go-openapi/runtime `middleware/router.go`).
    if form == JSON {
        let mut out = String::with_capacity(pem.len().saturating_add(16));
        json::string(&mut out, &pem);
        out.push('\n');
        return Ok(json_response(StatusCode::OK, out));
    }
    Ok(([(CONTENT_TYPE, PEM)], pem).into_response())
}
