//! `dsse` 0.0.1: the hashes and signatures of an envelope, not the envelope (`rekor pkg/types/dsse/v0.0.1`).

use std::collections::BTreeMap;

use common_pki::key::HashAlgorithm;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{HashFields, HashSpec, Implementation, Kind, Purpose, Schema, read_spec};
use crate::committed::{CommittedEntry, CommittedSignature, Digest};
use crate::encoding::{decode_any, decode_standard, push_base64, push_json_string};
use crate::envelope::{EnvelopeText, Stop, match_signatures};
use crate::error::{FieldRule, Invalid};
use crate::index::{IndexKeys, sha256_hex};
use crate::json::{Object, Text};
use crate::list::List;
use crate::signature::Scheme;
use crate::verifier::Verifier;
use crate::{Attestation, Canonical};

pub(crate) const V001: Implementation = Implementation {
    kind: Kind::Dsse,
    api_version: "0.0.1",
    canonicalize,
    read,
};

/// Every curve and RSA size is verified over SHA-256 in an envelope, so P-384 with SHA-384 is refused
/// (`rekor pkg/types/dsse/v0.0.1/entry.go verifyEnvelope`).
const SCHEME: Scheme = Scheme::Message(HashAlgorithm::Sha256);

const BASE64_PATTERN: &str =
    r"^(?:[A-Za-z0-9+\/]{4})*(?:[A-Za-z0-9+\/]{2}==|[A-Za-z0-9+\/]{3}=|[A-Za-z0-9+\/]{4})$";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    proposed_content: Option<Object<Proposed<'a>>>,
    #[serde(borrow)]
    envelope_hash: Option<Object<HashSpec<'a>>>,
    #[serde(borrow)]
    payload_hash: Option<Object<HashSpec<'a>>>,
    #[serde(borrow, default)]
    signatures: Option<List<Object<SignatureItem<'a>>>>,
}

#[derive(Deserialize)]
struct Proposed<'a> {
    #[serde(borrow)]
    envelope: Option<Text<'a>>,
    #[serde(borrow)]
    verifiers: Option<List<Text<'a>>>,
}

#[derive(Deserialize)]
struct SignatureItem<'a> {
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    verifier: Option<Text<'a>>,
}

/// What is logged: hex hashes, and the PEM of the verifier by the text of its signature.
struct Body {
    envelope_hash: String,
    payload_hash: String,
    signatures: BTreeMap<String, Vec<u8>>,
}

fn canonicalize(spec: &RawValue, purpose: Purpose<'_>) -> Result<Canonical, Invalid> {
    let spec: Spec<'_> = read_spec(spec)?;
    let mut keys = IndexKeys::default();
    let (body, attestation) = match (&spec.proposed_content, purpose) {
        (Some(_), _) => {
            let (body, payload) = proposed(spec, &mut keys)?;
            let kept = matches!(purpose, Purpose::Submit(policy) if policy.dsse_attestations);
            let attestation = match kept {
                true => purpose.attestation(&body.payload_hash, payload),
                false => Attestation::None,
            };
            (body, attestation)
        }
        (None, Purpose::Find) => (committed(spec)?, Attestation::None),
        (None, Purpose::Submit(_)) => {
            committed(spec)?;
            return Err(Invalid::NotInsertable("proposed content"));
        }
    };
    Ok(Canonical {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        body: body.json(),
        index_keys: keys.into_terms(),
        attestation,
    })
}

/// Verifies the proposed form; also gives the payload.
fn proposed(spec: Spec<'_>, keys: &mut IndexKeys) -> Result<(Body, Vec<u8>), Invalid> {
    let signatures_given = spec
        .signatures
        .as_ref()
        .is_some_and(|signatures| !signatures.is_empty());
    let Object(Proposed { envelope, verifiers }) = spec.proposed_content.ok_or(Invalid::DsseNeither)?;
    let verifiers = verifiers.map(|list| list.bounded("verifiers")).transpose()?;
    let mut schema = Schema::default();
    let envelope = schema.required("proposedContent.proposedContent.envelope", envelope);
    let verifiers = schema.required("proposedContent.proposedContent.verifiers", verifiers);
    let none = verifiers
        .as_ref()
        .is_some_and(|verifiers| verifiers.iter().all(|verifier| verifier.is_empty()));
    schema.rule(
        "proposedContent.proposedContent.verifiers",
        FieldRule::MinItems(1),
        !none,
    );
    schema.finish()?;
    if signatures_given || spec.envelope_hash.is_some() || spec.payload_hash.is_some() {
        return Err(Invalid::DsseBoth);
    }
    let (envelope_text, verifiers) = (envelope.unwrap_or_default(), verifiers.unwrap_or_default());

    let envelope = EnvelopeText::parse(&envelope_text)?;
    let signatures = envelope.signatures()?;
    let payload = decode_any(&envelope.payload).ok_or(Invalid::EnvelopeBase64("payload"))?;

    // Lazily: verifiers after the last one needed may be anything.
    let verifiers = verifiers.iter().filter(|text| !text.is_empty()).map(|text| {
        let pem = decode_standard(text).ok_or(Invalid::Base64("verifier"))?;
        Verifier::from_pem(&pem).map(|verifier| (verifier, SCHEME))
    });
    let matched = match_signatures(
        &envelope.payload_type,
        &payload,
        &signatures,
        verifiers,
        Stop::WhenMatched,
    )?;

    let body = Body {
        envelope_hash: sha256_hex(envelope_text.as_bytes()),
        payload_hash: sha256_hex(&payload),
        signatures: matched
            .pairs(&signatures)
            .map(|(signature, verifier)| {
                (
                    signature.text.to_owned(),
                    verifier.canonical_pem().as_bytes().to_vec(),
                )
            })
            .collect(),
    };
    for (_, verifier) in matched.pairs(&signatures) {
        keys.envelope_verifier(verifier);
    }
    keys.digest("sha256", &body.payload_hash);
    keys.digest("sha256", &body.envelope_hash);
    keys.statement(&envelope.payload_type, &payload);
    Ok((body, payload))
}

