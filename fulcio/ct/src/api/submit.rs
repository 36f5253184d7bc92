//! RFC 6962 §4.2 over HTTP, for authorities outside the process: off unless the operator switches it on. Where it is on, a
//! precertificate is taken under the same conditions as the own authority's.

use super::error::ApiError;
use crate::log::CtLog;
use axum::Json;
use axum::extract::{Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_engine::LogState;
use common_pki::sct::AddChainResponse;
use serde::Deserialize;
use std::sync::Arc;

/// Longest body: ten certificates of the length that is read, in base64.
pub(crate) const MAX_BODY: usize = 1 << 20;

#[derive(Deserialize)]
struct AddChain {
    chain: Vec<String>,
}

/// `add-pre-chain`.
pub(crate) async fn add_pre_chain(
    State(log): State<Arc<CtLog>>,
    request: Request,
) -> Result<Json<AddChainResponse>, ApiError> {
    let submission = log.submission().ok_or(ApiError::SubmissionDisabled)?;
    // For ever, so that nobody is told to try again (RFC 6962 §4.2 leaves the form of refusals open).
    let state = log.engine().log(log.id()).map(|info| info.state);
    if state == Some(LogState::Frozen) {
        return Err(ApiError::Closed);
    }
    submission.writes.check()?;
    let body = submission.bodies.read(request).await?;
    let _admitted = submission.writes.enter()?;
    let wrong = |what: &str| ApiError::Parameter(format!("expected {{\"chain\":[base64, …]}}: {what}"));
    let AddChain { chain } =
        serde_json::from_slice(&body.bytes).map_err(|error| wrong(&error.to_string()))?;
    let decoded = chain.iter().map(|certificate| STANDARD.decode(certificate));
    let decoded: Vec<Vec<u8>> = decoded
        .collect::<Result<_, _>>()
        .map_err(|_| wrong("a certificate is not base64"))?;
    let (precertificate, issuers) = decoded.split_first().ok_or_else(|| wrong("the chain is empty"))?;
    let sct = log.add_pre_chain(precertificate, issuers).await?;
    Ok(Json(AddChainResponse::from(&sct)))
}

/// `add-chain`: Sigstore's certificates are logged before they exist, so there is no use for the other kind of entry.
pub(crate) async fn add_chain(State(log): State<Arc<CtLog>>) -> ApiError {
    if log.submission().is_some() {
        ApiError::FinalCertificate
    } else {
        ApiError::SubmissionDisabled
    }
}
