//! `jar` 0.0.1: a signed Java archive (`rekor pkg/types/jar`, Oracle "JAR File Specification" § Signed JAR File).
//!
//! One signer: a PKCS #7 signature over a file of digests over the manifest, which has the digests of everything else. Whom
//! the certificate inside belongs to is not asked.

mod archive;
mod manifest;

use common_pki::cert::CERTIFICATE_LABEL;
use common_pki::key::HashAlgorithm;
use common_pki::pem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Artifact, Content, Implementation, Kind, Purpose, Schema, hash_of, parts, read_spec};
use crate::committed::{CommittedEntry, CommittedSignature, Digest};
use crate::encoding::{decode_standard, push_base64};
use crate::error::Invalid;
use crate::index::{IndexKeys, sha256_hex};
use crate::json::{Object, Text};
use crate::verifier::Verifier;
use crate::{Attestation, Canonical};

pub(crate) const V001: Implementation = Implementation {
    kind: Kind::Jar,
    api_version: "0.0.1",
    canonicalize,
    read,
};

const PKCS7_LABEL: &str = "PKCS7";

#[derive(Deserialize)]
struct Spec<'a> {
    #[serde(borrow)]
    archive: Option<Object<Artifact<'a>>>,
    #[serde(borrow)]
    signature: Option<Object<Signature<'a>>>,
}

/// In the committed form only.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signature<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    public_key: Option<Object<Content<'a>>>,
}

/// What is logged of an archive.
struct Signed {
    hash: String,
    /// PEM.
    signature: Vec<u8>,
    /// PEM of the first certificate in the signature.
    certificate: Vec<u8>,
}

struct Parsed<'a> {
    content: Option<Text<'a>>,
    hash: Option<Text<'a>>,
    signature: Option<Text<'a>>,
    certificate: Option<Text<'a>>,
}

fn parse(spec: &RawValue) -> Result<Parsed<'_>, Invalid> {
    let Spec { archive, signature } = read_spec(spec)?;
    let mut schema = Schema::default();
    let archive = schema.required("archive", archive);
    let (mut content, mut hash) = (None, None);
    if let Some(Object(archive)) = archive {
        content = archive.content.filter(|content| !content.is_empty());
        // The doubled paths are what go-openapi makes of nested inline schemas.
        let fields = (
            "archive.archive.hash.archive.hash.algorithm",
            "archive.archive.hash.archive.hash.value",
        );
        hash = parts::given_hash(&mut schema, archive.hash, fields);
    }
    schema.finish()?;
    if let Some(hash) = &hash {
        Digest::from_hex(HashAlgorithm::Sha256, hash)?;
    }
    let (signature, certificate) = match signature {
        Some(Object(signature)) => (
            signature.content.filter(|content| !content.is_empty()),
            signature.public_key.and_then(|Object(key)| key.content),
        ),
        None => (None, None),
    };
    Ok(Parsed {
        content,
        hash,
        signature,
        certificate,
    })
}

impl Parsed<'_> {
    /// Reads the form that is in the log.
    fn committed(&self) -> Result<Signed, Invalid> {
        let missing = || Invalid::Missing("archive content");
        let decode = |text: &Option<Text<'_>>, what| {
            decode_standard(text.as_deref().ok_or_else(missing)?).ok_or(Invalid::Base64(what))
        };
        Ok(Signed {
            hash: self.hash.as_deref().ok_or_else(missing)?.to_owned(),
            signature: decode(&self.signature, "signature content")?,
            certificate: decode(&self.certificate, "signature publicKey content")?,
        })
    }
}

fn canonicalize(spec: &RawValue, purpose: Purpose<'_>) -> Result<Canonical, Invalid> {
    let parsed = parse(spec)?;
    let signed = match (&parsed.content, purpose) {
        (None, Purpose::Find) => parsed.committed()?,
        (None, Purpose::Submit(_)) => return Err(Invalid::NotInsertable("archive content")),
        (Some(content), _) => {
            let jar = decode_standard(content).ok_or(Invalid::Base64("archive content"))?;
            let hash = hash_of(&jar, parsed.hash.as_deref())?;
            let (signature, certificate) = archive::verify(&jar)?;
            Signed {
                hash,
                signature: pem::encode(PKCS7_LABEL, &signature).into_bytes(),
                certificate: pem::encode(CERTIFICATE_LABEL, &certificate).into_bytes(),
            }
        }
    };
    Ok(Canonical {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        body: body(&signed),
        index_keys: index_keys(&signed),
        attestation: Attestation::None,
    })
}

/// Upstream indexes the signature where other kinds have their key (`rekor pkg/types/jar/v0.0.1/entry.go IndexKeys`).
fn index_keys(signed: &Signed) -> Vec<String> {
    let mut keys = IndexKeys::default();
    keys.push(sha256_hex(&signed.signature));
    keys.digest("sha256", &signed.hash);
    keys.into_terms()
}

/// RFC 8785 by construction.
fn body(signed: &Signed) -> Vec<u8> {
    let mut body = String::with_capacity(8192);
    body.push_str(
        r#"{"apiVersion":"0.0.1","kind":"jar","spec":{"archive":{"hash":{"algorithm":"sha256","value":""#,
    );
    body.push_str(&signed.hash);
    body.push_str(r#""}},"signature":{"content":""#);
    push_base64(&mut body, &signed.signature);
    body.push_str(r#"","publicKey":{"content":""#);
    push_base64(&mut body, &signed.certificate);
    body.push_str(r#""}}}}"#);
    body.into_bytes()
}

fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    let signed = parse(spec)?.committed()?;
    let (block, _) = pem::decode(&signed.signature)?;
    Ok(CommittedEntry {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        digest: Digest::from_hex(HashAlgorithm::Sha256, &signed.hash)?,
        index_keys: index_keys(&signed),
        signatures: vec![CommittedSignature {
            signature: Some(block.contents),
            verifier: Verifier::from_pem(&signed.certificate)?,
        }],
        attestation_key: None,
    })
}
