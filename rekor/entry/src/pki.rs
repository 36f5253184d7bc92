//! The formats keys and signatures come in, each with the form that is logged (`rekor pkg/pki`).
//!
//! A canonical key is what a search by public key hashes; a canonical signature is part of the leaf. Both must be the
//! octets upstream makes, whatever of several notations they came in.

mod minisign;
pub(crate) mod pgp;
mod ssh;

use common_pki::key::HashAlgorithm;

use crate::error::Invalid;
use crate::signature::{SignatureFailure, verify_digest};
use crate::verifier::Verifier;

pub use pgp::PgpError;

/// A format of keys and detached signatures (`rekor openapi.yaml`, `rekord_v0_0_1_schema.json`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Pgp,
    Minisign,
    X509,
    Ssh,
}

impl Format {
    /// The names a `rekord` may have, in upstream's order.
    pub(crate) const NAMES: &[&str] = &["pgp", "minisign", "x509", "ssh"];

    /// The name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pgp => "pgp",
            Self::Minisign => "minisign",
            Self::X509 => "x509",
            Self::Ssh => "ssh",
        }
    }

    /// The reverse of [`Format::name`].
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Pgp, Self::Minisign, Self::X509, Self::Ssh]
            .into_iter()
            .find(|format| format.name() == name)
    }

    /// Reads a key: its canonical form and the names in it.
    pub(crate) fn key(self, key: &[u8]) -> Result<Key, Invalid> {
        match self {
            Self::Pgp => Ok(Key::pgp(&pgp::Ring::parse(key)?)),
            Self::Minisign => Ok(Key::minisign(&minisign::PublicKey::parse(key)?)),
            Self::X509 => Ok(Key::x509(&Verifier::from_pem(key)?)),
            Self::Ssh => Ok(Key::ssh(&ssh::PublicKey::parse(key)?)),
        }
    }

    /// Reads a detached signature and the key it is by; it is not verified yet.
    pub(crate) fn detached(self, key: &[u8], signature: &[u8]) -> Result<Detached, Invalid> {
        match self {
            Self::Pgp => {
                let signature = pgp::Detached::parse(signature)?;
                Ok(Detached::Pgp(signature, pgp::Ring::parse(key)?))
            }
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

/// The canonical form of a key that entries are searched by; nothing for a format that does not exist.
///
/// # Errors
/// The octets are no key of this format.
#[must_use]
pub fn canonical_key(format: &str, key: &[u8]) -> Option<Result<Vec<u8>, Invalid>> {
    if format == "tuf" {
        return Some(crate::v1::canonical_root(key));
    }
    let format = Format::from_name(format)?;
    Some(format.key(key).map(|key| key.canonical))
}

/// A detached signature with the key it is by.
pub(crate) enum Detached {
    Pgp(pgp::Detached, pgp::Ring),
    Minisign(minisign::Signature, minisign::PublicKey),
    X509(Vec<u8>, Verifier),
    Ssh(Box<ssh::Signature>, ssh::PublicKey),
}

impl Detached {
    /// Verifies it over a message.
    pub(crate) fn verify(&self, message: &[u8]) -> Result<(), Invalid> {
        match self {
            Self::Pgp(signature, ring) => Ok(signature.verify(ring, message)?),
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
            Self::Pgp(signature, _) => Ok(signature.canonical().to_vec()),
            Self::Minisign(signature, _) => Ok(signature.canonical().into_bytes()),
            Self::X509(signature, _) => Ok(signature.clone()),
            Self::Ssh(signature, _) => signature.canonical().map(String::into_bytes),
        }
    }

    /// The key as it is logged.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Pgp(_, ring) => Key::pgp(ring),
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
    pub(crate) fn pgp(ring: &pgp::Ring) -> Self {
        Self {
            canonical: ring.canonical().into_bytes(),
            subjects: ring.emails(),
        }
    }

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
