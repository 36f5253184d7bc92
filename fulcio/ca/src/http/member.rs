//! A member of a JSON object: what is wanted of it, or what kind of value stands there instead.
//!
//! Nothing but the members of the request is kept: others are read over and make no tree in memory.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::Error;

/// A value, an object of which is an `M`. `null` is the same as absent (ProtoJSON).
#[derive(Default)]
pub(super) enum Member<M = IgnoredAny> {
    #[default]
    Absent,
    Text(String),
    Number,
    Object(M),
    /// Of a kind that no member of any request has.
    Other(&'static str),
}

impl<M> Member<M> {
    /// A message, if there.
    pub(super) fn message(self, field: &str) -> Result<Option<M>, Error> {
        match self {
            Self::Absent => Ok(None),
            Self::Object(message) => Ok(Some(message)),
            other => Err(other.unexpected(field, "an object")),
        }
    }

    pub(super) fn text(self, field: &str) -> Result<Option<String>, Error> {
        match self {
            Self::Absent => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            other => Err(other.unexpected(field, "a string")),
        }
    }

    /// Any base64 alphabet, with or without padding.
    pub(super) fn bytes(self, field: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        let engine = if text.contains(['-', '_']) {
            &URL_SAFE
        } else {
            &STANDARD
        };
        engine.decode(text).map(Some).map_err(|_| Error::Request {
            field: field.to_owned(),
            expected: "base64".to_owned(),
            got: "a string that is not".to_owned(),
        })
    }

    /// An enumeration that is not used: a name or a number, whatever it says.
    pub(super) fn ignored_enum(self, field: &str) -> Result<(), Error> {
        match self {
            Self::Absent | Self::Text(_) | Self::Number => Ok(()),
            other => Err(other.unexpected(field, "a string or a number")),
        }
    }

    /// The kind of the value, never the value: a misplaced token must not come back in an answer.
    pub(super) fn unexpected(&self, field: &str, expected: &str) -> Error {
        let got = match self {
            Self::Absent => "null",
            Self::Text(_) => "a string",
            Self::Number => "a number",
            Self::Object(_) => "an object",
            Self::Other(kind) => kind,
        };
        Error::Request {
            field: field.to_owned(),
            expected: expected.to_owned(),
            got: got.to_owned(),
        }
    }
}

const ANY_PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

impl<'de, M: Deserialize<'de>> Deserialize<'de> for Member<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

struct Reader<M>(PhantomData<M>);

impl<'de, M: Deserialize<'de>> Visitor<'de> for Reader<M> {
    type Value = Member<M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Member<M>, E> {
        Ok(Member::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Member<M>, E> {
        Ok(Member::Other("a boolean"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Member<M>, E> {
        Ok(Member::Number)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Member<M>, E> {
        Ok(Member::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Member<M>, E> {
        Ok(Member::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Member<M>, E> {
        Ok(Member::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Member<M>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Member<M>, A::Error> {
        M::deserialize(MapAccessDeserializer::new(members)).map(Member::Object)
    }
}
