//! Verification summaries (`slsa.dev/spec/v1.2/verification_summary`): a verdict, signed with the verifier's key, for those
//! who trust the verifier and need no Sigstore. `slsa-verifier verify-vsa` makes the same checks as [`check`].

use std::collections::BTreeMap;

use common_pki::key::{PublicKey, SignError, Signer};
use serde::Deserialize;
use serde_json::json;

use super::Subject;
use crate::format::{Envelope, EnvelopeSignature, IN_TOTO_PAYLOAD_TYPE, STATEMENT_TYPE, is_statement_type};

/// The predicate type.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/verification_summary/v1";

/// What a summary says.
pub struct Summary<'a> {
    /// The artifacts, each by name and hex SHA-256.
    pub subjects: &'a [(String, String)],
    /// Who verified.
    pub verifier: &'a str,
    /// RFC 3339.
    pub time: &'a str,
    /// What the artifact is to its users.
    pub resource: &'a str,
    /// The policy: a URI, and hex SHA-256 where it is a file.
    pub policy: (&'a str, Option<&'a str>),
    /// Hex SHA-256 of the attestation that was verified.
    pub input: &'a str,
    /// SLSA Build level.
    pub level: u8,
}

/// Writes and signs the summary; the JSON of an envelope. `key` signs over SHA-256, or it is not an ECDSA P-256 or RSA key.
///
/// # Errors
/// The key failed.
pub fn sign(summary: &Summary<'_>, key: &dyn Signer) -> Result<String, SignError> {
    let subjects = summary
        .subjects
        .iter()
        .map(|(name, sha256)| json!({ "name": name, "digest": { "sha256": sha256 } }));
    let mut policy = json!({ "uri": summary.policy.0 });
    if let (Some(sha256), Some(members)) = (summary.policy.1, policy.as_object_mut()) {
        members.insert("digest".to_owned(), json!({ "sha256": sha256 }));
    }
    let statement = json!({
        "_type": STATEMENT_TYPE,
        "subject": subjects.collect::<Vec<_>>(),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "verifier": { "id": summary.verifier },
            "timeVerified": summary.time,
            "resourceUri": summary.resource,
            "policy": policy,
            "inputAttestations": [{ "digest": { "sha256": summary.input } }],
            "verificationResult": "PASSED",
            "verifiedLevels": [format!("SLSA_BUILD_LEVEL_{}", summary.level)],
            "slsaVersion": "1.2",
        },
    });
    let mut envelope = Envelope {
        payload: statement.to_string().into_bytes(),
        payload_type: IN_TOTO_PAYLOAD_TYPE.to_owned(),
        signatures: Vec::new(),
    };
    envelope.signatures.push(EnvelopeSignature {
        sig: key.sign(&envelope.pae())?,
        keyid: Some(hex::encode(key.public_key().fingerprint())),
    });
    serde_json::to_string(&envelope).map_err(|error| SignError::Failed(error.to_string()))
}

/// What is expected of a summary.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `ALGORITHM:VALUE` of each artifact; all must be subjects.
    pub digests: Vec<(String, String)>,
    /// Who must have verified.
    pub verifier: String,
    /// What the artifact must be.
    pub resource: String,
    /// Levels, each at least of its track; others to the letter.
    pub levels: Vec<String>,
}

/// Why a summary is refused.
#[derive(Debug, thiserror::Error)]
pub enum VsaError {
    /// Not an envelope, or not a summary in it.
    #[error("not a verification summary: {0}")]
    Json(#[from] serde_json::Error),
    /// Signed by nobody, by several, or by another key.
    #[error("no signature of the summary verifies with the key")]
    Signature,
    /// Something else than asked for.
    #[error("{what}: expected {expected:?}, got {got:?}")]
    Other {
        /// What.
        what: &'static str,
        /// Asked for.
        expected: String,
        /// In the summary.
        got: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type", default)]
    kind: String,
    #[serde(default)]
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    verifier: Verifier,
    resource_uri: String,
    verification_result: String,
    #[serde(default)]
    verified_levels: Vec<String>,
}

#[derive(Deserialize)]
struct Verifier {
    id: String,
}

/// Checks a summary: signature, type, subjects, verifier, resource, result, levels (`slsa-verifier verifiers/internal/vsa`).
///
/// # Errors
/// The first check that fails.
pub fn check(json: &[u8], key: &PublicKey, asked: &Asked) -> Result<(), VsaError> {
    let envelope: Envelope = serde_json::from_slice(json)?;
    let pae = envelope.pae();
    let signed = envelope
        .signatures
        .iter()
        .any(|signature| signed_by(key, &pae, &signature.sig));
    if !signed {
        return Err(VsaError::Signature);
    }
    let is = |what, expected: &str, got: &str| {
        if expected == got {
            return Ok(());
        }
        Err(VsaError::Other {
            what,
            expected: expected.to_owned(),
            got: got.to_owned(),
        })
    };
    is("payload type", IN_TOTO_PAYLOAD_TYPE, &envelope.payload_type)?;
    let statement: Statement = serde_json::from_slice(&envelope.payload)?;
    if !is_statement_type(&statement.kind) {
        return is("statement type", STATEMENT_TYPE, &statement.kind);
    }
    is("predicate type", PREDICATE_TYPE, &statement.predicate_type)?;
    for (algorithm, value) in &asked.digests {
        let has = |digest: &BTreeMap<String, String>| digest.get(algorithm).is_some_and(|got| got == value);
        if !statement.subject.iter().any(|subject| has(&subject.digest)) {
            let got = statement.subject.iter().flat_map(|subject| &subject.digest);
            let got: Vec<String> = got.map(|(name, value)| format!("{name}:{value}")).collect();
            return is("subject", &format!("{algorithm}:{value}"), &got.join(", "));
        }
    }
    is("verifier", &asked.verifier, &statement.predicate.verifier.id)?;
    is("resource", &asked.resource, &statement.predicate.resource_uri)?;
    is("result", "PASSED", &statement.predicate.verification_result)?;
    let levels = &statement.predicate.verified_levels;
    for wanted in &asked.levels {
        if !levels.iter().any(|level| attains(level, wanted)) {
            return is("levels", wanted, &levels.join(", "));
        }
    }
    Ok(())
}

/// ECDSA signatures of summaries are DER, or the two integers one after the other, as some key services make them.
fn signed_by(key: &PublicKey, pae: &[u8], signature: &[u8]) -> bool {
    let hash = key.default_hash();
    key.verify(hash, pae, signature).is_ok()
        || key
            .verify_digest_p1363(hash, &hash.digest(pae), signature)
            .is_ok()
}

/// `SLSA_TRACK_LEVEL_3` attains `SLSA_TRACK_LEVEL_2`.
fn attains(level: &str, wanted: &str) -> bool {
    fn parts(text: &str) -> Option<(&str, u32)> {
        let (track, number) = text.strip_prefix("SLSA_")?.split_once("_LEVEL_")?;
        Some((track, number.parse().ok()?))
    }
    match (parts(level), parts(wanted)) {
        (Some((track, got)), Some((of, wanted))) => track == of && got >= wanted,
        _ => level == wanted,
    }
}
