//! OpenSSF Scorecard results whose publisher is proven by log evidence.
//!
//! A continuous-integration job signs its results under an identity that names the repository, and posts them as
//! scorecard-action does (`POST /projects/{platform}/{org}/{repo}`, ossf/scorecard-webapp `app/server/post_results.go`).
//! They are stored only if signature, log entry, certificate and the certificate's repository, commit and branch agree with
//! them (`evidence`), and are served as the very bytes that were signed, so that whoever reads them can check the same.
//! [`Results`] reads results for thresholds of a verifier's own.
//!
//! Left out: running Scorecard; asking a Git host for anything, so neither the workflow file nor the default branch is looked
//! at; groups within groups (a project has three path segments, as upstream). Where results are kept is the composition's
//! business ([`Store`]), and so is reading the log ([`Log`]).

mod badge;
mod error;
mod evidence;
mod project;
mod results;
mod routes;
mod store;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use common_bundle::trust::TrustedRoot;
use common_server::admission::{Bounds, Gate};
use common_server::body::Reader;

pub use evidence::{Log, LogError};
pub use project::{Project, ProjectError};
pub use results::{Results, ResultsError, Shortfall, Thresholds};
pub use store::{Publication, Store, StoreError};

/// Longest request body. Results of large repositories have some hundred kilobytes; a bundle repeats them in base64.
const MAX_BODY: usize = 4 << 20;

/// Gives what is trusted now: it changes when keys are rotated.
pub type Trust = Arc<dyn Fn() -> Option<TrustedRoot> + Send + Sync>;

/// What the service is made of.
pub struct Config {
    /// Where publications are kept.
    pub store: Arc<dyn Store>,
    /// The Rekor v1 log that an index without a bundle refers to.
    pub log: Arc<dyn Log>,
    /// Whose signatures count.
    pub trust: Trust,
    /// Identity providers whose certificates may publish; with none, every one that the authority issues for and whose
    /// certificates name a repository.
    pub issuers: Vec<String>,
    /// How clients reach this server, for links; without a slash at its end.
    pub url: String,
}

/// The service.
pub struct Scorecard {
    config: Config,
    bodies: Reader,
    writes: Gate,
    reads: Gate,
    turn: tokio::sync::Mutex<()>,
}

impl Scorecard {
    /// A service of `config`.
    #[must_use]
    pub fn new(config: Config) -> Scorecard {
        Scorecard {
            config,
            bodies: Reader::new(MAX_BODY),
            writes: Gate::new("scorecard", Bounds::WRITES),
            reads: Gate::new("scorecard_read", Bounds::EXPENSIVE_READS),
            turn: tokio::sync::Mutex::new(()),
        }
    }
}

/// `/projects/{platform}/{org}/{repo}`, and `bundle`, `evidence` and `badge` below it.
pub fn router(scorecard: Arc<Scorecard>) -> Router {
    const PROJECT: &str = "/projects/{platform}/{org}/{repo}";
    Router::new()
        .route(PROJECT, get(routes::signed).post(routes::publish))
        .route(&format!("{PROJECT}/bundle"), get(routes::bundle))
        .route(&format!("{PROJECT}/evidence"), get(routes::evidence))
        .route(&format!("{PROJECT}/badge"), get(routes::badge))
        .with_state(scorecard)
}
