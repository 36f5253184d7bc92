//! What may be written into a Rekor log: the entry kinds of both API generations.
//!
//! A request's JSON is parsed once, its signatures are verified, and the canonical body comes out: the exact octets of the
//! Merkle leaf, which clients rebuild by themselves and compare (`sigstore-go pkg/verify/tlog.go`), together with the terms
//! the entry is found by and the attestation to keep beside it. [`committed`] reads bodies back; [`facts`] are what a search asks for.
//!
//! - [`v1`]: the kinds in its table, as JSON of `rekor pkg/generated/models`. A further kind is one file and one line there.
//! - [`v2`]: `hashedrekord` and `dsse` 0.0.2, as proto-JSON of `rekor-tiles api/proto`.
//!
//! Left out: HTTP, what is stored where, proofs, and any trust decision: a certificate's chain, expiry or issuer says nothing
//! here, because a log records what it is given. There is no clock, no randomness and no file.
//!
//! Built on by `rekor-api`, which submits and answers, and by whoever reads a log: search, the monitor, `fsck`.

pub mod committed;
mod encoding;
mod envelope;
mod error;
pub mod facts;
mod index;
mod json;
mod list;
mod pki;
mod policy;
mod signature;
pub mod v1;
pub mod v2;
mod verifier;

pub use error::{FieldError, FieldRule, Invalid};
pub use index::{MAX_TERMS, statement_keys};
pub use json::Object;
pub use pki::{PgpError, canonical_key};
pub use policy::{AlgorithmPolicy, UnknownAlgorithm};
pub use signature::SignatureFailure;
pub use verifier::Verifier;

/// An entry that was verified, ready to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// Entry kind, such as `hashedrekord`.
    pub kind: &'static str,
    /// Version of the kind, such as `0.0.1`.
    pub api_version: &'static str,
    /// The Merkle leaf: RFC 8785 JSON.
    pub body: Vec<u8>,
    /// Lower-case terms the entry is found by, each once.
    pub index_keys: Vec<String>,
    /// What becomes of what it attests to.
    pub attestation: Attestation,
}

/// A statement, or the message with one, of which the leaf has the digest alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attestation {
    /// The kind has none, or the server keeps none of its.
    None,
    /// To be kept beside the log.
    Keep {
        /// `sha256:` and the digest of the content.
        name: String,
        /// The content.
        data: Vec<u8>,
    },
    /// Not to be kept; the entry is logged all the same.
    TooLarge {
        /// Octets of the content.
        size: usize,
        /// Octets that are kept at most.
        limit: usize,
    },
}

#[cfg(test)]
mod tests;
