//! The certificate authority: it exchanges an OpenID Connect identity token for a ten-minute signing
//! certificate, and answers as a Fulcio does over HTTP and gRPC.
//!
//! [`Configuration`] reads upstream's file of issuers. A request passes through [`identity`] (token to principal), [`policy`]
//! (who of those an issuer vouches for may), `possession` (who holds the key), [`Privacy`] (what of them is published),
//! `issuance` (principal and key to certificate, with one timestamp of the certificate log embedded) and
//! `lint` (nothing is signed that breaks a rule); [`explain()`] and [`Rehearsal`] tell what would become of one. HTTP and gRPC share one domain function and one [`Error`].
//!
//! Left out: the certificate log itself (a [`CtLog`]; `fulcio-ct` is one), where keys and configuration are
//! kept, listeners and the clock. `deploy/bin` composes these; nothing else builds on this crate.
//!
//! The interface is sigstore/fulcio's, `fulcio.proto` and `docs/certificate-specification.md`; where this one
//! differs on purpose, `docs/divergences.md` says so.

mod chain;
mod config;
mod ct;
mod error;
mod explain;
mod extensions;
pub mod grpc;
mod http;
pub(crate) mod identity;
mod issuance;
mod lint;
mod metrics;
mod policy;
mod possession;
mod privacy;
mod rehearsal;
mod service;

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;

pub use chain::{CaChain, ChainError};
pub use config::{Configuration, PRESETS, ReadFile};
pub use ct::{CtError, CtLog};
pub use error::{Code, Error};
pub use explain::{Asker, Check, Explanation, Outcome, Preview, Published, Selected, explain};
pub use extensions::{Extension, Extensions};
pub use identity::{
    CiProvider, CiProviderText, ClaimPath, ConfigError, DiscoveryError, Email, FETCH_TIMEOUT, Fetch,
    FetchError, FetchFor, HttpFetcher, IdentityType, IssuerConfig, KeyCache, KeyOrigin, MAX_DOCUMENT,
    MAX_TOKEN, Proxy, SubjectDomain, TokenError, TypeText,
};
pub use policy::{AuditLog, ClaimName, Denial, Denied, Pattern, Policy, QuotaRule, Rule, Wanted};
pub use privacy::{Privacy, PseudonymError, Pseudonyms};
pub use rehearsal::{Case, Decision, Rehearsal, Verdict};
pub use service::{Ca, CaConfig};

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Where a running authority explains tokens: `POST` with the token as `Authorization: Bearer`.
pub const EXPLAIN_PATH: &str = http::EXPLAIN;

/// The media type of the legacy API's answers (RFC 8555 §9.1).
const PEM_CHAIN_TYPE: &str = "application/pem-certificate-chain";

/// Every route of the authority: HTTP and gRPC. The fallback is axum's, so that it merges with others.
pub fn router(ca: Arc<Ca>) -> Router {
    http::router(Arc::clone(&ca)).merge(grpc::router(ca))
}

/// Chains one after the other, without a final line feed, as the legacy API has them.
fn join_chains(chains: &[Vec<String>]) -> String {
    chains
        .iter()
        .flatten()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("\n")
}
