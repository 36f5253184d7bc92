//! From a submission to a publication: everything that must hold before results are shown under a repository's name.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::format::{
    Bundle, Content, IN_TOTO_PAYLOAD_TYPE, KeyMaterial, MediaType, MessageDigest, TransparencyLogEntry,
};
use common_bundle::trust::TrustedRoot;
use common_bundle::verify::{Artifact, Policy, VerifyError, verify};
use common_pki::cert::Certificate;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Refusal;
use crate::project::Project;
use crate::results::Results;
use crate::store::Publication;

/// Extensions under 1.3.6.1.4.1.57264.1 (fulcio `docs/oid-info.md`).
const SOURCE_REPOSITORY_URI: u32 = 12;
const SOURCE_REPOSITORY_DIGEST: u32 = 13;
const SOURCE_REPOSITORY_REF: u32 = 14;

/// Reads the Rekor v1 log.
#[async_trait]
pub trait Log: Send + Sync {
    /// The entry with this index over all shards, proofs included.
    ///
    /// # Errors
    /// [`LogError`] when the log cannot be read now.
    async fn entry(&self, index: u64) -> Result<Option<TransparencyLogEntry>, LogError>;
}

/// The log cannot be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log cannot be read now; retry shortly")]
pub struct LogError;

/// The request body. The publisher's `accessToken`, which scorecard-action sends along, is not read at all.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Submission {
    /// The results, to the byte as they were signed.
    result: String,
    branch: String,
    #[serde(default)]
    tlog_index: Option<u64>,
    #[serde(default)]
    bundle: Option<Box<RawValue>>,
}

impl Submission {
    /// The evidence: the bundle that came along, or one made of the log entry that was named. An index of 0 is an index
    /// (upstream takes it for none).
    pub(crate) async fn bundle(&self, log: &dyn Log) -> Result<Bundle, Refusal> {
        if let Some(bundle) = &self.bundle {
            return Ok(Bundle::from_json(bundle.get().as_bytes())?);
        }
        let index = self.tlog_index.ok_or(Refusal::NoEvidence)?;
        let entry = log.entry(index).await?.ok_or(Refusal::NoEntry(index))?;
        bundle_of(entry)
    }

    /// Checks everything. Verifies signatures, so it belongs on the processor pool.
    pub(crate) fn judge(
        &self,
        project: &Project,
        bundle: &Bundle,
        trust: &TrustedRoot,
        issuers: &[String],
    ) -> Result<Publication, Refusal> {
        let KeyMaterial::Certificates(chain) = &bundle.key_material else {
            return Err(Refusal::NoCertificate);
        };
        let leaf = chain.first().ok_or(Refusal::NoCertificate)?;
        let leaf = Certificate::from_der(leaf).map_err(VerifyError::Certificate)?;
        let issuer = leaf
            .sigstore_extension(8)
            .or_else(|| leaf.sigstore_extension(1))
            .unwrap_or_default();
        if !issuers.is_empty() && !issuers.contains(&issuer) {
            return Err(Refusal::Issuer {
                expected: issuers.join(", "),
                got: issuer,
            });
        }
        let names = leaf.subject_alt_names().map_err(VerifyError::Certificate)?;
        let subject = names.first().map(|name| name.text()).unwrap_or_default();

        let (artifact, results) = match &bundle.content {
            Content::Message { .. } => (
                Artifact::Bytes(self.result.as_bytes()),
                Results::from_json(self.result.as_bytes())?,
            ),
            Content::Dsse(envelope) => {
                same(
                    "payload type",
                    IN_TOTO_PAYLOAD_TYPE.to_owned(),
                    &envelope.payload_type,
                )?;
                if envelope.payload != self.result.as_bytes() {
                    return Err(Refusal::Differs {
                        what: "result",
                        expected: "the bytes of the envelope's payload".to_owned(),
                        got: "others".to_owned(),
                    });
                }
                (Artifact::Statement, Results::from_statement(&envelope.payload)?)
            }
        };
        // Whoever it names, the certificate must be one of ours, logged, and valid when it signed.
        let verified = verify(bundle, artifact, trust, &Policy::identity(subject, issuer))?;

        agree(&leaf, &results, project, &self.branch)?;
        Ok(Publication {
            project: project.to_string(),
            commit: results.commit,
            branch: self.branch.clone(),
            signed_at: verified
                .times
                .iter()
                .map(|time| time.unix)
                .max()
                .unwrap_or_default(),
            log_index: bundle.tlog_entries.first().map(|entry| entry.log_index),
            media_type: match bundle.content {
                Content::Message { .. } => "application/json",
                Content::Dsse(_) => IN_TOTO_PAYLOAD_TYPE,
            }
            .to_owned(),
            signed: self.result.clone(),
            bundle: bundle.to_json().map_err(|_| Refusal::Internal)?,
        })
    }
}

