//! Genuine `hashedrekord` entries, made without a request.
//!
//! Each has a digest of its own and a signature over it that verifies. Their canonical bodies are written directly, since
//! verifying what has just been signed would take longer than logging it; the first body of each run is compared with what
//! the service makes of the same request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_engine::Entry;
use common_pki::key::{KeyAlgorithm, LocalSigner, SignError, Signer, sha256};
use rekor_api::{v1, v2};
use rekor_entry::v1::ProposedEntry;
use rekor_entry::v2::parse_request;
use rekor_entry::{Attestation, Canonical};
use serde_json::json;

use super::GrownLog;

/// Entries made with one key before the next is drawn.
const PER_KEY: u64 = 64;

/// Entries could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    /// No key or no signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The operating system has no randomness.
    #[error("no randomness is available")]
    Random,
    /// The service refuses the request of the first entry.
    #[error("the first entry is refused: {0}")]
    Refused(String),
    /// The service makes another body of the first request.
    #[error("the first entry differs from what the service makes of it: expected {expected}, got {got}")]
    Differs {
        /// The service's body.
        expected: String,
        /// Ours.
        got: String,
    },
}

/// Makes the entries of one run; no two runs make the same.
pub(crate) struct Maker {
    log: GrownLog,
    seed: [u8; 16],
}

/// A key with its forms in the body.
pub(crate) struct Key {
    signer: LocalSigner,
    /// In the body, base64.
    public: String,
    /// The term that searches for it, SHA-256 of its PEM.
    term: String,
    left: u64,
}

impl Maker {
    /// Checked against the service.
    ///
    /// # Errors
    /// [`EntryError`].
    pub(crate) fn new(log: GrownLog) -> Result<Maker, EntryError> {
        let mut seed = [0; 16];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| EntryError::Random)?;
        let maker = Maker { log, seed };
        maker.check()?;
        Ok(maker)
    }

    /// A new key where there is none or the last one has made its share.
    fn key<'a>(&self, slot: &'a mut Option<Key>) -> Result<&'a mut Key, EntryError> {
        if slot.as_ref().is_none_or(|key| key.left == 0) {
            let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256)?;
            let pem = signer.public_key().to_pem();
            let public = match self.log {
                GrownLog::V1 => STANDARD.encode(&pem),
                GrownLog::V2 => STANDARD.encode(signer.public_key().spki_der()),
            };
            *slot = Some(Key {
                term: hex::encode(sha256(pem.as_bytes())),
                signer,
                public,
                left: PER_KEY,
            });
        }
        slot.as_mut().ok_or(EntryError::Random)
    }

    /// The entry of a number, with a key from `slot`.
    ///
    /// # Errors
    /// [`EntryError::Sign`].
    pub(crate) fn entry(&self, number: u64, slot: &mut Option<Key>) -> Result<Entry, EntryError> {
        let message = self.message(number);
        let key = self.key(slot)?;
        key.left = key.left.saturating_sub(1);
        let canonical = self.canonical(&sha256(&message), &key.signer.sign(&message)?, key);
        let entry = match self.log {
            GrownLog::V1 => v1::engine_entry(canonical),
            GrownLog::V2 => v2::engine_entry(canonical),
        };
        entry.map_err(|error| EntryError::Refused(error.to_string()))
    }

    fn message(&self, number: u64) -> Vec<u8> {
        [self.seed.as_slice(), &number.to_be_bytes()].concat()
    }

    /// rekor `pkg/types/hashedrekord/v0.0.1`, rekor-tiles `pkg/types/hashedrekord`, in canonical form (RFC 8785).
    fn canonical(&self, digest: &[u8], signature: &[u8], key: &Key) -> Canonical {
        let (signature, public, hex) = (STANDARD.encode(signature), &key.public, hex::encode(digest));
        let (api_version, body) = match self.log {
            GrownLog::V1 => (
                "0.0.1",
                [
                    r#"{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":""#,
                    &hex,
                    r#""}},"signature":{"content":""#,
                    &signature,
                    r#"","publicKey":{"content":""#,
                    public,
                    r#""}}}}"#,
                ]
                .concat(),
            ),
            GrownLog::V2 => (
                "0.0.2",
                [
                    r#"{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":""#,
                    &STANDARD.encode(digest),
                    r#""},"signature":{"content":""#,
                    &signature,
                    r#"","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":""#,
                    public,
                    r#""}}}}}}"#,
                ]
                .concat(),
            ),
        };
        Canonical {
            kind: "hashedrekord",
            api_version,
            body: body.into_bytes(),
            index_keys: vec![key.term.clone(), format!("sha256:{hex}")],
            attestation: Attestation::None,
        }
    }

    /// Sends one entry the way a request goes, signature check included, and compares.
    fn check(&self) -> Result<(), EntryError> {
        let (mut slot, message) = (None, self.message(u64::MAX));
        let key = self.key(&mut slot)?;
        let (digest, signature) = (sha256(&message), key.signer.sign(&message)?);
        let ours = self.canonical(&digest, &signature, key);
        let theirs = match self.log {
            GrownLog::V1 => through_v1(&digest, &signature, key),
            GrownLog::V2 => through_v2(&digest, &signature, key),
        }?;
        if ours == theirs {
            return Ok(());
        }
        let show = |entry: &Canonical| {
            let body = String::from_utf8_lossy(&entry.body);
            format!("{body} found by {:?}", entry.index_keys)
        };
        Err(EntryError::Differs {
            expected: show(&theirs),
            got: show(&ours),
        })
    }
}

fn through_v1(digest: &[u8], signature: &[u8], key: &Key) -> Result<Canonical, EntryError> {
    let request = json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": { "hash": { "algorithm": "sha256", "value": hex::encode(digest) } },
            "signature": { "content": STANDARD.encode(signature), "publicKey": { "content": key.public } },
        },
    })
    .to_string();
    ProposedEntry::parse(request.as_bytes())
        .and_then(|entry| entry.canonicalize(&v1::Policy::default()))
        .map_err(|error| EntryError::Refused(error.to_string()))
}

fn through_v2(digest: &[u8], signature: &[u8], key: &Key) -> Result<Canonical, EntryError> {
    let request = json!({
        "hashedRekordRequestV002": {
            "digest": STANDARD.encode(digest),
            "signature": {
                "content": STANDARD.encode(signature),
                "verifier": {
                    "publicKey": { "rawBytes": key.public },
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                },
            },
        },
    })
    .to_string();
    parse_request(request.as_bytes(), &v2::Policy::default())
        .map_err(|error| EntryError::Refused(error.to_string()))
}

#[cfg(test)]
mod tests;
