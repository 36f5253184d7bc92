//! Why a bundle does not verify.

use common_pki::cert::{CertError, ChainError};
use common_pki::sct::SctError;
use common_tlog::ProofError;
use common_tlog::checkpoint::CheckpointError;
use common_tlog::note::NoteError;

/// The check that failed, with what was expected and what came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bundle has a key where a certificate is asked for.
    #[error("expected a signing certificate, got a bundle signed with a key")]
    KeyNotCertificate,
    /// The bundle has a certificate where a key is asked for.
    #[error("expected a bundle signed with a key, got one with a signing certificate")]
    CertificateNotKey,
    /// The certificate does not parse, or has a key we do not verify with.
    #[error("signing certificate: {0}")]
    Certificate(#[source] CertError),
    /// A root certificate among the signer's, which a client must not be offered.
    #[error("the bundle's certificate chain contains the self-issued certificate of {0:?}")]
    RootInBundle(String),
    /// A certificate beside the signer's that did not issue it.
    #[error(
        "expected no certificates beside the signer's but those of its trusted issuers, got that of {0:?}"
    )]
    StrayCertificate(String),
    /// No authority of the trusted root issued the certificate.
    #[error("signing certificate does not chain to a trusted authority at {at}: {}", .cause.as_ref().map_or_else(|| "none was valid then".to_owned(), ToString::to_string))]
    Chain {
        /// The proven time, Unix seconds.
        at: u64,
        /// What the last authority tried said; nothing where none was valid at that time.
        cause: Option<ChainError>,
    },
    /// A certificate of the trusted root does not parse.
    #[error("trusted root: {0}")]
    TrustedRoot(#[source] CertError),
    /// The list of SCTs is malformed, or one of a trusted log does not verify.
    #[error("signed certificate timestamp: {0}")]
    Sct(#[from] SctError),
    /// An SCT of a time at which its log was not trusted.
    #[error("signed certificate timestamp of {at}, when the log {log} was not trusted")]
    SctTime {
        /// Log identifier, hex.
        log: String,
        /// Unix seconds.
        at: u64,
    },
    /// Fewer SCTs than asked for.
    #[error("expected signed certificate timestamps of {expected} trusted logs, got {got}")]
    TooFewScts {
        /// Asked for.
        expected: usize,
        /// Verified.
        got: usize,
    },
    /// Another subject than asked for.
    #[error("expected a certificate for {expected}, got one for {}", .got.join(", "))]
    Subject {
        /// Asked for.
        expected: String,
        /// Names of the certificate.
        got: Vec<String>,
    },
    /// Another identity provider than asked for.
    #[error("expected identity provider {expected}, got {}", .got.as_deref().unwrap_or("none"))]
    Issuer {
        /// Asked for.
        expected: String,
        /// Of the certificate.
        got: Option<String>,
    },
    /// A proven time at which the key's signatures do not count (GHSA-wqqc-jjcq-vfxm).
    #[error("signed at {at}, outside the validity of the key")]
    KeyWindow {
        /// Unix seconds.
        at: u64,
    },
    /// No proven time where one is needed.
    #[error("no timestamp and no signed log time proves when this was signed")]
    NoTime,
    /// Fewer timestamp authorities vouch for the time than are needed beside the logs that do.
    #[error("expected timestamps of {expected} trusted authorities, got {got}")]
    TooFewTimes {
        /// Asked for.
        expected: usize,
        /// Proven.
        got: usize,
    },
    /// A timestamp that no trusted authority vouches for.
    #[error("timestamp {position}: expected one of a trusted authority, got: {why}")]
    Timestamp {
        /// Which of the bundle's, from 1.
        position: usize,
        /// What the last authority tried said.
        why: String,
    },
    /// The same entry twice.
    #[error("log entry {index} is in the bundle twice")]
    RepeatedEntry {
        /// Its index.
        index: u64,
    },
    /// Fewer logs hold the signature than asked for.
    #[error("expected entries of {expected} trusted logs, got {got}")]
    TooFewEntries {
        /// Asked for.
        expected: usize,
        /// Verified.
        got: usize,
    },
    /// An entry that cannot be verified, because the trusted root does not have its log.
    #[error("log entry {index}: expected one of a trusted log, got one of the log {log}")]
    UnknownLog {
        /// Its index.
        index: u64,
        /// Log identifier, hex.
        log: String,
    },
    /// A log's key does not parse.
    #[error("trusted root: key of the log at {0:?} is not usable")]
    LogKey(String),
    /// An entry with neither promise nor proof, or a v2 entry without proof.
    #[error("log entry {index} has no {missing}")]
    EntryIncomplete {
        /// Its index.
        index: u64,
        /// What is missing.
        missing: &'static str,
    },
    /// The signed entry timestamp does not verify.
    #[error("signed entry timestamp of log entry {index} does not verify")]
    SignedEntryTimestamp {
        /// Index of the entry.
        index: u64,
    },
    /// A promise in an entry of a log that promises nothing.
    #[error(
        "log entry {index}: expected no inclusion promise in an entry of Rekor v2, got one of {octets} octets"
    )]
    Promise {
        /// Index of the entry.
        index: u64,
        /// Length of what should be a signature.
        octets: usize,
    },
    /// A time that nothing in the entry signs.
    #[error("log entry {index}: expected no integrated time without a promise that signs it, got {got}")]
    UnsignedTime {
        /// Index of the entry.
        index: u64,
        /// Unix seconds.
        got: u64,
    },
    /// A time at which the log was not trusted.
    #[error("log entry {index} is of {at}, when the log's key was not trusted")]
    LogWindow {
        /// Index of the entry.
        index: u64,
        /// Unix seconds.
        at: u64,
    },
    /// A v2 entry whose proof is for another index.
    #[error("log entry has index {entry}, its inclusion proof is for index {proof}")]
    EntryIndex {
        /// Index of the entry.
        entry: u64,
        /// Index of the proof.
        proof: u64,
    },
    /// A hash of the proof is not 32 octets.
    #[error("inclusion proof: a hash has {0} octets, expected 32")]
    HashLength(usize),
    /// The inclusion proof does not lead to its root.
    #[error("inclusion proof: {0}")]
    Inclusion(#[from] ProofError),
    /// The checkpoint is no signed note.
    #[error("checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The checkpoint's text is not one.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is about another tree than the proof.
    #[error(
        "checkpoint is for size {checkpoint}, the inclusion proof for size {proof}, or their roots differ"
    )]
    CheckpointTree {
        /// Size in the checkpoint.
        checkpoint: u64,
        /// Size in the proof.
        proof: u64,
    },
    /// The checkpoint names another log.
    #[error("checkpoint: expected origin {expected:?}, got {got:?}")]
    Origin {
        /// What the trusted root and the note's rules say.
        expected: String,
        /// First line of the checkpoint.
        got: String,
    },
    /// No signature of the log on the checkpoint.
    #[error("checkpoint has no signature of the log {name:?} with key hint {hint}")]
    CheckpointUnsigned {
        /// Name the signature line must have.
        name: String,
        /// Hint it must have, hex.
        hint: String,
    },
    /// The log's signature on the checkpoint is wrong.
    #[error("checkpoint signature of {name:?} does not verify")]
    CheckpointSignature {
        /// Name of the signature line.
        name: String,
    },
    /// Fewer witnesses have cosigned the checkpoint than asked for.
    #[error("checkpoint {origin:?}: expected cosignatures of {expected} known witnesses, got {got}")]
    TooFewWitnesses {
        /// First line of the checkpoint.
        origin: String,
        /// Asked for.
        expected: usize,
        /// Verified.
        got: usize,
    },
    /// The entry's body is not what its kind should be.
    #[error("body of a {kind:?} {version:?} log entry: {problem}")]
    Body {
        /// Kind of the entry.
        kind: String,
        /// Version of the kind.
        version: String,
        /// What is wrong.
        problem: BodyProblem,
    },
    /// The artifact's digest is not the one claimed.
    #[error("artifact digest: expected {expected}, got {got}")]
    ArtifactDigest {
        /// What the bundle claims, hex.
        expected: String,
        /// What the artifact has, hex.
        got: String,
    },
    /// A digest was given that is of another algorithm than what was signed.
    #[error("artifact digest: expected one by {expected}, got one by {got}")]
    DigestAlgorithm {
        /// What was signed.
        expected: &'static str,
        /// What was given.
        got: &'static str,
    },
    /// The claimed algorithm is not one we know.
    #[error("message digest algorithm {0:?} is not supported")]
    UnknownDigestAlgorithm(String),
    /// The bundle signs an artifact, and the caller expected a statement.
    #[error("expected an envelope with a statement, got a signature over an artifact")]
    NotEnvelope,
    /// The payload is not an in-toto statement, so it names no artifact.
    #[error("expected an in-toto statement in the envelope, got {0}")]
    NotStatement(String),
    /// The statement is about other artifacts.
    #[error("no subject of the statement has the artifact's {algorithm} digest {digest}")]
    NoSuchSubject {
        /// Algorithm of the digest.
        algorithm: &'static str,
        /// The digest, hex.
        digest: String,
    },
    /// The signature is not by the key over the artifact.
    #[error("signature does not verify")]
    Signature,
}

