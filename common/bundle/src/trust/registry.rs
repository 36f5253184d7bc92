//! The registry of an instance's keys: the only place that says which key serves which purpose, since
//! when and until when.

use std::{collections::HashSet, fmt};

use common_pki::{
    cert::Certificate,
    key::{KeyAlgorithm, PublicKey},
    registry::SigningAlgorithm,
};
use common_tlog::{Hash, notekey::NoteKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{MAX_BYTES, MAX_CHAIN, MAX_INSTANCES, RecordProblem, Timestamp, TrustError, ValidFor, root};
use crate::format::protojson;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Issues signing certificates.
    FulcioCa,
    /// Signs SCTs and the certificate log's tree heads.
    CtLog,
    /// Signs entry timestamps and checkpoints of a Rekor v1 shard.
    RekorV1,
    /// Signs checkpoints of a Rekor v2 shard.
    RekorV2,
    /// Signs RFC 3161 timestamps.
    Tsa,
    /// Signs TUF root metadata; kept offline where it can be.
    TufRoot,
    /// Signs the TUF metadata that the server renews by itself.
    TufOnline,
}

impl Role {
    /// Every one, in the order in which an instance makes its keys.
    pub const ALL: [Self; 7] = [
        Self::FulcioCa,
        Self::CtLog,
        Self::RekorV1,
        Self::RekorV2,
        Self::Tsa,
        Self::TufRoot,
        Self::TufOnline,
    ];

    /// As JSON writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FulcioCa => "fulcio-ca",
            Self::CtLog => "ct-log",
            Self::RekorV1 => "rekor-v1",
            Self::RekorV2 => "rekor-v2",
            Self::Tsa => "tsa",
            Self::TufRoot => "tuf-root",
            Self::TufOnline => "tuf-online",
        }
    }

    /// Roles whose keys identify a log.
    #[must_use]
    pub const fn is_log(self) -> bool {
        matches!(self, Self::CtLog | Self::RekorV1 | Self::RekorV2)
    }

    /// Roles whose keys sign under a certificate.
    #[must_use]
    pub const fn is_authority(self) -> bool {
        matches!(self, Self::FulcioCa | Self::Tsa)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One key: public facts only, and where its private half is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRecord {
    /// What it is for.
    pub role: Role,
    /// Its name within the instance, for ever: `rekor-v2-1`.
    pub id: String,
    /// How it signs, by its `PublicKeyDetails` name.
    #[serde(with = "algorithm")]
    pub key_details: SigningAlgorithm,
    /// SubjectPublicKeyInfo in DER.
    #[serde(with = "protojson::bytes")]
    pub spki: Vec<u8>,
    /// DER, each signed by the next: for the CA from the issuing certificate to the root, for the TSA
    /// from its leaf to the root, empty for other roles.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        with = "protojson::bytes_list"
    )]
    pub cert_chain: Vec<Vec<u8>>,
    /// The URL clients use: a base URL without trailing slash, for the TSA the full endpoint. Empty for
    /// TUF keys.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// A log's name: the host for Rekor (its note key name), any name for a CT log. Empty for others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub origin: String,
    /// A log's 32-byte identifier; see [`KeyRecord::log_id`].
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "protojson::bytes")]
    pub log_id: Vec<u8>,
    /// Since when signatures by it count.
    pub valid_from: Timestamp,
    /// Until when; none while it is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Timestamp>,
    /// Where writers find the service, if not at `url`: a log that is named by a host of its own need not be reached
    /// by it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_url: String,
    /// Set while it is trusted and does not sign yet: it takes over from the key in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Succession>,
    /// Of a Rekor v1 shard that was restored from before its end: how many virtual indexes it takes up, which is more than
    /// it has entries. The next shard begins behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indexes: Option<u64>,
    /// Of a log that may have taken entries where nobody here can see: a restore found its key about to take over. What it
    /// signed verifies; no log is opened with it, for that would be a second history.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
    /// Where the private key is: `file:…`, later `pkcs11:…` or a KMS URI. Empty once destroyed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signer: String,
}

/// How far a key is on its way into use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Succession {
    /// Seconds between its publication and its first signature: what clients are given to learn of it.
    pub propagation: u32,
    /// Since when it is in what is published; none until it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Timestamp>,
}

impl Succession {
    /// When it may sign; `None` until it is published.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        Some(self.published?.plus_seconds(i64::from(self.propagation)))
    }
}

