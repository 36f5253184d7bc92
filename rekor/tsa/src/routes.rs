//! The two endpoints.

use std::error::Error as _;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::LengthLimitError;

use crate::Tsa;
use crate::error::{MAX_BODY, Refusal};
use crate::query::{Form, Query};

/// A timestamp is an answer to one request and to no other.
const NO_CACHE: HeaderValue =
    HeaderValue::from_static("no-cache, no-store, no-transform, must-revalidate, private, max-age=0");

/// `POST /api/v1/timestamp`.
pub(crate) async fn timestamp(State(tsa): State<Arc<Tsa>>, request: Request) -> Response {
    let mut response = match answer(tsa, request).await {
        Ok(der) => ([(header::CONTENT_TYPE, "application/timestamp-reply")], der).into_response(),
        Err(refusal) => refusal.into_response(),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, NO_CACHE);
    response
}

async fn answer(tsa: Arc<Tsa>, request: Request) -> Result<Vec<u8>, Refusal> {
    let form = Form::of(request.headers())?;
    if declared_length(request.headers()).is_some_and(|length| length > MAX_BODY) {
        return Err(Refusal::TooLarge);
    }
    let body = to_bytes(request.into_body(), MAX_BODY)
        .await
        .map_err(|error| match error.source() {
            Some(cause) if cause.is::<LengthLimitError>() => Refusal::TooLarge,
            _ => Refusal::Body,
        })?;
    let query = Query::parse(form, &body)?;
    common_server::cpu::run(move || tsa.grant(&query)).await?
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `GET /api/v1/timestamp/certchain`: leaf, intermediates, root. It changes only with the key.
pub(crate) async fn certchain(State(tsa): State<Arc<Tsa>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/pem-certificate-chain"),
        (header::CACHE_CONTROL, "max-age=86400, immutable"),
    ];
    (headers, tsa.certificates.clone()).into_response()
}

pub(crate) async fn only_post(method: Method) -> Response {
    Refusal::Method {
        method,
        allowed: "POST",
    }
    .into_response()
}

pub(crate) async fn only_get(method: Method) -> Response {
    Refusal::Method {
        method,
        allowed: "GET",
    }
    .into_response()
}
