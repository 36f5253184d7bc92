//! Version 0.0.2 (`rekor pkg/types/intoto/v0.0.2`).
//!
//! The envelope is JSON here, not text, and its octets are base64 twice: once as a DSSE envelope writes them and once more
//! because the API calls the fields bytes.

use common_pki::key::HashAlgorithm;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::{HashSpec, Implementation, Kind, Purpose, Schema, read_spec};
use super::{HASH_FIELDS, PAYLOAD_HASH_FIELDS, SCHEME};
use crate::committed::{CommittedEntry, CommittedSignature, Digest};
use crate::encoding::{decode_any, decode_standard, push_base64, push_json_string};
use crate::envelope::{EnvelopeSignature, Stop, match_signatures};
use crate::error::{FieldRule, Invalid};
use crate::index::{IndexKeys, sha256_hex};
use crate::json::{Object, Text};
use crate::list::List;
use crate::verifier::Verifier;
use crate::{Attestation, Canonical};

pub(in crate::v1) const V002: Implementation = Implementation {
    kind: Kind::Intoto,
    api_version: "0.0.2",
    canonicalize,
    read,
};

#[derive(Deserialize)]
struct Spec<'a> {
    #[serde(borrow)]
    content: Option<Object<Content<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    #[serde(borrow)]
    envelope: Option<Object<Envelope<'a>>>,
    #[serde(borrow)]
    hash: Option<Object<HashSpec<'a>>>,
    #[serde(borrow)]
    payload_hash: Option<Object<HashSpec<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    payload: Option<Text<'a>>,
    #[serde(borrow)]
    payload_type: Option<Text<'a>>,
    #[serde(borrow)]
    signatures: Option<List<Object<SignatureItem<'a>>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignatureItem<'a> {
    #[serde(borrow)]
    keyid: Option<Text<'a>>,
    #[serde(borrow)]
    public_key: Option<Text<'a>>,
    #[serde(borrow)]
    sig: Option<Text<'a>>,
}

/// A spec whose fields are there and are base64 where they should be.
struct Parsed<'a> {
    payload_type: Text<'a>,
    /// Base64 text of the payload; `None` in the committed form.
    payload: Option<String>,
    signatures: Vec<Signature<'a>>,
    hash: Text<'a>,
    payload_hash: Option<Text<'a>>,
}

struct Signature<'a> {
    keyid: Option<Text<'a>>,
    pem: Vec<u8>,
    /// Base64 text of the signature.
    text: String,
}

const ENVELOPE: &str = "content.content.envelope";
const PAYLOAD_TYPE: &str = "content.content.envelope.content.envelope.payloadType";
const SIGNATURES: &str = "content.content.envelope.content.envelope.signatures";

fn parse(spec: &RawValue) -> Result<Parsed<'_>, Invalid> {
    let Spec { content } = read_spec(spec)?;
    let mut schema = Schema::default();
    let Some(Object(content)) = schema.required("content", content) else {
        return Err(Invalid::Fields(schema.0));
    };
    let Some(Object(envelope)) = schema.required(ENVELOPE, content.envelope) else {
        return Err(Invalid::Fields(schema.0));
    };
    let payload_type = schema.required(PAYLOAD_TYPE, envelope.payload_type);
    let items = envelope
        .signatures
        .map(|list| list.bounded("signatures"))
        .transpose()?;
    let items = schema.required(SIGNATURES, items);
    schema.rule(
        SIGNATURES,
        FieldRule::MinItems(1),
        !items.as_ref().is_some_and(Vec::is_empty),
    );
    let mut signatures = Vec::new();
    for Object(item) in items.unwrap_or_default() {
        let pem = schema.required("content.envelope.signatures.publicKey", item.public_key);
        let sig = schema.required("content.envelope.signatures.sig", item.sig);
        if let (Some(pem), Some(sig)) = (pem, sig) {
            let pem = decode_standard(&pem).ok_or(Invalid::Base64("public key"))?;
            let sig = decode_standard(&sig).ok_or(Invalid::Base64("signature"))?;
            let text = String::from_utf8(sig).map_err(|_| Invalid::EnvelopeBase64("signature"))?;
            signatures.push(Signature {
                keyid: item.keyid.filter(|keyid| !keyid.is_empty()),
                pem,
                text,
            });
        }
    }
    let hash = content
        .hash
        .and_then(|hash| hash.0.sha256(&mut schema, HASH_FIELDS));
    let payload_hash = content
        .payload_hash
        .and_then(|hash| hash.0.sha256(&mut schema, PAYLOAD_HASH_FIELDS));
    schema.finish()?;
    let payload = match envelope.payload.filter(|payload| !payload.is_empty()) {
        None => None,
        Some(payload) => {
            let text = decode_standard(&payload).ok_or(Invalid::Base64("payload"))?;
            Some(String::from_utf8(text).map_err(|_| Invalid::EnvelopeBase64("payload"))?)
                .filter(|text| !text.is_empty())
        }
    };
    Ok(Parsed {
        payload_type: payload_type.unwrap_or_default(),
        payload,
        signatures,
        // Any text does: upstream demands the client's hash of its envelope and never looks at it.
        hash: hash.ok_or(Invalid::Missing("envelope digest"))?,
        payload_hash,
    })
}

