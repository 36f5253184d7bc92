//! What is stored beside a leaf, outside the tree.
//!
//! v1: `02 ‖ u16 length ‖ SET ‖ u16 milliseconds ‖ rest`. The rest is empty where nothing of the entry is kept but its
//! body, else `u16 length ‖ attestation name ‖ u8 which ‖ (u16 length ‖ term)*`: the terms that cannot be told from the
//! body (the subjects of an envelope's payload, which is not stored), or all of them, so that the whole index can be
//! checked against the leaves and made anew from them; or which is 2, and the entry has none because its body is of no known kind. Before, it was `01 ‖ u16 length ‖ SET ‖ attestation name`.
//!
//! v2: `u64 milliseconds ‖ rest`, with a rest for every envelope since entries are searched. No leaf and no signature of
//! such a log has the time, so a check could not tell a damaged one. The first logs kept nothing.
//!
//! The timestamp is a promise made once: reads return it as it was given, they never sign again. It has whole seconds;
//! the milliseconds of the leaf's time are kept beside it so that no part of a stored time is unchecked.

use std::collections::HashSet;

use bytes::{BufMut as _, Bytes, BytesMut};

const VERSION: u8 = 2;
/// Without milliseconds and terms.
const OLD: u8 = 1;

/// Terms of an entry, as far as its body does not tell them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Those besides the body's.
    Besides(Vec<String>),
    /// All of them: the body tells some that the entry was not given.
    All(Vec<String>),
    /// None: the body is of no kind that is known here, as an imported one may be.
    Nothing,
    /// The record is an old one.
    Unknown,
}

/// Makes the rest of a record: of the entry's `terms`, those that are not in `told` are kept. Empty if there is nothing.
pub(crate) fn rest(attestation: &str, terms: &[String], told: &[String]) -> Bytes {
    let rest = whole_rest(attestation, terms, told);
    // Two octets of length and one of which.
    if rest.len() == 3 && rest.last() == Some(&0) {
        return Bytes::new();
    }
    rest
}

/// The same, never empty: it says that nothing was left out.
pub(crate) fn whole_rest(attestation: &str, terms: &[String], told: &[String]) -> Bytes {
    let given: HashSet<&String> = terms.iter().collect();
    let told: HashSet<&String> = told.iter().collect();
    let all = told.iter().any(|term| !given.contains(term));
    let kept: Vec<&String> = terms.iter().filter(|term| all || !told.contains(term)).collect();
    let mut out = BytesMut::new();
    put(&mut out, attestation.as_bytes());
    out.put_u8(u8::from(all));
    for term in kept {
        put(&mut out, term.as_bytes());
    }
    out.freeze()
}

/// The rest of the record of an entry whose body is of no known kind.
pub(crate) fn nothing() -> Bytes {
    Bytes::from_static(&[0, 0, 2])
}

/// Terms and names have some hundred octets, a signed entry timestamp seventy: nothing is ever cut.
fn put(out: &mut BytesMut, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.put_u16(length);
    out.put_slice(bytes.get(..usize::from(length)).unwrap_or(bytes));
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (part, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    Some(part)
}

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extra<'a> {
    /// The signed entry timestamp.
    pub(crate) set: &'a [u8],
    /// Name of the attestation, `sha256:…`; empty where none is attached.
    pub(crate) attestation: &'a str,
    /// Milliseconds of the leaf's time within its second; `None` in an old record.
    pub(crate) millis: Option<u16>,
    /// Which terms and the terms, see [`Extra::kept`].
    terms: &'a [u8],
}

impl<'a> Extra<'a> {
    /// The record of a leaf of `time`, Unix milliseconds.
    pub(crate) fn encode(set: &[u8], time: u64, rest: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(set.len().saturating_add(rest.len()).saturating_add(5));
        out.put_u8(VERSION);
        put(&mut out, set);
        out.put_u16(millis(time));
        out.put_slice(rest);
        out.freeze()
    }

    /// `None` when the record is not one of ours.
    pub(crate) fn decode(record: &'a [u8]) -> Option<Self> {
        let (version, mut rest) = record.split_first()?;
        let set = take(&mut rest)?;
        if *version == OLD {
            return Some(Self {
                set,
                attestation: std::str::from_utf8(rest).ok()?,
                millis: None,
                terms: &[],
            });
        }
        let (millis, mut rest) = rest.split_first_chunk::<2>()?;
        let attestation = if rest.is_empty() { &[] } else { take(&mut rest)? };
        (*version == VERSION).then_some(Self {
            set,
            attestation: std::str::from_utf8(attestation).ok()?,
            millis: Some(u16::from_be_bytes(*millis)),
            terms: rest,
        })
    }

    /// The terms that were kept; `None` when they are not as [`rest`] writes them.
    pub(crate) fn kept(&self) -> Option<Kept> {
        if self.millis.is_none() {
            return Some(Kept::Unknown);
        }
        kept(self.terms)
    }
}

fn kept(terms: &[u8]) -> Option<Kept> {
    let Some((all, mut rest)) = terms.split_first() else {
        return Some(Kept::Besides(Vec::new()));
    };
    let mut terms = Vec::new();
    while !rest.is_empty() {
        terms.push(std::str::from_utf8(take(&mut rest)?).ok()?.to_owned());
    }
    match all {
        0 => Some(Kept::Besides(terms)),
        1 => Some(Kept::All(terms)),
        2 if terms.is_empty() => Some(Kept::Nothing),
        _ => None,
    }
}

/// The record of a v2 leaf of `time`, Unix milliseconds.
pub(crate) fn encode_v2(time: u64, rest: &[u8]) -> Bytes {
    [time.to_be_bytes().as_slice(), rest].concat().into()
}

/// Reads what [`encode_v2`] made: the time, and the terms that were kept; `None` when it is not one of ours.
pub(crate) fn beside_v2(record: &[u8]) -> Option<(Option<u64>, Kept)> {
    if record.is_empty() {
        return Some((None, Kept::Unknown));
    }
    let (time, mut rest) = record.split_first_chunk::<8>()?;
    let time = Some(u64::from_be_bytes(*time));
    if rest.is_empty() {
        return Some((time, Kept::Unknown));
    }
    let attestation = take(&mut rest)?;
    (attestation.is_empty() && !rest.is_empty())
        .then(|| kept(rest))
        .flatten()
        .map(|kept| (time, kept))
}

/// Milliseconds within the second.
pub(crate) fn millis(time: u64) -> u16 {
    u16::try_from(time.rem_euclid(1_000)).unwrap_or_default()
}
