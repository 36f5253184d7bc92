//! Base64 as Go's `encoding/base64` reads it, and the pieces of RFC 8785 JSON that bodies are made of.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose};

/// Go does not look at the bits after the last octet unless asked to (`encoding/base64 Encoding.Strict`).
const LAX: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LAX);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LAX);

/// Padded standard base64; line breaks inside are skipped, as Go skips them.
pub(crate) fn decode_standard(text: &str) -> Option<Vec<u8>> {
    decode(&STANDARD, text)
}

/// Either alphabet, padded: what a DSSE envelope may use (`secure-systems-lab/dsse envelope.md`).
pub(crate) fn decode_any(text: &str) -> Option<Vec<u8>> {
    decode(&STANDARD, text).or_else(|| decode(&URL_SAFE, text))
}

fn decode(engine: &GeneralPurpose, text: &str) -> Option<Vec<u8>> {
    if let Ok(octets) = engine.decode(text) {
        return Some(octets);
    }
    if !text.contains(['\r', '\n']) {
        return None;
    }
    let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    engine.decode(joined).ok()
}

/// Whether a text is the base64 of these octets.
pub(crate) fn is_base64_of(text: &str, octets: &[u8]) -> bool {
    decode_standard(text).is_some_and(|decoded| decoded == octets)
}

/// Appends padded standard base64.
pub(crate) fn push_base64(out: &mut String, octets: &[u8]) {
    general_purpose::STANDARD.encode_string(octets, out);
}

/// Appends a JSON string in the form of RFC 8785 §3.2.2.2: only the quotation mark, the reverse solidus and control
/// characters are escaped, the latter by their short names where they have one and by lower-case hex otherwise.
pub(crate) fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            0x09 => "\\t",
            0x0a => "\\n",
            0x0c => "\\f",
            0x0d => "\\r",
            0x00..=0x1f => "",
            _ => continue,
        };
        out.push_str(text.get(plain..at).unwrap_or_default());
        if escape.is_empty() {
            let hex = [byte];
            out.push_str("\\u00");
            out.push_str(&hex::encode(hex));
        } else {
            out.push_str(escape);
        }
        plain = at.saturating_add(1);
    }
    out.push_str(text.get(plain..).unwrap_or_default());
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn base64_is_read_as_go_reads_it() {
        assert_eq!(decode_standard("+/8=").unwrap(), [0xfb, 0xff]);
        assert_eq!(decode_standard("+/\r\n8=\n").unwrap(), [0xfb, 0xff]);
        assert_eq!(
            decode_standard("+/9=").unwrap(),
            [0xfb, 0xff],
            "trailing bits are ignored"
        );
        assert!(decode_standard("+/8").is_none(), "padding is required");
        assert!(decode_standard("-_8=").is_none());
        assert_eq!(decode_any("-_8=").unwrap(), [0xfb, 0xff]);
    }

    #[test]
    fn strings_are_escaped_as_rfc_8785_does() {
        let text: String = (0u8..=0x7f)
            .map(char::from)
            .chain("é\u{1f600}</&>".chars())
            .collect();
        let mut ours = String::new();
        push_json_string(&mut ours, &text);
        assert_eq!(ours.as_bytes(), serde_json_canonicalizer::to_vec(&text).unwrap());
    }
}
