//! The scalar rules of proto-JSON (protobuf.dev "ProtoJSON Format") as serde adapters: `bytes` are base64, 64-bit integers
//! are decimal strings.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Deserializer, Serializer, de};

/// Proto-JSON readers accept both alphabets, padded or not, and trailing bits that are not zero
/// (protobuf-go `encoding/protojson/decode.go` `unmarshalBytes`).
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The octets of a proto-JSON `bytes` value. Line breaks inside are skipped, as Go's decoder skips them: bundles put
/// together with `base64` from the shell have them.
///
/// # Errors
/// The text is in neither base64 alphabet.
pub fn decode_bytes(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let joined;
    let text = if text.contains(['\r', '\n']) {
        joined = text.replace(['\r', '\n'], "");
        &joined
    } else {
        text
    };
    if text.contains(['-', '_']) {
        URL_SAFE.decode(text)
    } else {
        STANDARD.decode(text)
    }
}

/// The proto-JSON form of `bytes`: standard alphabet, padded.
#[must_use]
pub fn encode_bytes(octets: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(octets)
}

/// Serde adapter for a `bytes` field held as `Vec<u8>`.
pub mod bytes {
    use super::{Cow, Deserialize, Deserializer, Serializer, de, decode_bytes, encode_bytes};

    /// Writes standard, padded base64.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_bytes(octets))
    }

    /// Reads base64 of either alphabet; `null` is the empty value.
    ///
    /// # Errors
    /// The value is not a base64 string.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = Option::<Cow<'de, str>>::deserialize(deserializer)?.unwrap_or_default();
        decode_bytes(&text)
            .map_err(|cause| de::Error::custom(format_args!("expected base64 octets: {cause}")))
    }
}

/// Serde adapter for a `repeated bytes` field held as `Vec<Vec<u8>>`.
pub mod bytes_list {
    use serde::Serialize as _;

    use super::{Cow, Deserialize, Deserializer, Serializer, de, decode_bytes, encode_bytes};

    /// Writes a list of standard, padded base64 strings.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(list: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        list.iter()
            .map(|octets| encode_bytes(octets))
            .collect::<Vec<_>>()
            .serialize(serializer)
    }

    /// Reads a list of base64 strings; `null` is the empty list.
    ///
    /// # Errors
    /// A value is not a base64 string.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let texts = Option::<Vec<Cow<'de, str>>>::deserialize(deserializer)?.unwrap_or_default();
        texts
            .iter()
            .map(|text| {
                decode_bytes(text)
                    .map_err(|cause| de::Error::custom(format_args!("expected base64 octets: {cause}")))
            })
            .collect()
    }
}

/// Serde adapter for an `int64` field that is never negative here (indexes, sizes, seconds), held as `u64`.
pub mod unsigned {
    use super::{Cow, Deserialize, Deserializer, Serializer, de};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number<'a> {
        Bare(i64),
        Text(#[serde(borrow)] Cow<'a, str>),
    }

    /// Writes a decimal string.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads a decimal string or a bare number; `null` is zero. A value that `int64` cannot hold is refused, because Go
    /// and Java read the same bytes into one.
    ///
    /// # Errors
    /// The value is negative, too large or not a number.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let value = match Option::<Number<'de>>::deserialize(deserializer)? {
            None => 0,
            Some(Number::Bare(value)) => value,
            Some(Number::Text(text)) => text
                .parse::<i64>()
                .map_err(|cause| de::Error::custom(format_args!("expected a 64-bit integer: {cause}")))?,
        };
        u64::try_from(value)
            .map_err(|_| de::Error::custom(format_args!("expected no negative number, got {value}")))
    }
}