impl KeyRecord {
    /// A record for `key`, with the algorithm and, for logs, the log ID that follow from it. Chain, end
    /// and signer are left for the caller to set.
    pub fn new(
        role: Role,
        id: impl Into<String>,
        key: &PublicKey,
        url: impl Into<String>,
        origin: impl Into<String>,
        valid_from: Timestamp,
    ) -> Result<Self, TrustError> {
        let (id, origin) = (id.into(), origin.into());
        let Some(key_details) = default_algorithm(key) else {
            let problem = RecordProblem::Key(format!("{} has no registered algorithm", key.algorithm()));
            return Err(TrustError::Record { id, problem });
        };
        let log_id = if role.is_log() {
            log_id(role, &origin, key).0.to_vec()
        } else {
            Vec::new()
        };
        Ok(Self {
            role,
            id,
            key_details,
            spki: key.spki_der().to_vec(),
            cert_chain: Vec::new(),
            url: url.into(),
            origin,
            log_id,
            valid_from,
            valid_to: None,
            service_url: String::new(),
            successor: None,
            indexes: None,
            lost: false,
            signer: String::new(),
        })
    }

    /// The parsed key.
    pub fn public_key(&self) -> Result<PublicKey, TrustError> {
        PublicKey::from_spki_der(&self.spki)
            .map_err(|error| self.problem(RecordProblem::Key(error.to_string())))
    }

    /// The parsed chain, in the record's order.
    pub fn certificates(&self) -> Result<Vec<Certificate>, TrustError> {
        root::bounded("certificates of a chain", self.cert_chain.len(), MAX_CHAIN)?;
        let parse = |(number, der): (usize, &Vec<u8>)| {
            Certificate::from_der(der).map_err(|_| self.problem(RecordProblem::Certificate(number)))
        };
        self.cert_chain.iter().enumerate().map(parse).collect()
    }

    /// Whether it signs: it has taken over, and no other has from it.
    #[must_use]
    pub const fn in_use(&self) -> bool {
        self.successor.is_none() && self.valid_to.is_none()
    }

    /// Where writers find the service.
    #[must_use]
    pub fn service_url(&self) -> &str {
        if self.service_url.is_empty() {
            &self.url
        } else {
            &self.service_url
        }
    }

    /// The window in which signatures by it count.
    #[must_use]
    pub const fn valid_for(&self) -> ValidFor {
        ValidFor::new(self.valid_from, self.valid_to)
    }

    pub(super) fn problem(&self, problem: RecordProblem) -> TrustError {
        TrustError::Record {
            id: self.id.clone(),
            problem,
        }
    }

    fn check(&self) -> Result<(), TrustError> {
        let key = self.public_key()?;
        if self.key_details.key_algorithm() != key.algorithm() {
            return Err(self.problem(RecordProblem::Algorithm {
                algorithm: self.key_details.proto_name(),
                key: key.algorithm().to_string(),
            }));
        }
        if self.successor.is_some() && self.valid_to.is_some() {
            return Err(self.problem(RecordProblem::Succession));
        }
        if self.valid_to.is_some_and(|end| end < self.valid_from) {
            return Err(self.problem(RecordProblem::Window));
        }
        let missing = |what| Err(self.problem(RecordProblem::Missing(what)));
        if self.role.is_log() {
            if self.origin.is_empty() {
                return missing("an origin");
            }
            let calculated = log_id(self.role, &self.origin, &key);
            if self.log_id != calculated.0 {
                let (stored, calculated) = (hex::encode(&self.log_id), calculated.to_string());
                return Err(self.problem(RecordProblem::LogId { stored, calculated }));
            }
        }
        if (self.role.is_log() || self.role.is_authority()) && self.url.is_empty() {
            return missing("a URL");
        }
        let chain = self.certificates()?;
        if self.role.is_authority() {
            let Some(first) = chain.first() else {
                return missing("a certificate chain");
            };
            if first.spki_der() != self.spki {
                return Err(self.problem(RecordProblem::ChainKey));
            }
        }
        Ok(())
    }
}

/// A log's identifier: `SHA-256(SubjectPublicKeyInfo)` for CT logs (RFC 6962 §3.2) and Rekor v1, and for
/// Rekor v2 what its note key gives (rekor-tiles `pkg/note/note.go`).
#[must_use]
pub fn log_id(role: Role, origin: &str, key: &PublicKey) -> Hash {
    let spki = || key.spki_der().to_vec();
    let note_key = match (role, key.algorithm()) {
        (Role::RekorV2, KeyAlgorithm::Ed25519) => match key.subject_public_key().try_into() {
            Ok(bytes) => NoteKey::Ed25519(bytes),
            Err(_) => NoteKey::Ecdsa(spki()),
        },
        (Role::RekorV2, algorithm) if algorithm.rsa_bits().is_some() => NoteKey::Rsa(spki()),
        _ => NoteKey::Ecdsa(spki()),
    };
    note_key.id(origin)
}

/// The registered algorithm that a key signs with by default.
fn default_algorithm(key: &PublicKey) -> Option<SigningAlgorithm> {
    SigningAlgorithm::ALL.into_iter().find(|algorithm| {
        algorithm.key_algorithm() == key.algorithm()
            && (key.algorithm() == KeyAlgorithm::Ed25519 || algorithm.hash() == Some(key.default_hash()))
    })
}

