//! The cleartext signature framework (RFC 9580 §7), as `go-crypto openpgp/clearsign` reads it.

use super::armor::Armored;
use super::{Detached, PgpError, SIGNATURE_LABEL};

const START: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const END: &[u8] = b"\n-----END PGP SIGNATURE-----";
/// Hashes that a header may name; nothing else may stand in one, since it is not signed.
const HASHES: [&str; 9] = [
    "MD5",
    "SHA1",
    "RIPEMD160",
    "SHA224",
    "SHA256",
    "SHA384",
    "SHA512",
    "SHA3-256",
    "SHA3-512",
];

/// A message that was signed in clear text.
pub(crate) struct Cleartext {
    /// The text with line feeds.
    pub(crate) text: Vec<u8>,
    /// The octets that are signed.
    pub(crate) signed: Vec<u8>,
    pub(crate) signature: Detached,
}

impl Cleartext {
    /// The first such message of a file, if there is one.
    pub(crate) fn find(data: &[u8]) -> Result<Option<Self>, PgpError> {
        let Some((text, signed, armored)) = split(data) else {
            return Ok(None);
        };
        let Some(block) = Armored::find(armored)? else {
            return Ok(None);
        };
        if block.label != SIGNATURE_LABEL {
            return Err(PgpError::NotASignature);
        }
        Ok(Some(Self {
            text,
            signed,
            // Of the armor only its contents are looked at, so it is written anew.
            signature: Detached::parse(&block.contents)?,
        }))
    }
}

/// Text, signed octets and armored signature.
fn split(data: &[u8]) -> Option<(Vec<u8>, Vec<u8>, &[u8])> {
    let mut rest = match data.strip_prefix(START) {
        Some(rest) => rest,
        None => {
            let start = [b"\n", START].concat();
            let at = data.windows(start.len()).position(|part| part == start)?;
            data.get(at.checked_add(start.len())?..)?
        }
    };
    let mut line = take_line(&mut rest);
    if !line.is_empty() {
        return None;
    }
    loop {
        if rest.is_empty() {
            return None;
        }
        line = take_line(&mut rest);
        if line.trim_ascii().is_empty() {
            break;
        }
        check_header(line)?;
    }
    let (mut text, mut signed) = (Vec::new(), Vec::new());
    let mut first = true;
    loop {
        let from = rest;
        line = take_line(&mut rest);
        if line.is_empty() && rest.is_empty() {
            return None;
        }
        if line == SIGNATURE {
            rest = from;
            break;
        }
        // The line end before the signature is not part of the text.
        if !std::mem::take(&mut first) {
            signed.extend_from_slice(b"\r\n");
            text.push(b'\n');
        }
        let line = line.strip_prefix(b"- ").unwrap_or(line);
        let end = line
            .iter()
            .rposition(|byte| !matches!(byte, b' ' | b'\t'))
            .map_or(0, |last| last.saturating_add(1));
        let line = line.get(..end).unwrap_or_default();
        signed.extend_from_slice(line);
        text.extend_from_slice(line);
    }
    let end = rest.windows(END.len()).position(|part| part == END)?;
    let armored = rest.get(..end.checked_add(END.len())?)?;
    Some((text, signed, armored))
}

/// The next line without its end.
fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let (line, behind) = match rest.iter().position(|byte| *byte == b'\n') {
        Some(at) => rest.split_at(at),
        None => (*rest, [].as_slice()),
    };
    let ended = !behind.is_empty();
    *rest = behind.get(1..).unwrap_or_default();
    match line {
        [line @ .., b'\r'] if ended => line,
        line => line,
    }
}

fn check_header(line: &[u8]) -> Option<()> {
    if !line.iter().all(|byte| (0x20..=0x7e).contains(byte)) {
        return None;
    }
    let (name, hashes) = std::str::from_utf8(line).ok()?.split_once(':')?;
    let mut hashes = hashes.split(',').map(|hash| hash.trim().to_ascii_uppercase());
    (name.trim() == "Hash" && hashes.all(|hash| HASHES.contains(&hash.as_str()))).then_some(())
}
