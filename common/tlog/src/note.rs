//! Signed notes (C2SP signed-note): a text and the signature lines under it.
//!
//! A note is text that ends with a newline, a blank line, and one line `— name base64(hint ‖
//! signature)` per signature. What is signed is the text with its last newline and without the blank
//! line. Whether a signature holds is for the caller to check: the four-byte hint only says which
//! key to try.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Largest note accepted, in bytes: room for [`MAX_SIGNATURES`] of the usual size and a few large
/// post-quantum ones.
pub const MAX_NOTE: usize = 128 * 1024;
/// Longest signature line accepted, in bytes.
pub const MAX_LINE: usize = 16 * 1024;
/// Most signature lines accepted. C2SP signed-note asks verifiers to take at least 16.
pub const MAX_SIGNATURES: usize = 100;
/// Longest key name accepted, in bytes.
pub const MAX_NAME: usize = 256;

/// The first four bytes of a key's identifier, as a signature line carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHint(pub [u8; 4]);

impl fmt::Display for KeyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key that signed.
    pub name: String,
    /// Which of that name's keys.
    pub hint: KeyHint,
    /// What follows the hint; its form depends on the kind of key.
    pub signature: Vec<u8>,
}

/// A text with signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// Why bytes are not a signed note, or parts do not make one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Over [`MAX_NOTE`].
    #[error("a note has at most {MAX_NOTE} bytes, got {0}")]
    TooLarge(usize),
    /// Bytes that no note contains.
    #[error("a note is UTF-8 without control characters other than newline")]
    Text,
    /// The text must end with a newline.
    #[error("the text of a note ends with a newline")]
    TextEnd,
    /// No blank line before the signatures.
    #[error("a signed note has a blank line between its text and its signatures")]
    NoBlankLine,
    /// Nobody signed.
    #[error("a signed note has at least one signature line")]
    Unsigned,
    /// Over [`MAX_SIGNATURES`].
    #[error("a note has at most {MAX_SIGNATURES} signature lines")]
    TooManySignatures,
    /// A line that is no signature line; counted from 1.
    #[error("signature line {0} is not \"— name base64\"")]
    Line(usize),
    /// A key name with white space or a plus sign, or too long.
    #[error("a key name has 1 to {MAX_NAME} bytes without white space and '+'")]
    Name,
}

/// The start of a signature line: an em dash and a space.
const LINE_START: &str = "\u{2014} ";

impl Note {
    /// An unsigned note over `text`.
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        if text.len() > MAX_NOTE {
            return Err(NoteError::TooLarge(text.len()));
        }
        check_text(&text)?;
        if !text.ends_with('\n') {
            return Err(NoteError::TextEnd);
        }
        Ok(Self {
            text,
            signatures: Vec::new(),
        })
    }

    /// Adds a signature line below the others.
    pub fn push(&mut self, name: &str, hint: KeyHint, signature: Vec<u8>) -> Result<(), NoteError> {
        check_name(name)?;
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        self.signatures.push(NoteSignature {
            name: name.to_owned(),
            hint,
            signature,
        });
        Ok(())
    }

    /// Parses a signed note, which `Display` gives back byte for byte.
    pub fn parse(note: &[u8]) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::TooLarge(note.len()));
        }
        let note = str::from_utf8(note).map_err(|_| NoteError::Text)?;
        check_text(note)?;
        // The text may have blank lines itself: the last one divides (C2SP signed-note "Format").
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoBlankLine)?;
        if lines.is_empty() {
            return Err(NoteError::Unsigned);
        }
        let count = lines.split('\n').count().saturating_sub(1);
        if count > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let lines = lines
            .strip_suffix('\n')
            .ok_or(NoteError::Line(count.saturating_add(1)))?;
        let signatures = lines
            .split('\n')
            .zip(1..)
            .map(|(line, number)| parse_line(line).ok_or(NoteError::Line(number)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: format!("{text}\n"),
            signatures,
        })
    }

    /// The text: exactly the bytes that signatures are over.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures in the order of their lines.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The signatures that claim to be made by one key.
    pub fn signatures_by(&self, name: &str, hint: KeyHint) -> impl Iterator<Item = &NoteSignature> {
        self.signatures
            .iter()
            .filter(move |line| line.name == name && line.hint == hint)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [self.hint.0.as_slice(), &self.signature].concat();
        write!(f, "{LINE_START}{} {}", self.name, STANDARD.encode(blob))
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        Self::parse(note.as_bytes())
    }
}

fn parse_line(line: &str) -> Option<NoteSignature> {
    if line.len() > MAX_LINE {
        return None;
    }
    let (name, blob) = line.strip_prefix(LINE_START)?.split_once(' ')?;
    check_name(name).ok()?;
    let blob = STANDARD.decode(blob).ok()?;
    let (hint, signature) = blob.split_first_chunk::<4>()?;
    if signature.is_empty() {
        return None;
    }
    Some(NoteSignature {
        name: name.to_owned(),
        hint: KeyHint(*hint),
        signature: signature.to_vec(),
    })
}

fn check_text(text: &str) -> Result<(), NoteError> {
    // C2SP signed-note: no control characters below U+0020 but the newline.
    if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        Err(NoteError::Text)
    } else {
        Ok(())
    }
}

/// C2SP signed-note: key names are not empty and have neither Unicode spaces nor plus signs.
pub(crate) fn check_name(name: &str) -> Result<(), NoteError> {
    let well_formed = !name.is_empty()
        && name.len() <= MAX_NAME
        && !name
            .chars()
            .any(|char| char.is_whitespace() || char.is_control() || char == '+');
    if well_formed { Ok(()) } else { Err(NoteError::Name) }
}

#[cfg(test)]
mod tests;
