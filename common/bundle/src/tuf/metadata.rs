//! The four kinds of metadata, their canonical form and their signatures.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::SystemTime;

use common_pki::key::{KeyAlgorithm, PublicKey};
use common_tlog::sha256;
use olpc_cjson::CanonicalFormatter;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{MAX_HASHED, MAX_KEYS, Role, TufError};
use crate::trust::Timestamp;

/// What is written: the version of the specification that go-tuf, python-tuf and tuf-js name.
pub(super) const SPEC_VERSION: &str = "1.0.31";

/// Metadata with its signatures, not yet verified. `signed` is kept as it came: unknown members are
/// signed too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// At most one for each key.
    pub signatures: Vec<Signature>,
    /// Over the canonical JSON of this.
    pub signed: Value,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Which of the role's keys.
    pub keyid: String,
    /// In hex; ECDSA signatures are DER.
    pub sig: String,
}

/// `signed` of root metadata (TUF §4.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// `root`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// Of the form 1.x.y.
    pub spec_version: String,
    /// From 1 on, without gaps.
    pub version: u64,
    /// When clients stop trusting it.
    pub expires: Timestamp,
    /// Whether versions and hashes are part of file names; always written (go-tuf re-encodes it).
    #[serde(default)]
    pub consistent_snapshot: bool,
    /// Every key by its identifier.
    pub keys: BTreeMap<String, Key>,
    /// Which of them count for which role.
    pub roles: BTreeMap<String, RoleKeys>,
}

/// A public key as metadata carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `ecdsa`, `ed25519`, `rsa`; `ecdsa-sha2-nistp256` is an older spelling of the first.
    pub keytype: String,
    /// How it signs.
    pub scheme: String,
    /// The key itself.
    pub keyval: KeyValue,
}

/// The `keyval` member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// PEM for ECDSA and RSA, 64 hex digits for Ed25519.
    pub public: String,
}

/// The keys of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleKeys {
    /// Their identifiers.
    pub keyids: Vec<String>,
    /// How many of them must sign.
    pub threshold: u32,
}

/// `signed` of targets metadata (TUF §4.5). Delegations are not followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// `targets`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// Of the form 1.x.y.
    pub spec_version: String,
    /// Grows with every change.
    pub version: u64,
    /// When clients stop trusting it.
    pub expires: Timestamp,
    /// The files by name.
    pub targets: BTreeMap<String, TargetFile>,
}

/// What targets metadata says of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFile {
    /// Bytes.
    pub length: u64,
    /// Digests by algorithm, in hex.
    pub hashes: BTreeMap<String, String>,
    /// Whatever else; Sigstore's older clients read `sigstore.usage` and `sigstore.status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
}

/// `signed` of snapshot and timestamp metadata (TUF §4.4 and §4.6): both list other metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamped {
    /// `snapshot` or `timestamp`.
    #[serde(rename = "_type")]
    pub kind: String,
    /// Of the form 1.x.y.
    pub spec_version: String,
    /// Grows with every change.
    pub version: u64,
    /// When clients stop trusting it.
    pub expires: Timestamp,
    /// Metadata by its unversioned file name.
    pub meta: BTreeMap<String, Meta>,
}

/// What snapshot and timestamp metadata say of another file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Its version.
    pub version: u64,
    /// Its size, where said; go-tuf drops a zero, so none is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Its digests, where said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hashes: BTreeMap<String, String>,
}

/// What every kind of metadata has.
pub(super) trait Metadata: Serialize + DeserializeOwned {
    /// `_type`, specification version, version and expiry.
    fn head(&self) -> (&str, &str, u64, Timestamp);
}

macro_rules! metadata {
    ($($kind:ty),*) => {$(
        impl Metadata for $kind {
            fn head(&self) -> (&str, &str, u64, Timestamp) {
                (&self.kind, &self.spec_version, self.version, self.expires)
            }
        }
    )*};
}
metadata!(Root, Targets, Timestamped);

/// Whether clients still take metadata at `now`: until, not at, its end (TUF §5.4.4).
pub(super) fn in_time<M: Metadata>(role: Role, metadata: &M, now: SystemTime) -> Result<(), TufError> {
    let (_, _, _, expires) = metadata.head();
    if now < expires.system_time() {
        return Ok(());
    }
    Err(TufError::Expired {
        role,
        expired: expires.to_string(),
    })
}

