//! Entries of Rekor v2 (`rekor-tiles api/proto/rekor/v2`, `pkg/types`).
//!
//! Upstream dropped `dsse` requests in v2.3.0; released clients of three languages still send them, so they are taken unless
//! the policy says otherwise, and become a real `dsse` 0.0.2 body: the client that asked compares kind and body.

mod body;
mod dsse;
mod hashedrekord;
mod request;

use serde_json::value::RawValue;

use crate::Canonical;
use crate::committed::CommittedEntry;
use crate::error::Invalid;
use crate::policy::AlgorithmPolicy;

/// Version of every v2 kind.
const API_VERSION: &str = "0.0.2";

/// Largest body: an entry bundle gives a leaf's length in 16 bits (C2SP tlog-tiles "Log Entries").
pub const MAX_BODY: usize = 65_535;

/// What a server accepts.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Keys and hashes.
    pub algorithms: AlgorithmPolicy,
    /// Whether `dsse` requests are taken.
    pub accept_dsse: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            algorithms: AlgorithmPolicy::rekor_v2(),
            accept_dsse: true,
        }
    }
}

/// Why Rekor v2 refuses a request: all of them gRPC `InvalidArgument`, HTTP 400. Upstream answers the fixed part of each
/// text; what was expected follows here.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not the proto-JSON of a request.
    #[error("invalid request: {0}")]
    Json(#[from] serde_json::Error),
    /// No entry in the request, or one of a kind that is not taken.
    #[error("invalid type, must be hashedrekord")]
    NoEntry,
    /// A `hashedrekord` that is wrong or does not verify.
    #[error("invalid hashedrekord request: {0}")]
    HashedRekord(#[source] Invalid),
    /// A `dsse` that is wrong or does not verify.
    #[error("invalid dsse request: {0}")]
    Dsse(#[source] Invalid),
}

/// Reads a create request, verifies it and makes what is to be logged.
///
/// # Errors
/// See [`RequestError`].
pub fn parse_request(json: &[u8], policy: &Policy) -> Result<Canonical, RequestError> {
    // The gateway reads an empty body as an empty message (`grpc-gateway runtime/marshal_jsonpb.go`).
    if json.trim_ascii().is_empty() {
        return Err(RequestError::NoEntry);
    }
    match request::parse(json)? {
        request::Request::HashedRekord(request) => {
            hashedrekord::canonicalize(&request, policy).map_err(RequestError::HashedRekord)
        }
        request::Request::Dsse(request) if policy.accept_dsse => {
            dsse::canonicalize(request, policy).map_err(RequestError::Dsse)
        }
        request::Request::Dsse(_) | request::Request::None => Err(RequestError::NoEntry),
    }
}

/// Refuses a `dsse` request by the lengths of its lists, as [`parse_request`] does: for one that comes in another form, before
/// each of its items becomes JSON of many times its octets.
///
/// # Errors
/// See [`RequestError`].
pub fn check_dsse_lengths(verifiers: usize, signatures: usize, policy: &Policy) -> Result<(), RequestError> {
    if !policy.accept_dsse {
        return Err(RequestError::NoEntry);
    }
    dsse::check_lengths(verifiers, signatures).map_err(RequestError::Dsse)
}

/// Reads the spec of a committed body.
pub(crate) type Reader = fn(&RawValue) -> Result<CommittedEntry, Invalid>;

pub(crate) fn reader(kind: &str, api_version: &str) -> Option<Reader> {
    match (kind, api_version) {
        (hashedrekord::KIND, API_VERSION) => Some(hashedrekord::read),
        (dsse::KIND, API_VERSION) => Some(dsse::read),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
