//! The proto-JSON of `CreateEntryRequest` (`rekor-tiles api/proto/rekor/v2/{entry,hashedrekord,dsse,verifier}.proto`):
//! names in either case style, enum values by name or number, `null` for not set, unknown members refused.

use std::fmt;

use common_bundle::format::protojson;
use common_pki::registry::SigningAlgorithm;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::RawValue;

use crate::json::{Object, Text};
use crate::list::List;

/// The request's `oneof`.
pub(super) enum Request<'a> {
    HashedRekord(HashedRekord<'a>),
    Dsse(Dsse<'a>),
    None,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(
        borrow,
        rename = "hashedRekordRequestV002",
        alias = "hashed_rekord_request_v002"
    )]
    hashed_rekord: Option<Object<HashedRekord<'a>>>,
    #[serde(borrow, rename = "dsseRequestV002", alias = "dsse_request_v002")]
    dsse: Option<Object<Dsse<'a>>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HashedRekord<'a> {
    #[serde(borrow)]
    pub(super) digest: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) signature: Option<Object<Signature<'a>>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature<'a> {
    #[serde(borrow)]
    pub(super) content: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) verifier: Option<Object<VerifierMessage<'a>>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dsse<'a> {
    #[serde(borrow)]
    pub(super) envelope: Option<Object<Envelope<'a>>>,
    #[serde(borrow)]
    pub(super) verifiers: Option<List<Object<VerifierMessage<'a>>>>,
}

/// `io.intoto.Envelope`. The one of bundles holds however many signatures there are, and a bundle is a client's own.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope<'a> {
    #[serde(deserialize_with = "protojson::bytes::deserialize", default)]
    pub(super) payload: Vec<u8>,
    #[serde(borrow, default, rename = "payloadType", alias = "payload_type")]
    pub(super) payload_type: Text<'a>,
    #[serde(borrow, default)]
    pub(super) signatures: List<Object<SignatureOfEnvelope<'a>>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignatureOfEnvelope<'a> {
    #[serde(deserialize_with = "protojson::bytes::deserialize", default)]
    pub(super) sig: Vec<u8>,
    /// Known, so that it is not refused; never used to choose a key.
    #[serde(borrow, rename = "keyid")]
    _keyid: Option<Text<'a>>,
}

/// A key or certificate with the label of its algorithm; also the form bodies hold.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifierMessage<'a> {
    #[serde(borrow, rename = "publicKey", alias = "public_key")]
    pub(super) public_key: Option<Object<RawBytes<'a>>>,
    #[serde(borrow, rename = "x509Certificate", alias = "x509_certificate")]
    pub(super) x509_certificate: Option<Object<RawBytes<'a>>>,
    #[serde(rename = "keyDetails", alias = "key_details")]
    pub(super) key_details: Option<KeyDetails>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBytes<'a> {
    #[serde(borrow, rename = "rawBytes", alias = "raw_bytes")]
    pub(super) raw_bytes: Option<Text<'a>>,
}

/// `PublicKeyDetails`; nothing where it names an algorithm that is in no registry.
pub(super) struct KeyDetails(pub(super) Option<SigningAlgorithm>);

impl<'de> Deserialize<'de> for KeyDetails {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EnumVisitor;
        impl Visitor<'_> for EnumVisitor {
            type Value = KeyDetails;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a PublicKeyDetails name or number")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<KeyDetails, E> {
                Ok(KeyDetails(SigningAlgorithm::from_proto_name(name)))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<KeyDetails, E> {
                Ok(KeyDetails(
                    i32::try_from(number)
                        .ok()
                        .and_then(SigningAlgorithm::from_proto_number),
                ))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<KeyDetails, E> {
                Ok(KeyDetails(None))
            }
        }
        deserializer.deserialize_any(EnumVisitor)
    }
}

pub(super) fn parse(json: &[u8]) -> Result<Request<'_>, serde_json::Error> {
    let Object(Wire { hashed_rekord, dsse }) = serde_json::from_slice::<Object<Wire<'_>>>(json)?;
    match (hashed_rekord, dsse) {
        (Some(Object(request)), None) => Ok(Request::HashedRekord(request)),
        (None, Some(Object(request))) => Ok(Request::Dsse(request)),
        (None, None) => Ok(Request::None),
        (Some(_), Some(_)) => Err(Error::custom("more than one entry in the request")),
    }
}

/// Reads the spec of a body, which has one member named after its message.
pub(super) fn spec<'a, T: Deserialize<'a>>(spec: &'a RawValue) -> Result<T, serde_json::Error> {
    serde_json::from_str::<Object<T>>(spec.get()).map(|object| object.0)
}
