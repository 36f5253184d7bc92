//! A direct JSON writer for the answers of the hot path.
//!
//! Every answer of both APIs has a fixed shape of a dozen members whose values are numbers, hex, base64 and
//! one signed note, so it is written straight into the buffer that is sent: no tree of values, no
//! intermediate base64 strings.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_tlog::Hash;

/// Longest error message sent, in bytes: a parser's complaint can quote a member of any length.
const MAX_MESSAGE: usize = 2_048;

/// Appends a JSON string with the escapes RFC 8259 §7 requires and no others.
pub(crate) fn string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        // `at` is the position of an ASCII byte, so both cuts fall on character boundaries.
        out.push_str(text.get(plain..at).unwrap_or_default());
        match byte {
            b'\n' => out.push_str("\\n"),
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\t' => out.push_str("\\t"),
            b'\r' => out.push_str("\\r"),
            control => {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{control:04x}");
            }
        }
        plain = at.saturating_add(1);
    }
    out.push_str(text.get(plain..).unwrap_or_default());
    out.push('"');
}

/// Appends the text of an error as a JSON string, cut to a length worth reading.
pub(crate) fn message(out: &mut String, text: &str) {
    string(
        out,
        text.get(..text.floor_char_boundary(MAX_MESSAGE))
            .unwrap_or_default(),
    );
}

/// Appends `bytes` as a JSON string of padded standard base64 (RFC 4648 §4).
pub(crate) fn base64(out: &mut String, bytes: &[u8]) {
    out.push('"');
    STANDARD.encode_string(bytes, out);
    out.push('"');
}

/// Appends `bytes` as lower-case hex without quotes.
pub(crate) fn hex(out: &mut String, bytes: &[u8]) {
    let mut digits = [0; 64];
    for part in bytes.chunks(32) {
        // 32 bytes or fewer always fit, and hex is ASCII.
        let Some(digits) = digits.get_mut(..part.len().saturating_mul(2)) else {
            continue;
        };
        if hex::encode_to_slice(part, digits).is_ok() {
            out.push_str(std::str::from_utf8(digits).unwrap_or_default());
        }
    }
}

/// Appends a bare integer.
pub(crate) fn number(out: &mut String, value: u64) {
    // Writing into a String cannot fail.
    let _ = write!(out, "{value}");
}

/// Appends an array of hashes, each rendered by `one` (hex in v1, base64 in v2).
pub(crate) fn hashes(out: &mut String, hashes: &[Hash], one: fn(&mut String, &Hash)) {
    out.push('[');
    for (at, hash) in hashes.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        one(out, hash);
    }
    out.push(']');
}

#[cfg(test)]
mod tests;
