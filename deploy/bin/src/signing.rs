//! Making a bundle: key, certificate, signature, log entries, timestamps. For `sign`, `attest`, the conformance protocol,
//! and in part for the canary of `doctor`.
//!
//! A bundle that the given trust does not verify never leaves here.

pub(crate) mod certificate;
pub(crate) mod entry;
pub(crate) mod identity;
pub(crate) mod key;
mod login;
pub(crate) mod services;
pub(crate) mod timestamp;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::format::{
    Bundle, Content, Envelope, EnvelopeSignature, IN_TOTO_PAYLOAD_TYPE, KeyMaterial, MediaType, MessageDigest,
};
use common_bundle::trust::{TrustedRoot, ValidFor};
use common_bundle::verify::{self, Artifact, Matcher, Policy, Verified, VerifyError};
use common_pki::cert::Certificate;
use common_pki::key::{HashAlgorithm, KeyAlgorithm, LocalSigner, SignError, Signer as _};
use serde::Deserialize;
use serde_json::json;

use crate::exit::Failure;
use crate::http::{Client, HttpError};
use crate::output;
use crate::signing::certificate::CertificateError;
use crate::signing::entry::{EntryError, Proposal, Verifier};
use crate::signing::services::Services;
use crate::signing::timestamp::TimestampError;
use crate::verify::predicate;

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The key failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// No log entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// No timestamp.
    #[error(transparent)]
    Timestamp(#[from] TimestampError),
    /// A service whose URL is none.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// No authority, and a certificate is needed.
    #[error("the signing configuration lists no certificate authority that is in use now; sign with --key")]
    NoAuthority,
    /// What is to be signed is no statement.
    #[error("expected an in-toto statement: {0}")]
    Statement(String),
    /// A kind of key that cannot sign this.
    #[error("a key of type Ed25519 signs statements for Rekor v1 only: sign with an ECDSA or RSA key")]
    Ed25519,
    /// The bundle cannot be written in this version.
    #[error("a version {0} bundle holds entries of Rekor v1 only: use version 0.3, or --rekor-version 1")]
    Format(&'static str),
    /// The services answered, and the trusted root does not vouch for them.
    #[error(
        "the bundle that was made does not verify, so it is not kept: {0}; do trusted root and signing configuration belong together?"
    )]
    DoesNotVerify(#[source] VerifyError),
}

/// Whom Sigstore's tokens are for (fulcio `config`, every public issuer), and what its clients are called at issuers.
const AUDIENCE: &str = "sigstore";

/// Who signs.
pub(crate) enum Holder {
    /// Whoever the token says, with a key of this signature alone.
    Token(String),
    /// The holder of a key that verifiers know.
    Key(LocalSigner),
}

/// What is signed.
#[derive(Clone, Copy)]
pub(crate) enum Message<'a> {
    /// An artifact.
    Artifact(&'a [u8]),
    /// An in-toto statement.
    Statement(&'a [u8]),
}

/// How it is signed.
pub(crate) struct Order<'a> {
    /// By these services.
    pub(crate) services: &'a Services,
    /// To be verified with this.
    pub(crate) trusted: &'a TrustedRoot,
    /// In this version of the format.
    pub(crate) format: MediaType,
}

/// A bundle that verifies.
pub(crate) struct Signed {
    /// The bundle.
    pub(crate) bundle: Bundle,
    /// What its verification proved.
    pub(crate) verified: Verified,
    /// For a statement, the envelope with the certificate in its signature, as the generators for GitHub Actions write it
    /// (slsa-github-generator `signing/envelope/envelope.go`).
    pub(crate) envelope: Option<String>,
}

