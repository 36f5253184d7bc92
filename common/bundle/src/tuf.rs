//! TUF repositories as Sigstore's clients read them (The Update Framework specification 1.0).
//!
//! [`Repository`] writes one: every operation is a function from role keys, contents and a time to
//! the files to publish. [`Update`] verifies one as a client does, from a root it already trusts, and
//! fetches nothing itself.
//!
//! Left out: delegated targets, unsigned mirrors lists, and keys that not every client verifies
//! (RSA-PSS, P-384) when writing.

mod ceremony;
mod client;
mod metadata;
mod role;
mod targets;
mod writer;

pub use ceremony::{Progress, Proposal};
pub use client::{Request, Seen, Update, VerifiedTargets, verify};
pub use metadata::{Envelope, Key, Meta, RoleKeys, Root, Signature, TargetFile, Targets, Timestamped};
pub use role::{RoleMetadata, verify_role};
pub use targets::{Target, published_targets};
pub use writer::{Files, KeySet, Lifetimes, Repository, RootKeys, Signers};

/// Most bytes of root metadata (go-tuf and python-tuf defaults; sigstore-java about 99 KiB).
pub const MAX_ROOT: usize = 512_000;
/// Most bytes of timestamp metadata.
pub const MAX_TIMESTAMP: usize = 16_384;
/// Most bytes of snapshot metadata.
pub const MAX_SNAPSHOT: usize = 2_000_000;
/// Most bytes of targets metadata.
pub const MAX_TARGETS: usize = 5_000_000;
/// Most bytes of one target.
pub const MAX_TARGET: u64 = 32 * 1024 * 1024;
/// Most root versions one update walks through (TUF §5.3 leaves the bound to clients; 256 is common).
pub const MAX_ROOT_ROTATIONS: u32 = 256;
/// Most keys, most of one role, and most signatures of one file.
pub const MAX_KEYS: usize = 256;
/// Most bytes that the signatures of one file hash together: each is over all of it, by another key.
const MAX_HASHED: usize = 64 * 1024 * 1024;

/// The top-level roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Says which keys count for which role.
    Root,
    /// Lists the files.
    Targets,
    /// Lists the metadata versions that belong together.
    Snapshot,
    /// Says what is current; short-lived.
    Timestamp,
}

impl Role {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

    /// As metadata writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }

    /// Most bytes of its metadata.
    #[must_use]
    pub const fn max_bytes(self) -> usize {
        match self {
            Self::Root => MAX_ROOT,
            Self::Targets => MAX_TARGETS,
            Self::Snapshot => MAX_SNAPSHOT,
            Self::Timestamp => MAX_TIMESTAMP,
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a repository cannot be written, or is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum TufError {
    /// A file that must be there is not.
    #[error("{0} is missing from the repository")]
    Missing(String),
    /// A file is larger than clients take.
    #[error("{what} has {got} bytes, at most {limit} are accepted")]
    TooLarge {
        /// Which file.
        what: String,
        /// The limit.
        limit: u64,
        /// Its size.
        got: u64,
    },
    /// Not metadata of the expected form.
    #[error("{role} metadata: {cause}")]
    Json {
        /// Which role's.
        role: Role,
        /// What the parser says.
        cause: serde_json::Error,
    },
    /// Well-formed metadata that contradicts the specification.
    #[error("{role} metadata: {problem}")]
    Invalid {
        /// Which role's.
        role: Role,
        /// What is wrong.
        problem: &'static str,
    },
    /// Too few valid signatures by distinct keys.
    #[error(
        "{role} metadata has {valid} valid signatures of the {threshold} that version {root} of root asks for"
    )]
    Threshold {
        /// Which role's.
        role: Role,
        /// How many distinct keys signed.
        valid: usize,
        /// How many must.
        threshold: u32,
        /// The root version that says so.
        root: u64,
    },
    /// Metadata of another version than announced.
    #[error("{role} metadata has version {got}, expected {expected}")]
    Version {
        /// Which role's.
        role: Role,
        /// The version announced.
        expected: u64,
        /// The version read.
        got: u64,
    },
    /// Metadata older than what was seen before: somebody shows an earlier state of the repository.
    #[error("{role} metadata has version {got}, and version {seen} was seen before")]
    Older {
        /// Which role's.
        role: Role,
        /// The version seen.
        seen: u64,
        /// The version read, or announced.
        got: u64,
    },
    /// Metadata whose time is over.
    #[error("{role} metadata expired at {expired}")]
    Expired {
        /// Which role's.
        role: Role,
        /// When.
        expired: String,
    },
    /// A file is not the one its metadata describes.
    #[error("{what} does not have the {property} its metadata says")]
    Mismatch {
        /// Which file.
        what: String,
        /// `length` or `sha256`.
        property: &'static str,
    },
    /// A target name that could leave its folder.
    #[error("target name {0:?} is not a plain relative path")]
    TargetName(String),
    /// No such target.
    #[error("the repository has no target {0:?}")]
    UnknownTarget(String),
    /// Too many root versions in a row.
    #[error("more than {MAX_ROOT_ROTATIONS} new root versions")]
    TooManyRoots,
    /// A signer was asked for that was not given, or is none of the role's.
    #[error("{role} metadata needs {threshold} signers among its keys, got {got}")]
    TooFewSigners {
        /// Which role.
        role: Role,
        /// How many must sign.
        threshold: u32,
        /// How many of those given are the role's.
        got: usize,
    },
    /// A holder's key that is in neither root.
    #[error(
        "key {0} is neither in the root in force nor in the proposed one, so its signature counts for nothing"
    )]
    NoRootKey(String),
    /// A kind of key that not every client verifies.
    #[error("TUF keys are ECDSA P-256 or Ed25519, got {0}")]
    KeyKind(String),
    /// The key failed to sign.
    #[error(transparent)]
    Sign(#[from] common_pki::key::SignError),
    /// The update was asked for its result before its end, or given a file it did not ask for.
    #[error("the update is not complete")]
    Incomplete,
    /// A time that metadata cannot carry.
    #[error("expiry outside the calendar")]
    Time,
}

#[cfg(test)]
mod testkit;
