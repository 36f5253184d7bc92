//! Whether the process may be sent requests, for whoever asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use common_engine::{Engine, LogInfo, LogState};
use common_server::reply;
use http::header;

use crate::clock::Clock;
use crate::doctor::frozen_line;
use crate::repository::Validity;

/// Whether the instance has proved that it works, and is not stopping.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says from now on that requests are welcome, or not.
    pub(crate) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The newest log of each kind that takes no entries for good. A shard that has handed over is none of them.
pub(crate) fn frozen(engine: &Engine) -> Vec<Arc<LogInfo>> {
    let logs = engine.logs();
    let mut frozen: Vec<Arc<LogInfo>> = Vec::new();
    for log in &logs {
        let of_kind = |other: &&Arc<LogInfo>| other.spec.kind == log.spec.kind;
        if logs
            .iter()
            .filter(of_kind)
            .all(|other| other.state == LogState::Frozen)
        {
            frozen.retain(|other| other.spec.kind != log.spec.kind);
            frozen.push(Arc::clone(log));
        }
    }
    frozen
}

/// The health of the gateways of fulcio and rekor-tiles, to the byte.
const SERVING: &str = "{\"status\":\"SERVING\"}\n";

/// `/healthz` says that the process answers, `/readyz` that it may be sent requests. Logs and a trust repository count where
/// the process has them.
pub(super) fn health(
    engine: Option<Engine>,
    ready: Readiness,
    validity: Option<Validity>,
    clock: Clock,
) -> Router {
    let readiness = async move || -> Response {
        if !ready.get() {
            return reply::unavailable(
                1,
                "not ready: the first canary has not passed yet, or the server is stopping",
            );
        }
        if engine.as_ref().is_some_and(|engine| !engine.is_writable()) {
            return reply::unavailable(
                5,
                "not ready: the last write to the log store failed; see the server's log",
            );
        }
        if validity
            .as_ref()
            .is_some_and(|validity| !validity.includes(clock()))
        {
            return reply::unavailable(
                60,
                "not ready: the trust repository has expired and clients refuse it; see the server's log",
            );
        }
        // A frozen log is as it should be: whoever asks is told, and sent requests all the same.
        let lines = engine.iter().flat_map(frozen).map(|log| frozen_line(&log));
        std::iter::once("ready\n".to_owned())
            .chain(lines)
            .collect::<String>()
            .into_response()
    };
    Router::new()
        .route(
            "/healthz",
            get(async || ([(header::CONTENT_TYPE, "application/json")], SERVING)),
        )
        .route("/readyz", get(readiness))
}