fn canonicalize(spec: &RawValue, purpose: Purpose<'_>) -> Result<Canonical, Invalid> {
    let parsed = parse(spec)?;
    let mut keys = IndexKeys::default();
    let (payload_hash, attestation) = match (&parsed.payload, purpose) {
        (None, Purpose::Submit(_)) => return Err(Invalid::NotInsertable("envelope content")),
        (None, Purpose::Find) => (
            parsed
                .payload_hash
                .as_deref()
                .ok_or(Invalid::Missing("payload digest"))?
                .to_owned(),
            Attestation::None,
        ),
        (Some(text), _) => {
            if parsed.payload_type.is_empty() {
                return Err(Invalid::NotInsertable("payloadType content"));
            }
            let payload = verify(&parsed, text, &mut keys)?;
            let hash = sha256_hex(&payload);
            keys.digest("sha256", &hash);
            keys.statement(&parsed.payload_type, &payload);
            let attestation = purpose.attestation(&hash, payload);
            (hash, attestation)
        }
    };
    Ok(Canonical {
        kind: V002.kind.as_str(),
        api_version: V002.api_version,
        body: body(&parsed, &payload_hash),
        index_keys: keys.into_terms(),
        attestation,
    })
}

/// Verifies the envelope and gives its payload.
fn verify(parsed: &Parsed<'_>, text: &str, keys: &mut IndexKeys) -> Result<Vec<u8>, Invalid> {
    let payload = decode_standard(text).ok_or(Invalid::EnvelopeBase64("payload"))?;
    let signatures = parsed
        .signatures
        .iter()
        .map(|signature| {
            let octets = decode_any(&signature.text).ok_or(Invalid::EnvelopeBase64("signature"))?;
            Ok(EnvelopeSignature {
                text: &signature.text,
                octets,
            })
        })
        .collect::<Result<Vec<_>, Invalid>>()?;
    let verifiers = parsed
        .signatures
        .iter()
        .map(|signature| Ok((Verifier::from_pem(&signature.pem)?, SCHEME)));
    let matched = match_signatures(
        &parsed.payload_type,
        &payload,
        &signatures,
        verifiers,
        Stop::AtEnd,
    )?;
    for verifier in &matched.verifiers {
        keys.envelope_verifier(verifier);
    }
    Ok(payload)
}

/// RFC 8785 by construction. Keys stay as given: this kind alone does not bring their PEM into canonical form.
fn body(parsed: &Parsed<'_>, payload_hash: &str) -> Vec<u8> {
    let mut body = String::with_capacity(2048);
    body.push_str(r#"{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{"envelope":{"payloadType":"#);
    push_json_string(&mut body, &parsed.payload_type);
    body.push_str(r#","signatures":["#);
    for (index, signature) in parsed.signatures.iter().enumerate() {
        body.push_str(if index == 0 { "{" } else { ",{" });
        if let Some(keyid) = &signature.keyid {
            body.push_str(r#""keyid":"#);
            push_json_string(&mut body, keyid);
            body.push(',');
        }
        body.push_str(r#""publicKey":""#);
        push_base64(&mut body, &signature.pem);
        body.push_str(r#"","sig":""#);
        push_base64(&mut body, signature.text.as_bytes());
        body.push_str(r#""}"#);
    }
    body.push_str(r#"]},"hash":{"algorithm":"sha256","value":"#);
    push_json_string(&mut body, &parsed.hash);
    body.push_str(r#"},"payloadHash":{"algorithm":"sha256","value":"#);
    push_json_string(&mut body, payload_hash);
    body.push_str("}}}}");
    body.into_bytes()
}

fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    let parsed = parse(spec)?;
    let payload_hash = parsed
        .payload_hash
        .as_deref()
        .ok_or(Invalid::Missing("payload digest"))?;
    let mut keys = IndexKeys::default();
    let mut signatures = Vec::with_capacity(parsed.signatures.len());
    for signature in &parsed.signatures {
        let verifier = Verifier::from_pem(&signature.pem)?;
        keys.envelope_verifier(&verifier);
        let octets = decode_any(&signature.text).ok_or(Invalid::Base64("signature"))?;
        signatures.push(CommittedSignature {
            signature: Some(octets),
            verifier,
        });
    }
    keys.digest("sha256", payload_hash);
    Ok(CommittedEntry {
        kind: V002.kind.as_str(),
        api_version: V002.api_version,
        digest: Digest::from_hex(HashAlgorithm::Sha256, payload_hash)?,
        signatures,
        index_keys: keys.into_terms(),
        attestation_key: Some(format!("sha256:{payload_hash}")),
    })
}
