//! The REST API of Rekor v1 (rekor `openapi.yaml`), one log of one or more shards.

mod capped;
mod create;
mod entry_id;
mod error;
pub mod events;
mod import;
mod log;
pub mod metrics;
mod negotiate;
mod packages;
mod read;
mod retrieve;
mod search;
mod shards;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use common_engine::{Active, Closed, Engine, LogId};
use common_server::admission::{Bounds, Gate};
use common_server::body::Reader;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HeaderName, PRAGMA};
use http::{HeaderValue, Method, StatusCode};
use tower_http::cors::{Any, CorsLayer};

use self::error::ApiError;
use self::shards::Shards;

pub use self::create::engine_entry;
pub use self::entry_id::TreeId;
pub use self::import::{ImportRefusal, ImportedEntry, imported_leaf};
pub use self::shards::{Shard, ShardsError};
pub use rekor_entry::AlgorithmPolicy;
pub use rekor_entry::v1::{Kind, Policy, UnknownKind};

/// Where entries are created, and the first part of every `Location`.
const ENTRIES: &str = "/api/v1/log/entries";

/// Bounds of the API.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest request body in bytes. Upstream has none by default; its own end-to-end tests configure this
    /// default.
    pub body: usize,
    /// Most entries that one search may match, each of its terms and all together.
    pub search_results: u32,
    /// Most tiles of 256 leaf hashes that one search may read: one for every match where they lie far apart,
    /// hence reached in logs of a million entries and more only.
    pub search_tiles: usize,
    /// Entries at work at once.
    pub writes: Bounds,
    /// Entries and proofs read at once.
    pub reads: Bounds,
    /// Searches and lists of entries at once.
    pub expensive_reads: Bounds,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body: 32_792_576,
            search_results: 10_000,
            search_tiles: 4_096,
            writes: Bounds::WRITES,
            reads: Bounds::READS,
            expensive_reads: Bounds::EXPENSIVE_READS,
        }
    }
}

/// What the handlers work on.
pub struct Service {
    engine: Engine,
    shards: Active<Shards>,
    policy: Arc<Policy>,
    limits: Limits,
    bodies: Reader,
    writes: Gate,
    reads: Gate,
    expensive_reads: Gate,
    events: Option<events::Events>,
}

impl Service {
    /// `shards` oldest first; the last one takes new entries. The engine runs each of them with a
    /// [`crate::RekorV1`] of the same [`Shard`].
    ///
    /// # Errors
    /// When the shards do not make one log.
    pub fn new(
        engine: Engine,
        shards: Vec<(LogId, Shard)>,
        policy: Policy,
        limits: Limits,
    ) -> Result<Self, ShardsError> {
        let shards = Active::new(Shards::new(&engine, shards)?);
        Ok(Service {
            engine,
            shards,
            policy: Arc::new(policy),
            limits,
            bodies: Reader::new(limits.body),
            writes: Gate::new("rekor_v1_write", limits.writes),
            reads: Gate::new("rekor_v1_read", limits.reads),
            expensive_reads: Gate::new("rekor_v1_search", limits.expensive_reads),
            events: None,
        })
    }

    /// Announces new entries.
    #[must_use]
    pub fn announcing(mut self, events: events::Events) -> Self {
        self.events = Some(events);
        self
    }

    /// Waits until no entry is on its way to the active shard, and holds up those that come: none is refused while a
    /// shard takes over from another.
    pub async fn close(&self) -> Rolling<'_> {
        Rolling {
            engine: &self.engine,
            closed: self.shards.close().await,
        }
    }
}

/// Between two active shards. Dropped, it lets the writers in to the shard that was there before.
pub struct Rolling<'a> {
    engine: &'a Engine,
    closed: Closed<'a, Shards>,
}

impl Rolling<'_> {
    /// Lets the writers in to the last one of `shards`, as [`Service::new`].
    ///
    /// # Errors
    /// When the shards do not make one log: the one before is still the active one.
    pub fn reopen(self, shards: Vec<(LogId, Shard)>) -> Result<(), ShardsError> {
        self.closed.reopen(Shards::new(self.engine, shards)?);
        Ok(())
    }
}

/// A path, the methods a wrong one is answered with, and their handlers.
type Route = (&'static str, &'static [&'static str], MethodRouter<Arc<Service>>);

/// The routes under `/api/v1/log` and `/api/v1/index`, `/ping`, and the answer to every unknown path under
/// `/api/v1/`, which services with paths of their own there override by registering them.
pub fn router(service: Arc<Service>) -> Router {
    let routes: [Route; 7] = [
        (
            ENTRIES,
            &["GET", "POST"],
            get(read::get_by_index).post(create::create),
        ),
        (
            "/api/v1/log/entries/{entryUUID}",
            &["GET"],
            get(read::get_by_uuid),
        ),
        (
            "/api/v1/log/entries/retrieve",
            &["POST"],
            post(retrieve::retrieve),
        ),
        ("/api/v1/log", &["GET"], get(log::info)),
        ("/api/v1/log/publicKey", &["GET"], get(log::public_key)),
        ("/api/v1/log/proof", &["GET"], get(log::proof)),
        ("/api/v1/index/retrieve", &["POST"], post(search::retrieve)),
    ];
    let mut router = Router::new();
    for (path, allowed, methods) in routes {
        let methods = methods.fallback(async move |got: Method| ApiError::Method { got, allowed });
        // go-openapi cleans paths before it routes them, and sigstore-python posts to `…/retrieve/`.
        router = router
            .route(&format!("{path}/"), methods.clone())
            .route(path, methods);
    }
    router
        .route("/api/v1/{*path}", any(unknown_path))
        // One layer of two, because each layer of a router costs every request a box of its own.
        .layer((
            // The defaults of rs/cors, which upstream wraps its API with (rekor
            // `pkg/generated/restapi/configure_rekor_server.go`).
            CorsLayer::new()
                .allow_origin(Any)
                .allow_methods([Method::GET, Method::POST, Method::HEAD])
                .allow_headers([ACCEPT, CONTENT_TYPE, HeaderName::from_static("x-requested-with")]),
            axum::middleware::from_fn(answered),
        ))
        .route("/ping", get(ping))
        .with_state(service)
}

/// What every answer gets: headers, and its place in the figures.
async fn answered(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = uncached(next.run(request).await);
    // Upstream counts its operations, and no path that is none.
    if let Some(path) = route
        .as_ref()
        .map(MatchedPath::as_str)
        .filter(|path| !path.contains('*'))
    {
        metrics::answered(
            path.trim_end_matches('/'),
            &method,
            response.status(),
            began.elapsed(),
        );
    }
    response
}

async fn unknown_path(request: Request) -> ApiError {
    ApiError::UnknownPath(request.uri().path().to_owned())
}

async fn ping() -> Response {
    ([(CONTENT_TYPE, "text/plain"), (CACHE_CONTROL, "no-store")], ".").into_response()
}

/// Forbids every cache on the way to keep an answer, as upstream does on its GET routes (chi
/// `middleware/nocache.go`): an entry's proof is for the newest head, and a cache that ignores a query serves
/// one proof for another.
fn uncached(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store, no-transform, must-revalidate, private, max-age=0"),
    );
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(
        HeaderName::from_static("x-accel-expires"),
        HeaderValue::from_static("0"),
    );
    headers.insert(EXPIRES, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
    response
}

fn json_response(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, negotiate::JSON)], body).into_response()
}
