//! Writing DER, and reading it without losing the bytes.
//!
//! Certificates and timestamps must come out the same to the octet each time, with fields in the order we
//! say, so they are put together from whole elements (X.690 §8, §10, §11). Reading goes through `der`,
//! which refuses whatever is not DER.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, SliceReader, Tag};

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0C;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

pub(crate) const NULL: &[u8] = &[0x05, 0x00];
pub(crate) const TRUE: &[u8] = &[BOOLEAN, 0x01, 0xFF];

/// One element: tag octet, definite length in the fewest octets (X.690 §10.1), contents.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(element_len(len));
    put_header(&mut out, tag, len);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// Octets of an element with `len` octets of contents.
pub(crate) fn element_len(len: usize) -> usize {
    let length_octets = match len {
        0..0x80 => 1,
        _ => length_digits(len).saturating_add(1),
    };
    len.saturating_add(length_octets).saturating_add(1)
}

/// Appends tag and length of an element whose `len` octets of contents come next: for what is written often, without
/// memory of its own for each part.
pub(crate) fn put_header(out: &mut Vec<u8>, tag: u8, len: usize) {
    out.push(tag);
    match u8::try_from(len) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let count = length_digits(len);
            // At most eight octets: the count is the low bits of the first one.
            out.push(0x80 | u8::try_from(count).unwrap_or(u8::MAX));
            let bytes = len.to_be_bytes();
            out.extend_from_slice(bytes.get(bytes.len().saturating_sub(count)..).unwrap_or_default());
        }
    }
}

/// Octets of a number without leading zeros.
fn length_digits(len: usize) -> usize {
    let bits = usize::BITS.saturating_sub(len.leading_zeros());
    usize::try_from(bits.div_ceil(8)).unwrap_or(size_of::<usize>())
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, parts)
}

/// SET OF: the elements in the order of their encodings (X.690 §11.6).
pub(crate) fn set_of(mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort();
    element(SET, &elements.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// `[number]` around whole elements: EXPLICIT, or IMPLICIT of a constructed type given as its contents.
pub(crate) fn context(number: u8, parts: &[&[u8]]) -> Vec<u8> {
    element(context_tag(number), parts)
}

/// The tag octet of a constructed `[number]`.
pub(crate) fn context_tag(number: u8) -> u8 {
    0xA0 | (number & 0x1F)
}

/// `[number] IMPLICIT` of a primitive type.
pub(crate) fn context_primitive(number: u8, contents: &[u8]) -> Vec<u8> {
    element(0x80 | (number & 0x1F), &[contents])
}

/// A non-negative INTEGER from big-endian octets, in the fewest octets (X.690 §8.3.2).
pub(crate) fn unsigned(big_endian: &[u8]) -> Vec<u8> {
    let start = big_endian
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(big_endian.len());
    let digits = big_endian.get(start..).unwrap_or_default();
    match digits.first() {
        Some(top) if *top < 0x80 => element(INTEGER, &[digits]),
        _ => element(INTEGER, &[&[0], digits]),
    }
}

pub(crate) fn octet_string(contents: &[u8]) -> Vec<u8> {
    element(OCTET_STRING, &[contents])
}

/// A BIT STRING of whole octets.
pub(crate) fn bit_string(contents: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], contents])
}

pub(crate) fn oid(id: &ObjectIdentifier) -> Vec<u8> {
    element(OBJECT_IDENTIFIER, &[id.as_bytes()])
}

/// Reads `input` as exactly one value of `T`, nothing after it.
pub(crate) fn decode<'a, T: Decode<'a, Error = der::Error>>(input: &'a [u8]) -> der::Result<T> {
    T::from_der(input)
}

/// A reader over `input`.
pub(crate) fn reader(input: &[u8]) -> der::Result<SliceReader<'_>> {
    SliceReader::new(input)
}

/// The next element of that tag: its contents.
pub(crate) fn expect<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> der::Result<&'a [u8]> {
    let any = AnyRef::decode(reader)?;
    any.header().tag().assert_eq(tag)?;
    Ok(any.value())
}

/// True where the next element has the context-specific tag `number`.
pub(crate) fn next_is_context(reader: &SliceReader<'_>, number: u32) -> bool {
    Tag::peek(reader).is_ok_and(|tag| tag.is_context_specific() && tag.number().value() == number)
}

#[cfg(test)]
mod tests;
