//! The keys with which a registry signs that it published a package, as it answers them itself and as a TUF repository has them.

use common_bundle::trust::{LogKey, Timestamp, ValidFor};
use common_pki::key::PublicKey;
use common_pki::pem;
use serde::Deserialize;

/// Most keys of a registry.
const MAX_KEYS: usize = 64;
/// What a key of the repository is for; another signs tarballs (sigstore `root-signing`, `registry.npmjs.org/keys.json`).
const ATTESTATIONS: &str = "npm:attestations";

/// `GET /-/npm/v1/keys` (npm docs, "ECDSA registry signatures").
#[derive(Deserialize)]
struct Answer {
    keys: Vec<AnsweredKey>,
}

#[derive(Deserialize)]
struct AnsweredKey {
    keyid: String,
    /// Base64 of the SubjectPublicKeyInfo.
    key: String,
    expires: Option<Timestamp>,
}

/// The target of a repository.
#[derive(Deserialize)]
struct Target {
    keys: Vec<TargetKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetKey {
    key_id: String,
    key_usage: String,
    public_key: LogKey,
}

/// A key by its name, read only when it is asked for: one of a kind that is not known must not make the others useless.
struct Key {
    id: String,
    pem: String,
    valid_for: ValidFor,
}

/// All of a registry's.
pub(super) struct RegistryKeys(Vec<Key>);

impl RegistryKeys {
    /// Reads what the registry answers.
    ///
    /// # Errors
    /// Not that.
    pub(super) fn answered(json: &[u8]) -> serde_json::Result<RegistryKeys> {
        let Answer { keys } = serde_json::from_slice(json)?;
        let key = |key: AnsweredKey| Key {
            id: key.keyid,
            pem: format!(
                "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
                key.key
            ),
            valid_for: ValidFor {
                start: None,
                end: key.expires,
            },
        };
        Ok(RegistryKeys(keys.into_iter().take(MAX_KEYS).map(key).collect()))
    }

    /// Reads a target of a repository.
    ///
    /// # Errors
    /// Not that.
    pub(super) fn distributed(json: &[u8]) -> serde_json::Result<RegistryKeys> {
        let Target { keys } = serde_json::from_slice(json)?;
        let key = |key: TargetKey| Key {
            id: key.key_id,
            pem: pem::encode("PUBLIC KEY", &key.public_key.raw_bytes),
            valid_for: key.public_key.valid_for,
        };
        let keys = keys.into_iter().filter(|key| key.key_usage == ATTESTATIONS);
        Ok(RegistryKeys(keys.take(MAX_KEYS).map(key).collect()))
    }

    /// The key of that name, and when it counts.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn get(&self, id: &str) -> Result<(PublicKey, ValidFor), String> {
        let key = self.0.iter().find(|key| key.id == id);
        let key = key.ok_or_else(|| format!("the registry has no key {id} for attestations"))?;
        let public = PublicKey::from_pem(&key.pem).map_err(|error| format!("{id}: {error}"))?;
        Ok((public, key.valid_for))
    }
}
