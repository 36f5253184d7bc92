//! Identifiers and text forms of the keys that sign notes.
//!
//! Two conventions meet here. C2SP signed-note hashes name, type and key together. Sigstore
//! identifies ECDSA keys by their SubjectPublicKeyInfo alone, which is also a log's RFC 6962 log ID
//! (rekor `pkg/util/signed_note.go`, rekor-tiles `pkg/note/note.go`).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    Hash,
    note::{KeyHint, NoteError, check_name},
    sha256,
};

/// What follows the 0xFF type byte of an RSA key (rekor-tiles `pkg/note/note.go`).
const RSA_TYPE: &[u8] = b"PKIX-RSA-PKCS#1v1.5";
/// Longest verifier key text accepted, in bytes.
const MAX_TEXT: usize = 8 * 1024;

/// A public key as notes identify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteKey {
    /// Type 0x01: pure Ed25519 over the note's text.
    Ed25519([u8; 32]),
    /// Type 0x02: ECDSA, ASN.1 DER; the SubjectPublicKeyInfo in DER.
    Ecdsa(Vec<u8>),
    /// Type 0x04: an Ed25519 cosignature with its time (C2SP tlog-cosignature).
    Cosigner([u8; 32]),
    /// Type 0x05: an RFC 6962 tree head signature (C2SP static-ct-api "Checkpoints"); the log ID.
    TreeHead(Hash),
    /// Type 0xFF as Rekor uses it: RSA PKCS#1 v1.5; the SubjectPublicKeyInfo in DER.
    Rsa(Vec<u8>),
}

impl NoteKey {
    /// The key's full identifier under the note key name `name`. A trusted root carries all 32 bytes
    /// as `logId.keyId`; signature lines carry the first four.
    #[must_use]
    pub fn id(&self, name: &str) -> Hash {
        let name = name.as_bytes();
        match self {
            Self::Ed25519(key) => sha256(&[name, &[b'\n', 0x01], key]),
            Self::Ecdsa(spki) => sha256(&[spki]),
            Self::Cosigner(key) => sha256(&[name, &[b'\n', 0x04], key]),
            Self::TreeHead(log_id) => sha256(&[name, &[b'\n', 0x05], &log_id.0]),
            Self::Rsa(spki) => sha256(&[name, &[b'\n', 0xff], RSA_TYPE, spki]),
        }
    }

    /// The first four bytes of [`NoteKey::id`].
    #[must_use]
    pub fn hint(&self, name: &str) -> KeyHint {
        let [a, b, c, d, ..] = self.id(name).0;
        KeyHint([a, b, c, d])
    }

    /// The type byte and what follows it in a verifier key.
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => [&[0x01], key.as_slice()].concat(),
            Self::Ecdsa(spki) => [&[0x02], spki.as_slice()].concat(),
            Self::Cosigner(key) => [&[0x04], key.as_slice()].concat(),
            Self::TreeHead(log_id) => [&[0x05], log_id.0.as_slice()].concat(),
            Self::Rsa(spki) => [&[0xff], RSA_TYPE, spki.as_slice()].concat(),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, key) = bytes.split_first()?;
        match kind {
            0x01 => key.try_into().ok().map(Self::Ed25519),
            0x02 if !key.is_empty() => Some(Self::Ecdsa(key.to_vec())),
            0x04 => key.try_into().ok().map(Self::Cosigner),
            0x05 => Hash::from_slice(key).ok().map(Self::TreeHead),
            0xff => key
                .strip_prefix(RSA_TYPE)
                .filter(|spki| !spki.is_empty())
                .map(|spki| Self::Rsa(spki.to_vec())),
            _ => None,
        }
    }
}

/// Why text is not a verifier or signer key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteKeyError {
    /// Not `name+hint+base64`.
    #[error("a verifier key is name+8 hex digits+base64, a signer key starts with PRIVATE+KEY+")]
    Form,
    /// The key name is malformed.
    #[error(transparent)]
    Name(#[from] NoteError),
    /// An unknown type byte, or a key of the wrong length for it.
    #[error("the key material is of no known type")]
    Material,
    /// The hint is not that of the key.
    #[error("the key has hint {calculated}, its text says {stated}")]
    Hint {
        /// The hint that name and key give.
        calculated: KeyHint,
        /// The hint in the text.
        stated: KeyHint,
    },
}

/// A named public key: the `vkey` of C2SP signed-note. `Display` gives its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    /// The note key name: for a log, its origin or hostname.
    pub name: String,
    /// The key.
    pub key: NoteKey,
}

impl VerifierKey {
    /// Parses `name+hint+base64(type ‖ key)` and checks that the hint belongs to the key.
    pub fn parse(text: &str) -> Result<Self, NoteKeyError> {
        let (name, stated, bytes) = split_key(text)?;
        let key = NoteKey::decode(&bytes).ok_or(NoteKeyError::Material)?;
        let calculated = key.hint(name);
        if calculated != stated {
            return Err(NoteKeyError::Hint { calculated, stated });
        }
        Ok(Self {
            name: name.to_owned(),
            key,
        })
    }

    /// The hint its signature lines carry.
    #[must_use]
    pub fn hint(&self) -> KeyHint {
        self.key.hint(&self.name)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}+{}+{}",
            self.name,
            self.hint(),
            STANDARD.encode(self.key.encode())
        )
    }
}

fn split_key(text: &str) -> Result<(&str, KeyHint, Vec<u8>), NoteKeyError> {
    if text.len() > MAX_TEXT {
        return Err(NoteKeyError::Form);
    }
    // Base64 may contain '+': only the first two divide.
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hint), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteKeyError::Form);
    };
    check_name(name)?;
    let lowercase_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if hint.len() != 8 || !hint.bytes().all(lowercase_hex) {
        return Err(NoteKeyError::Form);
    }
    let hint = u32::from_str_radix(hint, 16).map_err(|_| NoteKeyError::Form)?;
    let key = STANDARD.decode(key).map_err(|_| NoteKeyError::Form)?;
    Ok((name, KeyHint(hint.to_be_bytes()), key))
}

#[cfg(test)]
mod tests;
