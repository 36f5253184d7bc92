//! What a verification proved.

use std::fmt;

use serde::Serialize;

use crate::trust::Timestamp;

/// One thing that was checked and holds. Its JSON names the check in `check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "check", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Evidence {
    /// A log promised to include the entry, and signed when.
    InclusionPromise {
        /// Base URL of the log.
        log: String,
        /// Index over all shards.
        index: u64,
        /// Unix seconds.
        time: u64,
    },
    /// A log holds the entry, in a tree it signed.
    Inclusion {
        /// Base URL of the log.
        log: String,
        /// First line of the checkpoint.
        origin: String,
        /// Index in that tree.
        index: u64,
        /// Size of that tree.
        size: u64,
    },
    /// A witness saw the log's tree grow only.
    Cosignature {
        /// Name of the witness.
        witness: String,
        /// Unix seconds.
        time: u64,
    },
    /// The entry is about this digest, signature and key.
    EntryBody {
        /// Kind of the entry.
        kind: String,
        /// Version of the kind.
        version: String,
    },
    /// An authority saw the signature.
    Timestamp {
        /// URI of the authority.
        authority: String,
        /// Unix seconds.
        time: u64,
    },
    /// The certificate chains to an authority at this time.
    CertificateChain {
        /// URI of the authority.
        authority: String,
        /// Unix seconds.
        at: u64,
    },
    /// A certificate log promised to include the certificate.
    CertificateTimestamp {
        /// Base URL of the log.
        log: String,
        /// Unix seconds.
        time: u64,
    },
    /// The certificate names the signer that was asked for.
    Identity {
        /// Subject alternative name.
        subject: String,
        /// Identity provider.
        issuer: String,
    },
    /// The key is the one asked for, and counts at every proven time.
    Key {
        /// SHA-256 of the SubjectPublicKeyInfo, hex.
        fingerprint: String,
    },
    /// A subject of the statement is the artifact.
    Subject {
        /// Digest algorithm.
        algorithm: &'static str,
        /// Digest, hex.
        digest: String,
    },
    /// The signature is the key's over the artifact or the envelope.
    Signature {
        /// `artifact`, or `envelope of TYPE`.
        over: String,
    },
}

impl Evidence {
    /// Short name of the check, the same as in JSON.
    #[must_use]
    pub fn check(&self) -> &'static str {
        match self {
            Self::InclusionPromise { .. } => "inclusion-promise",
            Self::Inclusion { .. } => "inclusion",
            Self::Cosignature { .. } => "cosignature",
            Self::EntryBody { .. } => "entry-body",
            Self::Timestamp { .. } => "timestamp",
            Self::CertificateChain { .. } => "certificate-chain",
            Self::CertificateTimestamp { .. } => "certificate-timestamp",
            Self::Identity { .. } => "identity",
            Self::Key { .. } => "key",
            Self::Subject { .. } => "subject",
            Self::Signature { .. } => "signature",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InclusionPromise { log, index, time } => {
                write!(
                    f,
                    "log {log} promised at {} to include entry {index}",
                    Time(*time)
                )
            }
            Self::Inclusion {
                log,
                origin,
                index,
                size,
            } => {
                write!(
                    f,
                    "log {log} includes entry {index} in its tree of size {size}, checkpoint {origin:?}"
                )
            }
            Self::Cosignature { witness, time } => {
                write!(f, "witness {witness} cosigned the checkpoint at {}", Time(*time))
            }
            Self::EntryBody { kind, version } => {
                write!(f, "{kind} {version} entry has this digest, signature and key")
            }
            Self::Timestamp { authority, time } => {
                write!(f, "timestamp of {} by {authority}", Time(*time))
            }
            Self::CertificateChain { authority, at } => {
                write!(f, "certificate issued by {authority}, valid at {}", Time(*at))
            }
            Self::CertificateTimestamp { log, time } => {
                write!(f, "certificate log {log} took the certificate at {}", Time(*time))
            }
            Self::Identity { subject, issuer } => write!(f, "signed by {subject} of {issuer}"),
            Self::Key { fingerprint } => write!(f, "signed by key sha256:{fingerprint}"),
            Self::Subject { algorithm, digest } => write!(f, "statement is about {algorithm}:{digest}"),
            Self::Signature { over } => write!(f, "signature over the {over}"),
        }
    }
}

/// Unix seconds as people read them.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0).unwrap_or(i64::MAX);
        match Timestamp::from_unix(seconds) {
            Some(time) => time.fmt(f),
            None => write!(f, "{} s of the Unix epoch", self.0),
        }
    }
}

/// Who vouches for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSource {
    /// A signed entry timestamp of a log.
    Log,
    /// A timestamp authority.
    Authority,
}

/// A time at which the signature existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProvenTime {
    /// Who says so.
    pub source: TimeSource,
    /// Unix seconds.
    pub unix: u64,
}
