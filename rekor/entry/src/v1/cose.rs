//! `cose` 0.0.1: a COSE_Sign1 message with its payload inside (`rekor pkg/types/cose/v0.0.1`, RFC 9052 §4.2).

use common_bundle::format::IN_TOTO_PAYLOAD_TYPE;
use common_pki::key::{HashAlgorithm, KeyAlgorithm, PublicKey};
use coset::{CoseSign1, TaggedCborSerializable as _};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{HashSpec, Implementation, Kind, Purpose, Schema, read_spec};
use crate::committed::{CommittedEntry, CommittedSignature, Digest};
use crate::encoding::{decode_standard, push_base64, push_json_string};
use crate::error::Invalid;
use crate::index::{IndexKeys, sha256_hex};
use crate::json::{Object, Text};
use crate::verifier::Verifier;
use crate::{Attestation, Canonical};

pub(crate) const V001: Implementation = Implementation {
    kind: Kind::Cose,
    api_version: "0.0.1",
    canonicalize,
    read,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    message: Option<Text<'a>>,
    #[serde(borrow)]
    public_key: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Object<Data<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow)]
    aad: Option<Text<'a>>,
    #[serde(borrow)]
    envelope_hash: Option<Object<HashSpec<'a>>>,
    #[serde(borrow)]
    payload_hash: Option<Object<HashSpec<'a>>>,
}

/// A spec whose fields are there and well formed.
struct Parsed<'a> {
    /// Empty in the committed form.
    message: Vec<u8>,
    verifier: Verifier,
    /// `None` where there is no `data` at all.
    aad: Option<Vec<u8>>,
    envelope_hash: Option<Text<'a>>,
    payload_hash: Option<Text<'a>>,
}

fn parse(spec: &RawValue) -> Result<Parsed<'_>, Invalid> {
    let spec: Spec<'_> = read_spec(spec)?;
    let mut schema = Schema::default();
    let public_key = schema.required("publicKey", spec.public_key.filter(|key| !key.is_empty()));
    let (mut aad, mut envelope_hash, mut payload_hash) = (None, None, None);
    if let Some(Object(data)) = spec.data {
        aad = Some(data.aad.unwrap_or_default());
        // The doubled paths are what go-openapi makes of nested inline schemas.
        envelope_hash = data.envelope_hash.and_then(|hash| {
            let fields = (
                "data.data.envelopeHash.data.envelopeHash.algorithm",
                "data.data.envelopeHash.data.envelopeHash.value",
            );
            hash.0.sha256(&mut schema, fields)
        });
        payload_hash = data.payload_hash.and_then(|hash| {
            let fields = (
                "data.data.payloadHash.data.payloadHash.algorithm",
                "data.data.payloadHash.data.payloadHash.value",
            );
            hash.0.sha256(&mut schema, fields)
        });
    }
    schema.finish()?;
    let pem = decode_standard(&public_key.unwrap_or_default()).ok_or(Invalid::Base64("publicKey"))?;
    Ok(Parsed {
        message: decode_standard(&spec.message.unwrap_or_default()).ok_or(Invalid::Base64("message"))?,
        verifier: Verifier::from_pem(&pem)?,
        aad: aad
            .map(|aad| decode_standard(&aad).ok_or(Invalid::Base64("aad")))
            .transpose()?,
        envelope_hash,
        payload_hash,
    })
}

fn canonicalize(spec: &RawValue, purpose: Purpose<'_>) -> Result<Canonical, Invalid> {
    let parsed = parse(spec)?;
    let mut keys = IndexKeys::default();
    keys.verifier(&parsed.verifier);
    let (envelope_hash, payload_hash, attestation) = if parsed.message.is_empty() {
        match (parsed.envelope_hash, parsed.payload_hash, purpose) {
            // The form that is in the log, which was verified when it came.
            (Some(envelope), Some(payload), Purpose::Find) => {
                (envelope.to_string(), payload.to_string(), Attestation::None)
            }
            (Some(_), _, _) => return Err(Invalid::NotInsertable("message")),
            (None, _, _) => return Err(Invalid::CoseNoMessage),
        }
    } else {
        let message = verify(&parsed)?;
        let payload = message.payload.as_deref().ok_or(Invalid::CosePayload)?;
        let (envelope_hash, payload_hash) = (sha256_hex(&parsed.message), sha256_hex(payload));
        keys.digest("sha256", &envelope_hash);
        keys.digest("sha256", &payload_hash);
        if is_in_toto(&message) {
            keys.predicate_type(payload);
            keys.subjects(payload);
        }
        let attestation = purpose.attestation(&envelope_hash, parsed.message);
        (envelope_hash, payload_hash, attestation)
    };
    Ok(Canonical {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        body: body(&parsed.verifier, &envelope_hash, &payload_hash),
        index_keys: keys.into_terms(),
        attestation,
    })
}

