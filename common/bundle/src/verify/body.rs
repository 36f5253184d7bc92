//! A log entry must be about *this* digest, *this* signature and *this* key. Upstream verifiers have missed one of the three
//! again and again (GHSA-ccxc-vr6p-4858, GHSA-whqx-f9j3-ch6m, GHSA-8gw7-4j42-w388).
//!
//! Only what has to be compared is read; making bodies is the log's business.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::key::{HashAlgorithm, sha256};
use common_pki::pem;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::VerifyError;
use super::artifact::{Message, Signed, hash_from_name};
use super::error::BodyProblem;
use crate::format::{TransparencyLogEntry, protojson};

/// Which API's rules an entry and its checkpoint follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    V1,
    V2,
}

/// Largest body read: attestations are not in it, certificates and signatures are.
const MAX_BODY: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body<T> {
    api_version: String,
    kind: String,
    spec: T,
}

pub(super) fn verify(entry: &TransparencyLogEntry, signed: &Signed<'_>) -> Result<Generation, VerifyError> {
    let (kind, version) = (
        entry.kind_version.kind.as_str(),
        entry.kind_version.version.as_str(),
    );
    let outcome = match (kind, version) {
        ("hashedrekord", "0.0.1") => read(entry)
            .and_then(|spec| hashedrekord_v1(&spec, signed))
            .map(|()| Generation::V1),
        ("dsse", "0.0.1") => read(entry)
            .and_then(|spec| dsse_v1(&spec, signed))
            .map(|()| Generation::V1),
        ("intoto", "0.0.2") => read(entry)
            .and_then(|spec| intoto_v1(&spec, signed))
            .map(|()| Generation::V1),
        ("hashedrekord", "0.0.2") => read(entry)
            .and_then(|spec| hashedrekord_v2(&spec, signed))
            .map(|()| Generation::V2),
        ("dsse", "0.0.2") => read(entry)
            .and_then(|spec| dsse_v2(&spec, signed))
            .map(|()| Generation::V2),
        ("intoto", "0.0.1") => read(entry)
            .and_then(|spec| intoto_v001(&spec, signed))
            .map(|()| Generation::V1),
        _ => Err(BodyProblem::Unsupported),
    };
    outcome.map_err(|problem| {
        let short = |text: &str| text.chars().take(64).collect();
        VerifyError::Body {
            kind: short(kind),
            version: short(version),
            problem,
        }
    })
}

fn read<T: DeserializeOwned>(entry: &TransparencyLogEntry) -> Result<T, BodyProblem> {
    if entry.canonicalized_body.len() > MAX_BODY {
        return Err(BodyProblem::Malformed);
    }
    let body: Body<T> =
        serde_json::from_slice(&entry.canonicalized_body).map_err(|_| BodyProblem::Malformed)?;
    if (&body.kind, &body.api_version) != (&entry.kind_version.kind, &entry.kind_version.version) {
        return Err(BodyProblem::KindVersion);
    }
    Ok(body.spec)
}

fn same(equal: bool, otherwise: BodyProblem) -> Result<(), BodyProblem> {
    if equal { Ok(()) } else { Err(otherwise) }
}

fn base64(text: &str) -> Result<Vec<u8>, BodyProblem> {
    STANDARD.decode(text).map_err(|_| BodyProblem::Malformed)
}

impl Signed<'_> {
    fn check_signature(&self, octets: &[u8]) -> Result<(), BodyProblem> {
        same(octets == self.signature, BodyProblem::Signature)
    }

    /// `text` is base64 of one PEM block, as Rekor v1 writes verifiers.
    fn check_pem(&self, text: &str) -> Result<(), BodyProblem> {
        let block = pem::decode_one(&base64(text)?).map_err(|_| BodyProblem::Malformed)?;
        let label = if self.certificate.is_some() {
            "CERTIFICATE"
        } else {
            "PUBLIC KEY"
        };
        same(
            block.label == label && block.contents == self.verifier_der(),
            BodyProblem::Verifier,
        )
    }

    fn check_v2(&self, signature: &SignatureV2) -> Result<(), BodyProblem> {
        self.check_signature(&signature.content)?;
        let der = match (
            &signature.verifier.x509_certificate,
            &signature.verifier.public_key,
        ) {
            (Some(certificate), None) if self.certificate.is_some() => &certificate.raw_bytes,
            (None, Some(key)) if self.certificate.is_none() => &key.raw_bytes,
            _ => return Err(BodyProblem::Verifier),
        };
        same(der == self.verifier_der(), BodyProblem::Verifier)
    }

    /// Payload of the envelope, which is what envelope entries hash.
    fn check_payload(&self, hash: &HashV1) -> Result<(), BodyProblem> {
        let Message::Envelope { envelope, .. } = &self.message else {
            return Err(BodyProblem::Unsupported);
        };
        hash.check(HashAlgorithm::Sha256, &sha256(&envelope.payload))
    }
}

#[derive(Deserialize)]
struct HashV1 {
    algorithm: String,
    value: String,
}

impl HashV1 {
    fn check(&self, hash: HashAlgorithm, digest: &[u8]) -> Result<(), BodyProblem> {
        let value = hex::decode(&self.value).map_err(|_| BodyProblem::Malformed)?;
        same(
            self.algorithm == hash.name() && value == digest,
            BodyProblem::Digest,
        )
    }
}

#[derive(Deserialize)]
struct HashedrekordV1 {
    data: DataV1,
    signature: SignatureV1,
}

