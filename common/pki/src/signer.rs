//! Keys that sign.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader};
use zeroize::Zeroizing;

use crate::key::{KeyAlgorithm, PublicKey};
use crate::{asn1, oid, pem};

#[cfg(test)]
mod tests;

/// The PEM label of an unencrypted PKCS #8 key (RFC 7468 §10).
pub const PRIVATE_KEY_LABEL: &str = "PRIVATE KEY";

/// Longest PKCS #8 document read, in octets: RSA 8192 needs about 4,700.
const MAX_PKCS8_LEN: usize = 16 * 1024;

/// A private key, wherever it is kept.
///
/// `sign` may block (a key in a KMS does): call it off the asynchronous threads.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message` with the key's default hash ([`KeyAlgorithm::default_hash`]): ECDSA in ASN.1 DER, RSA
    /// PKCS #1 v1.5, pure Ed25519.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// Whether `sign` waits for something outside the process: such work belongs on a thread that may wait.
    fn waits(&self) -> bool {
        false
    }
}

/// Why there is no signature, or no signing key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key, the device or the service that holds it failed.
    #[error("signing failed: {0}")]
    Failed(String),
    /// The device or the service that holds the key does not answer now: nothing was signed, ask again later.
    #[error("the signing key is not available now: {0}")]
    Unavailable(String),
    /// This kind of key cannot be generated or used for signing here.
    #[error("cannot sign with a key of type {0}")]
    Unsupported(KeyAlgorithm),
    /// Not a PKCS #8 private key that can be used.
    #[error("private key is not usable: {0}")]
    PrivateKey(&'static str),
}

/// A private key in memory.
pub struct LocalSigner {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
    Ed25519(Ed25519KeyPair),
}

impl LocalSigner {
    /// Generates a key pair; also returns its PKCS #8 PEM, wiped from memory when dropped.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<(LocalSigner, Zeroizing<String>), SignError> {
        let failed = |_| SignError::Failed(format!("generating a key of type {algorithm}"));
        let pair = match algorithm {
            KeyAlgorithm::EcdsaP256 => generate_ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?,
            KeyAlgorithm::EcdsaP384 => generate_ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING).map_err(failed)?,
            KeyAlgorithm::EcdsaP521 => generate_ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING).map_err(failed)?,
            KeyAlgorithm::Rsa2048 => Pair::Rsa(rsa::KeyPair::generate(KeySize::Rsa2048).map_err(failed)?),
            KeyAlgorithm::Rsa3072 => Pair::Rsa(rsa::KeyPair::generate(KeySize::Rsa3072).map_err(failed)?),
            KeyAlgorithm::Rsa4096 => Pair::Rsa(rsa::KeyPair::generate(KeySize::Rsa4096).map_err(failed)?),
            KeyAlgorithm::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
            KeyAlgorithm::RsaOther(_) => return Err(SignError::Unsupported(algorithm)),
        };
        let pkcs8 = match &pair {
            Pair::Ecdsa(pair) => Zeroizing::new(pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Zeroizing::new(pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                Zeroizing::new(der.as_ref().to_vec())
            }
        };
        let text = Zeroizing::new(pem::encode(PRIVATE_KEY_LABEL, &pkcs8));
        Ok((LocalSigner::new(pair)?, text))
    }

    /// Reads one PEM block `PRIVATE KEY` (unencrypted PKCS #8, RFC 5208): ECDSA on a NIST curve, RSA from 2048
    /// to 8192 bits, Ed25519.
    pub fn from_pkcs8_pem(text: &str) -> Result<LocalSigner, SignError> {
        let (label, der) = pem::decode_private(text.as_bytes())
            .map_err(|_| SignError::PrivateKey("expected one PEM block \"PRIVATE KEY\""))?;
        if label != PRIVATE_KEY_LABEL {
            return Err(SignError::PrivateKey("expected one PEM block \"PRIVATE KEY\""));
        }
        if der.len() > MAX_PKCS8_LEN {
            return Err(SignError::PrivateKey("PKCS #8 document too long"));
        }
        let (algorithm, curve) =
            pkcs8_algorithm(&der).map_err(|_| SignError::PrivateKey("not a DER PKCS #8 PrivateKeyInfo"))?;
        let rejected = |_| SignError::PrivateKey("rejected by the back end");
        let pair = match (algorithm, curve) {
            (oid::EC_PUBLIC_KEY, Some(curve)) => {
                let algorithm = match curve {
                    oid::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
                    oid::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
                    oid::P521 => &ECDSA_P521_SHA512_ASN1_SIGNING,
                    _ => return Err(SignError::PrivateKey("unsupported elliptic curve")),
                };
                Pair::Ecdsa(EcdsaKeyPair::from_pkcs8(algorithm, &der).map_err(rejected)?)
            }
            (oid::RSA_ENCRYPTION, _) => Pair::Rsa(rsa::KeyPair::from_pkcs8(&der).map_err(rejected)?),
            (oid::ED25519, _) => {
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(rejected)?)
            }
            _ => return Err(SignError::PrivateKey("unsupported key type")),
        };
        LocalSigner::new(pair)
    }

    fn new(pair: Pair) -> Result<LocalSigner, SignError> {
        let unusable = SignError::PrivateKey("no public key");
        let spki: PublicKeyX509Der<'_> = match &pair {
            Pair::Ecdsa(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
        }
        .map_err(|_| unusable.clone())?;
        let public = PublicKey::from_spki_der(spki.as_ref()).map_err(|_| unusable)?;
        Ok(LocalSigner { pair, public })
    }
}

impl Signer for LocalSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |_| SignError::Failed("the back end refused".to_owned());
        // The back end draws its own nonces and ignores the generator it is handed.
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.try_sign(message).map_err(failed)?.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

impl std::fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalSigner")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

fn generate_ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Result<Pair, aws_lc_rs::error::Unspecified> {
    Ok(Pair::Ecdsa(EcdsaKeyPair::generate(algorithm)?))
}

/// Algorithm, and named curve where there is one, of a PrivateKeyInfo (RFC 5208 §5).
fn pkcs8_algorithm(der: &[u8]) -> der::Result<(ObjectIdentifier, Option<ObjectIdentifier>)> {
    let mut reader = asn1::reader(der)?;
    let found = reader.sequence(|r| {
        let _version = u8::decode(r)?;
        let found = r.sequence(|r| {
            let algorithm = ObjectIdentifier::decode(r)?;
            let parameters = if r.is_finished() {
                None
            } else {
                Some(AnyRef::decode(r)?)
            };
            Ok::<_, der::Error>((algorithm, parameters.and_then(|any| any.decode_as().ok())))
        })?;
        while !r.is_finished() {
            AnyRef::decode(r)?;
        }
        Ok::<_, der::Error>(found)
    })?;
    reader.finish()?;
    Ok(found)
}
