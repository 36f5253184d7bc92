//! Timestamps (RFC 3161) in their envelope (CMS SignedData, RFC 5652): requests read, responses made, and
//! responses verified.
//!
//! What is made has one shape, that of timestamp-authority, because clients index into it: sigstore-js reads
//! the SignerInfo by position. What is read may be anyone's, as long as it is DER with one signer.

mod request;
mod respond;
mod response;
mod tst;
mod verify;

#[cfg(test)]
mod tests;

pub(crate) use request::hash_of_oid;
pub use request::{ImprintAlgorithm, MessageImprint, TimeStampRequest};
pub use respond::{Grant, TimestampAuthority};
pub use response::{SignerId, TimeStampResponse, TimeStampToken, status_and_token};
pub use tst::TstInfo;
pub use verify::{TimestampTrust, VerifiedTimestamp, verify};

use crate::cert::{BuildError, CertError, ChainError};
use crate::key::{HashAlgorithm, SignError, SignatureError};

/// Longest request or response read, in octets.
pub const MAX_LEN: usize = 256 * 1024;

/// Why a timestamp request or response is not accepted, or none is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TspError {
    /// More octets than any timestamp has.
    #[error("timestamp of {0} octets exceeds the limit of {MAX_LEN}")]
    TooLong(usize),
    /// Not DER, or DER of something else.
    #[error("timestamp is not valid DER: {0}")]
    Der(#[from] der::Error),
    /// DER, but against a rule of RFC 3161 or RFC 5652.
    #[error("malformed timestamp: {0}")]
    Malformed(&'static str),
    /// A digest of the wrong length for its algorithm.
    #[error("message digest of {got} octets, expected {expected} for {}", .hash.name())]
    DigestLength {
        /// The algorithm named.
        hash: HashAlgorithm,
        /// Octets it makes.
        expected: usize,
        /// Octets that came.
        got: usize,
    },
    /// A hash other than SHA-256, SHA-384 and SHA-512.
    #[error("unsupported hash algorithm in timestamp")]
    UnsupportedHash,
    /// The authority did not grant a timestamp.
    #[error("timestamp was not granted: PKIStatus {0}")]
    NotGranted(u32),
    /// The timestamp is about something else.
    #[error("timestamp is not about this message")]
    Imprint,
    /// The nonce is not the one that was sent.
    #[error("timestamp carries another nonce than the request")]
    Nonce,
    /// None of the certificates at hand is the one that signed.
    #[error("the certificate that signed the timestamp is not known")]
    UnknownSigner,
    /// The certificate that signed is not one that may sign timestamps.
    #[error("certificate is not a timestamp authority's: {0}")]
    SignerCertificate(&'static str),
    /// Something beside the signed statement that neither the signature nor the chain covers.
    #[error("timestamp: expected nothing that its signer did not sign, got {0}")]
    Unsigned(&'static str),
    /// The signature does not verify.
    #[error("timestamp signature: {0}")]
    Signature(#[from] SignatureError),
    /// The signer's certificate does not chain to a trusted root at the time of the timestamp.
    #[error("timestamp certificate chain: {0}")]
    Chain(#[from] ChainError),
    /// An embedded certificate does not parse.
    #[error("timestamp certificate: {0}")]
    Certificate(#[from] CertError),
    /// The signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A time that cannot be written down.
    #[error(transparent)]
    Build(#[from] BuildError),
}
