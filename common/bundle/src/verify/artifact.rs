//! What was signed: the artifact's digest, or an envelope whose statement names it.

use std::collections::BTreeMap;

use common_pki::cert::Certificate;
use common_pki::key::{HashAlgorithm, KeyAlgorithm, PublicKey};
use serde::Deserialize;

use super::evidence::Evidence;
use super::{Artifact, VerifyError, signature};
use crate::format::{Bundle, Content, Envelope, IN_TOTO_PAYLOAD_TYPE, MessageDigest, is_statement_type};

/// Most subjects of a statement, and most digests of one, that are read (`sigstore-go internal/limits`, GHSA-cq38-jh5f-37mq).
const MAX_SUBJECTS: usize = 1024;
const MAX_DIGESTS: usize = 32;

/// Signature, key and message of one verification, for every check that binds them together.
pub(super) struct Signed<'a> {
    pub(super) signature: &'a [u8],
    pub(super) key: &'a PublicKey,
    pub(super) certificate: Option<&'a Certificate>,
    pub(super) message: Message<'a>,
    /// The JSON that the envelope was read from, where it came by itself.
    pub(super) envelope_text: Option<&'a [u8]>,
}

pub(super) enum Message<'a> {
    /// An artifact, known by its digest and perhaps in full.
    Artifact {
        hash: HashAlgorithm,
        digest: Vec<u8>,
        bytes: Option<&'a [u8]>,
    },
    /// An envelope, the octets it signs, and the artifact its statement must name.
    Envelope {
        envelope: &'a Envelope,
        pae: Vec<u8>,
        artifact: Artifact<'a>,
    },
}

impl<'a> Signed<'a> {
    /// Puts together what is verified. A digest that the bundle claims is compared at once.
    pub(super) fn new(
        bundle: &'a Bundle,
        artifact: Artifact<'a>,
        key: &'a PublicKey,
        certificate: Option<&'a Certificate>,
    ) -> Result<Self, VerifyError> {
        let message = match &bundle.content {
            Content::Dsse(envelope) => Message::Envelope {
                envelope,
                pae: envelope.pae(),
                artifact,
            },
            Content::Message { digest: claimed, .. } => message(claimed.as_ref(), artifact, key)?,
        };
        Ok(Self {
            signature: signature(&bundle.content),
            key,
            certificate,
            message,
            envelope_text: None,
        })
    }

    /// The octets a log entry must hold as verifier: DER of the certificate, or of the key where there is none.
    pub(super) fn verifier_der(&self) -> &[u8] {
        self.certificate
            .map_or_else(|| self.key.spki_der(), Certificate::to_der)
    }

    /// Verifies the signature, and for an envelope that its statement is about the artifact.
    pub(super) fn verify(&self, evidence: &mut Vec<Evidence>) -> Result<(), VerifyError> {
        match &self.message {
            Message::Artifact { hash, digest, bytes } => {
                let pure =
                    || bytes.is_some_and(|bytes| self.key.verify(*hash, bytes, self.signature).is_ok());
                let ed25519 = self.key.algorithm() == KeyAlgorithm::Ed25519;
                if self.key.verify_digest(*hash, digest, self.signature).is_err() && !(ed25519 && pure()) {
                    return Err(VerifyError::Signature);
                }
                evidence.push(Evidence::Signature {
                    over: "artifact".to_owned(),
                });
            }
            Message::Envelope {
                envelope,
                pae,
                artifact,
            } => {
                self.verify_envelope(pae)?;
                evidence.push(Evidence::Signature {
                    over: format!("envelope of {}", envelope.payload_type),
                });
                check_subject(envelope, *artifact, evidence)?;
            }
        }
        Ok(())
    }

    /// The hash of an envelope's signature is written nowhere: it is the key's own, or SHA-256, which clients used for every
    /// curve while Rekor v1 asked for it (`sigstore-go pkg/verify/signature.go`, compatibility verifier).
    fn verify_envelope(&self, pae: &[u8]) -> Result<(), VerifyError> {
        let hashes = [self.key.default_hash(), HashAlgorithm::Sha256];
        if hashes
            .into_iter()
            .any(|hash| self.key.verify(hash, pae, self.signature).is_ok())
        {
            return Ok(());
        }
        let prehashed = HashAlgorithm::Sha512.digest(pae);
        if self.key.algorithm() == KeyAlgorithm::Ed25519
            && self
                .key
                .verify_digest(HashAlgorithm::Sha512, &prehashed, self.signature)
                .is_ok()
        {
            return Ok(());
        }
        Err(VerifyError::Signature)
    }
}

