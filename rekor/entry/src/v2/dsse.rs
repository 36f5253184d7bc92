//! `dsse` 0.0.2 (`rekor-tiles v2.2.1 pkg/types/dsse/dsse.go`): hash of the payload, signatures, no envelope.

use std::collections::BTreeMap;

use common_bundle::format::protojson::decode_bytes;
use common_pki::key::{HashAlgorithm, sha256};
use common_pki::registry::SigningAlgorithm;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::{Labelled, fits, hash_from_name};
use super::request::{self, Dsse, Signature};
use super::{API_VERSION, Policy};
use crate::committed::{CommittedEntry, CommittedSignature, Digest};
use crate::encoding::push_base64;
use crate::envelope::{EnvelopeSignature, Stop, at_most, match_signatures};
use crate::error::Invalid;
use crate::index::IndexKeys;
use crate::json::{Object, Text};
use crate::signature::Scheme;
use crate::{Attestation, Canonical};

pub(super) const KIND: &str = "dsse";

/// What its lists are called in a refusal.
const VERIFIERS: &str = "verifiers";
const SIGNATURES: &str = "envelope signatures";

/// Refuses the lists that [`canonicalize`] refuses, for whoever has them before they are JSON.
pub(super) fn check_lengths(verifiers: usize, signatures: usize) -> Result<(), Invalid> {
    at_most(VERIFIERS, verifiers)?;
    at_most(SIGNATURES, signatures)
}

pub(super) fn canonicalize(request: Dsse<'_>, policy: &Policy) -> Result<Canonical, Invalid> {
    let Object(envelope) = request.envelope.ok_or(Invalid::Missing("envelope"))?;
    let messages = request.verifiers.unwrap_or_default().bounded(VERIFIERS)?;
    let sent = envelope.signatures.bounded(SIGNATURES)?;
    if messages.is_empty() {
        return Err(Invalid::Missing("verifiers"));
    }
    let mut signers: Vec<Labelled> = Vec::with_capacity(messages.len());
    for message in &messages {
        let signer = Labelled::parse(message)?;
        if signers.iter().any(|other| other.der == signer.der) {
            return Err(Invalid::RepeatedVerifier);
        }
        if !permitted(policy, signer.label) {
            return Err(Invalid::AlgorithmsNotAllowed);
        }
        signers.push(signer);
    }
    if sent.iter().any(|signature| signature.sig.is_empty()) {
        return Err(Invalid::Missing("signature of the envelope"));
    }
    // Signatures are told apart by their octets here; hex stands in for the text they came as.
    let texts: Vec<String> = sent.iter().map(|signature| hex::encode(&signature.sig)).collect();
    let signatures: Vec<EnvelopeSignature<'_>> = texts
        .iter()
        .zip(sent)
        .map(|(text, Object(signature))| EnvelopeSignature {
            text,
            octets: signature.sig,
        })
        .collect();
    let verifiers = signers
        .iter()
        .map(|signer| Ok((signer.verifier.clone(), scheme(signer.label))));
    // Upstream walks its verifiers in the order of a Go map; asking each to verify something makes the answer the same
    // whatever the order.
    let matched = match_signatures(
        &envelope.payload_type,
        &envelope.payload,
        &signatures,
        verifiers,
        Stop::AtEnd,
    )?;

    // One item for each distinct signature, in the order of its octets.
    let by_signature: BTreeMap<&[u8], &Labelled> = signatures
        .iter()
        .zip(&matched.by_signature)
        .filter_map(|(signature, index)| Some((signature.octets.as_slice(), signers.get(*index)?)))
        .collect();
    let payload_hash = sha256(&envelope.payload);
    let mut body = String::with_capacity(2048);
    body.push_str(
        r#"{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{"payloadHash":{"algorithm":"SHA2_256","digest":""#,
    );
    push_base64(&mut body, &payload_hash);
    body.push_str(r#""},"signatures":["#);
    for (index, (signature, signer)) in by_signature.iter().enumerate() {
        body.push_str(if index == 0 {
            r#"{"content":""#
        } else {
            r#",{"content":""#
        });
        push_base64(&mut body, signature);
        body.push_str(r#"","verifier":"#);
        signer.push_json(&mut body);
        body.push('}');
    }
    body.push_str("]}}}");

    let mut keys = IndexKeys::default();
    for signer in by_signature.values() {
        keys.envelope_verifier(&signer.verifier);
    }
    keys.digest("sha256", &hex::encode(payload_hash));
    keys.statement(&envelope.payload_type, &envelope.payload);
    Ok(Canonical {
        kind: KIND,
        api_version: API_VERSION,
        body: fits(body)?,
        index_keys: keys.into_terms(),
        attestation: Attestation::None,
    })
}

/// An envelope is a message, so pure Ed25519 works where Ed25519ph is allowed; servers that took `dsse` took both.
fn permitted(policy: &Policy, label: SigningAlgorithm) -> bool {
    let required = if label == SigningAlgorithm::Ed25519 {
        SigningAlgorithm::Ed25519Ph
    } else {
        label
    };
    policy.algorithms.contains(required)
}

fn scheme(label: SigningAlgorithm) -> Scheme {
    match label {
        SigningAlgorithm::Ed25519Ph => Scheme::Ed25519Ph,
        other => Scheme::Message(other.hash().unwrap_or(HashAlgorithm::Sha512)),
    }
}

pub(super) fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    #[derive(Deserialize)]
    struct Spec<'a> {
        #[serde(borrow, rename = "dsseV002")]
        entry: Object<Entry<'a>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry<'a> {
        #[serde(borrow)]
        payload_hash: Object<Hash<'a>>,
        #[serde(borrow)]
        signatures: Vec<Object<Signature<'a>>>,
    }
    #[derive(Deserialize)]
    struct Hash<'a> {
        #[serde(borrow)]
        algorithm: Text<'a>,
        #[serde(borrow)]
        digest: Text<'a>,
    }
    let Spec { entry: Object(entry) } = request::spec(spec).map_err(Invalid::Shape)?;
    let algorithm =
        hash_from_name(&entry.payload_hash.algorithm).ok_or(Invalid::Missing("known hash algorithm"))?;
    let value = decode_bytes(&entry.payload_hash.digest).map_err(|_| Invalid::Base64("payload digest"))?;
    at_most("signatures", entry.signatures.len())?;
    let mut keys = IndexKeys::default();
    let mut signatures = Vec::with_capacity(entry.signatures.len());
    for Object(signature) in &entry.signatures {
        let Object(verifier) = signature.verifier.as_ref().ok_or(Invalid::Missing("verifier"))?;
        let verifier = Labelled::parse(verifier)?.verifier;
        keys.envelope_verifier(&verifier);
        let signature = super::body::bytes("signature content", signature.content.as_ref())?;
        signatures.push(CommittedSignature {
            signature: Some(signature),
            verifier,
        });
    }
    keys.digest(algorithm.name(), &hex::encode(&value));
    Ok(CommittedEntry {
        kind: KIND,
        api_version: API_VERSION,
        digest: Digest { algorithm, value },
        signatures,
        index_keys: keys.into_terms(),
        attestation_key: None,
    })
}
