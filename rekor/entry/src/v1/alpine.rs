//! `alpine` 0.0.1: a signed package of Alpine Linux (`rekor pkg/types/alpine`, abuild `abuild-sign.in`).
//!
//! An APK is three gzip members one behind the other: a tar with the signature, a tar with `.PKGINFO`, and the data. The
//! signature is over SHA-1 of the second member as it is compressed, and `.PKGINFO` has the SHA-256 of the third.

mod package;
mod pkginfo;

use std::collections::BTreeMap;

use common_pki::key::HashAlgorithm;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Content, HashSpec, Implementation, Kind, Purpose, Schema, hash_of, parts, read_spec};
use crate::committed::{CommittedEntry, CommittedSignature, Digest};
use crate::encoding::decode_standard;
use crate::error::Invalid;
use crate::index::IndexKeys;
use crate::json::{Object, Text};
use crate::verifier::Verifier;
use crate::{Attestation, Canonical};

pub(crate) const V001: Implementation = Implementation {
    kind: Kind::Alpine,
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
    pkginfo: Option<BTreeMap<String, String>>,
}

/// A spec whose fields are there and well formed.
struct Parsed<'a> {
    /// `None` in the committed form.
    content: Option<Vec<u8>>,
    hash: Option<Text<'a>>,
    pkginfo: BTreeMap<String, String>,
    verifier: Verifier,
}

fn parse(spec: &RawValue) -> Result<Parsed<'_>, Invalid> {
    let Spec { package, public_key } = read_spec(spec)?;
    let mut schema = Schema::default();
    let package = schema.required("package", package);
    let (mut content, mut hash, mut pkginfo) = (None, None, None);
    if let Some(Object(package)) = package {
        content = package.content.filter(|content| !content.is_empty());
        pkginfo = package.pkginfo;
        hash = parts::given_hash(&mut schema, package.hash, parts::PACKAGE_HASH);
    }
    // Upstream's decoder drops a key without content.
    let key = public_key.and_then(|Object(key)| key.filled());
    let key = schema.required("publicKey", key);
    schema.finish()?;
    if let Some(hash) = &hash {
        Digest::from_hex(HashAlgorithm::Sha256, hash)?;
    } else if content.is_none() {
        return Err(Invalid::Missing("package content"));
    }
    let pem = decode_standard(&key.unwrap_or_default()).ok_or(Invalid::Base64("public key content"))?;
    Ok(Parsed {
        content: parts::octets(content, "package content")?,
        hash,
        pkginfo: pkginfo.unwrap_or_default(),
        verifier: Verifier::from_pem(&pem)?,
    })
}

fn canonicalize(spec: &RawValue, purpose: Purpose<'_>) -> Result<Canonical, Invalid> {
    let parsed = parse(spec)?;
    let (hash, pkginfo) = match (&parsed.content, &parsed.hash, purpose) {
        // The form that is in the log, which was verified when it came.
        (None, Some(hash), Purpose::Find) => (hash.to_string(), parsed.pkginfo),
        (None, _, _) => return Err(Invalid::NotInsertable("package content")),
        (Some(content), given, _) => (
            hash_of(content, given.as_deref())?,
            package::verify(content, parsed.verifier.key())?,
        ),
    };
    Ok(Canonical {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        index_keys: index_keys(&parsed.verifier, &hash),
        body: parts::package_body(
            V001.kind.as_str(),
            &hash,
            "pkginfo",
            &pkginfo,
            parsed.verifier.canonical_pem().as_bytes(),
        ),
        attestation: Attestation::None,
    })
}

fn index_keys(verifier: &Verifier, hash: &str) -> Vec<String> {
    let mut keys = IndexKeys::default();
    keys.verifier(verifier);
    keys.digest("sha256", hash);
    keys.into_terms()
}

fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    let parsed = parse(spec)?;
    let hash = parsed.hash.ok_or(Invalid::Missing("hash value"))?;
    Ok(CommittedEntry {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        digest: Digest::from_hex(HashAlgorithm::Sha256, &hash)?,
        index_keys: index_keys(&parsed.verifier, &hash),
        signatures: vec![CommittedSignature {
            signature: None,
            verifier: parsed.verifier,
        }],
        attestation_key: None,
    })
}
