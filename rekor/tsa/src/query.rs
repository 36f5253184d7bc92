//! What was asked: a DER TimeStampReq, or its JSON form (timestamp-authority `pkg/api/timestamp.go`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::key::HashAlgorithm;
use common_pki::oid;
use common_pki::tsp::{ImprintAlgorithm, MessageImprint, TimeStampRequest, TspError};
use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{MAX_ARCS, Refusal};

/// Longest JSON request granted, in octets.
const MAX_JSON: usize = 1024;

/// Longest JSON request looked into, so that one with an endless policy is told so.
const MAX_JSON_PARSED: usize = 16 * 1024;

/// Longest text of a refused media type that is repeated to the client.
const MAX_ECHO: usize = 100;

/// Most decimal digits of a nonce, far above the 20 octets any client sends.
const MAX_NONCE_DIGITS: usize = 300;

/// The two forms of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Der,
    Json,
}

impl Form {
    /// The form the Content-Type names; parameters are ignored (RFC 9110 §8.3.1).
    ///
    /// One split, no pattern over the whole header: GHSA-4qg8-fj49-pxjh was memory spent on one full of
    /// separators.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Form, Refusal> {
        // RFC 9110 §8.3: without the header the content may be anything.
        let text = match headers.get(header::CONTENT_TYPE) {
            Some(value) => value.to_str().unwrap_or_default(),
            None => "application/octet-stream",
        };
        let media_type = text.split_once(';').map_or(text, |parts| parts.0);
        match media_type.trim() {
            der if der.eq_ignore_ascii_case("application/timestamp-query") => Ok(Form::Der),
            json if json.eq_ignore_ascii_case("application/json") => Ok(Form::Json),
            other => Err(Refusal::MediaType(other.chars().take(MAX_ECHO).collect())),
        }
    }
}

/// A request that will be granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) request: TimeStampRequest,
}

impl Query {
    /// Reads a request and checks it against what this authority grants.
    pub(crate) fn parse(form: Form, body: &[u8]) -> Result<Query, Refusal> {
        if body.is_empty() {
            return Err(Refusal::Empty);
        }
        let request = match form {
            Form::Der => TimeStampRequest::from_der(body).map_err(|_| Refusal::Malformed)?,
            Form::Json => from_json(body)?,
        };
        if request.imprint.algorithm == ImprintAlgorithm::Sha1 {
            return Err(Refusal::WeakHash);
        }
        match request.imprint.checked() {
            Ok(_) => {}
            Err(TspError::DigestLength { .. }) => return Err(Refusal::DigestLength),
            Err(_) => return Err(Refusal::Malformed),
        }
        match &request.policy {
            Some(policy) if arcs(policy) > MAX_ARCS => return Err(Refusal::TooManyArcs),
            Some(policy) if policy != oid::TSA_POLICY.as_bytes() => return Err(Refusal::Policy),
            _ => {}
        }
        if request.extensions {
            return Err(Refusal::Extension);
        }
        Ok(Query { request })
    }
}

/// Arcs of an OBJECT IDENTIFIER's contents: the first octets hold two (X.690 §8.19.4).
fn arcs(contents: &[u8]) -> usize {
    contents
        .iter()
        .filter(|octet| *octet & 0x80 == 0)
        .count()
        .saturating_add(1)
}

/// The JSON form; members it does not know are ignored, as upstream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRequest<'a> {
    #[serde(default)]
    artifact_hash: String,
    #[serde(default)]
    hash_algorithm: String,
    #[serde(default)]
    certificates: bool,
    #[serde(default, borrow)]
    nonce: Option<&'a RawValue>,
    #[serde(default, rename = "tsaPolicyOID")]
    tsa_policy_oid: String,
}

fn from_json(body: &[u8]) -> Result<TimeStampRequest, Refusal> {
    if body.len() > MAX_JSON_PARSED {
        return Err(Refusal::JsonTooLarge);
    }
    let json: JsonRequest<'_> = serde_json::from_slice(body).map_err(|_| Refusal::Malformed)?;
    let policy = match json.tsa_policy_oid.as_str() {
        "" => None,
        text => Some(policy(text)?),
    };
    if body.len() > MAX_JSON {
        return Err(Refusal::JsonTooLarge);
    }
    let hash = HashAlgorithm::from_name(&json.hash_algorithm).ok_or(Refusal::Malformed)?;
    let digest = STANDARD
        .decode(&json.artifact_hash)
        .map_err(|_| Refusal::Malformed)?;
    if digest.is_empty() {
        return Err(Refusal::Malformed);
    }
    let imprint = MessageImprint {
        algorithm: ImprintAlgorithm::Strong(hash),
        digest,
    };
    let nonce = json.nonce.map(|raw| nonce(raw.get())).transpose()?;
    Ok(TimeStampRequest {
        imprint,
        policy,
        nonce,
        certificates: json.certificates,
        extensions: false,
    })
}

/// Contents octets of a dotted identifier. Only the one we grant need be encoded: any other well-formed one is
/// refused all the same.
fn policy(dotted: &str) -> Result<Vec<u8>, Refusal> {
    // Counted without splitting (GHSA-4qg8-fj49-pxjh).
    let arcs = dotted
        .bytes()
        .filter(|byte| *byte == b'.')
        .count()
        .saturating_add(1);
    if arcs > MAX_ARCS {
        return Err(Refusal::TooManyArcs);
    }
    if !dotted
        .split('.')
        .all(|arc| !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Err(Refusal::Malformed);
    }
    if dotted == oid::TSA_POLICY.to_string() {
        Ok(oid::TSA_POLICY.as_bytes().to_vec())
    } else {
        Err(Refusal::Policy)
    }
}

/// Contents octets of the INTEGER for a decimal number; it may be longer than any machine word.
fn nonce(decimal: &str) -> Result<Vec<u8>, Refusal> {
    if decimal.len() > MAX_NONCE_DIGITS || !decimal.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::Malformed);
    }
    // Little endian, base 256: multiply by ten, add a digit.
    let mut octets = vec![0_u8];
    for digit in decimal.bytes().map(|byte| byte.saturating_sub(b'0')) {
        let mut carry = u16::from(digit);
        for octet in &mut octets {
            // At most 255 × 10 + 255, which fits sixteen bits.
            let value = u16::from(*octet).saturating_mul(10).saturating_add(carry);
            let [high, low] = value.to_be_bytes();
            *octet = low;
            carry = u16::from(high);
        }
        if let Ok(high @ 1..) = u8::try_from(carry) {
            octets.push(high);
        }
    }
    // A set top bit would make it negative (X.690 §8.3.3).
    if octets.last().is_some_and(|top| *top >= 0x80) {
        octets.push(0);
    }
    octets.reverse();
    Ok(octets)
}
