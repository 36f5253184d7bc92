//! The formats keys and signatures come in, each with the form that is logged (`rekor pkg/pki`).
//!
//! A canonical key is what a search by public key hashes; a canonical signature is part of the leaf. Both must be the
//! octets upstream makes, whatever of several notations they came in.

mod minisign;
mod ssh;

use common_pki::key::HashAlgorithm;

use crate::error::Invalid;
use crate::signature::{SignatureFailure, verify_digest};
use crate::verifier::Verifier;

/// A format of keys and detached signatures (`rekor openapi.yaml`, `rekord_v0_0_1_schema.json`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the API")]
pub enum Format {
    Pgp,
    Minisign,
    X509,
    Ssh,
}

impl Format {
    /// The names a `rekord` may have, in upstream's order.
    pub(crate) const NAMES: &[&str] = &["pgp", "minisign", "x509", "ssh"];

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pgp => "pgp",
            Self::Minisign => "minisign",
            Self::X509 => "x509",
            Self::Ssh => "ssh",
        }
    }

    /// The reverse of [`Format::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pgp, Self::Minisign, Self::X509, Self::Ssh]
            .into_iter()
            .find(|format| format.name() == name)
    }

    /// The canonical form of a key.
    ///
    /// # Errors
    /// The octets are no key of this format, or the format is not implemented.
    pub fn canonical_key(self, key: &[u8]) -> Result<Vec<u8>, Invalid> {
        self.key(key).map(|key| key.canonical)
    }

    /// Reads a key: its canonical form and the names in it.
    pub(crate) fn key(self, key: &[u8]) -> Result<Key, Invalid> {
        match self {
            Self::Pgp => Err(Invalid::FormatNotSupported(self.name())),
            Self::Minisign => Ok(Key::minisign(&minisign::PublicKey::parse(key)?)),
            Self::X509 => Ok(Key::x509(&Verifier::from_pem(key)?)),
            Self::Ssh => Ok(Key::ssh(&ssh::PublicKey::parse(key)?)),
        }
    }

    /// Reads a detached signature and the key it is by; it is not verified yet.
    pub(crate) fn detached(self, key: &[u8], signature: &[u8]) -> Result<Detached, Invalid> {
        match self {
            Self::Pgp => Err(Invalid::FormatNotSupported(self.name())),
            Self::Minisign => {
                let signature = minisign::Signature::parse(signature)?;
                minisign::PublicKey::parse(key).map(|key| Detached::Minisign(signature, key))
            }
            Self::X509 => Verifier::from_pem(key).map(|key| Detached::X509(signature.to_vec(), key)),
            Self::Ssh => {
                let signature = Box::new(ssh::Signature::parse(signature)?);
                ssh::PublicKey::parse(key).map(|key| Detached::Ssh(signature, key))
            }
        }
    }
}

/// A detached signature with the key it is by.
pub(crate) enum Detached {
    Minisign(minisign::Signature, minisign::PublicKey),
    X509(Vec<u8>, Verifier),
    Ssh(Box<ssh::Signature>, ssh::PublicKey),
}

impl Detached {
    /// Verifies it over a message.
    pub(crate) fn verify(&self, message: &[u8]) -> Result<(), Invalid> {
        match self {
            Self::Minisign(signature, key) => signature.verify(key, message),
            Self::X509(signature, verifier) => {
                verifier.check_chain()?;
                verify_x509(verifier, signature, message)
            }
            Self::Ssh(signature, key) => signature.verify(key, message),
        }
    }

    /// The signature's canonical form.
    pub(crate) fn signature(&self) -> Result<Vec<u8>, Invalid> {
        match self {
            Self::Minisign(signature, _) => Ok(signature.canonical().into_bytes()),
            Self::X509(signature, _) => Ok(signature.clone()),
            Self::Ssh(signature, _) => signature.canonical().map(String::into_bytes),
        }
    }

    /// The key as it is logged.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Minisign(_, key) => Key::minisign(key),
            Self::X509(_, verifier) => Key::x509(verifier),
            Self::Ssh(_, key) => Key::ssh(key),
        }
    }
}

/// A key as it is logged.
pub(crate) struct Key {
    pub(crate) canonical: Vec<u8>,
    /// Addresses and other names that the key carries.
    pub(crate) subjects: Vec<String>,
}

impl Key {
    fn minisign(key: &minisign::PublicKey) -> Self {
        Self {
            canonical: key.canonical().into_bytes(),
            subjects: Vec::new(),
        }
    }

    fn x509(verifier: &Verifier) -> Self {
        Self {
            canonical: verifier.canonical_pem().as_bytes().to_vec(),
            subjects: verifier.subjects().to_vec(),
        }
    }

    fn ssh(key: &ssh::PublicKey) -> Self {
        Self {
            canonical: key.canonical().into_bytes(),
            subjects: key.subjects(),
        }
    }
}

/// Over SHA-256 whatever the curve (`sigstore pkg/signature/verifier.go LoadVerifierWithOpts`); Ed25519 over the message.
fn verify_x509(verifier: &Verifier, signature: &[u8], message: &[u8]) -> Result<(), Invalid> {
    let key = verifier.key();
    if key.algorithm() == common_pki::key::KeyAlgorithm::Ed25519 {
        let verified = key.verify(key.default_hash(), message, signature);
        return verified.map_err(|_| SignatureFailure::Ed25519.into());
    }
    let digest = HashAlgorithm::Sha256.digest(message);
    verify_digest(key, HashAlgorithm::Sha256, &digest, signature).map_err(Invalid::from)
}
