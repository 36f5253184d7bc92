//! `hashedrekord` 0.0.1: a signature over a digest (`rekor pkg/types/hashedrekord/v0.0.1`).
//!
//! The hottest code of a log: one pass over the JSON, one signature verified over the digest as given, the body written once.

use common_pki::key::{HashAlgorithm, KeyAlgorithm};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Content, HashSpec, Implementation, Kind, Purpose, Schema, read_spec};
use crate::committed::{CommittedEntry, CommittedSignature, Digest};
use crate::encoding::{decode_standard, push_base64};
use crate::error::{FieldRule, Invalid};
use crate::index::IndexKeys;
use crate::json::{Object, Text};
use crate::signature::{SignatureFailure, verify_digest};
use crate::verifier::Verifier;
use crate::{Attestation, Canonical};

pub(crate) const V001: Implementation = Implementation {
    kind: Kind::Hashedrekord,
    api_version: "0.0.1",
    canonicalize,
    read,
};

const ALGORITHMS: &[&str] = &["sha256", "sha384", "sha512"];

#[derive(Deserialize)]
struct Spec<'a> {
    #[serde(borrow)]
    data: Option<Object<Data<'a>>>,
    #[serde(borrow)]
    signature: Option<Object<Signature<'a>>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    hash: Option<Object<HashSpec<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signature<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    public_key: Option<Object<Content<'a>>>,
}

/// A spec whose fields are there and well formed.
struct Parsed<'a> {
    hash: HashAlgorithm,
    /// The digest as the client spelled it: upper-case digits stay, and make another leaf.
    hex: Text<'a>,
    digest: Vec<u8>,
    signature: Vec<u8>,
    verifier: Verifier,
}

fn parse(spec: &RawValue) -> Result<Parsed<'_>, Invalid> {
    let Spec { data, signature } = read_spec(spec)?;
    let mut schema = Schema::default();
    let hash = schema.required("data", data).map(|Object(data)| data.hash);
    let mut fields = (None, None);
    if let Some(Some(Object(HashSpec { algorithm, value }))) = hash {
        // The doubled path is what go-openapi makes of a nested inline schema.
        let algorithm = schema.required("data.data.hash.data.hash.algorithm", algorithm);
        let known = algorithm
            .as_ref()
            .map(|name| HashAlgorithm::ALL.into_iter().find(|hash| hash.name() == &**name));
        schema.rule(
            "data.data.hash.data.hash.algorithm",
            FieldRule::OneOf(ALGORITHMS),
            !matches!(known, Some(None)),
        );
        fields = (
            known.flatten(),
            schema.required("data.data.hash.data.hash.value", value),
        );
    }
    let signature = schema.required("signature", signature);
    schema.finish()?;
    let Object(Signature { content, public_key }) = signature.ok_or(Invalid::Missing("signature"))?;
    let content = content
        .filter(|text| !text.is_empty())
        .ok_or(Invalid::Missing("signature content"))?;
    let signature = decode_standard(&content).ok_or(Invalid::Base64("signature content"))?;
    let Object(Content { content }) = public_key.ok_or(Invalid::Missing("public key"))?;
    let pem = decode_standard(&content.unwrap_or_default()).ok_or(Invalid::Base64("public key content"))?;
    let verifier = Verifier::from_pem(&pem)?;
    let (hash, hex) = (
        fields.0.ok_or(Invalid::Missing("hash"))?,
        fields.1.ok_or(Invalid::Missing("hash value"))?,
    );
    let expected = hash.len().saturating_mul(2);
    if hex.len() != expected {
        return Err(Invalid::HashLength {
            algorithm: hash.name(),
            expected,
            got: hex.len(),
        });
    }
    let digest = hex::decode(&*hex).map_err(|_| Invalid::HashDigits)?;
    Ok(Parsed {
        hash,
        hex,
        digest,
        signature,
        verifier,
    })
}

fn canonicalize(spec: &RawValue, purpose: Purpose<'_>) -> Result<Canonical, Invalid> {
    let parsed = parse(spec)?;
    let key = parsed.verifier.key();
    // Over a digest an Ed25519 key means Ed25519ph, and that needs SHA-512; upstream says so before it looks at its policy.
    if key.algorithm() == KeyAlgorithm::Ed25519 && parsed.hash != HashAlgorithm::Sha512 {
        return Err(
            SignatureFailure::Ed25519Hash(if parsed.hash == HashAlgorithm::Sha256 {
                "SHA-256"
            } else {
                "SHA-384"
            })
            .into(),
        );
    }
    // The policy costs nothing, a signature does: refuse first.
    if let Purpose::Submit(policy) = purpose
        && !policy.algorithms.permits(key.algorithm(), parsed.hash)
    {
        return Err(Invalid::AlgorithmsNotAllowed);
    }
    parsed.verifier.check_chain()?;
    verify_digest(key, parsed.hash, &parsed.digest, &parsed.signature)?;
    let mut keys = IndexKeys::default();
    keys.verifier(&parsed.verifier);
    keys.digest(parsed.hash.name(), &parsed.hex);
    Ok(Canonical {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        body: body(&parsed),
        index_keys: keys.into_terms(),
        attestation: Attestation::None,
    })
}

/// RFC 8785 by construction: members in order, no string that needs an escape.
fn body(parsed: &Parsed<'_>) -> Vec<u8> {
    let pem = parsed.verifier.canonical_pem();
    let mut body = String::with_capacity(
        320usize.saturating_add(pem.len().saturating_add(parsed.signature.len()).saturating_mul(3) / 2),
    );
    body.push_str(r#"{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":""#);
    body.push_str(parsed.hash.name());
    body.push_str(r#"","value":""#);
    body.push_str(&parsed.hex);
    body.push_str(r#""}},"signature":{"content":""#);
    push_base64(&mut body, &parsed.signature);
    body.push_str(r#"","publicKey":{"content":""#);
    push_base64(&mut body, pem.as_bytes());
    body.push_str(r#""}}}}"#);
    body.into_bytes()
}

fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    let parsed = parse(spec)?;
    let mut keys = IndexKeys::default();
    keys.verifier(&parsed.verifier);
    keys.digest(parsed.hash.name(), &parsed.hex);
    Ok(CommittedEntry {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        digest: Digest {
            algorithm: parsed.hash,
            value: parsed.digest,
        },
        signatures: vec![CommittedSignature {
            signature: Some(parsed.signature),
            verifier: parsed.verifier,
        }],
        index_keys: keys.into_terms(),
        attestation_key: None,
    })
}
