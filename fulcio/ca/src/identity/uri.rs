//! URIs as subjects: what Go's `url.Parse` and `String` make of a text, since that is what upstream puts into certificates.
//!
//! RFC 3986. The parts that identity rules compare and the text that is certified come from one reading, so that they cannot
//! differ. Stricter than Go: a scheme is needed (RFC 5280 §4.2.1.6, "MUST be absolute"), and a host where there is `//`.

use super::error::{TokenError, quote};

/// Longest subject, in bytes. SPIFFE-ID §2.3 has the same bound.
pub(crate) const MAX_URI: usize = 2_048;

/// A URI that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uri {
    /// Lower case.
    pub(crate) scheme: String,
    /// Host name or address as written, without port and brackets; empty without `//`.
    pub(crate) host: String,
    /// ASCII, as it goes into a certificate.
    pub(crate) text: String,
}

impl Uri {
    /// Reads `text`; the error says what was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_URI {
            return Err("a URI of at most 2048 bytes");
        }
        if text.chars().any(char::is_control) {
            return Err("a URI without control characters");
        }
        let (scheme, rest) = text.split_once(':').ok_or("a URI with a scheme")?;
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(letters) {
            return Err("a URI with a scheme");
        }
        let scheme = scheme.to_ascii_lowercase();
        let (rest, fragment) = split(rest, '#');
        let (rest, query) = split(rest, '?');
        let (authority, path) = match rest.strip_prefix("//") {
            None => (None, rest),
            Some(rest) => {
                let end = rest.find('/').unwrap_or(rest.len());
                let (authority, path) = rest.split_at_checked(end).ok_or("a URI with a host")?;
                (Some(authority), path)
            }
        };
        let host = authority.map(host).transpose()?.unwrap_or_default();
        if path.is_empty() && authority.is_none() {
            return Err("a URI with more than a scheme");
        }
        let mut out = format!("{scheme}:");
        if let Some(authority) = authority {
            out.push_str("//");
            out.push_str(authority);
        }
        out.push_str(&path_text(path)?);
        for (mark, part) in [('?', query), ('#', fragment)] {
            if let Some(part) = part {
                out.push(mark);
                out.push_str(&escaped(part.as_bytes(), |byte| {
                    byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)
                }));
            }
        }
        if out.len() > MAX_URI {
            return Err("a URI of at most 2048 bytes");
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            text: out,
        })
    }
}

impl Uri {
    /// Reads what becomes a subject.
    pub(crate) fn of_subject(text: &str) -> Result<Self, TokenError> {
        Self::parse(text).map_err(|expected| not_one(expected, text))
    }

    /// What Go's `url.JoinPath` makes of an origin and a path in one text: `?` and `#` are characters of the path, and an
    /// empty element is none.
    pub(crate) fn joined(text: &str) -> Result<String, TokenError> {
        let start = text.find("//").map_or(0, |at| at.saturating_add(2));
        let end = text.get(start..).and_then(|rest| rest.find('/'));
        let end = end.map_or(text.len(), |at| start.saturating_add(at));
        let (origin, path) = text.split_at_checked(end).unwrap_or((text, ""));
        let mut path = path.to_owned();
        while path.contains("//") {
            path = path.replace("//", "/");
        }
        let path = path_text(&path).map_err(|expected| not_one(expected, text))?;
        Ok(format!("{origin}{path}"))
    }
}

fn not_one(expected: &'static str, text: &str) -> TokenError {
    TokenError::Subject {
        expected,
        got: quote(text),
    }
}

fn split(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark)
        .map_or((text, None), |(before, after)| (before, Some(after)))
}

/// The host of an authority (RFC 3986 §3.2).
fn host(authority: &str) -> Result<&str, &'static str> {
    const EXPECTED: &str = "a URI with a host of letters, digits, dots and hyphens";
    let (user, place) = authority
        .rsplit_once('@')
        .map_or(("", authority), |(user, place)| (user, place));
    let named = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(c);
    if !user.chars().all(|c| named(c) || c == ':') {
        return Err(EXPECTED);
    }
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(EXPECTED)?;
            if !host
                .chars()
                .all(|c| c.is_ascii_hexdigit() || c == ':' || c == '.')
            {
                return Err(EXPECTED);
            }
            (
                host,
                port.strip_prefix(':').or_else(|| port.is_empty().then_some("")),
            )
        }
        None => {
            let (host, port) = split(place, ':');
            // Go's x509 does not read a certificate whose URI has an empty label in its host.
            if !host.chars().all(named) || host.split('.').any(str::is_empty) {
                return Err(EXPECTED);
            }
            (host, port.or(Some("")))
        }
    };
    match port {
        Some(port) if !host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(host),
        _ => Err(EXPECTED),
    }
}

/// A path as Go's `EscapedPath` gives it: as it came where that is valid, else escaped anew.
fn path_text(path: &str) -> Result<String, &'static str> {
    let plain = unescaped(path).ok_or("a URI whose every % begins a code of two hexadecimal digits")?;
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte);
    let valid = |byte: u8| unreserved(byte) || b"!'()*[]%".contains(&byte);
    Ok(match path.bytes().all(valid) {
        true => path.to_owned(),
        false => escaped(&plain, unreserved),
    })
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        out.push(match byte {
            b'%' => {
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high << 4 | low).ok()?
            }
            other => other,
        });
    }
    Some(out)
}

fn escaped(bytes: &[u8], keep: impl Fn(u8) -> bool) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if keep(*byte) {
            out.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests;
