//! Everything a search can be answered with instead of a result.

use axum::response::{IntoResponse, Response};
use common_engine::{ReadError, StoreError};
use common_server::admission::Refused;
use common_server::body::BodyError;
use common_server::{cpu, reply};
use http::{HeaderValue, Method, StatusCode, header};
use rekor_entry::facts::Unsearchable;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that nothing is found by.
    #[error(transparent)]
    Value(#[from] Unsearchable),
    /// A parameter with another value than it can have.
    #[error("{name}: expected {expected}, got {got:?}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What it can be.
        expected: String,
        /// What came, cut.
        got: String,
    },
    /// No such parameter.
    #[error("{got:?} is no parameter of a search; expected some of {expected}")]
    Unknown {
        /// All there are.
        expected: String,
        /// What came, cut.
        got: String,
    },
    /// More values than one search takes.
    #[error("at most {0} values can be looked for at once")]
    TooMany(usize),
    /// Not the JSON of a query.
    #[error("the query is not the JSON object that was expected: {0}")]
    Json(serde_json::Error),
    /// A cursor of another search, or none of ours.
    #[error("cursor: expected the \"next\" of a page of this very search, got another one")]
    Cursor,
    /// No such log or leaf.
    #[error("there is no such entry; /api/sigbox/v1/logs lists the logs and their sizes")]
    NotFound,
    /// The path is there, for another method.
    #[error("method {0} is not allowed here")]
    Method(Method),
    /// The body is too long.
    #[error("the query is longer than {0} bytes")]
    TooLarge(usize),
    /// The body did not come to its end.
    #[error("the query could not be read to its end")]
    Unreadable,
    /// The body came too slowly.
    #[error("the query came too slowly")]
    TooSlow,
    /// Too much is asked at once.
    #[error("the log is busy; try again")]
    Busy,
    /// The store did not answer.
    #[error("the log could not be read; try again")]
    Store,
    /// Something of ours failed; the cause is in the server's log.
    #[error("internal error")]
    Internal,
}

impl Error {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Error::Value(_)
            | Error::Parameter { .. }
            | Error::Unknown { .. }
            | Error::TooMany(_)
            | Error::Json(_)
            | Error::Cursor
            | Error::Unreadable => StatusCode::BAD_REQUEST,
            Error::NotFound => StatusCode::NOT_FOUND,
            Error::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Error::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Busy | Error::Store => StatusCode::SERVICE_UNAVAILABLE,
            Error::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Refused> for Error {
    fn from(_: Refused) -> Self {
        Error::Busy
    }
}

impl From<cpu::Overloaded> for Error {
    fn from(_: cpu::Overloaded) -> Self {
        Error::Busy
    }
}

impl From<BodyError> for Error {
    fn from(cause: BodyError) -> Self {
        match cause {
            BodyError::TooLarge { limit } => Error::TooLarge(limit),
            BodyError::Overloaded => Error::Busy,
            BodyError::TooSlow => Error::TooSlow,
            BodyError::Unreadable => Error::Unreadable,
        }
    }
}

impl From<ReadError> for Error {
    fn from(cause: ReadError) -> Self {
        match cause {
            ReadError::Busy => return Error::Busy,
            ReadError::UnknownLog(_) | ReadError::OutOfRange { .. } | ReadError::Store(_) => {
                tracing::error!(%cause, "reading a log for a search failed");
            }
        }
        match cause {
            ReadError::Store(StoreError::Storage(_)) => Error::Store,
            _ => Error::Internal,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return reply::overloaded(self.to_string());
        }
        let mut response = reply::error(status, self.to_string());
        if status == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = HeaderValue::from_static("GET, HEAD, POST");
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        response
    }
}
