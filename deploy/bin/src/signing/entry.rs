//! An entry in a signature log, of either API, in the form that a bundle keeps.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::format::{Envelope, TransparencyLogEntry};
use common_pki::cert::Certificate;
use common_pki::key::{HashAlgorithm, PublicKey};
use common_pki::registry::SigningAlgorithm;
use http::StatusCode;
use serde_json::{Value, json};

use crate::http::{Client, HttpError};
use crate::log_entry::{self, LogEntryError};

/// Why there is no entry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    /// No answer, or a refusal.
    #[error("signature log: {0}")]
    Http(#[from] HttpError),
    /// An answer that is no entry.
    #[error("signature log: {0}")]
    Entry(#[from] LogEntryError),
    /// An answer that is no entry.
    #[error("signature log: expected a log entry: {0}")]
    Shape(#[from] serde_json::Error),
    /// A key that no log of Sigstore knows.
    #[error("signature log: keys of type {0} with this hash have no registered name")]
    Algorithm(common_pki::key::KeyAlgorithm),
    /// An API that is not known here.
    #[error("signature log: expected API version 1 or 2, got {0}")]
    Version(u32),
}

/// What the signature verifies with.
pub(crate) enum Verifier<'a> {
    /// A certificate.
    Certificate(&'a Certificate),
    /// A key that verifiers know.
    Key(&'a PublicKey),
}

impl Verifier<'_> {
    fn pem(&self) -> String {
        STANDARD.encode(match self {
            Verifier::Certificate(certificate) => certificate.to_pem(),
            Verifier::Key(key) => key.to_pem(),
        })
    }

    /// `Verifier` of rekor-tiles `rekor_service.proto`.
    fn v2(&self, hash: HashAlgorithm) -> Result<Value, EntryError> {
        let (member, der, key) = match self {
            Verifier::Certificate(certificate) => (
                "x509Certificate",
                certificate.to_der(),
                certificate.public_key().map_err(|_| LogEntryError::None)?,
            ),
            Verifier::Key(key) => ("publicKey", key.spki_der(), *key),
        };
        let algorithm = SigningAlgorithm::from_key_and_hash(key.algorithm(), Some(hash))
            .ok_or(EntryError::Algorithm(key.algorithm()))?;
        Ok(json!({
            member: { "rawBytes": STANDARD.encode(der) },
            "keyDetails": algorithm.proto_name(),
        }))
    }
}

/// What is to be logged.
pub(crate) enum Proposal<'a> {
    /// A signature over an artifact.
    Digest {
        /// How the artifact was digested.
        hash: HashAlgorithm,
        /// Its digest.
        digest: Vec<u8>,
        /// The signature.
        signature: &'a [u8],
    },
    /// An envelope.
    Envelope {
        /// The envelope.
        envelope: &'a Envelope,
        /// Its signature.
        signature: &'a [u8],
        /// The hash that was signed.
        hash: HashAlgorithm,
        /// Its JSON, the octets that Rekor v1 hashes.
        text: &'a str,
    },
}

/// Logs by the API of `version`.
///
/// # Errors
/// [`EntryError`].
pub(crate) async fn log(
    client: &Client,
    version: u32,
    proposal: &Proposal<'_>,
    verifier: &Verifier<'_>,
) -> Result<TransparencyLogEntry, EntryError> {
    match version {
        1 => v1(client, &v1_request(proposal, verifier)).await,
        2 => v2(client, &v2_request(proposal, verifier)?).await,
        other => Err(EntryError::Version(other)),
    }
}

/// The request of Rekor v1.
pub(crate) fn v1_request(proposal: &Proposal<'_>, verifier: &Verifier<'_>) -> Value {
    match proposal {
        Proposal::Digest {
            hash,
            digest,
            signature,
        } => json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": hash.name(), "value": hex::encode(digest) } },
                "signature": {
                    "content": STANDARD.encode(signature),
                    "publicKey": { "content": verifier.pem() },
                },
            },
        }),
        Proposal::Envelope { text, .. } => dsse_v1(text, &verifier.pem()),
    }
}

/// A proposal of kind `dsse` 0.0.1; `verifier` is base64 of PEM.
pub(crate) fn dsse_v1(envelope: &str, verifier: &str) -> Value {
    json!({
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": { "proposedContent": { "envelope": envelope, "verifiers": [verifier] } },
    })
}

async fn v1(client: &Client, request: &Value) -> Result<TransparencyLogEntry, EntryError> {
    let body = request.to_string().into_bytes();
    let answer = client
        .post("/api/v1/log/entries", "application/json", body)
        .await?;
    // A signature without randomness may be there already; the answer says where (`rekor openapi.yaml`, createLogEntry).
    if answer.status == StatusCode::CONFLICT
        && let Some(path) = answer
            .location()
            .filter(|path| path.starts_with("/api/v1/log/entries/"))
    {
        let known = client.get(&path).await?.expect(StatusCode::OK)?;
        return Ok(log_entry::parse(&known)?);
    }
    Ok(log_entry::parse(&answer.expect(StatusCode::CREATED)?)?)
}

/// The request of Rekor v2. An envelope is logged as the hash of what it signs: rekor-tiles 2.3 refuses `dsse`.
pub(crate) fn v2_request(proposal: &Proposal<'_>, verifier: &Verifier<'_>) -> Result<Value, EntryError> {
    let (hash, digest, signature) = match proposal {
        Proposal::Digest {
            hash,
            digest,
            signature,
        } => (*hash, digest.clone(), *signature),
        Proposal::Envelope {
            envelope,
            signature,
            hash,
            ..
        } => (*hash, hash.digest(&envelope.pae()), *signature),
    };
    Ok(json!({
        "hashedRekordRequestV002": {
            "digest": STANDARD.encode(digest),
            "signature": {
                "content": STANDARD.encode(signature),
                "verifier": verifier.v2(hash)?,
            },
        },
    }))
}

async fn v2(client: &Client, request: &Value) -> Result<TransparencyLogEntry, EntryError> {
    let body = request.to_string().into_bytes();
    let answer = client
        .post("/api/v2/log/entries", "application/json", body)
        .await?;
    Ok(serde_json::from_slice(&answer.expect(StatusCode::CREATED)?)?)
}
