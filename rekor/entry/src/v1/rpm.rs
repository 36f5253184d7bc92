//! `rpm` 0.0.1: a signed package of RPM (`rekor pkg/types/rpm`, `go-rpmutils`).
//!
//! The leaf has the package's name, version and architecture, which the signed header holds, and the hash of the file.

mod package;

use std::collections::BTreeMap;

use common_pki::key::HashAlgorithm;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Content, HashSpec, Implementation, Kind, Purpose, Schema, hash_of, read_spec};
use crate::committed::{CommittedEntry, Digest};
use crate::encoding::{decode_standard, push_base64, push_json_string};
use crate::error::Invalid;
use crate::index::IndexKeys;
use crate::json::{Object, Text};
use crate::pki::{Key, pgp};
use crate::{Attestation, Canonical};

pub(crate) const V001: Implementation = Implementation {
    kind: Kind::Rpm,
    api_version: "0.0.1",
    canonicalize,
    read,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    package: Option<Object<Package<'a>>>,
    #[serde(borrow)]
    public_key: Option<Object<Content<'a>>>,
}

#[derive(Deserialize)]
struct Package<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    hash: Option<Object<HashSpec<'a>>>,
    /// In the committed form only.
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
}

/// A spec whose fields are there and well formed.
struct Parsed<'a> {
    /// `None` in the committed form.
    content: Option<Vec<u8>>,
    hash: Option<Text<'a>>,
    headers: BTreeMap<String, String>,
    ring: pgp::Ring,
}

fn parse(spec: &RawValue) -> Result<Parsed<'_>, Invalid> {
    let Spec { package, public_key } = read_spec(spec)?;
    let mut schema = Schema::default();
    let package = schema.required("package", package);
    let key = schema.required("publicKey", public_key);
    let key = key.and_then(|Object(key)| schema.required("publicKey.publicKey.content", key.filled()));
    let (mut content, mut hash, mut headers) = (None, None, None);
    if let Some(Object(package)) = package {
        content = package.content.filter(|content| !content.is_empty());
        headers = package.headers;
        // The doubled paths are what go-openapi makes of nested inline schemas.
        hash = package.hash.and_then(|hash| {
            let fields = (
                "package.package.hash.package.hash.algorithm",
                "package.package.hash.package.hash.value",
            );
            hash.0.sha256(&mut schema, fields)
        });
    }
    schema.finish()?;
    if let Some(hash) = &hash {
        Digest::from_hex(HashAlgorithm::Sha256, hash)?;
    } else if content.is_none() {
        return Err(Invalid::Package("'content' must be specified for package"));
    }
    let key = decode_standard(&key.unwrap_or_default()).ok_or(Invalid::Base64("publicKey content"))?;
    Ok(Parsed {
        content: content
            .map(|content| decode_standard(&content).ok_or(Invalid::Base64("package content")))
            .transpose()?,
        hash,
        headers: headers.unwrap_or_default(),
        ring: pgp::Ring::parse(&key)?,
    })
}

fn canonicalize(spec: &RawValue, purpose: Purpose<'_>) -> Result<Canonical, Invalid> {
    let parsed = parse(spec)?;
    let (hash, headers) = match (&parsed.content, &parsed.hash, purpose) {
        // The form that is in the log, which was verified when it came.
        (None, Some(hash), Purpose::Find) => (hash.to_string(), parsed.headers),
        (None, _, _) => return Err(Invalid::NotInsertable("package content")),
        (Some(content), given, _) => (
            hash_of(content, given.as_deref())?,
            package::verify(content, &parsed.ring)?,
        ),
    };
    let key = Key::pgp(&parsed.ring);
    Ok(Canonical {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        index_keys: index_keys(&key, &hash),
        body: body(&hash, &headers, &key),
        attestation: Attestation::None,
    })
}

fn index_keys(key: &Key, hash: &str) -> Vec<String> {
    let mut keys = IndexKeys::default();
    keys.key(key);
    keys.digest("sha256", hash);
    keys.into_terms()
}

/// RFC 8785 by construction.
fn body(hash: &str, headers: &BTreeMap<String, String>, key: &Key) -> Vec<u8> {
    let mut body = String::with_capacity(4096);
    body.push_str(
        r#"{"apiVersion":"0.0.1","kind":"rpm","spec":{"package":{"hash":{"algorithm":"sha256","value":""#,
    );
    body.push_str(hash);
    body.push_str(r#""}"#);
    // RFC 8785 §3.2.3: members in the order of their UTF-16 code units.
    let mut members: Vec<_> = headers.iter().collect();
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    for (index, (name, value)) in members.into_iter().enumerate() {
        body.push_str(if index == 0 { r#","headers":{"# } else { "," });
        push_json_string(&mut body, name);
        body.push(':');
        push_json_string(&mut body, value);
    }
    body.push_str(if headers.is_empty() { "}" } else { "}}" });
    body.push_str(r#","publicKey":{"content":""#);
    push_base64(&mut body, &key.canonical);
    body.push_str(r#""}}}"#);
    body.into_bytes()
}

fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    let parsed = parse(spec)?;
    let hash = parsed.hash.ok_or(Invalid::Missing("hash value"))?;
    Ok(CommittedEntry {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        digest: Digest::from_hex(HashAlgorithm::Sha256, &hash)?,
        signatures: Vec::new(),
        index_keys: index_keys(&Key::pgp(&parsed.ring), &hash),
        attestation_key: None,
    })
}
