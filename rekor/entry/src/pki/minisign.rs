//! minisign and signify: an algorithm of two octets, a key number of eight, and Ed25519 (jedisct1.github.io/minisign).
//!
//! Neither the key number nor the trusted comment with its signature is looked at, as upstream has it: only the first
//! signature is logged.

use blake2::{Blake2b512, Digest as _};
use common_pki::key;

use crate::encoding::{decode_standard, push_base64};
use crate::error::Invalid;
use crate::signature::SignatureFailure;

/// Second octet of the algorithm where the message is hashed first.
const PREHASHED: u8 = b'D';
/// Algorithm, key number, and the 64 octets of a signature.
const SIGNATURE: usize = 2 + 8 + 64;
/// Algorithm, key number, and the 32 octets of a key.
const KEY: usize = 2 + 8 + 32;

pub(crate) struct Signature([u8; SIGNATURE]);

impl Signature {
    /// Four lines of minisign, or two of signify.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Invalid> {
        let invalid = Invalid::MinisignSignature;
        let text = std::str::from_utf8(text).map_err(|_| invalid("not text"))?;
        let lines: Vec<&str> = text.trim_end_matches(['\r', '\n']).lines().take(5).collect();
        let encoded = match lines.as_slice() {
            [_, signature] => signature,
            [_, signature, comment, global] => {
                let global = decode_standard(global).filter(|octets| octets.len() == 64);
                if !comment.starts_with("trusted comment: ") || global.is_none() {
                    return Err(invalid("no trusted comment with its signature"));
                }
                signature
            }
            _ => return Err(invalid("neither two lines nor four")),
        };
        let octets = decode_standard(encoded).ok_or(invalid("base64 decoding failed"))?;
        octets.try_into().map(Self).map_err(|_| invalid("incorrect size"))
    }

    pub(super) fn canonical(&self) -> String {
        let mut text = "untrusted comment:\n".to_owned();
        push_base64(&mut text, &self.0);
        text
    }

    pub(super) fn verify(&self, key: &PublicKey, message: &[u8]) -> Result<(), Invalid> {
        let ([_, algorithm, ..], Some(signature)) = (&self.0, self.0.get(10..)) else {
            return Err(Invalid::MinisignSignature("incorrect size"));
        };
        let key = key.ed25519()?;
        let verified = if *algorithm == PREHASHED {
            key.verify(key.default_hash(), &Blake2b512::digest(message), signature)
        } else {
            key.verify(key.default_hash(), message, signature)
        };
        verified.map_err(|_| SignatureFailure::Ed25519.into())
    }
}

pub(crate) struct PublicKey([u8; KEY]);

impl PublicKey {
    /// The key file, its second line alone, or the bare 32 octets that Rekor once logged (`rekor` issue 562).
    pub(super) fn parse(given: &[u8]) -> Result<Self, Invalid> {
        let of_text = std::str::from_utf8(given).ok().and_then(|text| {
            let encoded = text.split_once('\n').map_or(text, |(_, key)| key);
            let decoded = decode_standard(encoded.trim()).or_else(|| decode_standard(text.trim()))?;
            decoded.try_into().ok()
        });
        if let Some(key) = of_text {
            return Ok(Self(key));
        }
        if given.len() != 32 {
            return Err(Invalid::MinisignKey);
        }
        let mut key = [0; KEY];
        for (slot, octet) in key.iter_mut().zip(b"Ed\0\0\0\0\0\0\0\0".iter().chain(given)) {
            *slot = *octet;
        }
        Ok(Self(key))
    }

    pub(super) fn canonical(&self) -> String {
        let mut text = String::new();
        push_base64(&mut text, &self.0);
        text
    }

    fn ed25519(&self) -> Result<key::PublicKey, Invalid> {
        let octets = self.0.last_chunk().ok_or(Invalid::MinisignKey)?;
        key::PublicKey::from_ed25519(octets).map_err(Invalid::Key)
    }
}
