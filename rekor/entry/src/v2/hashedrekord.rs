//! `hashedrekord` 0.0.2 (`rekor-tiles pkg/types/hashedrekord/hashedrekord.go`).

use common_bundle::format::protojson::decode_bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::{Labelled, bytes, fits, hash_from_name, hash_name};
use super::request::{self, HashedRekord, Signature};
use super::{API_VERSION, Policy};
use crate::committed::{CommittedEntry, CommittedSignature, Digest};
use crate::encoding::push_base64;
use crate::error::Invalid;
use crate::index::IndexKeys;
use crate::json::{Object, Text};
use crate::signature::verify_digest;
use crate::{Attestation, Canonical};

pub(super) const KIND: &str = "hashedrekord";

pub(super) fn canonicalize(request: &HashedRekord<'_>, policy: &Policy) -> Result<Canonical, Invalid> {
    let Object(signature) = request.signature.as_ref().ok_or(Invalid::Missing("signature"))?;
    let content = bytes("signature content", signature.content.as_ref())?;
    let Object(verifier) = signature.verifier.as_ref().ok_or(Invalid::Missing("verifier"))?;
    let digest = bytes("digest", request.digest.as_ref())?;
    let signer = Labelled::parse(verifier)?;
    // Pure Ed25519 signs a message, and there is none here. Upstream panics on it.
    let hash = signer.label.hash().ok_or(Invalid::AlgorithmsNotAllowed)?;
    if !policy.algorithms.contains(signer.label) {
        return Err(Invalid::AlgorithmsNotAllowed);
    }
    if digest.len() != hash.len() {
        let label = signer.label.proto_name();
        return Err(Invalid::DigestLength {
            label,
            expected: hash.len(),
            got: digest.len(),
        });
    }
    verify_digest(signer.verifier.key(), hash, &digest, &content)?;

    let mut body = String::with_capacity(
        320usize.saturating_add(
            signer
                .der
                .len()
                .saturating_add(content.len())
                .saturating_add(digest.len())
                .saturating_mul(3)
                / 2,
        ),
    );
    body.push_str(
        r#"{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":""#,
    );
    body.push_str(hash_name(hash));
    body.push_str(r#"","digest":""#);
    push_base64(&mut body, &digest);
    body.push_str(r#""},"signature":{"content":""#);
    push_base64(&mut body, &content);
    body.push_str(r#"","verifier":"#);
    signer.push_json(&mut body);
    body.push_str("}}}}");

    let mut keys = IndexKeys::default();
    keys.verifier(&signer.verifier);
    keys.digest(hash.name(), &hex::encode(&digest));
    Ok(Canonical {
        kind: KIND,
        api_version: API_VERSION,
        body: fits(body)?,
        index_keys: keys.into_terms(),
        attestation: Attestation::None,
    })
}

pub(super) fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    #[derive(Deserialize)]
    struct Spec<'a> {
        #[serde(borrow, rename = "hashedRekordV002")]
        entry: Object<Entry<'a>>,
    }
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        data: Object<Data<'a>>,
        #[serde(borrow)]
        signature: Object<Signature<'a>>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        algorithm: Text<'a>,
        #[serde(borrow)]
        digest: Text<'a>,
    }
    let Spec {
        entry: Object(Entry { data, signature }),
    } = request::spec(spec).map_err(Invalid::Shape)?;
    let algorithm = hash_from_name(&data.algorithm).ok_or(Invalid::Missing("known hash algorithm"))?;
    let value = decode_bytes(&data.digest).map_err(|_| Invalid::Base64("digest"))?;
    let Object(verifier) = signature.verifier.as_ref().ok_or(Invalid::Missing("verifier"))?;
    let verifier = Labelled::parse(verifier)?.verifier;
    let mut keys = IndexKeys::default();
    keys.verifier(&verifier);
    keys.digest(algorithm.name(), &hex::encode(&value));
    let signature = bytes("signature content", signature.content.as_ref())?;
    Ok(CommittedEntry {
        kind: KIND,
        api_version: API_VERSION,
        digest: Digest { algorithm, value },
        signatures: vec![CommittedSignature {
            signature: Some(signature),
            verifier,
        }],
        index_keys: keys.into_terms(),
        attestation_key: None,
    })
}