/// Every key of an instance, in the order of their creation. Retired keys stay: what they signed is
/// verified for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registry {
    /// [`Registry::VERSION`].
    pub version: u32,
    /// A name without scheme: clients take one service of each operator.
    pub operator: String,
    /// The token issuer clients are sent to, empty if they bring tokens.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub oidc_url: String,
    /// The keys.
    pub keys: Vec<KeyRecord>,
}

impl Registry {
    /// The version of the file written here.
    pub const VERSION: u32 = 1;

    /// An empty registry.
    #[must_use]
    pub fn new(operator: impl Into<String>, oidc_url: impl Into<String>) -> Self {
        Self {
            version: Self::VERSION,
            operator: operator.into(),
            oidc_url: oidc_url.into(),
            keys: Vec::new(),
        }
    }

    /// Reads and checks a registry.
    pub fn parse(json: &[u8]) -> Result<Self, TrustError> {
        if json.len() > MAX_BYTES {
            return Err(TrustError::TooLarge(json.len()));
        }
        let registry: Self = serde_json::from_slice(json)?;
        if registry.version != Self::VERSION {
            return Err(TrustError::RegistryVersion {
                expected: Self::VERSION,
                got: registry.version,
            });
        }
        registry.check()?;
        Ok(registry)
    }

    /// Adds a key after checking it, and that its id is new.
    pub fn add(&mut self, record: KeyRecord) -> Result<(), TrustError> {
        record.check()?;
        if !is_name(&record.id) || self.keys.iter().any(|key| key.id == record.id) {
            return Err(record.problem(RecordProblem::Id));
        }
        root::bounded("keys", self.keys.len().saturating_add(1), MAX_INSTANCES)?;
        self.keys.push(record);
        Ok(())
    }

    fn check(&self) -> Result<(), TrustError> {
        root::bounded("keys", self.keys.len(), MAX_INSTANCES)?;
        let mut ids = HashSet::new();
        let mut successors = HashSet::new();
        for record in &self.keys {
            record.check()?;
            if record.successor.is_some() && !successors.insert(record.role) {
                return Err(record.problem(RecordProblem::Succession));
            }
            if !is_name(&record.id) || !ids.insert(&record.id) {
                return Err(record.problem(RecordProblem::Id));
            }
        }
        Ok(())
    }

    /// The key of a role that is on its way into use.
    #[must_use]
    pub fn successor(&self, role: Role) -> Option<(&KeyRecord, Succession)> {
        let mut keys = self.keys.iter().filter(|key| key.role == role);
        keys.find_map(|key| Some((key, key.successor?)))
    }

    /// The newest key in use for a role.
    #[must_use]
    pub fn in_use(&self, role: Role) -> Option<&KeyRecord> {
        self.by_role(role).into_iter().rev().find(|key| key.in_use())
    }

    /// Puts the successor of a role in use and ends the keys before it at `end`. Nothing changes without a successor.
    pub fn take_over(&mut self, role: Role, end: Timestamp) {
        if self.successor(role).is_none() {
            return;
        }
        for key in self.keys.iter_mut().filter(|key| key.role == role) {
            if key.in_use() {
                key.valid_to = Some(end.max(key.valid_from));
            }
            key.successor = None;
        }
    }

    /// Ends the successor of a log's role at `end`, before it took over here: see [`KeyRecord::lost`]. Its id, if there is one.
    pub fn give_up_log(&mut self, role: Role, end: Timestamp) -> Option<String> {
        let mut keys = self.keys.iter_mut();
        let key = keys.find(|key| key.role == role && key.successor.is_some())?;
        key.successor = None;
        key.valid_to = Some(end.max(key.valid_from));
        key.lost = true;
        Some(key.id.clone())
    }

    /// The keys of a role, oldest first.
    #[must_use]
    pub fn by_role(&self, role: Role) -> Vec<&KeyRecord> {
        let mut keys: Vec<_> = self.keys.iter().filter(|key| key.role == role).collect();
        keys.sort_by_key(|key| key.valid_from);
        keys
    }

    /// The file's text.
    pub fn to_json(&self) -> Result<String, TrustError> {
        root::to_json(self)
    }
}

/// Ids become part of file and target names.
fn is_name(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && !id.starts_with(['.', '-'])
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// A [`SigningAlgorithm`] by its `PublicKeyDetails` name.
mod algorithm {
    use super::{Deserialize, Deserializer, Serializer, SigningAlgorithm, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    pub(super) fn serialize<S: Serializer>(
        value: &SigningAlgorithm,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value.proto_name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SigningAlgorithm, D::Error> {
        let name = String::deserialize(deserializer)?;
        SigningAlgorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.proto_name() == name)
            .ok_or_else(|| de::Error::custom(format_args!("unknown PublicKeyDetails {name:?}")))
    }
}

#[cfg(test)]
mod tests;
