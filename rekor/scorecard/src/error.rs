//! Why a request is refused, and how that is answered: `{"code", "message"}`, as upstream's API does.

use axum::response::{IntoResponse, Response};
use common_bundle::format::BundleError;
use common_bundle::verify::VerifyError;
use common_server::admission::Refused;
use common_server::body::BodyError;
use common_server::cpu::Overloaded;
use common_server::reply;
use http::StatusCode;

use crate::evidence::LogError;
use crate::project::ProjectError;
use crate::results::ResultsError;
use crate::store::StoreError;

/// Each says what was expected and what came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("request body: expected {{\"result\", \"branch\", \"tlogIndex\" or \"bundle\"}}: {0}")]
    Json(serde_json::Error),
    #[error("expected tlogIndex (0 is an index) or bundle, got neither")]
    NoEvidence,
    #[error("commit: expected 40 or 64 hexadecimal digits in lower case, got {0:?}")]
    Commit(String),
    #[error("bundle: {0}")]
    Bundle(#[from] BundleError),
    #[error("the log has no entry {0}")]
    NoEntry(u64),
    #[error("log entry {index}: expected a hashedrekord with one certificate, got {got}")]
    Entry { index: u64, got: String },
    #[error("bundle: expected a certificate, because a key names no repository")]
    NoCertificate,
    #[error("the evidence does not verify: {0}")]
    Evidence(#[from] VerifyError),
    #[error(transparent)]
    Results(#[from] ResultsError),
    #[error("{what}: expected {expected:?}, got {got:?}")]
    Differs {
        what: &'static str,
        expected: String,
        got: String,
    },
    #[error("issuer: expected one of {expected}, got {got:?}")]
    Issuer { expected: String, got: String },
    #[error(
        "the certificate is from {got} (Unix seconds), and results under one from {newest} are published already: an older \
         result never replaces a newer one"
    )]
    Replayed { newest: u64, got: u64 },
    #[error("no results are published for {0}")]
    NotPublished(String),
    #[error("style: expected one of {expected}, got {got:?}")]
    Style { expected: String, got: String },
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the server is at its limit; retry shortly")]
    Overloaded,
    #[error("internal error")]
    Internal,
}

impl From<Refused> for Refusal {
    fn from(_: Refused) -> Refusal {
        Refusal::Overloaded
    }
}

impl From<Overloaded> for Refusal {
    fn from(_: Overloaded) -> Refusal {
        Refusal::Overloaded
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        tracing::error!(%error, "the store of Scorecard results failed");
        Refusal::Internal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Refusal::Body(BodyError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Body(BodyError::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Refusal::Body(BodyError::Overloaded) | Refusal::Overloaded | Refusal::Log(LogError) => {
                return reply::overloaded(self.to_string());
            }
            Refusal::Body(BodyError::Unreadable)
            | Refusal::Project(_)
            | Refusal::Json(_)
            | Refusal::NoEvidence
            | Refusal::Commit(_)
            | Refusal::Bundle(_)
            | Refusal::NoEntry(_)
            | Refusal::Entry { .. }
            | Refusal::NoCertificate
            | Refusal::Evidence(_)
            | Refusal::Results(_)
            | Refusal::Differs { .. }
            | Refusal::Issuer { .. }
            | Refusal::Style { .. } => StatusCode::BAD_REQUEST,
            Refusal::Replayed { .. } => StatusCode::CONFLICT,
            Refusal::NotPublished(_) => StatusCode::NOT_FOUND,
            Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        reply::error(status, self.to_string())
    }
}
