//! `rfc3161` 0.0.1: a timestamp response with the certificate that signed it (`rekor pkg/types/rfc3161/v0.0.1`).
//!
//! The signature is checked with the certificate inside, and whom that belongs to is nobody's business here.

use common_pki::cms::SignedData;
use common_pki::key::{HashAlgorithm, sha256};
use common_pki::tsp::{TspError, status_and_token};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Content, Implementation, Kind, Purpose, Schema, read_spec};
use crate::committed::{CommittedEntry, CommittedSignature, Digest};
use crate::encoding::{decode_standard, push_base64};
use crate::error::Invalid;
use crate::index::{IndexKeys, sha256_hex};
use crate::json::Object;
use crate::verifier::Verifier;
use crate::{Attestation, Canonical};

pub(crate) const V001: Implementation = Implementation {
    kind: Kind::Rfc3161,
    api_version: "0.0.1",
    canonicalize,
    read,
};

/// Longest response, in octets (`rekor pkg/types/rfc3161/v0.0.1/entry.go`).
const MAX_RESPONSE: usize = 10 * 1024;

#[derive(Deserialize)]
struct Spec<'a> {
    #[serde(borrow)]
    tsr: Option<Object<Content<'a>>>,
}

/// A response whose signature holds.
struct Verified {
    response: Vec<u8>,
    signer: Verifier,
}

fn verify(spec: &RawValue) -> Result<Verified, Invalid> {
    let Spec { tsr } = read_spec(spec)?;
    let mut schema = Schema::default();
    let content = schema
        .required("tsr", tsr)
        .and_then(|Object(tsr)| schema.required("tsr.tsr.content", tsr.filled()));
    schema.finish()?;
    let response = decode_standard(&content.unwrap_or_default()).ok_or(Invalid::Base64("tsr content"))?;
    if response.len() > MAX_RESPONSE {
        return Err(Invalid::TooLarge {
            limit: MAX_RESPONSE,
            got: response.len(),
        });
    }
    let token = match status_and_token(&response)? {
        // Granted, or granted with modifications (RFC 3161 §2.4.2).
        (0 | 1, Some(token)) => SignedData::from_der(token)?,
        (status, _) => return Err(TspError::NotGranted(status).into()),
    };
    let content = token.content.ok_or(Invalid::Missing("timestamp"))?;
    let signers = token.verify(content)?;
    let signer = signers.first().ok_or(Invalid::Missing("signer"))?;
    let signer = Verifier::from_certificate(signer.to_der())?;
    Ok(Verified { response, signer })
}

fn canonicalize(spec: &RawValue, _purpose: Purpose<'_>) -> Result<Canonical, Invalid> {
    let Verified { response, .. } = verify(spec)?;
    let mut body = String::with_capacity(response.len().saturating_mul(3) / 2);
    body.push_str(r#"{"apiVersion":"0.0.1","kind":"rfc3161","spec":{"tsr":{"content":""#);
    push_base64(&mut body, &response);
    body.push_str(r#""}}}"#);
    Ok(Canonical {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        body: body.into_bytes(),
        index_keys: index_keys(&response),
        attestation: Attestation::None,
    })
}

fn index_keys(response: &[u8]) -> Vec<String> {
    let mut keys = IndexKeys::default();
    keys.digest("sha256", &sha256_hex(response));
    keys.into_terms()
}

fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    let Verified { response, signer } = verify(spec)?;
    Ok(CommittedEntry {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        digest: Digest {
            algorithm: HashAlgorithm::Sha256,
            value: sha256(&response).to_vec(),
        },
        signatures: vec![CommittedSignature {
            signature: None,
            verifier: signer,
        }],
        index_keys: index_keys(&response),
        attestation_key: None,
    })
}
