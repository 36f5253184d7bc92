//! Armor (RFC 9580 §6), read as leniently and written as plainly as upstream does (`go-crypto openpgp/armor`).

use crate::encoding::{decode_standard, push_base64};

use super::PgpError;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// Longest line of base64.
const MAX_LINE: usize = 96;

/// One decoded block.
pub(super) struct Armored {
    pub(super) label: String,
    pub(super) contents: Vec<u8>,
}

impl Armored {
    /// The first block of a text, if it has one. A heading without an empty line behind its headers is no block.
    pub(super) fn find(text: &[u8]) -> Result<Option<Self>, PgpError> {
        let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        loop {
            let Some(label) = lines.find_map(heading) else {
                return Ok(None);
            };
            // Headers say nothing that matters here.
            let headers = lines
                .by_ref()
                .find(|line| line.is_empty() || !line.contains(&b':'));
            match headers {
                Some([]) => return Self::body(label, lines).map(Some),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    fn body<'a>(label: &[u8], lines: impl Iterator<Item = &'a [u8]>) -> Result<Self, PgpError> {
        let corrupt = || PgpError::structural("armor invalid");
        let mut encoded = Vec::new();
        for line in lines {
            // The checksum, which says less than the signatures do (RFC 9580 §6.1), or the end.
            if line.starts_with(END) || matches!(line, [b'=', _, _, _, _]) {
                break;
            }
            if line.len() > MAX_LINE {
                return Err(corrupt());
            }
            encoded.extend_from_slice(line);
        }
        let encoded = std::str::from_utf8(&encoded).map_err(|_| corrupt())?;
        Ok(Self {
            label: String::from_utf8_lossy(label).into_owned(),
            contents: decode_standard(encoded).ok_or_else(corrupt)?,
        })
    }
}

/// The label of a line that begins a block.
fn heading(line: &[u8]) -> Option<&[u8]> {
    let label = line.strip_prefix(BEGIN)?;
    // The end of the line is not looked at, only cut off.
    label
        .get(..label.len().saturating_sub(DASHES.len()))
        .filter(|label| !label.is_empty())
}

/// A block in its one form: no headers, 64 columns, checksum, no line feed at the end.
pub(super) fn encode(label: &str, contents: &[u8]) -> String {
    let mut encoded = String::new();
    push_base64(&mut encoded, contents);
    let mut out = format!("-----BEGIN {label}-----\n\n");
    for (index, character) in encoded.chars().enumerate() {
        if index > 0 && index.is_multiple_of(64) {
            out.push('\n');
        }
        out.push(character);
    }
    out.push_str("\n=");
    let [_, checksum @ ..] = crc24(contents).to_be_bytes();
    push_base64(&mut out, &checksum);
    out.push_str(&format!("\n-----END {label}-----"));
    out
}

/// RFC 9580 §6.1.1
fn crc24(data: &[u8]) -> u32 {
    const INITIAL: u32 = 0x00b7_04ce;
    const POLYNOMIAL: u32 = 0x0186_4cfb;
    let mut crc = INITIAL;
    for byte in data {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= POLYNOMIAL;
            }
        }
    }
    crc & 0x00ff_ffff
}