/// Reads the form that is in the log. Its verifiers are taken as they are: they were canonical when they were logged.
fn committed(spec: Spec<'_>) -> Result<Body, Invalid> {
    let mut schema = Schema::default();
    let envelope_hash = spec
        .envelope_hash
        .and_then(|hash| hash.0.sha256(&mut schema, ENVELOPE_HASH));
    let payload_hash = spec
        .payload_hash
        .and_then(|hash| hash.0.sha256(&mut schema, PAYLOAD_HASH));
    let items = spec.signatures.unwrap_or_default().bounded("signatures")?;
    let mut signatures = BTreeMap::new();
    for Object(item) in &items {
        let signature = schema.required("signatures.signature", item.signature.as_ref());
        let verifier = schema.required(
            "signatures.verifier",
            item.verifier.as_ref().filter(|text| !text.is_empty()),
        );
        let (Some(signature), Some(verifier)) = (signature, verifier) else {
            continue;
        };
        schema.rule(
            "signatures.signature",
            FieldRule::Pattern(BASE64_PATTERN),
            is_base64(signature),
        );
        let pem = decode_standard(verifier).ok_or(Invalid::Base64("signature verifier"))?;
        signatures.insert(signature.to_string(), pem);
    }
    schema.finish()?;
    match (envelope_hash, payload_hash) {
        (Some(envelope_hash), Some(payload_hash)) if !signatures.is_empty() => Ok(Body {
            envelope_hash: envelope_hash.to_string(),
            payload_hash: payload_hash.to_string(),
            signatures,
        }),
        _ => Err(Invalid::DsseNeither),
    }
}

const ENVELOPE_HASH: HashFields = (
    "envelopeHash.envelopeHash.algorithm",
    "envelopeHash.envelopeHash.value",
);
const PAYLOAD_HASH: HashFields = (
    "payloadHash.payloadHash.algorithm",
    "payloadHash.payloadHash.value",
);

/// [`BASE64_PATTERN`].
fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let padding = text.len().saturating_sub(digits.len());
    !text.is_empty()
        && text.len().is_multiple_of(4)
        && padding <= 2
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

impl Body {
    /// RFC 8785 by construction; the map is in the order of the signatures' text, as upstream sorts them.
    fn json(&self) -> Vec<u8> {
        let mut body = String::with_capacity(2048);
        body.push_str(
            r#"{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":{"algorithm":"sha256","value":"#,
        );
        push_json_string(&mut body, &self.envelope_hash);
        body.push_str(r#"},"payloadHash":{"algorithm":"sha256","value":"#);
        push_json_string(&mut body, &self.payload_hash);
        body.push_str(r#"},"signatures":["#);
        for (index, (signature, pem)) in self.signatures.iter().enumerate() {
            body.push_str(if index == 0 {
                r#"{"signature":"#
            } else {
                r#",{"signature":"#
            });
            push_json_string(&mut body, signature);
            body.push_str(r#","verifier":""#);
            push_base64(&mut body, pem);
            body.push_str(r#""}"#);
        }
        body.push_str("]}}");
        body.into_bytes()
    }
}

fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    let body = committed(read_spec(spec)?)?;
    let mut keys = IndexKeys::default();
    let mut signatures = Vec::with_capacity(body.signatures.len());
    for (text, pem) in &body.signatures {
        let verifier = Verifier::from_pem(pem)?;
        keys.envelope_verifier(&verifier);
        let signature = decode_any(text).ok_or(Invalid::Base64("signature"))?;
        signatures.push(CommittedSignature {
            signature: Some(signature),
            verifier,
        });
    }
    keys.digest("sha256", &body.payload_hash);
    keys.digest("sha256", &body.envelope_hash);
    Ok(CommittedEntry {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        digest: Digest::from_hex(HashAlgorithm::Sha256, &body.payload_hash)?,
        signatures,
        index_keys: keys.into_terms(),
        attestation_key: Some(format!("sha256:{}", body.payload_hash)),
    })
}
