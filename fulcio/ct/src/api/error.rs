//! What the read side refuses: plain text, the status in words on the first line and the reason on the second, as ct-go
//! answers (`trillian/ctfe/handlers.go`).

use axum::response::{IntoResponse, Response};
use common_engine::{ReadError, SubmitError};
use common_server::admission::Refused;
use common_server::body::BodyError;
use common_server::reply;
use http::{HeaderValue, Method, StatusCode, header};

use crate::chain::ChainError;
use crate::log::{AddError, BesideError};

/// Every refusal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// A parameter is missing, malformed or out of range.
    #[error("{0}")]
    Parameter(String),
    /// The tree is not that large.
    #[error("need tree size: {wanted} but only got: {size}")]
    TreeSize { wanted: u64, size: u64 },
    /// No leaf with this hash within this tree size.
    #[error("no leaf of this hash is in the tree of size {0}")]
    UnknownHash(u64),
    /// The tree that a proof by hash was asked for is not there yet; ct-go answers 404 to this one.
    #[error("no proof: need tree size: {wanted} but only got: {size}")]
    ProofTreeSize { wanted: u64, size: u64 },
    /// Not the path of a tile of this size.
    #[error("no such tile in the tree of size {0}")]
    UnknownTile(u64),
    /// No issuer with this fingerprint.
    #[error("no such issuer: expected the lowercase hex SHA-256 of a certificate in some chain")]
    UnknownIssuer,
    /// add-chain and add-pre-chain.
    #[error("submission over HTTP is disabled: this log takes precertificates from its own authority only")]
    SubmissionDisabled,
    /// Submission to a log that was closed for another.
    #[error("this log takes no more entries: its successor is in the trusted root of the instance")]
    Closed,
    /// add-chain where submission is on.
    #[error("final certificates are not logged here: expected a precertificate at add-pre-chain")]
    FinalCertificate,
    /// The submitted chain is not logged.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The body is longer than is read.
    #[error(transparent)]
    TooLarge(BodyError),
    /// The log takes no more just now, or its key does not answer.
    #[error("the log cannot take the entry now: try again later")]
    Unavailable,
    /// Another method than the endpoint's.
    #[error("method not allowed: {0}")]
    Method(Method),
    /// The engine has as many reads as it runs at once.
    #[error("too many reads are under way: try again later")]
    Busy,
    /// Storage failed, or what it holds is wrong. The log line has the cause, the answer does not.
    #[error("the log cannot be read at the moment")]
    Unreadable,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Parameter(_) | Self::TreeSize { .. } | Self::FinalCertificate | Self::Chain(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownHash(_)
            | Self::ProofTreeSize { .. }
            | Self::UnknownTile(_)
            | Self::UnknownIssuer => StatusCode::NOT_FOUND,
            Self::SubmissionDisabled | Self::Closed => StatusCode::FORBIDDEN,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Busy | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreadable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// For a cause that is ours, whatever it is.
    pub(crate) fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = %cause, "the certificate log cannot be read");
        Self::Unreadable
    }
}

impl From<Refused> for ApiError {
    fn from(_: Refused) -> Self {
        Self::Busy
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } => Self::TooLarge(error),
            BodyError::Overloaded => Self::Busy,
            BodyError::TooSlow | BodyError::Unreadable => Self::Parameter(error.to_string()),
        }
    }
}

impl From<AddError> for ApiError {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Refused(cause) => Self::Chain(cause),
            AddError::Log(SubmitError::TooLarge { .. }) => Self::Parameter(error.to_string()),
            AddError::Log(SubmitError::Overloaded) | AddError::Overloaded(_) => Self::Busy,
            AddError::Log(_) | AddError::Timestamp(_) => {
                tracing::error!(%error, "a submitted precertificate was not logged");
                Self::Unavailable
            }
        }
    }
}

impl From<BesideError> for ApiError {
    fn from(error: BesideError) -> Self {
        match error {
            BesideError::Read(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Busy => Self::Busy,
            // Sizes and indexes are checked before the engine is asked, against a head that only grows.
            ReadError::OutOfRange { .. } | ReadError::UnknownLog(_) | ReadError::Store(_) => {
                Self::internal(&error)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = format!("{}\n{self}\n", status.canonical_reason().unwrap_or_default());
        let headers = [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            ),
            (
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ),
            // A refusal can be over with the next entry.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        let mut answer = (status, headers, body).into_response();
        if matches!(self, Self::Busy | Self::Unavailable) {
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, reply::retry_after());
        }
        answer
    }
}

/// The fallback of each endpoint.
pub(crate) async fn method_not_allowed(method: Method) -> ApiError {
    ApiError::Method(method)
}

#[cfg(test)]
mod tests;
