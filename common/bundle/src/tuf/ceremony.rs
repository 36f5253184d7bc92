//! A root that several holders sign, one after the other, on machines of their own (TUF §6.1: a root is signed by the
//! thresholds of the root before it and of its own).

use std::collections::BTreeSet;
use std::time::SystemTime;

use common_pki::key::Signer;

use super::metadata::{Envelope, Key, Root, Signature, canonical, in_time};
use super::writer::{RootKeys, encode, expiry, new_root, next_version};
use super::{Role, TufError};

/// The next root, with the signatures it has so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    envelope: Envelope,
    root: Root,
}

/// How far a proposal is in the eyes of one root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Identifiers of the root's keys that have signed.
    pub signed: BTreeSet<String>,
    /// Identifiers of those that have not.
    pub missing: BTreeSet<String>,
    /// How many must sign.
    pub threshold: u32,
}

impl Progress {
    /// Whether enough have signed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        usize::try_from(self.threshold).is_ok_and(|threshold| self.signed.len() >= threshold)
    }
}

impl Proposal {
    /// The version after `current`, with other keys, good for `lifetime` seconds from `now`; not signed by anyone.
    ///
    /// # Errors
    /// Keys of a kind that not every client verifies, or a threshold that they cannot reach.
    pub fn new(
        current: &Root,
        keys: &RootKeys,
        lifetime: i64,
        now: SystemTime,
    ) -> Result<Proposal, TufError> {
        let root = new_root(keys, next_version(current.version)?, expiry(now, lifetime)?)?;
        let signed = serde_json::to_value(&root).map_err(|cause| TufError::Json {
            role: Role::Root,
            cause,
        })?;
        let envelope = Envelope {
            signatures: Vec::new(),
            signed,
        };
        Ok(Proposal { envelope, root })
    }

    /// Reads one that somebody passed on.
    ///
    /// # Errors
    /// Not root metadata.
    pub fn parse(json: &[u8]) -> Result<Proposal, TufError> {
        let (envelope, root): (_, Root) = Envelope::parse(Role::Root, json)?;
        root.check()?;
        Ok(Proposal { envelope, root })
    }

    /// To be passed on; complete, it is the root itself.
    ///
    /// # Errors
    /// [`TufError::TooLarge`].
    pub fn to_json(&self) -> Result<Vec<u8>, TufError> {
        encode(Role::Root, &self.envelope)
    }

    /// What is proposed.
    #[must_use]
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// Adds a signature, in place of an earlier one by the same key, and gives the key's identifier. `current` is the root
    /// that is in force, where it is at hand: a key that is in neither of the two would sign for nothing.
    ///
    /// # Errors
    /// [`TufError::NoRootKey`], or the key failed to sign.
    pub fn sign(&mut self, signer: &dyn Signer, current: Option<&Root>) -> Result<String, TufError> {
        let id = Key::new(signer.public_key())?.id()?;
        let mut roots = current.into_iter().chain([&self.root]);
        let known = roots.any(|root| root.role(Role::Root).is_ok_and(|keys| keys.keyids.contains(&id)));
        if !known {
            return Err(TufError::NoRootKey(id));
        }
        let signature = Signature {
            sig: hex::encode(signer.sign(&canonical(Role::Root, &self.envelope.signed)?)?),
            keyid: id.clone(),
        };
        self.envelope.signatures.retain(|old| old.keyid != id);
        self.envelope.signatures.push(signature);
        Ok(id)
    }

    /// Which keys of `root` have signed: the one in force and the proposed one both have to be satisfied.
    ///
    /// # Errors
    /// A root without its own role.
    pub fn progress(&self, root: &Root) -> Result<Progress, TufError> {
        let keys = root.role(Role::Root)?;
        let signed = self.envelope.signers(Role::Root, root)?;
        let missing = keys.keyids.iter().filter(|id| !signed.contains(*id));
        Ok(Progress {
            missing: missing.cloned().collect(),
            threshold: keys.threshold,
            signed,
        })
    }

    /// Its parts, if the holders of `current` and of the proposed root have signed and clients would take it at `now`.
    pub(super) fn accepted(&self, current: &Root, now: SystemTime) -> Result<(Root, Vec<u8>), TufError> {
        let expected = next_version(current.version)?;
        if self.root.version != expected {
            return Err(TufError::Version {
                role: Role::Root,
                expected,
                got: self.root.version,
            });
        }
        in_time(Role::Root, &self.root, now)?;
        if !self.root.consistent_snapshot {
            return Err(TufError::Invalid {
                role: Role::Root,
                problem: "consistent_snapshot is false: sigstore-java reads nothing else",
            });
        }
        self.envelope.verify(Role::Root, current)?;
        self.envelope.verify(Role::Root, &self.root)?;
        Ok((self.root.clone(), self.to_json()?))
    }
}

#[cfg(test)]
mod tests;
