//! `rpm` 0.0.1: a signed package of RPM (`rekor pkg/types/rpm`, `go-rpmutils`).
//!
//! The leaf has the package's name, version and architecture, which the signed header holds, and the hash of the file.

mod package;

use std::collections::BTreeMap;

use common_pki::key::HashAlgorithm;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Content, HashSpec, Implementation, Kind, Purpose, Schema, hash_of, parts, read_spec};
use crate::committed::{CommittedEntry, Digest};
use crate::encoding::decode_standard;
use crate::error::Invalid;
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
        hash = parts::given_hash(&mut schema, package.hash, parts::PACKAGE_HASH);
    }
    schema.finish()?;
    if let Some(hash) = &hash {
        Digest::from_hex(HashAlgorithm::Sha256, hash)?;
    } else if content.is_none() {
        return Err(Invalid::Package("'content' must be specified for package"));
    }
    let key = decode_standard(&key.unwrap_or_default()).ok_or(Invalid::Base64("publicKey content"))?;
    Ok(Parsed {
        content: parts::octets(content, "package content")?,
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
        index_keys: parts::index_keys(&key, &hash),
        body: parts::package_body(V001.kind.as_str(), &hash, "headers", &headers, &key.canonical),
        attestation: Attestation::None,
    })
}

fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    let parsed = parse(spec)?;
    let hash = parsed.hash.ok_or(Invalid::Missing("hash value"))?;
    Ok(CommittedEntry {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        digest: Digest::from_hex(HashAlgorithm::Sha256, &hash)?,
        signatures: Vec::new(),
        index_keys: parts::index_keys(&Key::pgp(&parsed.ring), &hash),
        attestation_key: None,
    })
}
