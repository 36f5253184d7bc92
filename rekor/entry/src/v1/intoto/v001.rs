//! Version 0.0.1: one key for the whole envelope, which comes as the text of its JSON (`rekor pkg/types/intoto/v0.0.1`).

use common_pki::key::HashAlgorithm;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::{HashSpec, Implementation, Kind, Purpose, Schema, read_spec};
use super::{HASH_FIELDS, PAYLOAD_HASH_FIELDS, SCHEME};
use crate::committed::{CommittedEntry, CommittedSignature, Digest};
use crate::encoding::{decode_standard, push_base64, push_json_string};
use crate::envelope::{EnvelopeText, first_verified};
use crate::error::Invalid;
use crate::index::{IndexKeys, sha256_hex};
use crate::json::{Object, Text};
use crate::verifier::Verifier;
use crate::{Attestation, Canonical};

pub(in crate::v1) const V001: Implementation = Implementation {
    kind: Kind::Intoto,
    api_version: "0.0.1",
    canonicalize,
    read,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    content: Option<Object<Content<'a>>>,
    #[serde(borrow)]
    public_key: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    #[serde(borrow)]
    envelope: Option<Text<'a>>,
    #[serde(borrow)]
    hash: Option<Object<HashSpec<'a>>>,
    #[serde(borrow)]
    payload_hash: Option<Object<HashSpec<'a>>>,
}

/// A spec whose fields are there and well formed.
struct Parsed<'a> {
    /// `None` in the committed form.
    envelope: Option<Text<'a>>,
    hash: Option<Text<'a>>,
    payload_hash: Option<Text<'a>>,
    verifier: Verifier,
}

fn parse(spec: &RawValue) -> Result<Parsed<'_>, Invalid> {
    let Spec { content, public_key } = read_spec(spec)?;
    let mut schema = Schema::default();
    let content = schema.required("content", content);
    let public_key = schema.required("publicKey", public_key.filter(|key| !key.is_empty()));
    let (mut envelope, mut hash, mut payload_hash) = (None, None, None);
    if let Some(Object(content)) = content {
        envelope = content.envelope.filter(|envelope| !envelope.is_empty());
        hash = content
            .hash
            .and_then(|hash| hash.0.sha256(&mut schema, HASH_FIELDS));
        payload_hash = content
            .payload_hash
            .and_then(|hash| hash.0.sha256(&mut schema, PAYLOAD_HASH_FIELDS));
    }
    schema.finish()?;
    let pem = decode_standard(&public_key.unwrap_or_default()).ok_or(Invalid::Base64("public key"))?;
    Ok(Parsed {
        envelope,
        hash,
        payload_hash,
        verifier: Verifier::from_pem(&pem)?,
    })
}

fn canonicalize(spec: &RawValue, purpose: Purpose<'_>) -> Result<Canonical, Invalid> {
    let parsed = parse(spec)?;
    let mut keys = IndexKeys::default();
    let (hash, payload_hash, attestation) = match (&parsed.envelope, purpose) {
        (None, Purpose::Submit(_)) => return Err(Invalid::NotInsertable("envelope")),
        // Entries of before 2021-12 have no hash of their payload.
        (None, Purpose::Find) => (
            parsed
                .hash
                .as_deref()
                .ok_or(Invalid::Missing("hash value for envelope"))?
                .to_owned(),
            parsed.payload_hash.as_deref().map(str::to_owned),
            Attestation::None,
        ),
        // The client's own hashes are not looked at.
        (Some(text), _) => {
            let (payload_type, payload) = verify(text, &parsed.verifier)?;
            let (hash, payload_hash) = (sha256_hex(text.as_bytes()), sha256_hex(&payload));
            keys.digest("sha256", &hash);
            keys.envelope_verifier(&parsed.verifier);
            keys.digest("sha256", &payload_hash);
            keys.statement(&payload_type, &payload);
            let attestation = purpose.attestation(&payload_hash, payload);
            (hash, Some(payload_hash), attestation)
        }
    };
    Ok(Canonical {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        body: body(&parsed.verifier, &hash, payload_hash.as_deref()),
        index_keys: keys.into_terms(),
        attestation,
    })
}

/// Verifies the envelope, one of whose signatures has to be the key's, and gives the type and the octets of its payload.
fn verify(text: &str, verifier: &Verifier) -> Result<(String, Vec<u8>), Invalid> {
    let envelope = EnvelopeText::parse(text)?;
    // Upstream reads the payload in the standard alphabet alone here, unlike in `dsse`.
    let payload = decode_standard(&envelope.payload).ok_or(Invalid::EnvelopeBase64("payload"))?;
    first_verified(
        &envelope.payload_type,
        &payload,
        &envelope.signatures()?,
        verifier,
        SCHEME,
    )?;
    Ok((envelope.payload_type.to_string(), payload))
}

/// RFC 8785 by construction.
fn body(verifier: &Verifier, hash: &str, payload_hash: Option<&str>) -> Vec<u8> {
    let mut body = String::with_capacity(1024);
    body.push_str(
        r#"{"apiVersion":"0.0.1","kind":"intoto","spec":{"content":{"hash":{"algorithm":"sha256","value":"#,
    );
    push_json_string(&mut body, hash);
    if let Some(payload_hash) = payload_hash {
        body.push_str(r#"},"payloadHash":{"algorithm":"sha256","value":"#);
        push_json_string(&mut body, payload_hash);
    }
    body.push_str(r#"}},"publicKey":""#);
    push_base64(&mut body, verifier.canonical_pem().as_bytes());
    body.push_str(r#""}}"#);
    body.into_bytes()
}

fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    let parsed = parse(spec)?;
    let hash = parsed.hash.ok_or(Invalid::Missing("hash value for envelope"))?;
    let mut keys = IndexKeys::default();
    keys.digest("sha256", &hash);
    keys.envelope_verifier(&parsed.verifier);
    if let Some(payload_hash) = &parsed.payload_hash {
        keys.digest("sha256", payload_hash);
    }
    let digest = parsed.payload_hash.as_deref().unwrap_or(&hash);
    Ok(CommittedEntry {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        digest: Digest::from_hex(HashAlgorithm::Sha256, digest)?,
        signatures: vec![CommittedSignature {
            signature: None,
            verifier: parsed.verifier,
        }],
        index_keys: keys.into_terms(),
        attestation_key: parsed.payload_hash.map(|hash| format!("sha256:{}", &*hash)),
    })
}
