//! What clients trust, and the one registry it is generated from.
//!
//! [`TrustedRoot`], [`SigningConfig`] and [`ClientTrustConfig`] are the files of protobuf-specs
//! `sigstore_trustroot.proto` in their JSON form. [`Registry`] lists every key of an instance with its
//! validity; the three files are functions of it ([`Registry::trusted_root`] and its siblings), so
//! that no file can disagree with another.

mod generate;
mod registry;
mod root;
mod signing;
mod validity;

pub use generate::RekorVersions;
pub use registry::{KeyRecord, Registry, Role, Succession, log_id};
pub use root::{
    CertificateAuthority, CertificateChain, DistinguishedName, LogId, LogKey, RawCertificate,
    TransparencyLog, TrustedRoot,
};
pub use signing::{
    ClientTrustConfig, SIGNING_CONFIG, SIGNING_CONFIG_V2, Selector, Service, ServiceConfiguration,
    SigningConfig,
};
pub use validity::{Timestamp, ValidFor};

/// Largest trust file accepted, in bytes: sigstore clients cap TUF targets in the same order.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Most logs or authorities of one kind.
pub const MAX_INSTANCES: usize = 256;
/// Most certificates in one authority's chain.
pub const MAX_CHAIN: usize = 16;

/// Why a trust file or a key registry is not usable.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Over [`MAX_BYTES`].
    #[error("a trust file has at most {MAX_BYTES} bytes, got {0}")]
    TooLarge(usize),
    /// Not JSON of the expected shape, or a value JSON cannot carry.
    #[error("trust file: {0}")]
    Json(#[from] serde_json::Error),
    /// Another kind of file, or a version of it not known here.
    #[error("expected media type {expected}, got {got:?}")]
    MediaType {
        /// What this parser reads.
        expected: &'static str,
        /// What the file says.
        got: String,
    },
    /// More instances or certificates than accepted.
    #[error("{what}: at most {limit} accepted, got {got}")]
    TooMany {
        /// Which list.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// How many there are.
        got: usize,
    },
    /// A log's key must say since when it is valid: entries without a signed time are judged by it.
    #[error("{0} has no validFor.start")]
    MissingStart(String),
    /// A record contradicts itself or the registry; the record's id and what is wrong.
    #[error("key {id:?}: {problem}")]
    Record {
        /// The record's id.
        id: String,
        /// What is wrong with it.
        problem: RecordProblem,
    },
    /// A key is needed that the registry does not have.
    #[error("the registry has no key with role {0}")]
    MissingRole(Role),
    /// The registry's own version.
    #[error("expected registry version {expected}, got {got}")]
    RegistryVersion {
        /// The version written here.
        expected: u32,
        /// The version read.
        got: u32,
    },
}

/// What is wrong with one key record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordProblem {
    /// Ids are names of keys: never used twice.
    #[error("its id is used twice or not 1 to 64 letters, digits, dots, hyphens and underscores")]
    Id,
    /// The public key does not parse.
    #[error("its public key is refused: {0}")]
    Key(String),
    /// The algorithm does not go with the key.
    #[error("{algorithm} does not go with a key of type {key}")]
    Algorithm {
        /// The algorithm recorded.
        algorithm: &'static str,
        /// The key's own type.
        key: String,
    },
    /// The log ID is not the one its key and origin give.
    #[error("its log ID is {stored}, calculated {calculated}")]
    LogId {
        /// As recorded.
        stored: String,
        /// As calculated.
        calculated: String,
    },
    /// A role that needs a URL, an origin or a certificate chain lacks it.
    #[error("its role needs {0}")]
    Missing(&'static str),
    /// A key that has ended is to take over, or two keys of one role are.
    #[error("it is to take over although it has ended, or another key of its role is to")]
    Succession,
    /// The window is empty.
    #[error("it ends before it starts")]
    Window,
    /// A certificate does not parse.
    #[error("certificate {0} of its chain is not valid DER")]
    Certificate(usize),
    /// The chain belongs to another key.
    #[error("the first certificate of its chain is for another key")]
    ChainKey,
    /// sigstore-python 4.5 refuses authorities without both.
    #[error("the subject of its root certificate needs an organization and a common name")]
    Subject,
}

#[cfg(test)]
pub(crate) mod testkit;
