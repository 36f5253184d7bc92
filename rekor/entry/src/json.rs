//! Reading JSON without copying and without the surprises of derived readers.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// A string that borrows from the request where it has no escapes; `Option<Cow<str>>` would copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A JSON object and nothing else: derived readers also take an array of the members' values.
/// A member given twice is refused by the derived reader behind it; Go would let the last one win.
#[derive(Clone, Debug)]
pub struct Object<T>(pub T);

impl<T> std::ops::Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[derive(serde::Deserialize, Debug)]
    struct Pair<'a> {
        #[serde(borrow)]
        a: Option<Text<'a>>,
    }

    #[test]
    fn plain_strings_are_borrowed_and_escaped_ones_owned() {
        let plain: Object<Pair<'_>> = serde_json::from_str(r#"{"a":"x","other":[1]}"#).unwrap();
        assert!(matches!(plain.a.as_ref().unwrap().0, Cow::Borrowed("x")));
        let escaped: Object<Pair<'_>> = serde_json::from_str(r#"{"a":"x\n"}"#).unwrap();
        assert!(matches!(&escaped.a.as_ref().unwrap().0, Cow::Owned(text) if text == "x\n"));
    }

    #[test]
    fn arrays_and_repeated_members_are_refused() {
        assert!(serde_json::from_str::<Object<Pair<'_>>>(r#"["x"]"#).is_err());
        assert!(serde_json::from_str::<Object<Pair<'_>>>(r#"{"a":"x","a":"y"}"#).is_err());
        assert!(serde_json::from_str::<Object<Pair<'_>>>(r#"{"a":1}"#).is_err());
    }
}