impl Envelope {
    /// Parses what has no more bytes than metadata of `role`, and no more signatures than any.
    pub(super) fn bounded(role: Role, bytes: &[u8]) -> Result<Self, TufError> {
        check_size(role, bytes)?;
        let envelope: Self = serde_json::from_slice(bytes).map_err(|cause| TufError::Json { role, cause })?;
        if envelope.signatures.len() > MAX_KEYS {
            return Err(TufError::Invalid {
                role,
                problem: "more signatures than accepted",
            });
        }
        Ok(envelope)
    }

    /// Parses metadata of a role: bounded, of the role's type, with a version from 1 on.
    pub(super) fn parse<M: Metadata>(role: Role, bytes: &[u8]) -> Result<(Self, M), TufError> {
        let envelope = Self::bounded(role, bytes)?;
        let metadata = M::deserialize(&envelope.signed).map_err(|cause| TufError::Json { role, cause })?;
        let invalid = |problem| Err(TufError::Invalid { role, problem });
        let (kind, spec, version, _) = metadata.head();
        if kind != role.name() {
            return invalid("its _type is that of another role");
        }
        if !spec.starts_with("1.") && spec != "1" {
            return invalid("spec_version is not 1.x");
        }
        if version == 0 {
            return invalid("versions start at 1");
        }
        Ok((envelope, metadata))
    }

    /// Checks that enough of the role's keys, as `root` lists them, signed this.
    pub(super) fn verify(&self, role: Role, root: &Root) -> Result<(), TufError> {
        let threshold = root.role(role)?.threshold;
        let valid = self.signers(role, root)?.len();
        if valid >= usize::try_from(threshold).unwrap_or(usize::MAX) {
            return Ok(());
        }
        Err(TufError::Threshold {
            role,
            valid,
            threshold,
            root: root.version,
        })
    }

    /// Identifiers of the role's keys, as `root` lists them, that signed this. Of several identifiers of one key there is
    /// one: keys count, not identifiers (TUF §5.3.4).
    pub(super) fn signers(&self, role: Role, root: &Root) -> Result<BTreeSet<String>, TufError> {
        let keys: HashSet<&String> = root.role(role)?.keyids.iter().collect();
        let message = canonical(role, &self.signed)?;
        let mut hashed = 0_usize;
        let mut seen = HashSet::new();
        let mut counted = HashSet::new();
        let mut signers = BTreeSet::new();
        for signature in &self.signatures {
            if !seen.insert(&signature.keyid) {
                return Err(TufError::Invalid {
                    role,
                    problem: "two signatures have the same keyid",
                });
            }
            if !keys.contains(&signature.keyid) {
                continue;
            }
            let Some(key) = root.keys.get(&signature.keyid).and_then(Key::public_key) else {
                continue;
            };
            let Ok(bytes) = hex::decode(&signature.sig) else {
                continue;
            };
            hashed = hashed.saturating_add(message.len());
            if hashed > MAX_HASHED {
                return Err(TufError::Invalid {
                    role,
                    problem: "more signatures than are verified for its size",
                });
            }
            if key.verify(key.default_hash(), &message, &bytes).is_ok() && counted.insert(key.fingerprint()) {
                signers.insert(signature.keyid.clone());
            }
        }
        Ok(signers)
    }
}

impl Root {
    /// The keys of a role.
    pub(super) fn role(&self, role: Role) -> Result<&RoleKeys, TufError> {
        self.roles.get(role.name()).ok_or(TufError::Invalid {
            role: Role::Root,
            problem: "one of the four roles is missing",
        })
    }

    /// Rules that every root keeps, whoever signed it (TUF §4.3).
    pub(super) fn check(&self) -> Result<(), TufError> {
        let invalid = |problem| {
            Err(TufError::Invalid {
                role: Role::Root,
                problem,
            })
        };
        if self.keys.len() > MAX_KEYS {
            return invalid("more keys than accepted");
        }
        for role in Role::ALL {
            let keys = self.role(role)?;
            if keys.threshold == 0 {
                return invalid("a threshold is at least 1");
            }
            if keys.keyids.len() > MAX_KEYS {
                return invalid("a role lists more keys than accepted");
            }
            let distinct: HashSet<_> = keys.keyids.iter().collect();
            if distinct.len() != keys.keyids.len() {
                return invalid("a role lists a keyid twice");
            }
            if usize::try_from(keys.threshold).is_ok_and(|threshold| threshold > distinct.len()) {
                return invalid("a threshold exceeds the role's keys");
            }
        }
        Ok(())
    }
}