/// What the certificate says of its job must be what the results and their publisher say.
fn agree(leaf: &Certificate, results: &Results, project: &Project, branch: &str) -> Result<(), Refusal> {
    let said = |number| leaf.sigstore_extension(number).unwrap_or_default();
    same(
        "repository of the certificate",
        project.uri(),
        &said(SOURCE_REPOSITORY_URI),
    )?;
    same(
        "repository of the results",
        project.to_string(),
        &results.repository,
    )?;
    if !is_commit(&results.commit) {
        return Err(Refusal::Commit(results.commit.chars().take(64).collect()));
    }
    same(
        "commit of the certificate",
        results.commit.clone(),
        &said(SOURCE_REPOSITORY_DIGEST),
    )?;
    let reference = said(SOURCE_REPOSITORY_REF);
    if reference.is_empty() || (reference != branch && reference != format!("refs/heads/{branch}")) {
        return Err(Refusal::Differs {
            what: "ref of the certificate",
            expected: branch.chars().take(256).collect(),
            got: reference,
        });
    }
    Ok(())
}

/// Whether `text` names a commit: it becomes a file's name.
pub(crate) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn same(what: &'static str, expected: String, got: &str) -> Result<(), Refusal> {
    if expected == got {
        return Ok(());
    }
    Err(Refusal::Differs {
        what,
        expected,
        got: got.chars().take(512).collect(),
    })
}

/// The part of a `hashedrekord` 0.0.1 body that a bundle is made of (rekor `pkg/types/hashedrekord/v0.0.1`).
#[derive(Deserialize)]
struct Body {
    kind: String,
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    data: Data,
    signature: Signature,
}

#[derive(Deserialize)]
struct Data {
    hash: Hash,
}

#[derive(Deserialize)]
struct Hash {
    algorithm: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signature {
    content: String,
    public_key: PublicKey,
}

#[derive(Deserialize)]
struct PublicKey {
    content: String,
}

/// A bundle of what the log itself holds: the entry has certificate, signature and digest.
fn bundle_of(entry: TransparencyLogEntry) -> Result<Bundle, Refusal> {
    let index = entry.log_index;
    let other = |got: &str| Refusal::Entry {
        index,
        got: got.to_owned(),
    };
    let body: Body = serde_json::from_slice(&entry.canonicalized_body).map_err(|_| other("another kind"))?;
    if body.kind != "hashedrekord" {
        return Err(other(&format!(
            "{:?}",
            body.kind.chars().take(64).collect::<String>()
        )));
    }
    if body.spec.data.hash.algorithm != "sha256" {
        return Err(other("another digest than sha256"));
    }
    let digest =
        hex::decode(&body.spec.data.hash.value).map_err(|_| other("a digest that is not hexadecimal"))?;
    let signature = STANDARD
        .decode(&body.spec.signature.content)
        .map_err(|_| other("a signature that is not base64"))?;
    let pem = STANDARD
        .decode(&body.spec.signature.public_key.content)
        .ok()
        .and_then(|pem| String::from_utf8(pem).ok())
        .ok_or_else(|| other("a verifier that is not PEM"))?;
    let leaf = match Certificate::chain_from_pem(&pem, 2).as_deref() {
        Ok([leaf]) => leaf.to_der().to_vec(),
        Ok(_) => return Err(other("several certificates")),
        Err(_) => return Err(other("a key")),
    };
    Ok(Bundle {
        media_type: MediaType::V03,
        key_material: KeyMaterial::Certificates(vec![leaf]),
        tlog_entries: vec![entry],
        timestamps: Vec::new(),
        content: Content::Message {
            digest: Some(MessageDigest {
                algorithm: "SHA2_256".to_owned(),
                digest,
            }),
            signature,
        },
    })
}
