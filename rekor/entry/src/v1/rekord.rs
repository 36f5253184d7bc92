//! `rekord` 0.0.1: a signature in one of several formats over content that is given, hashed and dropped
//! (`rekor pkg/types/rekord/v0.0.1`).

use common_pki::key::HashAlgorithm;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Artifact, Content, Implementation, Kind, Purpose, Schema, hash_of, parts, read_spec};
use crate::committed::{CommittedEntry, Digest};
use crate::encoding::{decode_standard, push_base64};
use crate::error::{FieldRule, Invalid};
use crate::json::{Object, Text};
use crate::pki::Format;
use crate::{Attestation, Canonical};

pub(crate) const V001: Implementation = Implementation {
    kind: Kind::Rekord,
    api_version: "0.0.1",
    canonicalize,
    read,
};

#[derive(Deserialize)]
struct Spec<'a> {
    #[serde(borrow)]
    data: Option<Object<Artifact<'a>>>,
    #[serde(borrow)]
    signature: Option<Object<Signature<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signature<'a> {
    #[serde(borrow)]
    format: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    public_key: Option<Object<Content<'a>>>,
}

/// A spec whose fields are there and well formed.
struct Parsed<'a> {
    /// `None` in the committed form.
    content: Option<Vec<u8>>,
    hash: Option<Text<'a>>,
    format: Format,
    signature: Vec<u8>,
    key: Vec<u8>,
}

fn parse(spec: &RawValue) -> Result<Parsed<'_>, Invalid> {
    let Spec { data, signature } = read_spec(spec)?;
    let mut schema = Schema::default();
    let data = schema.required("data", data);
    let (mut content, mut hash) = (None, None);
    if let Some(Object(data)) = data {
        content = data.content;
        // The doubled paths are what go-openapi makes of nested inline schemas.
        let fields = (
            "data.data.hash.data.hash.algorithm",
            "data.data.hash.data.hash.value",
        );
        hash = parts::given_hash(&mut schema, data.hash, fields);
    }
    let (mut format, mut octets, mut key) = (None, None, None);
    if let Some(Object(signature)) = schema.required("signature", signature) {
        octets = schema.required(
            "signature.signature.content",
            signature.content.filter(|text| !text.is_empty()),
        );
        let name = schema.required("signature.signature.format", signature.format);
        format = name.as_deref().and_then(Format::from_name);
        schema.rule(
            "signature.signature.format",
            FieldRule::OneOf(Format::NAMES),
            name.is_none() || format.is_some(),
        );
        if let Some(Object(public_key)) =
            schema.required("signature.signature.publicKey", signature.public_key)
        {
            key = schema.required(
                "signature.signature.publicKey.signature.publicKey.content",
                public_key.filled(),
            );
        }
    }
    schema.finish()?;
    let octets = octets.ok_or(Invalid::Missing("signature content"))?;
    let key = key.ok_or(Invalid::Missing("public key"))?;
    if let Some(hash) = &hash {
        Digest::from_hex(HashAlgorithm::Sha256, hash)?;
    }
    let content = content.filter(|content| !content.is_empty());
    if content.is_none() && hash.is_none() {
        return Err(Invalid::NoContent);
    }
    Ok(Parsed {
        content: parts::octets(content, "data content")?,
        hash,
        format: format.ok_or(Invalid::Missing("signature format"))?,
        signature: decode_standard(&octets).ok_or(Invalid::Base64("signature content"))?,
        key: decode_standard(&key).ok_or(Invalid::Base64("signature publicKey content"))?,
    })
}

fn canonicalize(spec: &RawValue, purpose: Purpose<'_>) -> Result<Canonical, Invalid> {
    let parsed = parse(spec)?;
    let hash = match (&parsed.content, &parsed.hash, purpose) {
        // The form that is in the log, which was verified when it came.
        (None, Some(hash), Purpose::Find) => hash.to_string(),
        (None, _, _) => return Err(Invalid::NoContent),
        (Some(content), given, _) => hash_of(content, given.as_deref())?,
    };
    let detached = parsed.format.detached(&parsed.key, &parsed.signature)?;
    if let Some(content) = &parsed.content {
        detached.verify(content)?;
    }
    let key = detached.key();
    Ok(Canonical {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        body: body(&hash, &detached.signature()?, parsed.format, &key.canonical),
        index_keys: parts::index_keys(&key, &hash),
        attestation: Attestation::None,
    })
}

/// RFC 8785 by construction.
fn body(hash: &str, signature: &[u8], format: Format, key: &[u8]) -> Vec<u8> {
    let mut body = String::with_capacity(2048);
    body.push_str(
        r#"{"apiVersion":"0.0.1","kind":"rekord","spec":{"data":{"hash":{"algorithm":"sha256","value":""#,
    );
    body.push_str(hash);
    body.push_str(r#""}},"signature":{"content":""#);
    push_base64(&mut body, signature);
    body.push_str(r#"","format":""#);
    body.push_str(format.name());
    body.push_str(r#"","publicKey":{"content":""#);
    push_base64(&mut body, key);
    body.push_str(r#""}}}}"#);
    body.into_bytes()
}

fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    let parsed = parse(spec)?;
    let hash = parsed.hash.ok_or(Invalid::Missing("hash value"))?;
    let key = parsed.format.key(&parsed.key)?;
    Ok(CommittedEntry {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        digest: Digest::from_hex(HashAlgorithm::Sha256, &hash)?,
        signatures: Vec::new(),
        index_keys: parts::index_keys(&key, &hash),
        attestation_key: None,
    })
}