fn message<'a>(
    claimed: Option<&MessageDigest>,
    artifact: Artifact<'a>,
    key: &PublicKey,
) -> Result<Message<'a>, VerifyError> {
    let hash = match (claimed, artifact) {
        (Some(claimed), _) => hash_from_name(&claimed.algorithm).ok_or_else(|| {
            VerifyError::UnknownDigestAlgorithm(claimed.algorithm.chars().take(64).collect())
        })?,
        (None, Artifact::Digest { algorithm, .. }) => algorithm,
        (None, Artifact::Bytes(_)) => key.default_hash(),
        (None, Artifact::Statement) => return Err(VerifyError::NotEnvelope),
    };
    let (digest, bytes) = match artifact {
        Artifact::Bytes(bytes) => (hash.digest(bytes), Some(bytes)),
        Artifact::Digest { algorithm, value } if algorithm == hash => (value.to_vec(), None),
        Artifact::Statement => return Err(VerifyError::NotEnvelope),
        Artifact::Digest { algorithm, .. } => {
            return Err(VerifyError::DigestAlgorithm {
                expected: hash.name(),
                got: algorithm.name(),
            });
        }
    };
    match claimed {
        Some(claimed) if claimed.digest != digest => Err(VerifyError::ArtifactDigest {
            expected: hex::encode(&claimed.digest),
            got: hex::encode(digest),
        }),
        _ => Ok(Message::Artifact { hash, digest, bytes }),
    }
}

/// `sigstore_common.proto HashAlgorithm`.
pub(super) fn hash_from_name(name: &str) -> Option<HashAlgorithm> {
    match name {
        "SHA2_256" => Some(HashAlgorithm::Sha256),
        "SHA2_384" => Some(HashAlgorithm::Sha384),
        "SHA2_512" => Some(HashAlgorithm::Sha512),
        _ => None,
    }
}

/// A statement is about an artifact if one of its subjects has the artifact's digest (`in-toto/attestation
/// spec/v1/statement.md`). An envelope of another type names nothing, so nothing can be said about the artifact.
fn check_subject(
    envelope: &Envelope,
    artifact: Artifact<'_>,
    evidence: &mut Vec<Evidence>,
) -> Result<(), VerifyError> {
    #[derive(Deserialize)]
    struct Statement {
        #[serde(rename = "_type", default)]
        kind: String,
        subject: Vec<Subject>,
    }
    #[derive(Deserialize)]
    struct Subject {
        #[serde(default)]
        digest: BTreeMap<String, String>,
    }
    if envelope.payload_type != IN_TOTO_PAYLOAD_TYPE {
        return Err(VerifyError::NotStatement(format!(
            "payload type {:?}",
            envelope.payload_type
        )));
    }
    let statement: Statement = serde_json::from_slice(&envelope.payload)
        .map_err(|cause| VerifyError::NotStatement(format!("a payload that is not one: {cause}")))?;
    if !is_statement_type(&statement.kind) {
        let kind: String = statement.kind.chars().take(64).collect();
        return Err(VerifyError::NotStatement(format!("a statement of type {kind:?}")));
    }
    if statement.subject.len() > MAX_SUBJECTS
        || statement
            .subject
            .iter()
            .any(|subject| subject.digest.len() > MAX_DIGESTS)
    {
        let limits = format!("more than {MAX_SUBJECTS} subjects or {MAX_DIGESTS} digests of one");
        return Err(VerifyError::NotStatement(limits));
    }
    let digests: Vec<(HashAlgorithm, String)> = match artifact {
        Artifact::Statement => return Ok(()),
        Artifact::Digest { algorithm, value } => vec![(algorithm, hex::encode(value))],
        Artifact::Bytes(bytes) => {
            let named = |hash: &HashAlgorithm| {
                statement
                    .subject
                    .iter()
                    .any(|subject| subject.digest.contains_key(hash.name()))
            };
            HashAlgorithm::ALL
                .into_iter()
                .filter(named)
                .map(|hash| (hash, hex::encode(hash.digest(bytes))))
                .collect()
        }
    };
    for (hash, digest) in &digests {
        let has = |subject: &Subject| {
            subject
                .digest
                .get(hash.name())
                .is_some_and(|claimed| claimed.eq_ignore_ascii_case(digest))
        };
        if statement.subject.iter().any(has) {
            evidence.push(Evidence::Subject {
                algorithm: hash.name(),
                digest: digest.clone(),
            });
            return Ok(());
        }
    }
    let (algorithm, digest) = digests
        .into_iter()
        .next()
        .map_or(("known", "none".to_owned()), |(hash, digest)| {
            (hash.name(), digest)
        });
    Err(VerifyError::NoSuchSubject { algorithm, digest })
}