/// Signs, logs and timestamps.
///
/// # Errors
/// [`SigningError`].
pub(crate) async fn sign(
    order: &Order<'_>,
    holder: Holder,
    message: Message<'_>,
) -> Result<Signed, SigningError> {
    if let Message::Statement(statement) = message {
        // Before there is a certificate for it, which is logged for good.
        check_statement(statement)?;
    }
    let services = order.services;
    if order.format != MediaType::V03 && services.logs.iter().any(|(_, version)| *version != 1) {
        let version = if order.format == MediaType::V01 {
            "0.1"
        } else {
            "0.2"
        };
        return Err(SigningError::Format(version));
    }
    let (key, certificate) = match holder {
        Holder::Key(key) => (key, None),
        Holder::Token(token) => {
            let (key, certificate) = certified(services, &token).await?;
            (key, Some(certificate))
        }
    };
    if key.public_key().algorithm() == KeyAlgorithm::Ed25519
        && (matches!(message, Message::Artifact(_)) || services.logs.iter().any(|(_, version)| *version != 1))
    {
        return Err(SigningError::Ed25519);
    }
    let made = make(&key, message, certificate.as_ref())?;
    let verifier = match &certificate {
        Some(certificate) => Verifier::Certificate(certificate),
        None => Verifier::Key(key.public_key()),
    };
    let mut tlog_entries = Vec::new();
    for (url, version) in &services.logs {
        let client = Client::new(url)?;
        tlog_entries.push(entry::log(&client, *version, &made.proposal(), &verifier).await?);
    }
    let mut timestamps = Vec::new();
    for url in &services.timestamps {
        timestamps.push(timestamp::request(&Client::new(url)?, &made.signature).await?);
    }
    let key_material = match &certificate {
        Some(certificate) => KeyMaterial::Certificates(vec![certificate.to_der().to_vec()]),
        None => KeyMaterial::PublicKey {
            hint: STANDARD.encode(key.public_key().fingerprint()),
        },
    };
    let bundle = Bundle {
        media_type: order.format,
        key_material,
        tlog_entries,
        timestamps,
        content: made.content.clone(),
    };
    let verified = verified(order, &key, message, &bundle)?;
    Ok(Signed {
        bundle,
        verified,
        envelope: certificate.is_some().then_some(made.text).flatten(),
    })
}

/// A new key, and a certificate for it.
async fn certified(services: &Services, token: &str) -> Result<(LocalSigner, Certificate), SigningError> {
    let authority = services.authority.as_deref().ok_or(SigningError::NoAuthority)?;
    let (key, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256)?;
    let subject = certificate::subject(token)?;
    let chain = certificate::request(&Client::new(authority)?, &key, token, &subject).await?;
    let leaf = chain.into_iter().next().ok_or(SigningError::NoAuthority)?;
    Ok((key, leaf))
}

/// A signature and what it is over.
struct Made {
    hash: HashAlgorithm,
    signature: Vec<u8>,
    content: Content,
    /// JSON of the envelope, where there is one.
    text: Option<String>,
}

impl Made {
    fn proposal(&self) -> Proposal<'_> {
        match &self.content {
            Content::Message { digest, .. } => Proposal::Digest {
                hash: self.hash,
                digest: digest
                    .as_ref()
                    .map(|digest| digest.digest.clone())
                    .unwrap_or_default(),
                signature: &self.signature,
            },
            Content::Dsse(envelope) => Proposal::Envelope {
                envelope,
                signature: &self.signature,
                hash: self.hash,
                text: self.text.as_deref().unwrap_or_default(),
            },
        }
    }
}

fn make(
    key: &LocalSigner,
    message: Message<'_>,
    certificate: Option<&Certificate>,
) -> Result<Made, SigningError> {
    let hash = key.public_key().default_hash();
    match message {
        Message::Artifact(bytes) => {
            let signature = key.sign(bytes)?;
            let digest = MessageDigest {
                algorithm: format!("SHA2_{}", hash.len().saturating_mul(8)),
                digest: hash.digest(bytes),
            };
            Ok(Made {
                hash,
                content: Content::Message {
                    digest: Some(digest),
                    signature: signature.clone(),
                },
                signature,
                text: None,
            })
        }
        Message::Statement(statement) => {
            let mut envelope = Envelope {
                payload: statement.to_vec(),
                payload_type: IN_TOTO_PAYLOAD_TYPE.to_owned(),
                signatures: Vec::new(),
            };
            let signature = key.sign(&envelope.pae())?;
            envelope.signatures.push(EnvelopeSignature {
                sig: signature.clone(),
                keyid: None,
            });
            Ok(Made {
                hash,
                text: Some(envelope_text(&envelope, &signature, certificate)),
                content: Content::Dsse(envelope),
                signature,
            })
        }
    }
}

fn envelope_text(envelope: &Envelope, signature: &[u8], certificate: Option<&Certificate>) -> String {
    let mut line = json!({ "keyid": "", "sig": STANDARD.encode(signature) });
    if let (Some(certificate), Some(members)) = (certificate, line.as_object_mut()) {
        members.insert("cert".to_owned(), certificate.to_pem().into());
    }
    json!({
        "payloadType": envelope.payload_type,
        "payload": STANDARD.encode(&envelope.payload),
        "signatures": [line],
    })
    .to_string()
}

