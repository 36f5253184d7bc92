//! PKCS #11 URIs (RFC 7512), the part of them that names a token, a key on it, the module and where the PIN is.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

use super::token::Find;
use crate::signer::{Env, KeyringError, secret};

/// Where the module is unless the URI says it.
const MODULE: &str = "SIGBOX_PKCS11_MODULE";
/// Where the PIN is unless the URI says it.
const PIN: &str = "SIGBOX_PKCS11_PIN";
/// A PIN in a URI would stay in the registry and in backups.
const ITSELF: &str = "expected pin-source=file:/path or pin-source=env:NAME, never the PIN itself";
/// RFC 7512 §2.3: what an attribute may hold unescaped, less what this file's separators are.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const ESCAPED_IN_QUERY: &AsciiSet = &ESCAPED.remove(b'/').remove(b':');

/// A token, and a key on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenUri {
    text: String,
    /// Label of the token.
    pub(super) token: Option<String>,
    /// Serial number of the token.
    pub(super) serial: Option<String>,
    /// Number of the slot.
    pub(super) slot: Option<u64>,
    object: Option<String>,
    id: Option<Vec<u8>>,
    module: Option<PathBuf>,
    pin: Option<String>,
}

impl TokenUri {
    pub(super) fn parse(uri: &str) -> Result<TokenUri, KeyringError> {
        let wrong = |problem| KeyringError::Uri {
            uri: uri.to_owned(),
            problem,
        };
        let rest = uri
            .strip_prefix("pkcs11:")
            .ok_or_else(|| wrong("expected pkcs11:"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parsed = TokenUri {
            text: uri.to_owned(),
            token: None,
            serial: None,
            slot: None,
            object: None,
            id: None,
            module: None,
            pin: None,
        };
        let attributes = |text: &str, by: char| -> Result<Vec<(String, Vec<u8>)>, KeyringError> {
            let one = |part: &str| {
                let (name, value) = part
                    .split_once('=')
                    .ok_or_else(|| wrong("expected NAME=VALUE between its separators"))?;
                Ok((name.to_owned(), percent_decode_str(value).collect()))
            };
            text.split(by).filter(|part| !part.is_empty()).map(one).collect()
        };
        let text = |value: Vec<u8>| String::from_utf8(value).map_err(|_| wrong("expected UTF-8"));
        for (name, value) in attributes(path, ';')? {
            match name.as_str() {
                "token" => parsed.token = Some(text(value)?),
                "serial" => parsed.serial = Some(text(value)?),
                "slot-id" => {
                    let number = text(value)?.parse();
                    parsed.slot = Some(number.map_err(|_| wrong("expected a number after slot-id="))?);
                }
                "object" => parsed.object = Some(text(value)?),
                "id" => parsed.id = Some(value),
                // Named by other tools beside what finds the key.
                "type"
                | "manufacturer"
                | "model"
                | "library-manufacturer"
                | "library-description"
                | "library-version"
                | "slot-description"
                | "slot-manufacturer" => {}
                _ => return Err(wrong("unknown attribute; RFC 7512 §2.3 lists those that are")),
            }
        }
        for (name, value) in attributes(query, '&')? {
            match name.as_str() {
                "module-path" => parsed.module = Some(text(value)?.into()),
                "pin-source" => {
                    let source = text(value)?;
                    if !secret::is_source(&source) {
                        return Err(wrong(ITSELF));
                    }
                    parsed.pin = Some(source);
                }
                "pin-value" => return Err(wrong(ITSELF)),
                _ => {
                    return Err(wrong(
                        "expected module-path and pin-source after the question mark",
                    ));
                }
            }
        }
        if parsed.token.is_none() && parsed.serial.is_none() && parsed.slot.is_none() {
            return Err(wrong("expected token=LABEL, serial=NUMBER or slot-id=NUMBER"));
        }
        Ok(parsed)
    }

    /// Which key it is, if it says so.
    pub(super) fn find(&self) -> Option<Find> {
        (self.object.is_some() || self.id.is_some()).then(|| Find {
            label: self.object.clone(),
            id: self.id.clone(),
        })
    }

    /// Names a key.
    pub(super) fn set_object(&mut self, label: &str) {
        self.object = Some(label.to_owned());
        self.text = self.build();
    }

    fn build(&self) -> String {
        let slot = self.slot.map(|slot| slot.to_string());
        let text = |name: &str, value: &Option<String>| {
            let value = value.as_deref()?;
            Some(format!("{name}={}", utf8_percent_encode(value, ESCAPED)))
        };
        let path: Vec<String> = [
            text("token", &self.token),
            text("serial", &self.serial),
            text("slot-id", &slot),
            text("object", &self.object),
        ]
        .into_iter()
        .flatten()
        .collect();
        let module = self.module.as_deref().map(|path| path.display().to_string());
        let query: Vec<String> = [("module-path", &module), ("pin-source", &self.pin)]
            .into_iter()
            .filter_map(|(name, value)| {
                let value = value.as_deref()?;
                Some(format!("{name}={}", utf8_percent_encode(value, ESCAPED_IN_QUERY)))
            })
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("pkcs11:{}{mark}{}", path.join(";"), query.join("&"))
    }

    /// The module's file.
    pub(super) fn module(&self, env: &Env) -> Result<PathBuf, KeyringError> {
        self.module
            .clone()
            .or_else(|| env.get(MODULE).map(PathBuf::from))
            .ok_or_else(|| KeyringError::Uri {
                uri: self.text.clone(),
                problem: "expected ?module-path=FILE, or the module's file in SIGBOX_PKCS11_MODULE",
            })
    }

    /// The PIN: never part of the URI.
    pub(super) fn pin(&self, env: &Env) -> Result<Zeroizing<String>, KeyringError> {
        match &self.pin {
            Some(source) => secret::read(env, source),
            None => secret::from_env(env, PIN),
        }
    }
}

impl fmt::Display for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
