//! What surrounds every route: an identifier, a time limit, a count, a line in the trace, a net for panics, and a
//! place in the line for a refusal.
//!
//! The trace has method, path, status and time; never a query, a header or a body, where tokens live.

use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode};
use tower_http::catch_panic::CatchPanicLayer;

use crate::refusals::{Refusals, is_refusal};
use crate::reply::{self, REQUEST_ID};

/// Longest request identifier taken over from a client.
const REQUEST_ID_LIMIT: usize = 64;

/// Wraps `router` so that every answer carries `X-Request-Id`, one that takes longer than `limit` is 503, and a panic
/// is an opaque 500. Answers that say when to come back leave one after the other: refusals must not take the machine
/// from what was admitted.
pub fn wrap(router: Router, limit: Duration) -> Router {
    let refusals = Arc::new(Refusals::new());
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state((limit, refusals), around))
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    // The panic hook has printed message and place to standard error; the peer learns neither.
    metrics::counter!("sigbox_http_panics_total").increment(1);
    reply::error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal error; the server's log has the details",
    )
}

async fn around(
    State((limit, refusals)): State<(Duration, Arc<Refusals>)>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers().get(REQUEST_ID));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let path = request.uri().path().to_owned();
    let mut answer = match tokio::time::timeout(limit, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => {
            tracing::warn!(%method, path, ?limit, "no answer in time");
            reply::unavailable(5, format!("no answer within {} seconds; retry", limit.as_secs()))
        }
    };
    let status = answer.status();
    let took = started.elapsed();
    count(
        &method,
        route.as_ref().map_or("unmatched", MatchedPath::as_str),
        status,
        took,
    );
    let refused = is_refusal(answer.headers());
    // Refusals for load are counted. A line for each would make them dearer than what was refused.
    if status.is_server_error() && !refused {
        tracing::warn!(%method, path, status = status.as_u16(), ?took, id = ?id, "request failed");
    } else {
        tracing::debug!(%method, path, status = status.as_u16(), ?took, id = ?id, "request");
    }
    answer.headers_mut().insert(REQUEST_ID, id);
    if refused {
        refusals.turn().await;
    }
    answer
}

/// Under names of our own: the service that has upstream's `http_requests_total`, with upstream's labels, counts it
/// itself, and Prometheus refuses one name under two sets of labels. Labels are of bounded number: methods known to HTTP, routes (not paths), statuses.
fn count(method: &Method, route: &str, status: StatusCode, took: Duration) {
    let method = match *method {
        Method::GET => "get",
        Method::POST => "post",
        Method::HEAD => "head",
        Method::OPTIONS => "options",
        Method::PUT => "put",
        Method::DELETE => "delete",
        _ => "other",
    };
    metrics::counter!(
        "sigbox_http_requests_total",
        "code" => status.as_str().to_owned(), "method" => method, "route" => route.to_owned()
    )
    .increment(1);
    metrics::histogram!("sigbox_http_request_duration_seconds", "method" => method, "route" => route.to_owned())
        .record(took.as_secs_f64());
}

/// The client's identifier when it is short and plain, so that it can be traced through a proxy; else one of ours.
fn request_id(sent: Option<&HeaderValue>) -> HeaderValue {
    let plain = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_LIMIT).contains(&bytes.len())
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    sent.filter(plain).cloned().unwrap_or_else(fresh_id)
}

fn fresh_id() -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static PROCESS: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| RandomState::new().hash_one(0));
    let text = format!("{:016x}-{:x}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests;
