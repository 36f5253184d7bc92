//! Answers that do not belong to one API: refused for load, timed out, broken.
//!
//! The body is `{"code": <HTTP status>, "message": <text>}`, the shape go-swagger gives Rekor v1 and the timestamp
//! authority (rekor `pkg/api/error.go`), and every Sigstore client prints its `message`.

use std::sync::atomic::{AtomicU16, Ordering};

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

/// An error body: the HTTP status again, and what was expected, what came and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The HTTP status.
    pub code: u16,
    /// One line for a person.
    pub message: String,
}

/// An [`ErrorBody`] answer.
pub fn error(status: StatusCode, message: impl Into<String>) -> Response {
    (
        status,
        Json(ErrorBody {
            code: status.as_u16(),
            message: message.into(),
        }),
    )
        .into_response()
}

/// When to come back after a refusal for load: 1, 2 and 3 seconds in turn, so that those who were refused at the same moment
/// do not all come back at the same moment (RFC 9110 §10.2.3).
pub fn retry_after() -> HeaderValue {
    HeaderValue::from(retry_after_seconds())
}

/// The same as a number.
#[must_use]
pub fn retry_after_seconds() -> u16 {
    static TURN: AtomicU16 = AtomicU16::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    turn.rem_euclid(3).saturating_add(1)
}

/// 503 for load, with [`retry_after`].
pub fn overloaded(message: impl Into<String>) -> Response {
    let mut answer = error(StatusCode::SERVICE_UNAVAILABLE, message);
    answer.headers_mut().insert(header::RETRY_AFTER, retry_after());
    answer
}

/// 503 with `Retry-After` (RFC 9110 §10.2.3), in whole seconds.
pub fn unavailable(retry_after: u32, message: impl Into<String>) -> Response {
    let mut answer = error(StatusCode::SERVICE_UNAVAILABLE, message);
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    answer
}

/// When a gRPC client that retries by itself may do so, in milliseconds (gRPC proposal A6, "Pushback").
pub const GRPC_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Carries a request's identifier in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