impl Root {
    /// Whether `key` is one of those that sign for `role`.
    #[must_use]
    pub fn lists(&self, role: Role, key: &PublicKey) -> bool {
        let id = Key::new(key).and_then(|key| key.id());
        self.roles
            .get(role.name())
            .is_some_and(|keys| id.is_ok_and(|id| keys.keyids.contains(&id)))
    }
}

impl Key {
    /// How metadata carries `key`, in the one form that all clients read.
    pub fn new(key: &PublicKey) -> Result<Self, TufError> {
        let (keytype, scheme, public) = match key.algorithm() {
            KeyAlgorithm::EcdsaP256 => ("ecdsa", "ecdsa-sha2-nistp256", key.to_pem()),
            KeyAlgorithm::Ed25519 => ("ed25519", "ed25519", hex::encode(key.subject_public_key())),
            other => return Err(TufError::KeyKind(other.to_string())),
        };
        Ok(Self {
            keytype: keytype.to_owned(),
            scheme: scheme.to_owned(),
            keyval: KeyValue { public },
        })
    }

    /// The identifier: SHA-256 of the canonical key, in hex. Newer clients take any identifier, go-tuf
    /// before version 2 and tough compute this one.
    pub fn id(&self) -> Result<String, TufError> {
        let value = serde_json::to_value(self).map_err(|cause| TufError::Json {
            role: Role::Root,
            cause,
        })?;
        Ok(sha256(&[&canonical(Role::Root, &value)?]).to_string())
    }

    /// The key, unless it is of a kind not verified here: then it just does not count.
    pub fn public_key(&self) -> Option<PublicKey> {
        let key = match self.keytype.as_str() {
            "ed25519" => {
                let key = hex::decode(&self.keyval.public).ok()?.try_into().ok()?;
                PublicKey::from_ed25519(&key).ok()?
            }
            "ecdsa" | "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" => {
                PublicKey::from_pem(&self.keyval.public).ok()?
            }
            _ => return None,
        };
        let scheme = match key.algorithm() {
            KeyAlgorithm::EcdsaP256 => "ecdsa-sha2-nistp256",
            KeyAlgorithm::EcdsaP384 => "ecdsa-sha2-nistp384",
            KeyAlgorithm::Ed25519 => "ed25519",
            _ => return None,
        };
        (self.scheme == scheme).then_some(key)
    }
}

/// OLPC canonical JSON: what TUF signs. It is not RFC 8785: control characters stay as they are.
pub(super) fn canonical(role: Role, value: &Value) -> Result<Vec<u8>, TufError> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, CanonicalFormatter::new());
    value
        .serialize(&mut serializer)
        .map_err(|cause| TufError::Json { role, cause })?;
    Ok(bytes)
}

/// Whether metadata of `role` may have these bytes.
pub(super) fn check_size(role: Role, bytes: &[u8]) -> Result<(), TufError> {
    if bytes.len() > role.max_bytes() {
        return Err(too_large(
            role.name(),
            role.max_bytes() as u64,
            bytes.len() as u64,
        ));
    }
    Ok(())
}

pub(super) fn too_large(what: &str, limit: u64, got: u64) -> TufError {
    TufError::TooLarge {
        what: what.to_owned(),
        limit,
        got,
    }
}

/// Whether a target name is a relative path of plain segments: it becomes part of paths and URLs.
pub(super) fn check_target_name(name: &str) -> Result<(), TufError> {
    let plain = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    if name.len() <= 255 && name.split('/').all(plain) {
        Ok(())
    } else {
        Err(TufError::TargetName(name.to_owned()))
    }
}

/// The path of a target: its digest before its file name where snapshots are consistent (TUF §6.2).
pub(super) fn target_path(name: &str, sha256: Option<&str>) -> String {
    match (sha256, name.rsplit_once('/')) {
        (None, _) => format!("targets/{name}"),
        (Some(digest), None) => format!("targets/{digest}.{name}"),
        (Some(digest), Some((folder, file))) => format!("targets/{folder}/{digest}.{file}"),
    }
}

#[cfg(test)]
mod tests;
