//! Keys that come without a SubjectPublicKeyInfo, and the signatures that only their formats make.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{self, ParsedPublicKey};

use super::{HashAlgorithm, KeyAlgorithm, KeyError, PublicKey, SignatureError, spki};
use crate::{asn1, oid};

impl PublicKey {
    /// Takes the 32 octets of an Ed25519 key (RFC 8410 §4), as minisign and SSH hold them.
    pub fn from_ed25519(octets: &[u8; 32]) -> Result<PublicKey, KeyError> {
        let algorithm = asn1::sequence(&[&asn1::oid(&oid::ED25519)]);
        PublicKey::from_spki_der(&asn1::sequence(&[&algorithm, &asn1::bit_string(octets)]))
    }

    /// Takes an uncompressed point (SEC 1 §2.3.3) of the curve whose points have its length: P-256, P-384 or P-521.
    pub fn from_ec_point(point: &[u8]) -> Result<PublicKey, KeyError> {
        let curve = match point.len() {
            65 => oid::P256,
            97 => oid::P384,
            133 => oid::P521,
            _ => return Err(KeyError::Invalid("no point of a supported curve")),
        };
        let algorithm = asn1::sequence(&[&asn1::oid(&oid::EC_PUBLIC_KEY), &asn1::oid(&curve)]);
        PublicKey::from_spki_der(&asn1::sequence(&[&algorithm, &asn1::bit_string(point)]))
    }

    /// Takes modulus and public exponent, big endian and positive.
    pub fn from_rsa_numbers(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, KeyError> {
        PublicKey::from_pkcs1_der(&asn1::sequence(&[
            &asn1::unsigned(modulus),
            &asn1::unsigned(exponent),
        ]))
    }

    /// As [`PublicKey::verify_digest`] for an ECDSA signature of two big-endian integers.
    pub fn verify_digest_integers(
        &self,
        hash: HashAlgorithm,
        digest: &[u8],
        r: &[u8],
        s: &[u8],
    ) -> Result<(), SignatureError> {
        self.verify_digest(hash, digest, &spki::ecdsa_der(r, s))
    }

    /// Verifies an RSASSA-PSS signature over SHA-256 with a salt of 32 octets (RFC 8017 §8.1, COSE's PS256).
    pub fn verify_pss_sha256(&self, message: &[u8], sig: &[u8]) -> Result<(), SignatureError> {
        self.rsa(&signature::RSA_PSS_2048_8192_SHA256)?
            .verify_sig(message, sig)
            .map_err(|_| SignatureError::Invalid)
    }

    /// Verifies an RSA PKCS #1 v1.5 signature over a [`sha1`] digest: what Alpine signs its packages with, and old keys of
    /// OpenPGP their names. Nothing else may use it.
    pub fn verify_legacy_sha1(&self, digest: &[u8], sig: &[u8]) -> Result<(), SignatureError> {
        let digest = Digest::import_less_safe(digest, &digest::SHA1_FOR_LEGACY_USE_ONLY)
            .map_err(|_| SignatureError::Invalid)?;
        self.rsa(&signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY)?
            .verify_digest_sig(&digest, sig)
            .map_err(|_| SignatureError::Invalid)
    }

    /// The key for an RSA algorithm that has no slot among the prepared ones.
    fn rsa(&self, algorithm: &'static signature::RsaParameters) -> Result<ParsedPublicKey, SignatureError> {
        match self.algorithm() {
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {}
            KeyAlgorithm::RsaOther(bits) if (2048..=8192).contains(&bits) => {}
            key => {
                return Err(SignatureError::Unsupported {
                    key,
                    hash: HashAlgorithm::Sha256.name(),
                });
            }
        }
        ParsedPublicKey::new(algorithm, self.subject_public_key()).map_err(|_| SignatureError::Invalid)
    }
}
