//! Signature algorithms as X.509 and CMS name them.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader};

use crate::key::{HashAlgorithm, KeyAlgorithm, PublicKey, SignatureError};
use crate::{asn1, oid};

/// A signature algorithm with its hash. RSA-PSS and everything over SHA-1 or MD5 is unknown here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// ECDSA in ASN.1 DER.
    Ecdsa(HashAlgorithm),
    /// RSA PKCS #1 v1.5.
    Rsa(HashAlgorithm),
    /// Pure Ed25519.
    Ed25519,
}

impl SignatureAlgorithm {
    /// The algorithm a [`Signer`](crate::key::Signer) of this key uses.
    pub fn of_key(key: &PublicKey) -> SignatureAlgorithm {
        match key.algorithm() {
            KeyAlgorithm::Ed25519 => SignatureAlgorithm::Ed25519,
            algorithm if algorithm.is_ecdsa() => SignatureAlgorithm::Ecdsa(key.default_hash()),
            _ => SignatureAlgorithm::Rsa(key.default_hash()),
        }
    }

    /// The hash; nothing for pure Ed25519.
    pub fn hash(self) -> Option<HashAlgorithm> {
        match self {
            SignatureAlgorithm::Ecdsa(hash) | SignatureAlgorithm::Rsa(hash) => Some(hash),
            SignatureAlgorithm::Ed25519 => None,
        }
    }

    /// Object identifier.
    pub fn oid(self) -> ObjectIdentifier {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        match self {
            SignatureAlgorithm::Ecdsa(Sha256) => oid::ECDSA_SHA256,
            SignatureAlgorithm::Ecdsa(Sha384) => oid::ECDSA_SHA384,
            SignatureAlgorithm::Ecdsa(Sha512) => oid::ECDSA_SHA512,
            SignatureAlgorithm::Rsa(Sha256) => oid::RSA_SHA256,
            SignatureAlgorithm::Rsa(Sha384) => oid::RSA_SHA384,
            SignatureAlgorithm::Rsa(Sha512) => oid::RSA_SHA512,
            SignatureAlgorithm::Ed25519 => oid::ED25519,
        }
    }

    /// The AlgorithmIdentifier: parameters absent for ECDSA and Ed25519 (RFC 5758 §3.2, RFC 8410 §3), NULL for
    /// RSA (RFC 4055 §5).
    pub fn to_der(self) -> Vec<u8> {
        let parameters = if matches!(self, SignatureAlgorithm::Rsa(_)) {
            asn1::NULL
        } else {
            &[]
        };
        asn1::sequence(&[&asn1::oid(&self.oid()), parameters])
    }

    /// Reads an AlgorithmIdentifier; nothing where it is unknown or carries wrong parameters.
    pub fn from_der(der: &[u8]) -> Option<SignatureAlgorithm> {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        let (kind, parameters) = algorithm_identifier(der).ok()?;
        let algorithm = match kind {
            oid::ECDSA_SHA256 => SignatureAlgorithm::Ecdsa(Sha256),
            oid::ECDSA_SHA384 => SignatureAlgorithm::Ecdsa(Sha384),
            oid::ECDSA_SHA512 => SignatureAlgorithm::Ecdsa(Sha512),
            oid::RSA_SHA256 => SignatureAlgorithm::Rsa(Sha256),
            oid::RSA_SHA384 => SignatureAlgorithm::Rsa(Sha384),
            oid::RSA_SHA512 => SignatureAlgorithm::Rsa(Sha512),
            oid::ED25519 => SignatureAlgorithm::Ed25519,
            _ => return None,
        };
        let fits = match algorithm {
            // RFC 4055 §5: parsers accept both NULL and absent.
            SignatureAlgorithm::Rsa(_) => parameters.is_none_or(|any| any.is_null()),
            SignatureAlgorithm::Ecdsa(_) | SignatureAlgorithm::Ed25519 => parameters.is_none(),
        };
        fits.then_some(algorithm)
    }

    /// Verifies `signature` over `message` with `key`, which must be of the algorithm's kind.
    pub fn verify(self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let unsupported = |hash: &'static str| SignatureError::Unsupported {
            key: key.algorithm(),
            hash,
        };
        match (self, key.algorithm()) {
            (SignatureAlgorithm::Ed25519, KeyAlgorithm::Ed25519) => {
                key.verify(HashAlgorithm::Sha512, message, signature)
            }
            (SignatureAlgorithm::Ecdsa(hash), algorithm) if algorithm.is_ecdsa() => {
                key.verify(hash, message, signature)
            }
            (SignatureAlgorithm::Rsa(hash), algorithm) if algorithm.rsa_bits().is_some() => {
                key.verify(hash, message, signature)
            }
            (other, _) => Err(unsupported(other.hash().map_or("Ed25519", HashAlgorithm::name))),
        }
    }
}

/// Algorithm and parameters of a DER AlgorithmIdentifier (RFC 5280 §4.1.1.2).
pub(crate) fn algorithm_identifier(der: &[u8]) -> der::Result<(ObjectIdentifier, Option<AnyRef<'_>>)> {
    let mut reader = asn1::reader(der)?;
    let found = reader.sequence(|r| {
        let kind = ObjectIdentifier::decode(r)?;
        let parameters = if r.is_finished() {
            None
        } else {
            Some(AnyRef::decode(r)?)
        };
        Ok::<_, der::Error>((kind, parameters))
    })?;
    reader.finish()?;
    Ok(found)
}
