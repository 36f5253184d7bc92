//! Full verification of a sample of answers, with nothing but the instance's published trusted root.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use common_bundle::format::{Bundle, Content, KeyMaterial, MediaType, TransparencyLogEntry};
use common_bundle::trust::{CertificateAuthority, TrustError, TrustedRoot, ValidFor};
use common_bundle::verify::{Artifact, Policy, VerifyError, verify};
use common_pki::cert::{CertError, Certificate, ChainError, SubjectAltName, VerifyOptions, verify_chain};
use common_pki::key::{HashAlgorithm, KeyError, PublicKey};
use common_pki::oid;
use common_pki::sct::{SctError, verify_embedded};
use common_pki::tsp::{TimeStampRequest, TimeStampResponse, TimestampTrust, TspError};
use http::StatusCode;
use serde_json::Value;

use super::work::Work;
use crate::http::{Client, HttpError};
use crate::log_entry::{self, LogEntryError};

/// Why an answer is wrong, or cannot be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// The trusted root cannot be had.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The trusted root cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Not the JSON it should be.
    #[error("JSON of another shape: {0}")]
    Json(#[from] serde_json::Error),
    /// A member is not what it should be.
    #[error("expected {0}")]
    Shape(&'static str),
    /// Not an entry of Rekor v1.
    #[error(transparent)]
    LogEntry(#[from] LogEntryError),
    /// The entry does not verify.
    #[error(transparent)]
    Entry(#[from] VerifyError),
    /// A key does not parse.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate does not parse.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// The certificate does not chain to the trusted root.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The certificate's embedded timestamp does not hold.
    #[error(transparent)]
    Sct(#[from] SctError),
    /// The timestamp does not hold.
    #[error(transparent)]
    Timestamp(#[from] TspError),
}

/// What the answers are verified with.
pub(crate) struct Trust(TrustedRoot);

/// What came of verifying a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Answers that hold.
    pub(crate) verified: usize,
    /// Why the first one that does not hold does not.
    pub(crate) wrong: Option<String>,
}

impl Trust {
    /// The trusted root of the instance at `url`.
    ///
    /// # Errors
    /// [`CheckError`] when it cannot be had or used.
    pub(crate) async fn fetch(url: &str) -> Result<Trust, CheckError> {
        let answer = Client::new(url)?.get("/trust/trusted_root.json").await?;
        Ok(Trust(TrustedRoot::parse(&answer.expect(StatusCode::OK)?)?))
    }

    fn check(&self, work: Work, request: &[u8], answer: &[u8]) -> Result<(), CheckError> {
        match work {
            Work::V1 => self.v1(request, answer),
            Work::V2 => self.v2(request, answer),
            Work::Certificate => self.certificate(request, answer),
            Work::Timestamp => self.timestamp(request, answer),
        }
    }

    fn v1(&self, request: &[u8], answer: &[u8]) -> Result<(), CheckError> {
        let request: Value = serde_json::from_slice(request)?;
        let digest =
            hex::decode(text(&request, "/spec/data/hash/value")?).map_err(|_| CheckError::Shape("hex"))?;
        let key = bytes(&request, "/spec/signature/publicKey/content")?;
        let key = PublicKey::from_pem(str::from_utf8(&key).map_err(|_| CheckError::Shape("a PEM key"))?)?;
        self.entry(
            log_entry::parse(answer)?,
            &digest,
            key,
            bytes(&request, "/spec/signature/content")?,
        )
    }

    fn v2(&self, request: &[u8], answer: &[u8]) -> Result<(), CheckError> {
        let request: Value = serde_json::from_slice(request)?;
        let request = request
            .get("hashedRekordRequestV002")
            .ok_or(CheckError::Shape("a hashedrekord request"))?;
        let key = PublicKey::from_spki_der(&bytes(request, "/signature/verifier/publicKey/rawBytes")?)?;
        let entry: TransparencyLogEntry = serde_json::from_slice(answer)?;
        self.entry(
            entry,
            &bytes(request, "/digest")?,
            key,
            bytes(request, "/signature/content")?,
        )
    }

    /// The entry is of this signature, its promise and proof hold, and its checkpoint is the log's.
    fn entry(
        &self,
        entry: TransparencyLogEntry,
        digest: &[u8],
        key: PublicKey,
        signature: Vec<u8>,
    ) -> Result<(), CheckError> {
        let bundle = Bundle {
            media_type: MediaType::V03,
            key_material: KeyMaterial::PublicKey { hint: String::new() },
            tlog_entries: vec![entry],
            timestamps: Vec::new(),
            content: Content::Message {
                digest: None,
                signature,
            },
        };
        let artifact = Artifact::Digest {
            algorithm: HashAlgorithm::Sha256,
            value: digest,
        };
        verify(&bundle, artifact, &self.0, &Policy::key(key, ValidFor::default()))?;
        Ok(())
    }

    /// The certificate is for the key and the address, chains to the trusted root, and holds one timestamp of a trusted log.
    fn certificate(&self, request: &[u8], answer: &[u8]) -> Result<(), CheckError> {
        let (request, answer): (Value, Value) =
            (serde_json::from_slice(request)?, serde_json::from_slice(answer)?);
        let leaf = text(&answer, "/signedCertificateEmbeddedSct/chain/certificates/0")?;
        let leaf = Certificate::from_pem(leaf)?;
        let key = PublicKey::from_pem(text(&request, "/publicKeyRequest/publicKey/content")?)?;
        if leaf.spki_der() != key.spki_der() {
            return Err(CheckError::Shape("a certificate for the key of the request"));
        }
        let email = email_of(text(&request, "/credentials/oidcIdentityToken")?)?;
        if leaf.subject_alt_names()? != [SubjectAltName::Email(email)] {
            return Err(CheckError::Shape("a certificate for the address of the token"));
        }
        let path = self.path(&leaf)?;
        let issuer = path
            .get(1)
            .ok_or(CheckError::Shape("a certificate with an issuer"))?
            .public_key()?
            .clone();
        let logs = self.0.ctlogs.iter().map(|log| log.public_key.public_key());
        for log in logs {
            match verify_embedded(&leaf, &issuer, &log?) {
                Err(SctError::OtherLog) => {}
                other => return Ok(other.map(drop)?),
            }
        }
        Err(SctError::OtherLog.into())
    }

    fn path(&self, leaf: &Certificate) -> Result<Vec<Certificate>, CheckError> {
        let mut known = Vec::new();
        for authority in &self.0.certificate_authorities {
            known.extend(certificates(authority)?);
        }
        let (roots, intermediates): (Vec<_>, Vec<_>) =
            known.into_iter().partition(Certificate::is_self_issued);
        let purpose = Some(oid::CODE_SIGNING);
        let at = leaf.not_before();
        Ok(verify_chain(
            leaf,
            &VerifyOptions {
                intermediates: &intermediates,
                roots: &roots,
                at,
                purpose,
            },
        )?)
    }

    /// The timestamp is about the digest of the request, with its nonce, by a trusted authority.
    fn timestamp(&self, request: &[u8], answer: &[u8]) -> Result<(), CheckError> {
        let request = TimeStampRequest::from_der(request)?;
        let token = TimeStampResponse::from_der(answer)?.granted()?;
        if token.info.imprint != request.imprint {
            return Err(TspError::Imprint.into());
        }
        if token.info.nonce != request.nonce {
            return Err(TspError::Nonce.into());
        }
        let authority = self
            .0
            .timestamp_authorities
            .first()
            .ok_or(CheckError::Shape("a trusted timestamp authority"))?;
        let chain = certificates(authority)?;
        let [leaf, intermediates @ .., root] = chain.as_slice() else {
            return Err(CheckError::Shape("a timestamp authority with a chain"));
        };
        let trust = TimestampTrust {
            leaf: Some(leaf),
            intermediates,
            roots: std::slice::from_ref(root),
        };
        token.verify(&trust)?;
        Ok(())
    }
}

/// Verifies the sampled answers.
pub(crate) fn sample(trust: &Trust, work: Work, requests: &[Bytes], samples: &[(usize, Bytes)]) -> Checked {
    let mut checked = Checked {
        verified: 0,
        wrong: None,
    };
    for (number, answer) in samples {
        let request = requests.get(*number).map(Bytes::as_ref).unwrap_or_default();
        match trust.check(work, request, answer) {
            Ok(()) => checked.verified = checked.verified.saturating_add(1),
            Err(error) => {
                checked.wrong.get_or_insert(error.to_string());
            }
        }
    }
    checked
}

fn certificates(authority: &CertificateAuthority) -> Result<Vec<Certificate>, CertError> {
    authority
        .cert_chain
        .certificates
        .iter()
        .map(|raw| Certificate::from_der(&raw.raw_bytes))
        .collect()
}

/// The address in a token that we asked for ourselves.
fn email_of(token: &str) -> Result<String, CheckError> {
    let payload = token
        .split('.')
        .nth(1)
        .and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    let claims: Value = serde_json::from_slice(&payload.ok_or(CheckError::Shape("a token"))?)?;
    Ok(text(&claims, "/email")?.to_owned())
}

/// The text at a JSON pointer (RFC 6901).
fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str, CheckError> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or(CheckError::Shape("a string"))
}

/// The octets whose base64 is at a JSON pointer.
fn bytes(value: &Value, pointer: &str) -> Result<Vec<u8>, CheckError> {
    unbase64(text(value, pointer)?)
}

fn unbase64(text: &str) -> Result<Vec<u8>, CheckError> {
    STANDARD.decode(text).map_err(|_| CheckError::Shape("base64"))
}

#[cfg(test)]
mod tests;
