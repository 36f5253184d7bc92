//! PEM: read as the Go tools of Sigstore read it, written in one form.
//!
//! RFC 7468 §2 allows explanatory text around a block and any line width on reading; headers of the old
//! RFC 1421 form are skipped. Writing is always 64 columns and a final line feed, because Rekor's leaves hold
//! that form (sigstore `pkg/cryptoutils`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// Longest label accepted, in octets.
const MAX_LABEL: usize = 64;

/// Columns of a line that is written.
const LINE: usize = 64;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// One decoded block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The label, for example `CERTIFICATE`.
    pub label: String,
    /// The decoded contents.
    pub contents: Vec<u8>,
}

/// Why text is not PEM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// No `-----BEGIN` line.
    #[error("no PEM block found")]
    NoBlock,
    /// Label missing, not printable, or too long.
    #[error("malformed PEM label")]
    Label,
    /// The block does not end, or ends with another label.
    #[error("PEM block \"{0}\" has no matching end line")]
    NoEnd(String),
    /// The contents are not base64.
    #[error("contents of PEM block \"{0}\" are not base64")]
    Base64(String),
    /// More than one block, or text after it.
    #[error("unexpected data after PEM block \"{0}\"")]
    Trailing(String),
    /// More blocks than allowed.
    #[error("more than {0} PEM blocks")]
    TooMany(usize),
}

/// Decodes the first block; also returns what follows it. Time is linear in the input.
pub fn decode(input: &[u8]) -> Result<(Block, &[u8]), PemError> {
    let (label, lines, rest) = split(input)?;
    match STANDARD.decode(base64_text(lines)) {
        Ok(contents) => Ok((Block { label, contents }, rest)),
        Err(_) => Err(PemError::Base64(label)),
    }
}

/// As [`decode_one`] for a private key: the contents, and the base64 they came from, are wiped from memory when
/// dropped and nowhere else.
pub fn decode_private(input: &[u8]) -> Result<(String, Zeroizing<Vec<u8>>), PemError> {
    let (label, lines, rest) = split(input)?;
    if !rest.trim_ascii().is_empty() {
        return Err(PemError::Trailing(label));
    }
    let text = Zeroizing::new(base64_text(lines));
    // Three octets of four characters: decoding in place of growing leaves no copy behind.
    let mut contents = Zeroizing::new(vec![0; text.len().div_ceil(4).saturating_mul(3)]);
    match STANDARD.decode_slice(text.as_slice(), &mut contents) {
        Ok(len) => {
            contents.truncate(len);
            Ok((label, contents))
        }
        Err(_) => Err(PemError::Base64(label)),
    }
}

/// Finds the first block: its label, what is between its first and its last line, and what follows it.
fn split(input: &[u8]) -> Result<(String, &[u8], &[u8]), PemError> {
    let mut rest = input;
    let label = loop {
        if rest.is_empty() {
            return Err(PemError::NoBlock);
        }
        let (line, after) = next_line(rest);
        rest = after;
        if let Some(label) = line.strip_prefix(BEGIN) {
            break parse_label(label)?;
        }
    };
    let inside = rest;
    loop {
        if rest.is_empty() {
            return Err(PemError::NoEnd(label));
        }
        let (line, after) = next_line(rest);
        if let Some(end) = line.strip_prefix(END) {
            if parse_label(end)? != label {
                return Err(PemError::NoEnd(label));
            }
            let len = inside.len().saturating_sub(rest.len());
            return Ok((label, inside.get(..len).unwrap_or_default(), after));
        }
        rest = after;
    }
}

/// The base64 of a block without headers and white space. Its size is reserved at once: a buffer that grows leaves
/// copies in freed memory.
fn base64_text(lines: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(lines.len());
    let mut rest = lines;
    while !rest.is_empty() {
        let (line, after) = next_line(rest);
        rest = after;
        // `Name: value` headers may open a block (RFC 1421 §4.6); a colon is never base64.
        if text.is_empty() && line.contains(&b':') {
            continue;
        }
        text.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
    }
    text
}

/// Decodes text that holds one block, with nothing but white space after it.
pub fn decode_one(input: &[u8]) -> Result<Block, PemError> {
    let (block, rest) = decode(input)?;
    if rest.trim_ascii().is_empty() {
        Ok(block)
    } else {
        Err(PemError::Trailing(block.label))
    }
}

/// Decodes every block, at least one and at most `max`, with nothing but white space after the last.
pub fn decode_all(input: &[u8], max: usize) -> Result<Vec<Block>, PemError> {
    let mut blocks = Vec::new();
    let mut rest = input;
    while blocks.is_empty() || !rest.trim_ascii().is_empty() {
        if blocks.len() >= max {
            return Err(PemError::TooMany(max));
        }
        let (block, after) = decode(rest)?;
        blocks.push(block);
        rest = after;
    }
    Ok(blocks)
}

/// Writes one block: 64 columns, line feeds, a final line feed.
///
/// Fit for private keys: the text is written once, into memory reserved at once, so the caller has the only copy.
pub fn encode(label: &str, contents: &[u8]) -> String {
    let base64 = contents.len().div_ceil(3).saturating_mul(4);
    let fixed = label.len().saturating_mul(2).saturating_add(32);
    let mut out = String::with_capacity(base64.saturating_add(base64.div_ceil(LINE)).saturating_add(fixed));
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    let mut line = Zeroizing::new([0; LINE]);
    for octets in contents.chunks(LINE / 4 * 3) {
        // Neither fails: a chunk fills a line at most, and base64 is ASCII.
        let len = STANDARD.encode_slice(octets, line.as_mut_slice()).unwrap_or(0);
        let text = line
            .get(..len)
            .and_then(|line| std::str::from_utf8(line).ok())
            .unwrap_or_default();
        out.push_str(text);
        out.push('\n');
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

/// The next line without its end and trailing white space, and what follows.
fn next_line(input: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let line = parts.next().unwrap_or_default();
    (line.trim_ascii_end(), parts.next().unwrap_or_default())
}

/// The label of what follows `-----BEGIN ` or `-----END `.
fn parse_label(text: &[u8]) -> Result<String, PemError> {
    let label = text.strip_suffix(DASHES).ok_or(PemError::Label)?;
    let printable = label
        .iter()
        .all(|byte| (b' '..=b'~').contains(byte) && *byte != b'-');
    match std::str::from_utf8(label) {
        Ok(label) if printable && !label.is_empty() && label.len() <= MAX_LABEL => Ok(label.to_owned()),
        _ => Err(PemError::Label),
    }
}
