//! Why Rekor v1 refuses an entry.

use super::Kind;
use crate::error::{FieldError, Invalid};

/// The causes an HTTP answer distinguishes. `Display` is the cause alone: submission puts `error processing entry: ` before
/// it, `retrieve` answers it as it is (`rekor pkg/api/error.go`).
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Not JSON, or not an object with the right types: 400 (upstream: 500).
    #[error("entry is not valid JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// The outer object breaks its schema: HTTP status 422, and [`FieldError::code`] in the body.
    #[error("{0}")]
    Schema(#[source] FieldError),
    /// A kind Rekor v1 does not have: 422, and 422 in the body.
    #[error("invalid kind value: {0:?}")]
    UnknownKind(String),
    /// A kind that is switched off: 400.
    #[error("entry kind '{0}' is not enabled for submission on this server")]
    KindNotEnabled(Kind),
    /// A version the kind does not have: 400.
    #[error(
        "{kind} implementation for version '{version}' not found: unable to locate entry for version {version}"
    )]
    UnknownVersion {
        /// The kind.
        kind: Kind,
        /// The version asked for, cut to 64 characters.
        version: String,
    },
    /// The content is wrong or does not verify: 400.
    #[error("{0}")]
    Invalid(#[source] Invalid),
}
