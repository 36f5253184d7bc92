//! Everything Rekor v2 can answer instead of a result: a gRPC status as grpc-gateway renders it,
//! `{"code":…,"message":"…","details":[]}` (rekor-tiles `internal/server/http.go`, `service.go`; grpc-gateway
//! `runtime/errors.go`).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use common_engine::{ReadError, StoreError, SubmitError};
use common_server::admission::Refused;
use common_server::body::BodyError;
use common_server::{cpu, grpc, reply};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use rekor_entry::Invalid;
use rekor_entry::committed::ReadError as ReadBackError;
use rekor_entry::v2::RequestError;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::json;

/// What a v2 request is answered with when it does not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The body is longer than the configured limit in bytes.
    #[error("request body too large: at most {limit} bytes are read")]
    BodyTooLarge { limit: usize },
    /// The body broke off or was not readable as HTTP.
    #[error("the request body could not be read to its end")]
    BodyUnreadable,
    /// The body came too slowly.
    #[error("the request body came too slowly")]
    BodyTooSlow,
    /// The request was refused.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The canonical form is larger than an entry bundle can hold.
    #[error("the canonical entry has {got} bytes, an entry of this log at most {limit}")]
    LeafTooLarge { limit: u64, got: u64 },
    /// The same leaf is in the log already.
    #[error("an equivalent entry already exists in the transparency log with index {index}")]
    Duplicate { index: u64 },
    /// A queue is full.
    #[error("reached max pushback; retry")]
    Pushback,
    /// The commit failed, or its outcome is not known, or the log is going down.
    #[error("the log could not store the entry; retry")]
    Unavailable,
    /// The store did not answer.
    #[error("the log could not be read; retry")]
    Unreadable,
    /// The log takes no entries any more.
    #[error("This log has been frozen, please switch to the latest log.")]
    Frozen,
    /// No such path, or no such tile yet.
    #[error("Not Found")]
    NotFound,
    /// The path is there, for another method.
    #[error("Method Not Allowed")]
    WrongMethod,
    /// Something of ours failed; the cause is in the log file only.
    #[error("internal server error")]
    Internal,
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let (_, code) = error.status();
        let code = Code::from_i32(i32::try_from(code).unwrap_or_default());
        let mut status = Status::new(code, error.to_string());
        match error {
            ApiError::Duplicate { index } => {
                status
                    .metadata_mut()
                    .insert("x-log-index", MetadataValue::from(index));
                status
            }
            ApiError::Pushback | ApiError::Unavailable | ApiError::Unreadable => {
                grpc::pushed_back(status, reply::retry_after_seconds().into())
            }
            _ => status,
        }
    }
}

/// The gRPC status codes in use (grpc `doc/statuscodes.md`).
mod code {
    pub(super) const INVALID_ARGUMENT: u64 = 3;
    pub(super) const NOT_FOUND: u64 = 5;
    pub(super) const ALREADY_EXISTS: u64 = 6;
    pub(super) const UNIMPLEMENTED: u64 = 12;
    pub(super) const INTERNAL: u64 = 13;
    pub(super) const UNAVAILABLE: u64 = 14;
}

impl ApiError {
    fn status(&self) -> (StatusCode, u64) {
        match self {
            ApiError::BodyTooLarge { .. }
            | ApiError::BodyUnreadable
            | ApiError::BodyTooSlow
            | ApiError::Request(_)
            | ApiError::LeafTooLarge { .. } => (StatusCode::BAD_REQUEST, code::INVALID_ARGUMENT),
            ApiError::Duplicate { .. } => (StatusCode::CONFLICT, code::ALREADY_EXISTS),
            ApiError::Pushback | ApiError::Unavailable | ApiError::Unreadable => {
                (StatusCode::SERVICE_UNAVAILABLE, code::UNAVAILABLE)
            }
            ApiError::Frozen => (StatusCode::METHOD_NOT_ALLOWED, code::UNIMPLEMENTED),
            ApiError::NotFound => (StatusCode::NOT_FOUND, code::NOT_FOUND),
            ApiError::WrongMethod => (StatusCode::NOT_IMPLEMENTED, code::UNIMPLEMENTED),
            ApiError::Internal => (StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL),
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(cause: BodyError) -> Self {
        match cause {
            BodyError::TooLarge { limit } => ApiError::BodyTooLarge { limit },
            BodyError::Overloaded => ApiError::Pushback,
            BodyError::TooSlow => ApiError::BodyTooSlow,
            BodyError::Unreadable => ApiError::BodyUnreadable,
        }
    }
}

impl From<Refused> for ApiError {
    fn from(_: Refused) -> Self {
        ApiError::Pushback
    }
}

impl From<cpu::Overloaded> for ApiError {
    fn from(_: cpu::Overloaded) -> Self {
        ApiError::Pushback
    }
}

impl From<ReadBackError> for ApiError {
    fn from(cause: ReadBackError) -> Self {
        if let ReadBackError::Malformed(cause @ Invalid::TooManyTerms { .. }) = cause {
            return ApiError::Request(RequestError::Dsse(cause));
        }
        tracing::error!(%cause, "a canonical body cannot be read back");
        ApiError::Internal
    }
}

impl From<SubmitError> for ApiError {
    fn from(cause: SubmitError) -> Self {
        match cause {
            SubmitError::Overloaded => ApiError::Pushback,
            SubmitError::Unavailable | SubmitError::ShuttingDown => ApiError::Unavailable,
            SubmitError::ReadOnly | SubmitError::Frozen => ApiError::Frozen,
            SubmitError::TooLarge { limit, got } => ApiError::LeafTooLarge { limit, got },
            // Nothing was stored; what failed is a signer, which may be back in a moment.
            SubmitError::Seal(_) => {
                tracing::error!(%cause, "an entry could not be sealed");
                ApiError::Unavailable
            }
            SubmitError::UnknownLog(_) => {
                tracing::error!(%cause, "an entry could not be logged");
                ApiError::Internal
            }
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(cause: ReadError) -> Self {
        // Being busy is no fault, and a line for each refusal would be one.
        if !matches!(cause, ReadError::Busy) {
            tracing::error!(%cause, "reading the log failed");
        }
        match cause {
            // A full pool, a lost connection, a disk that comes back: the client may ask again.
            ReadError::Busy | ReadError::Store(StoreError::Storage(_)) => ApiError::Unreadable,
            // Asking again changes nothing: what is stored is wrong, or the request should not have got here.
            ReadError::Store(StoreError::Corrupt(_))
            | ReadError::UnknownLog(_)
            | ReadError::OutOfRange { .. } => ApiError::Internal,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        let mut body = String::with_capacity(160);
        let content_type = if matches!(self, ApiError::Frozen) {
            // Written past the gateway's marshaler (rekor-tiles `internal/server/http.go`).
            body.push_str(&self.to_string());
            body.push('\n');
            "text/plain; charset=utf-8"
        } else {
            body.push_str("{\"code\":");
            json::number(&mut body, code);
            body.push_str(",\"message\":");
            json::message(&mut body, &self.to_string());
            body.push_str(",\"details\":[]}");
            "application/json"
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        match self {
            ApiError::Duplicate { index } => {
                headers.insert(HeaderName::from_static("x-log-index"), HeaderValue::from(index));
            }
            ApiError::Pushback | ApiError::Unavailable | ApiError::Unreadable => {
                headers.insert(RETRY_AFTER, reply::retry_after());
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests;
