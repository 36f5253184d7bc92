//! Lists of signatures and verifiers as requests hold them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};

use crate::envelope::{MAX_SIGNATURES, at_most};
use crate::error::Invalid;

/// A list of which only as many items are built as may be there; what follows is counted. Three octets of JSON make an item
/// of up to 72, and a schema error each, so a long list would take many times the memory of its request.
#[derive(Debug)]
pub(crate) struct List<T> {
    items: Vec<T>,
    given: usize,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            given: 0,
        }
    }
}

impl<T> List<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.given == 0
    }

    /// All items, if there are not too many of them.
    pub(crate) fn bounded(self, what: &'static str) -> Result<Vec<T>, Invalid> {
        at_most(what, self.given).map(|()| self.items)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while items.len() < MAX_SIGNATURES {
                    match seq.next_element()? {
                        Some(item) => items.push(item),
                        None => break,
                    }
                }
                let mut given = items.len();
                while given >= MAX_SIGNATURES && seq.next_element::<IgnoredAny>()?.is_some() {
                    given = given.saturating_add(1);
                }
                Ok(List { items, given })
            }
        }
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn list(count: usize) -> List<u8> {
        serde_json::from_str(&serde_json::to_string(&vec![7; count]).unwrap()).unwrap()
    }

    #[test]
    fn long_lists_are_counted_and_not_built() {
        for count in [0, 1, MAX_SIGNATURES - 1, MAX_SIGNATURES] {
            assert_eq!(list(count).is_empty(), count == 0);
            assert_eq!(list(count).bounded("things").unwrap(), vec![7; count]);
        }
        let long = list(100_000);
        assert_eq!(long.items.len(), MAX_SIGNATURES);
        assert_eq!(
            long.bounded("things").unwrap_err().to_string(),
            "too many things: got 100000, at most 10 are allowed"
        );
        assert!(serde_json::from_str::<List<u8>>("[7,").is_err());
        assert!(serde_json::from_str::<List<u8>>("{}").is_err());
    }
}
