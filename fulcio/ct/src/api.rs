//! The log over HTTP: reads in both dialects, and submission where it is switched on.

mod error;
mod parameters;
mod rfc6962;
mod staticct;
pub(crate) mod submit;

use crate::log::CtLog;
use axum::Router;
use axum::routing::{get, post};
use http::header;
use std::sync::Arc;

/// Never changes again: a full tile, an issuer, a proof between two sizes.
const FOR_EVER: [(header::HeaderName, &str); 1] =
    [(header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
/// As ct-go says it for proofs and full ranges (`trillian/ctfe/handlers.go`).
const A_DAY: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "public, max-age=86400")];
/// For what will be more: ct-go's ranges that reach beyond the tree, and tiles that are not full, as in Rekor v2.
const A_MINUTE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "public, max-age=60")];
/// Moves with every entry. A cache must ask again, so that whoever holds a fresh timestamp finds its entry.
const NOW: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-cache")];

/// All endpoints, relative to the mount `/ct`.
///
/// The RFC 6962 endpoints are at `v1/…`, so that a log URL without `/ct` finds them at `/ct/v1/…` (RFC 6962 §4), and at
/// `ct/v1/…`, so that the submission prefix which names the log in its checkpoints, `…/ct`, finds them too
/// (C2SP static-ct-api "Submission APIs").
pub fn router(log: Arc<CtLog>) -> Router {
    let rfc6962 = Router::new()
        .route(
            "/get-sth",
            get(rfc6962::get_sth).fallback(error::method_not_allowed),
        )
        .route(
            "/get-sth-consistency",
            get(rfc6962::get_sth_consistency).fallback(error::method_not_allowed),
        )
        .route(
            "/get-proof-by-hash",
            get(rfc6962::get_proof_by_hash).fallback(error::method_not_allowed),
        )
        .route(
            "/get-entries",
            get(rfc6962::get_entries).fallback(error::method_not_allowed),
        )
        .route(
            "/get-entry-and-proof",
            get(rfc6962::get_entry_and_proof).fallback(error::method_not_allowed),
        )
        .route(
            "/get-roots",
            get(rfc6962::get_roots).fallback(error::method_not_allowed),
        )
        .route(
            "/add-chain",
            post(submit::add_chain).fallback(error::method_not_allowed),
        )
        .route(
            "/add-pre-chain",
            post(submit::add_pre_chain).fallback(error::method_not_allowed),
        );
    Router::new()
        .route(
            "/checkpoint",
            get(staticct::checkpoint).fallback(error::method_not_allowed),
        )
        .route(
            "/tile/{*path}",
            get(staticct::tile).fallback(error::method_not_allowed),
        )
        .route(
            "/issuer/{fingerprint}",
            get(staticct::issuer).fallback(error::method_not_allowed),
        )
        .nest("/v1", rfc6962.clone())
        .nest("/ct/v1", rfc6962)
        .with_state(log)
}
