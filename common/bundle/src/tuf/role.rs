//! One file of a role, checked against a root and nothing else: what a log records of TUF metadata.

use serde::Deserialize;

use super::metadata::{Envelope, Root, check_size};
use super::{Role, TufError};

/// Metadata that a root's keys have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleMetadata {
    /// The root, and what it signs itself with.
    pub root: Envelope,
    /// `spec_version` of the root.
    pub spec_version: String,
    /// The metadata with its signatures.
    pub metadata: Envelope,
    /// Its role.
    pub role: Role,
    /// Its version.
    pub version: u64,
}

/// Checks that `root` has signed itself and that its keys have signed `metadata`, each at its role's threshold.
///
/// Expiry says nothing here: a log records that something was signed, also long after
/// (`rekor pkg/pki/tuf/tuf.go Verify`).
///
/// # Errors
/// Not metadata, of a role that is not one of the four, or not signed.
pub fn verify_role(root: &[u8], metadata: &[u8]) -> Result<RoleMetadata, TufError> {
    let (root, trusted): (_, Root) = Envelope::parse(Role::Root, root)?;
    trusted.check()?;
    root.verify(Role::Root, &trusted)?;
    // Whose it is stands inside; of the four, targets may be the largest.
    let envelope = Envelope::bounded(Role::Targets, metadata)?;
    let head = Head::deserialize(&envelope.signed).map_err(|cause| TufError::Json {
        role: Role::Targets,
        cause,
    })?;
    let role = Role::ALL.into_iter().find(|role| role.name() == head.kind);
    let role = role.ok_or(TufError::Invalid {
        role: Role::Targets,
        problem: "its _type is none of the four roles",
    })?;
    check_size(role, metadata)?;
    envelope.verify(role, &trusted)?;
    Ok(RoleMetadata {
        root,
        spec_version: trusted.spec_version,
        metadata: envelope,
        role,
        version: head.version,
    })
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "_type")]
    kind: String,
    version: u64,
}

#[cfg(test)]
mod tests;
