//! Why a request gets no timestamp, and the one place that turns it into HTTP.
//!
//! Texts are those of timestamp-authority `pkg/api/error.go` and go-openapi, which clients print and tests compare.

use axum::Json;
use axum::response::{IntoResponse, Response};
use common_server::admission::Refused;
use common_server::body::BodyError;
use common_server::cpu;
use common_server::reply::{self, ErrorBody};
use http::{HeaderValue, StatusCode, header};

/// Longest body read, in octets (upstream's `--max-request-body-size`).
pub(crate) const MAX_BODY: usize = 1 << 20;

/// Most arcs of a policy identifier (GHSA-4qg8-fj49-pxjh).
pub(crate) const MAX_ARCS: usize = 128;

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("Error generating timestamp response")]
    Malformed,
    #[error("Weak hash algorithm in timestamp request")]
    WeakHash,
    #[error("Message digest has incorrect length for specified algorithm")]
    DigestLength,
    #[error("unaccepted policy: requested TSA policy is not supported by the TSA")]
    Policy,
    #[error("unaccepted extension: requested extensions are not supported by the TSA")]
    Extension,
    #[error("timestamp request is too large")]
    JsonTooLarge,
    #[error("OID should be comprised of at most {MAX_ARCS} components")]
    TooManyArcs,
    #[error("request in body is required")]
    Empty,
    #[error("request body exceeds the limit of {MAX_BODY} octets")]
    TooLarge,
    #[error("request body could not be read")]
    Body,
    #[error("request body came too slowly")]
    BodyTooSlow,
    #[error("unsupported media type {0:?}, only [application/timestamp-query application/json] are allowed")]
    MediaType(String),
    #[error("method {method} is not allowed, but [{allowed}] are")]
    Method {
        method: http::Method,
        allowed: &'static str,
    },
    #[error("the timestamp authority is at its limit of work; retry shortly")]
    Overloaded,
    #[error("the key of the timestamp authority is not available now; retry shortly")]
    SignerUnavailable,
    /// For the log; the client learns nothing about the inside.
    #[error("Error generating timestamp response")]
    Internal(&'static str),
}

impl From<BodyError> for Refusal {
    fn from(cause: BodyError) -> Refusal {
        match cause {
            BodyError::TooLarge { .. } => Refusal::TooLarge,
            BodyError::Overloaded => Refusal::Overloaded,
            BodyError::TooSlow => Refusal::BodyTooSlow,
            BodyError::Unreadable => Refusal::Body,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(_: Refused) -> Refusal {
        Refusal::Overloaded
    }
}

impl From<cpu::Overloaded> for Refusal {
    fn from(_: cpu::Overloaded) -> Refusal {
        Refusal::Overloaded
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let message = self.to_string();
        match self {
            Refusal::Malformed
            | Refusal::WeakHash
            | Refusal::DigestLength
            | Refusal::Policy
            | Refusal::Extension
            | Refusal::JsonTooLarge
            | Refusal::TooManyArcs
            | Refusal::Body => reply::error(StatusCode::BAD_REQUEST, message),
            // go-openapi `errors/schema.go`: RequiredFail is code 602, under status 422.
            Refusal::Empty => (
                StatusCode::UNPROCESSABLE_ENTITY,
                Json(ErrorBody { code: 602, message }),
            )
                .into_response(),
            Refusal::TooLarge => reply::error(StatusCode::PAYLOAD_TOO_LARGE, message),
            Refusal::MediaType(_) => reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, message),
            Refusal::Method { allowed, .. } => {
                let mut answer = reply::error(StatusCode::METHOD_NOT_ALLOWED, message);
                answer
                    .headers_mut()
                    .insert(header::ALLOW, HeaderValue::from_static(allowed));
                answer
            }
            Refusal::BodyTooSlow => reply::error(StatusCode::REQUEST_TIMEOUT, message),
            Refusal::Overloaded | Refusal::SignerUnavailable => reply::overloaded(message),
            Refusal::Internal(reason) => {
                tracing::error!(reason, "no timestamp");
                reply::error(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
        }
    }
}