/// Every subject needs a digest, or the statement is about nothing that can be verified.
fn check_statement(text: &[u8]) -> Result<(), SigningError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Statement {
        #[serde(rename = "_type")]
        kind: String,
        predicate_type: String,
        subject: Vec<Subject>,
    }
    #[derive(Deserialize)]
    struct Subject {
        digest: std::collections::BTreeMap<String, String>,
    }
    let wrong = |problem: &str| SigningError::Statement(problem.to_owned());
    let statement: Statement =
        serde_json::from_slice(text).map_err(|error| SigningError::Statement(error.to_string()))?;
    if !statement.kind.starts_with("https://in-toto.io/Statement/") {
        return Err(wrong("_type does not begin with https://in-toto.io/Statement/"));
    }
    if !predicate::is_uri(&statement.predicate_type) {
        return Err(SigningError::Statement(format!(
            "predicateType {:?} is no URI",
            statement.predicate_type
        )));
    }
    if statement.subject.is_empty() || statement.subject.iter().any(|subject| subject.digest.is_empty()) {
        return Err(wrong("a subject with a digest is needed"));
    }
    Ok(())
}

/// Verifies the bundle as its readers will, whoever signed it.
fn verified(
    order: &Order<'_>,
    key: &LocalSigner,
    message: Message<'_>,
    bundle: &Bundle,
) -> Result<Verified, SigningError> {
    let mut policy = match &bundle.key_material {
        KeyMaterial::Certificates(_) => Policy::matching(Matcher::Any, Matcher::Any),
        KeyMaterial::PublicKey { .. } => Policy::key(key.public_key().clone(), ValidFor::default()),
    };
    policy.log_entries = order.services.logs.len();
    policy.timestamps = order.services.timestamps.len();
    let artifact = match message {
        Message::Artifact(bytes) => Artifact::Bytes(bytes),
        Message::Statement(_) => Artifact::Statement,
    };
    verify::verify(bundle, artifact, order.trusted, &policy).map_err(SigningError::DoesNotVerify)
}

/// Makes sure that a file can be written, before anything is signed: what is logged is logged for good, and with nowhere to put its
/// evidence it helps nobody.
///
/// # Errors
/// [`Failure`] names the file.
pub(crate) fn check_target(path: &Path) -> Result<(), Failure> {
    output::check(path)
        .map_err(|error| Failure::failed(format!("{}: {error}; nothing was signed", path.display())))
}

/// Writes a bundle, whole or not at all: one that was there is evidence, and may be the only one of its kind.
///
/// # Errors
/// [`Failure`] names the file.
pub(crate) fn write(path: &Path, bundle: &Bundle) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", path.display()));
    let mut json = bundle.to_json().map_err(|error| failed(&error))?;
    json.push('\n');
    output::replace(path, json.as_bytes()).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_type_of_a_predicate_is_a_uri() {
        let checked = |kind: &str| {
            let subject = json!([{ "digest": { "sha256": "00" } }]);
            let statement = json!({ "_type": "https://in-toto.io/Statement/v1", "predicateType": kind, "subject": subject });
            check_statement(statement.to_string().as_bytes())
        };
        checked("https://slsa.dev/provenance/v1").unwrap();
        for kind in ["", "bogus", "slsaprovenance1"] {
            let error = checked(kind).unwrap_err();
            assert!(error.to_string().contains("is no URI"), "{error}");
        }
    }

    #[test]
    fn a_bundle_that_is_replaced_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let (file, kept) = (folder.path().join("bundle.json"), folder.path().join("kept.json"));
        std::fs::write(&file, "the old one").unwrap();
        // The same file under another name: what is written into it is seen there.
        std::fs::hard_link(&file, &kept).unwrap();
        let bundle = Bundle {
            media_type: MediaType::V03,
            key_material: KeyMaterial::PublicKey { hint: String::new() },
            tlog_entries: Vec::new(),
            timestamps: Vec::new(),
            content: Content::Message {
                digest: None,
                signature: b"signature".to_vec(),
            },
        };
        write(&file, &bundle).unwrap();
        let written = std::fs::read_to_string(&file).unwrap();
        assert_eq!(written, bundle.to_json().unwrap() + "\n");
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "the old one");
    }
}