/// Verifies the message over its payload and the additional data; the key decides about the algorithm, not the message.
fn verify(parsed: &Parsed<'_>) -> Result<CoseSign1, Invalid> {
    let key = parsed.verifier.key();
    let scheme = Scheme::of(key)?;
    let message = CoseSign1::from_tagged_slice(&parsed.message)
        .map_err(|error| Invalid::CoseMessage(error.to_string()))?;
    let aad = parsed.aad.as_deref().ok_or(Invalid::CoseData)?;
    if message.payload.is_none() {
        return Err(Invalid::CosePayload);
    }
    let expected = coset::RegisteredLabelWithPrivate::Assigned(scheme.algorithm());
    if message.protected.header.alg.as_ref() != Some(&expected) {
        return Err(Invalid::CoseAlgorithm);
    }
    // RFC 9052 §3.1: what is critical has to be understood, and nothing but what is read above is.
    if !message.protected.header.crit.is_empty() {
        return Err(Invalid::CoseCritical);
    }
    let signed = message.tbs_data(aad);
    if scheme.verifies(key, &signed, &message.signature) {
        Ok(message)
    } else {
        Err(Invalid::CoseSignature)
    }
}

/// How a key signs (`rekor pkg/types/cose/v0.0.1/entry.go getPublicKey`).
#[derive(Clone, Copy)]
enum Scheme {
    Es256,
    Ps256,
}

impl Scheme {
    fn of(key: &PublicKey) -> Result<Self, Invalid> {
        match key.algorithm() {
            KeyAlgorithm::EcdsaP256 => Ok(Self::Es256),
            algorithm if algorithm.rsa_bits().is_some() => Ok(Self::Ps256),
            algorithm => Err(Invalid::CoseKey(algorithm)),
        }
    }

    fn algorithm(self) -> coset::iana::Algorithm {
        match self {
            Self::Es256 => coset::iana::Algorithm::ES256,
            Self::Ps256 => coset::iana::Algorithm::PS256,
        }
    }

    fn verifies(self, key: &PublicKey, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Es256 => {
                let digest = HashAlgorithm::Sha256.digest(signed);
                key.verify_digest_p1363(HashAlgorithm::Sha256, &digest, signature)
                    .is_ok()
            }
            Self::Ps256 => key.verify_pss_sha256(signed, signature).is_ok(),
        }
    }
}

/// Whether the protected content type is in-toto's; the numbers of CoAP have none for it.
fn is_in_toto(message: &CoseSign1) -> bool {
    let content_type = message.protected.header.content_type.as_ref();
    matches!(content_type, Some(coset::ContentType::Text(text)) if text == IN_TOTO_PAYLOAD_TYPE)
}

/// RFC 8785 by construction.
fn body(verifier: &Verifier, envelope_hash: &str, payload_hash: &str) -> Vec<u8> {
    let mut body = String::with_capacity(1024);
    body.push_str(
        r#"{"apiVersion":"0.0.1","kind":"cose","spec":{"data":{"envelopeHash":{"algorithm":"sha256","value":"#,
    );
    push_json_string(&mut body, envelope_hash);
    body.push_str(r#"},"payloadHash":{"algorithm":"sha256","value":"#);
    push_json_string(&mut body, payload_hash);
    body.push_str(r#"}},"publicKey":""#);
    push_base64(&mut body, verifier.canonical_pem().as_bytes());
    body.push_str(r#""}}"#);
    body.into_bytes()
}

fn read(spec: &RawValue) -> Result<CommittedEntry, Invalid> {
    let parsed = parse(spec)?;
    let envelope_hash = parsed.envelope_hash.ok_or(Invalid::CoseNoMessage)?;
    let payload_hash = parsed.payload_hash.ok_or(Invalid::Missing("payload digest"))?;
    let mut keys = IndexKeys::default();
    keys.verifier(&parsed.verifier);
    keys.digest("sha256", &envelope_hash);
    keys.digest("sha256", &payload_hash);
    Ok(CommittedEntry {
        kind: V001.kind.as_str(),
        api_version: V001.api_version,
        digest: Digest::from_hex(HashAlgorithm::Sha256, &payload_hash)?,
        signatures: vec![CommittedSignature {
            signature: None,
            verifier: parsed.verifier,
        }],
        index_keys: keys.into_terms(),
        attestation_key: Some(format!("sha256:{}", &*envelope_hash)),
    })
}
