//! The HTTP API of Rekor v2 (rekor-tiles `api/proto/rekor/v2/rekor_service.proto` as its gateway serves it)
//! and over gRPC, and the C2SP tlog-tiles reads.
//!
//! The health check of gRPC is one for a whole port: `fulcio-ca` has it.

mod create;
mod error;
pub mod grpc;
mod tiles;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use bytes::Bytes;
use common_engine::{Active, Closed, Engine, ImportedLeaf, LogId, LogKind, StoredLeaf};
use common_pki::key::PublicKey;
use common_server::admission::{Bounds, Gate};
use common_server::body::Reader;
use common_tlog::Hash;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use rekor_entry::committed;
use tower_http::catch_panic::CatchPanicLayer;

use self::error::ApiError;
use crate::personality::{encode_v2, log_id, nothing};
use crate::terms;

pub use self::create::engine_entry;
pub use crate::personality::NotEd25519;
pub use rekor_entry::v2::Policy;

/// Bounds of the API.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest request body in bytes (rekor-tiles `--max-request-body-size`).
    pub body: usize,
    /// Entries at work at once.
    pub writes: Bounds,
    /// Tiles read at once.
    pub reads: Bounds,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body: 4 << 20,
            writes: Bounds::WRITES,
            reads: Bounds::READS,
        }
    }
}

/// One tree of the log, with its own key and origin.
#[derive(Debug)]
struct Shard {
    log: LogId,
    /// `logId.keyId`, and the same in base64.
    key_hash: Hash,
    key_id: String,
}

impl Shard {
    fn new(engine: &Engine, log: LogId, hostname: &str, key: &PublicKey) -> Result<Self, ServiceError> {
        if engine
            .log(log)
            .is_none_or(|info| info.spec.kind != LogKind::RekorV2 || info.spec.origin != hostname)
        {
            return Err(ServiceError::UnknownLog {
                log,
                hostname: hostname.to_owned(),
            });
        }
        let key_hash = log_id(hostname, key)?;
        Ok(Shard {
            log,
            key_id: key_hash.to_base64(),
            key_hash,
        })
    }
}

/// What the handlers work on.
pub struct Service {
    engine: Engine,
    active: Active<Shard>,
    policy: Arc<Policy>,
    /// Longest request body in bytes.
    body: usize,
    bodies: Reader,
    writes: Gate,
    reads: Gate,
}

/// Why a service was not made.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The key cannot sign such a log.
    #[error(transparent)]
    Key(#[from] NotEd25519),
    /// The engine does not run this log, or it is of another kind or origin.
    #[error("engine log {log} is not the Rekor v2 log {hostname}")]
    UnknownLog {
        /// The engine's number.
        log: LogId,
        /// The origin it should have.
        hostname: String,
    },
}

impl Service {
    /// The engine runs `log`, which takes new entries, with a [`crate::RekorV2`] of the same hostname and key.
    ///
    /// # Errors
    /// When the key is not Ed25519, or `log` is not that log.
    pub fn new(
        engine: Engine,
        log: LogId,
        hostname: &str,
        key: &PublicKey,
        policy: Policy,
        limits: Limits,
    ) -> Result<Self, ServiceError> {
        let active = Active::new(Shard::new(&engine, log, hostname, key)?);
        Ok(Service {
            engine,
            active,
            policy: Arc::new(policy),
            body: limits.body,
            bodies: Reader::new(limits.body),
            writes: Gate::new("rekor_v2_write", limits.writes),
            reads: Gate::new("rekor_v2_read", limits.reads),
        })
    }

    /// Waits until no entry is on its way to the active shard, and holds up those that come: none is refused while a
    /// shard takes over from another.
    pub async fn close(&self) -> Rolling<'_> {
        Rolling {
            engine: &self.engine,
            closed: self.active.close().await,
        }
    }
}

/// Between two active shards. Dropped, it lets the writers in to the shard that was there before.
pub struct Rolling<'a> {
    engine: &'a Engine,
    closed: Closed<'a, Shard>,
}

impl Rolling<'_> {
    /// Lets the writers in to another shard, as [`Service::new`].
    ///
    /// # Errors
    /// When `log` is not that log: the one before is still the active one.
    pub fn reopen(self, log: LogId, hostname: &str, key: &PublicKey) -> Result<(), ServiceError> {
        self.closed.reopen(Shard::new(self.engine, log, hostname, key)?);
        Ok(())
    }
}

/// The leaf at `index` of another Rekor v2 log, as it is kept when that log is taken over at `time`, Unix milliseconds: its
/// entries have no time of their own. A leaf that is no entry is kept too.
#[must_use]
pub fn imported_leaf(index: u64, data: Bytes, time: u64) -> ImportedLeaf {
    let beside = match committed::read(&data) {
        Ok(_) => Bytes::new(),
        Err(_) => nothing(),
    };
    let leaf = StoredLeaf {
        index,
        time,
        extra: encode_v2(time, &beside),
        data,
    };
    ImportedLeaf {
        time,
        terms: terms::of_imported(LogKind::RekorV2, &leaf),
        extra: leaf.extra,
        data: leaf.data,
        attachments: Vec::new(),
    }
}

/// What the handlers of one shard's reads work on.
#[derive(Clone)]
struct Reads {
    service: Arc<Service>,
    log: LogId,
}

/// The routes under the base URL of the shard `log`. `/api/v2/log/entries`, which leads to the active shard whatever
/// the URL is, so that no writer has to know of a roll before it happens; of this shard checkpoint, tiles and entry bundles under `/api/v2/` and at the root, because
/// witnesses read the former (witness `omniwitness/logs.yaml`) and rekor-monitor the latter (rekor-monitor
/// `pkg/rekor/v2/client.go`); and the answer to every unknown path under `/api/v2/`, which services with
/// paths of their own there override by registering them.
pub fn router(service: Arc<Service>, log: LogId) -> Router {
    let mut reads = Router::new();
    for prefix in ["/api/v2", ""] {
        reads = reads
            .route(
                &format!("{prefix}/checkpoint"),
                get(tiles::checkpoint).fallback(wrong_method),
            )
            .route(
                &format!("{prefix}/tile/{{*path}}"),
                get(tiles::tile).fallback(wrong_method),
            );
    }
    let reads = reads.with_state(Reads {
        service: Arc::clone(&service),
        log,
    });
    Router::new()
        .route("/api/v2/log/entries", post(create::create).fallback(wrong_method))
        .route("/api/v2/{*path}", any(async || ApiError::NotFound))
        .with_state(service)
        .merge(reads)
        // One layer of two, because each layer of a router costs every request a box of its own.
        .layer((
            axum::middleware::map_response(uncached_by_default),
            CatchPanicLayer::custom(panicked),
        ))
}

/// A panic is an internal error like any other, in this API's shape.
fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    metrics::counter!("sigbox_http_panics_total").increment(1);
    ApiError::Internal.into_response()
}

/// The gateway answers a wrong method with 501, not 405 (grpc-gateway `runtime/errors.go`,
/// DefaultRoutingErrorHandler).
async fn wrong_method() -> ApiError {
    ApiError::WrongMethod
}

/// Only what a handler marks as final may be kept by a cache; a tile that is not there yet will be.
async fn uncached_by_default<B>(mut response: http::Response<B>) -> http::Response<B> {
    response
        .headers_mut()
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
