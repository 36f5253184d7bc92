//! The two endpoints.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, header};

use crate::Tsa;
use crate::error::Refusal;
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
    tsa.writes.check()?;
    let form = Form::of(request.headers())?;
    let body = tsa.bodies.read(request).await?;
    // A body that takes its time takes no place.
    let _admitted = tsa.writes.enter()?;
    let waits = tsa.authority.load().signing.waits();
    common_server::cpu::sign(waits, move || tsa.grant(&Query::parse(form, &body.bytes)?)).await?
}

/// `GET /api/v1/timestamp/certchain`: leaf, intermediates, root. It changes only with the key.
pub(crate) async fn certchain(State(tsa): State<Arc<Tsa>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/pem-certificate-chain"),
        (header::CACHE_CONTROL, "max-age=86400, immutable"),
    ];
    (headers, tsa.certificates()).into_response()
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
