//! The timestamp authority: RFC 3161 over HTTP, as sigstore/timestamp-authority serves it.
//!
//! A request comes as DER or as JSON (`query`), is refused in upstream's words or granted, and leaves signed
//! by the processor pool. What a timestamp looks like is `common-pki`'s business ([`common_pki::tsp`]).
//!
//! Left out: `/ping` and unknown paths, which belong to the composed server; request extensions, which are
//! refused; RFC 3161 rejections inside a 200 (failures are HTTP statuses here, as upstream); clock
//! monitoring. Nothing is stored: a timestamp is evidence by itself.
//!
//! `deploy/bin` composes it; nothing else builds on this crate.

mod error;
mod query;
mod routes;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use common_pki::cert::{Certificate, ChainError, Serial, VerifyOptions, verify_chain};
use common_pki::key::{SignError, Signer};
use common_pki::oid;
use common_pki::tsp::{Grant, TimestampAuthority, TspError};
use common_server::admission::{Bounds, Gate};
use common_server::body::Reader;

use error::{MAX_BODY, Refusal};
use query::Query;

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Why an authority cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TsaError {
    /// A leaf alone: verifiers need the chain up to a root (timestamp-authority `pkg/x509/x509.go`).
    #[error("timestamp certificate chain has {0} certificates, expected leaf, intermediates and root")]
    ShortChain(usize),
    /// The leaf is not a timestamp authority's, or not the signer's.
    #[error(transparent)]
    Leaf(#[from] TspError),
    /// The chain does not verify for timestamping now.
    #[error("timestamp certificate chain does not verify: {0}")]
    Chain(#[from] ChainError),
    /// The clock is before 1970.
    #[error("the clock is before 1970")]
    Clock,
}

/// Who signs: an authority, and its certificates as PEM.
struct Authority {
    signing: TimestampAuthority,
    certificates: Bytes,
}

/// Nothing waits for a commit here, so there is no batch to fill: under a standing excess, fewer at once than where entries
/// are written, and each of them sooner.
const BOUNDS: Bounds = Bounds {
    wait: Some(Duration::from_millis(4)),
    least: 32,
    ..Bounds::WRITES
};

/// The service: an authority, the bounds on requests, and the clock.
pub struct Tsa {
    authority: ArcSwap<Authority>,
    bodies: Reader,
    writes: Gate,
    clock: Clock,
}

impl Tsa {
    /// An authority that signs with `signer` under `chain` (leaf, intermediates, root), which must verify for
    /// timestamping at the clock's time. Policy is 1.3.6.1.4.1.57264.2, the one Sigstore's clients know.
    pub fn new(chain: Vec<Certificate>, signer: Arc<dyn Signer>, clock: Clock) -> Result<Tsa, TsaError> {
        let authority = Authority::new(chain, signer, &clock)?;
        Ok(Tsa {
            authority: ArcSwap::from_pointee(authority),
            bodies: Reader::new(MAX_BODY),
            writes: Gate::new("timestamp", BOUNDS),
            clock,
        })
    }

    /// Signs with another key under another chain from now on, both as for [`Tsa::new`]. What is being signed is
    /// finished with the one before.
    ///
    /// # Errors
    /// As [`Tsa::new`]; the authority is the one before then.
    pub fn take_over(&self, chain: Vec<Certificate>, signer: Arc<dyn Signer>) -> Result<(), TsaError> {
        let next = Authority::new(chain, signer, &self.clock)?;
        self.authority.store(Arc::new(next));
        Ok(())
    }

    /// With at most so many requests at work in a burst.
    #[must_use]
    pub fn at_most(self, requests: usize) -> Tsa {
        Tsa {
            writes: Gate::new("timestamp", BOUNDS.at_most(requests)),
            ..self
        }
    }

    /// Grants one timestamp, now. Signs, so it belongs on the processor pool.
    fn grant(&self, query: &Query) -> Result<Vec<u8>, Refusal> {
        let time = unix_seconds(&self.clock).ok_or(Refusal::Internal("the clock is before 1970"))?;
        let authority = self.authority.load_full();
        // A timestamp outside the certificate's validity verifies nowhere: say so instead of handing it out.
        if !authority
            .signing
            .chain()
            .iter()
            .all(|certificate| certificate.is_valid_at(time))
        {
            return Err(Refusal::Internal("a certificate of the chain is not valid now"));
        }
        let mut random = [0; 20];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| Refusal::Internal("no random numbers"))?;
        let policy = oid::TSA_POLICY.as_bytes().to_vec();
        let grant = Grant {
            policy,
            serial: Serial::from_random(random),
            time,
        };
        authority.signing.respond(&query.request, grant).map_err(|error| {
            tracing::error!(%error, "cannot sign a timestamp");
            match error {
                TspError::Sign(SignError::Unavailable(_)) => Refusal::SignerUnavailable,
                _ => Refusal::Internal("signing failed"),
            }
        })
    }

    /// Leaf, intermediates and root in PEM.
    fn certificates(&self) -> Bytes {
        self.authority.load().certificates.clone()
    }
}

impl Authority {
    fn new(chain: Vec<Certificate>, signer: Arc<dyn Signer>, clock: &Clock) -> Result<Self, TsaError> {
        let ([leaf, intermediates @ ..], [.., root]) = (chain.as_slice(), chain.as_slice()) else {
            return Err(TsaError::ShortChain(0));
        };
        if intermediates.is_empty() {
            return Err(TsaError::ShortChain(1));
        }
        let at = unix_seconds(clock).ok_or(TsaError::Clock)?;
        let roots = std::slice::from_ref(root);
        verify_chain(
            leaf,
            &VerifyOptions {
                intermediates,
                roots,
                at,
                purpose: Some(oid::TIME_STAMPING),
            },
        )?;
        let certificates = chain.iter().map(Certificate::to_pem).collect::<String>().into();
        Ok(Authority {
            signing: TimestampAuthority::new(signer, chain, false)?,
            certificates,
        })
    }
}

/// `POST /api/v1/timestamp` and `GET /api/v1/timestamp/certchain`.
pub fn router(tsa: Arc<Tsa>) -> Router {
    Router::new()
        .route(
            "/api/v1/timestamp",
            post(routes::timestamp).fallback(routes::only_post),
        )
        .route(
            "/api/v1/timestamp/certchain",
            get(routes::certchain).fallback(routes::only_get),
        )
        .with_state(tsa)
}

fn unix_seconds(clock: &Clock) -> Option<u64> {
    Some(clock().duration_since(UNIX_EPOCH).ok()?.as_secs())
}
