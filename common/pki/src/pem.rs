//! PEM: read as the Go tools of Sigstore read it, written in one form.
//!
//! RFC 7468 §2 allows explanatory text around a block and any line width on reading; headers of the old
//! RFC 1421 form are skipped. Writing is always 64 columns and a final line feed, because Rekor's leaves hold
//! that form (sigstore `pkg/cryptoutils`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[cfg(test)]
mod tests;

/// Longest label accepted, in octets.
const MAX_LABEL: usize = 64;

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
    let mut body = Vec::new();
    loop {
        if rest.is_empty() {
            return Err(PemError::NoEnd(label));
        }
        let (line, after) = next_line(rest);
        rest = after;
        if let Some(end) = line.strip_prefix(END) {
            if parse_label(end)? != label {
                return Err(PemError::NoEnd(label));
            }
            break;
        }
        // `Name: value` headers may open a block (RFC 1421 §4.6); a colon is never base64.
        if body.is_empty() && line.contains(&b':') {
            continue;
        }
        body.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
    }
    match STANDARD.decode(&body) {
        Ok(contents) => Ok((Block { label, contents }, rest)),
        Err(_) => Err(PemError::Base64(label)),
    }
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
pub fn encode(label: &str, contents: &[u8]) -> String {
    let body = STANDARD.encode(contents);
    let mut out = String::with_capacity(body.len().saturating_add(body.len() / 64).saturating_add(80));
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII, so every index is a character boundary.
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        out.push_str(line);
        out.push('\n');
        rest = after;
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
