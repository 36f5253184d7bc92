//! `tuf` 0.0.1: metadata of a repository with the root whose keys signed it (`rekor pkg/types/tuf/v0.0.1`).
//!
//! Both are logged in full, as base64 of their canonical JSON, and so are read back in the same form they come in.

use common_bundle::tuf::{RoleMetadata, TufError, verify_role};
use common_pki::key::{HashAlgorithm, sha256};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Implementation, Kind, Purpose, Schema, read_spec};
use crate::committed::{CommittedEntry, Digest};
use crate::encoding::{decode_standard, push_base64, push_json_string};
use crate::error::Invalid;
use crate::index::{IndexKeys, sha256_hex};
use crate::json::{Object, Text};
use crate::{Attestation, Canonical};

pub(crate) const V001: Implementation = Implementation {
    kind: Kind::Tuf,
    api_version: "0.0.1",
    canonicalize,
    read,
};

#[derive(Deserialize)]
struct Spec<'a> {
    #[serde(borrow)]
    metadata: Option<Object<Part<'a>>>,
    #[serde(borrow)]
    root: Option<Object<Part<'a>>>,
}

#[derive(Deserialize)]
struct Part<'a> {
    /// A JSON object, or base64 of one.
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// Canonical forms of what was verified.
struct Verified {
    root: Vec<u8>,
    metadata: Vec<u8>,
    of: RoleMetadata,
}

fn verify(spec: &RawValue) -> Result<Verified, Invalid> {
    let Spec { metadata, root } = read_spec(spec)?;
    let mut schema = Schema::default();
    let mut part = |name: &'static str, content: &'static str, part: Option<Object<Part<'_>>>| {
        let Object(part) = schema.required(name, part)?;
        let filled = part.content.filter(|content| content.get() != "null");
        schema.required(content, filled).map(json)
    };
    let metadata = part("metadata", "metadata.metadata.content", metadata);
    let root = part("root", "root.root.content", root);
    schema.finish()?;
    let metadata = metadata.ok_or(Invalid::Missing("TUF metadata"))??;
    let root = root.ok_or(Invalid::Missing("root"))??;
    let of = verify_role(&root, &metadata)?;
    Ok(Verified {
        root: canonical(&of.root)?,
        metadata: canonical(&of.metadata)?,
        of,
    })
}

fn json(content: &RawValue) -> Result<Vec<u8>, Invalid> {
    if content.get().starts_with('"') {
        let text: Text<'_> = serde_json::from_str(content.get()).map_err(Invalid::Shape)?;
        return decode_standard(&text).ok_or(Invalid::Base64("TUF content"));
    }
    Ok(content.get().as_bytes().to_vec())
}

/// RFC 8785, unlike what TUF itself signs (`rekor pkg/pki/tuf/tuf.go CanonicalValue`).
fn canonical(envelope: &common_bundle::tuf::Envelope) -> Result<Vec<u8>, Invalid> {
    serde_json_canonicalizer::to_vec(envelope).map_err(Invalid::Shape)
}

/// A root that is signed by its own keys, as a search by key names it (`rekor pkg/pki/tuf/tuf.go NewPublicKey`).
pub(crate) fn canonical_root(root: &[u8]) -> Result<Vec<u8>, Invalid> {
    canonical(&verify_role(root, root)?.root)
}

fn canonicalize(spec: &RawValue, _purpose: Purpose<'_>) -> Result<Canonical, Invalid> {
    let verified = verify(spec)?;
    let mut body = String::with_capacity(
        verified
            .root
            .len()
            .saturating_add(verified.metadata.len())
            .saturating_mul(3)
            / 2,
    );
    body.push_str(r#"{"apiVersion":"0.0.1","kind":"tuf","spec":{"metadata":{"content":""#);
    push_base64(&mut body, &verified.metadata);
    body.push_str(r#""},"root":{"content":""#);
    push_base64(&mut body, &verified.root);
    body.push_str(r#""},"spec_version":"#);
    push_json_string(&mut body, &verified.of.spec_version);
    body.push_str("}}");
    Ok(Canonical {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        body: body.into_bytes(),
        index_keys: index_keys(&verified),
        attestation: Attestation::None,
    })
}

/// As upstream has them; that of the bare version number finds every repository's.
fn index_keys(verified: &Verified) -> Vec<String> {
    let mut keys = IndexKeys::default();
    keys.push(sha256_hex(&verified.metadata));
    keys.push(verified.of.role.name().to_owned());
    keys.push(verified.of.version.to_string());
    keys.push(sha256_hex(&verified.root));
    keys.into_terms()
}

fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    let verified = verify(spec)?;
    Ok(CommittedEntry {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        digest: Digest {
            algorithm: HashAlgorithm::Sha256,
            value: sha256(&verified.metadata).to_vec(),
        },
        signatures: Vec::new(),
        index_keys: index_keys(&verified),
        attestation_key: None,
    })
}

impl From<TufError> for Invalid {
    fn from(cause: TufError) -> Self {
        Self::Tuf(Box::new(cause))
    }
}