impl VerifyError {
    /// The check that failed, by the name that [`Evidence::check`](super::Evidence::check) gives it where it holds.
    #[must_use]
    pub fn check(&self) -> &'static str {
        match self {
            Self::KeyNotCertificate | Self::CertificateNotKey => "key-material",
            Self::Certificate(_)
            | Self::RootInBundle(_)
            | Self::StrayCertificate(_)
            | Self::Chain { .. }
            | Self::TrustedRoot(_) => "certificate-chain",
            Self::Sct(_) | Self::SctTime { .. } | Self::TooFewScts { .. } => "certificate-timestamp",
            Self::Subject { .. } | Self::Issuer { .. } => "identity",
            Self::KeyWindow { .. } => "key",
            Self::NoTime | Self::TooFewTimes { .. } | Self::Timestamp { .. } => "timestamp",
            Self::SignedEntryTimestamp { .. }
            | Self::LogWindow { .. }
            | Self::Promise { .. }
            | Self::UnsignedTime { .. } => "inclusion-promise",
            Self::RepeatedEntry { .. }
            | Self::TooFewEntries { .. }
            | Self::UnknownLog { .. }
            | Self::LogKey(_)
            | Self::EntryIncomplete { .. }
            | Self::EntryIndex { .. }
            | Self::HashLength(_)
            | Self::Inclusion(_)
            | Self::Note(_)
            | Self::Checkpoint(_)
            | Self::CheckpointTree { .. }
            | Self::Origin { .. }
            | Self::CheckpointUnsigned { .. }
            | Self::CheckpointSignature { .. } => "inclusion",
            Self::TooFewWitnesses { .. } => "cosignature",
            Self::Body { .. } => "entry-body",
            Self::ArtifactDigest { .. }
            | Self::DigestAlgorithm { .. }
            | Self::UnknownDigestAlgorithm(_)
            | Self::NotStatement(_)
            | Self::NotEnvelope
            | Self::NoSuchSubject { .. } => "subject",
            Self::Signature => "signature",
        }
    }
}

/// How a log entry's body fails to be about this signature (GHSA-ccxc-vr6p-4858, GHSA-whqx-f9j3-ch6m).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyProblem {
    /// Not the JSON of its kind.
    #[error("malformed")]
    Malformed,
    /// A kind that cannot vouch for this kind of bundle, or that we do not know.
    #[error("not supported for this kind of bundle")]
    Unsupported,
    /// The entry calls itself something else than its body does.
    #[error("the entry's kindVersion says otherwise")]
    KindVersion,
    /// Another digest.
    #[error("it is about another digest")]
    Digest,
    /// Another signature.
    #[error("it is about another signature")]
    Signature,
    /// Another key or certificate.
    #[error("it is about another key or certificate")]
    Verifier,
}
