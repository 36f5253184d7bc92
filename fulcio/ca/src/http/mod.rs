//! The REST API, current and legacy, as upstream's gateway serves it (fulcio `cmd/app/http.go`).
//!
//! `Accept` is never looked at: sigstore-python and sigstore-rs ask for a PEM chain and parse JSON.

mod json;
mod member;
mod reply;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use common_server::body::Reader;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tower_http::cors::{Any, CorsLayer};

use crate::error::{Code, Error};
use crate::explain::Asker;
use crate::identity::{MAX_TOKEN, TokenError};
use crate::service::{Ca, CertificateRequest};

/// Longest body that is read, in bytes; also the longest gRPC message.
pub(crate) const MAX_BODY: usize = 1 << 22;

/// Where a token is explained.
pub(crate) const EXPLAIN: &str = "/api/sigbox/v1/oidc/explain";

/// What the handlers share.
#[derive(Clone)]
struct Http {
    ca: Arc<Ca>,
    bodies: Reader,
}

/// The routes.
pub(crate) fn router(ca: Arc<Ca>) -> Router {
    let bodies = Reader::new(MAX_BODY);
    // rs/cors with its defaults: any origin, simple methods.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::HEAD])
        .allow_headers([header::ACCEPT, header::AUTHORIZATION, header::CONTENT_TYPE]);
    // Ours, and not for the scripts of other origins.
    let own = Router::new()
        .route(EXPLAIN, post(explain))
        .layer(middleware::from_fn(measure));
    Router::new()
        .route("/api/v2/signingCert", only(post(create)))
        .route("/api/v2/trustBundle", only(get(trust_bundle)))
        .route("/api/v2/configuration", only(get(configuration)))
        .route("/api/v1/signingCert", only(post(legacy_create)))
        .route("/api/v1/rootCert", only(get(legacy_root)))
        .layer(middleware::from_fn(measure))
        .layer(cors)
        .merge(own)
        .with_state(Http { ca, bodies })
}

/// Another method is `UNIMPLEMENTED` to the gateway, so 501 and not 405.
fn only(routes: MethodRouter<Http>) -> MethodRouter<Http> {
    routes.fallback(|| async { reply::error(Code::Unimplemented, "Method Not Allowed") })
}

async fn measure(request: Request, next: Next) -> Response {
    let (method, start) = (request.method().clone(), Instant::now());
    let response = next.run(request).await;
    crate::metrics::answered(response.status(), &method, start.elapsed());
    response
}

async fn create(State(http): State<Http>, headers: HeaderMap, request: Request) -> Result<Response, Error> {
    http.ca.admission().check()?;
    // Held to the end: what is parsed out of a large body is as large.
    let body = Arc::new(http.bodies.read(request).await?);
    let read = Arc::clone(&body);
    let chain = http
        .ca
        .issue(move || {
            let (token, key) = json::signing_certificate(&read.bytes)?;
            let token = match token {
                Some(token) => token,
                None => bearer(&headers)?,
            };
            Ok(CertificateRequest { token, key })
        })
        .await?;
    Ok(reply::signing_certificate(chain))
}

async fn legacy_create(
    State(http): State<Http>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Error> {
    http.ca.admission().check()?;
    let body = Arc::new(http.bodies.read(request).await?);
    let read = Arc::clone(&body);
    let chain = http
        .ca
        .issue(move || {
            let key = json::legacy_signing_certificate(&read.bytes)?;
            let token = bearer(&headers)?;
            Ok(CertificateRequest { token, key })
        })
        .await?;
    Ok(reply::pem(StatusCode::CREATED, &[chain]))
}

/// The token comes in the header alone: no body is read.
async fn explain(State(http): State<Http>, headers: HeaderMap) -> Result<Response, Error> {
    let explanation = http.ca.explain(Asker::Anyone, bearer(&headers)?).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(explanation)).into_response())
}

async fn legacy_root(State(http): State<Http>) -> Response {
    reply::pem(StatusCode::OK, &http.ca.chains())
}

async fn trust_bundle(State(http): State<Http>) -> Response {
    reply::trust_bundle(http.ca.chains())
}

async fn configuration(State(http): State<Http>) -> Response {
    reply::configuration(&http.ca.issuer_configs())
}

/// The token of the `Authorization` header, with or without its scheme, as the gateway's annotator takes it.
fn bearer(headers: &HeaderMap) -> Result<String, TokenError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(TokenError::Missing);
    };
    let rest = values.count();
    if rest > 0 {
        return Err(TokenError::Ambiguous {
            header: "Authorization",
            got: rest.saturating_add(1),
        });
    }
    let bytes = value.as_bytes();
    let bytes = match bytes.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token,
        _ => bytes,
    };
    let bytes = bytes.trim_ascii();
    if bytes.len() > MAX_TOKEN {
        return Err(TokenError::TooLong {
            limit: MAX_TOKEN,
            got: bytes.len(),
        });
    }
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| TokenError::Encoding { part: "header" })
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut answer = reply::error(self.code(), &self.to_string());
        if let Some(seconds) = self.retry_after() {
            let seconds = HeaderValue::from(seconds);
            answer.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        answer
    }
}