#[derive(Deserialize)]
struct DataV1 {
    hash: HashV1,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignatureV1 {
    content: String,
    public_key: ContentV1,
}

#[derive(Deserialize)]
struct ContentV1 {
    content: String,
}

fn hashedrekord_v1(spec: &HashedrekordV1, signed: &Signed<'_>) -> Result<(), BodyProblem> {
    let Message::Artifact { hash, digest, .. } = &signed.message else {
        return Err(BodyProblem::Unsupported);
    };
    spec.data.hash.check(*hash, digest)?;
    signed.check_signature(&base64(&spec.signature.content)?)?;
    signed.check_pem(&spec.signature.public_key.content)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DsseV1 {
    payload_hash: HashV1,
    signatures: Vec<DsseSignatureV1>,
}

#[derive(Deserialize)]
struct DsseSignatureV1 {
    signature: String,
    verifier: String,
}

fn dsse_v1(spec: &DsseV1, signed: &Signed<'_>) -> Result<(), BodyProblem> {
    signed.check_payload(&spec.payload_hash)?;
    // A bundle's envelope has one signature, so its entry has one.
    let [only] = spec.signatures.as_slice() else {
        return Err(BodyProblem::Signature);
    };
    let octets = protojson::decode_bytes(&only.signature).map_err(|_| BodyProblem::Malformed)?;
    signed.check_signature(&octets)?;
    signed.check_pem(&only.verifier)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoV001 {
    content: IntotoContentV001,
    public_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoContentV001 {
    hash: HashV1,
    payload_hash: HashV1,
}

/// The body holds no signature, only the hash of the envelope's text, so that text is needed: a bundle does not have it
/// (`rekor pkg/types/intoto/v0.0.1/entry.go`).
fn intoto_v001(spec: &IntotoV001, signed: &Signed<'_>) -> Result<(), BodyProblem> {
    let text = signed.envelope_text.ok_or(BodyProblem::Unsupported)?;
    spec.content.hash.check(HashAlgorithm::Sha256, &sha256(text))?;
    signed.check_payload(&spec.content.payload_hash)?;
    signed.check_pem(&spec.public_key)
}

#[derive(Deserialize)]
struct IntotoV1 {
    content: IntotoContentV1,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoContentV1 {
    envelope: IntotoEnvelopeV1,
    payload_hash: HashV1,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoEnvelopeV1 {
    payload_type: String,
    signatures: Vec<IntotoSignatureV1>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoSignatureV1 {
    sig: String,
    public_key: String,
}

fn intoto_v1(spec: &IntotoV1, signed: &Signed<'_>) -> Result<(), BodyProblem> {
    signed.check_payload(&spec.content.payload_hash)?;
    let Message::Envelope { envelope, .. } = &signed.message else {
        return Err(BodyProblem::Unsupported);
    };
    same(
        spec.content.envelope.payload_type == envelope.payload_type,
        BodyProblem::Digest,
    )?;
    let [only] = spec.content.envelope.signatures.as_slice() else {
        return Err(BodyProblem::Signature);
    };
    // Base64 twice (`rekor pkg/types/intoto/v0.0.2/entry.go`).
    let text = String::from_utf8(base64(&only.sig)?).map_err(|_| BodyProblem::Malformed)?;
    let octets = protojson::decode_bytes(&text).map_err(|_| BodyProblem::Malformed)?;
    signed.check_signature(&octets)?;
    signed.check_pem(&only.public_key)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashedrekordV2 {
    #[serde(rename = "hashedRekordV002")]
    entry: HashedrekordEntryV2,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashedrekordEntryV2 {
    data: DigestV2,
    signature: SignatureV2,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DigestV2 {
    algorithm: String,
    #[serde(with = "protojson::bytes")]
    digest: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureV2 {
    #[serde(with = "protojson::bytes")]
    content: Vec<u8>,
    verifier: VerifierV2,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VerifierV2 {
    /// Says nothing that the key does not say itself, and upstream logs wrong ones.
    #[serde(rename = "keyDetails")]
    _key_details: String,
    public_key: Option<RawBytesV2>,
    x509_certificate: Option<RawBytesV2>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawBytesV2 {
    #[serde(with = "protojson::bytes")]
    raw_bytes: Vec<u8>,
}

/// Rekor v2 logs envelopes as digests too: of the octets they sign (`rekor-tiles CLIENTS.md`).
fn hashedrekord_v2(spec: &HashedrekordV2, signed: &Signed<'_>) -> Result<(), BodyProblem> {
    let HashedrekordEntryV2 { data, signature } = &spec.entry;
    let hash = hash_from_name(&data.algorithm).ok_or(BodyProblem::Malformed)?;
    let equal = match &signed.message {
        Message::Artifact {
            hash: signed_hash,
            digest,
            ..
        } => hash == *signed_hash && data.digest == *digest,
        Message::Envelope { pae, .. } => data.digest == hash.digest(pae),
    };
    same(equal, BodyProblem::Digest)?;
    signed.check_v2(signature)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DsseV2 {
    #[serde(rename = "dsseV002")]
    entry: DsseEntryV2,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DsseEntryV2 {
    payload_hash: DigestV2,
    signatures: Vec<SignatureV2>,
}

fn dsse_v2(spec: &DsseV2, signed: &Signed<'_>) -> Result<(), BodyProblem> {
    let Message::Envelope { envelope, .. } = &signed.message else {
        return Err(BodyProblem::Unsupported);
    };
    let hash = hash_from_name(&spec.entry.payload_hash.algorithm).ok_or(BodyProblem::Malformed)?;
    same(
        spec.entry.payload_hash.digest == hash.digest(&envelope.payload),
        BodyProblem::Digest,
    )?;
    let [only] = spec.entry.signatures.as_slice() else {
        return Err(BodyProblem::Signature);
    };
    signed.check_v2(only)
}
