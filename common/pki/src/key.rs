//! Public keys, the signatures they verify, and the keys that sign.

mod algorithm;
mod ed25519ph;
mod raw;
mod spki;
mod weak;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};

pub use crate::signer::{LocalSigner, PRIVATE_KEY_LABEL, SignError, Signer};
pub use algorithm::{HashAlgorithm, Hasher, KeyAlgorithm, sha1, sha256};
pub use weak::WeakKey;

use crate::pem::{self, PemError};
use crate::{asn1, oid};

/// The PEM label of a SubjectPublicKeyInfo (RFC 7468 §13).
pub const PUBLIC_KEY_LABEL: &str = "PUBLIC KEY";

/// Longest SubjectPublicKeyInfo accepted, in octets: an RSA key of 16,384 bits fits.
pub const MAX_SPKI_LEN: usize = 2_400;

/// Why bytes are not a public key we accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not PEM, or not one block of the expected label.
    #[error("public key is not valid PEM: {0}")]
    Pem(#[from] PemError),
    /// The PEM block has another label.
    #[error("expected a PEM block labelled \"{PUBLIC_KEY_LABEL}\", got \"{0}\"")]
    Label(String),
    /// More octets than any key accepted here has.
    #[error("public key of {0} octets exceeds the limit of {MAX_SPKI_LEN}")]
    TooLong(usize),
    /// Not a DER SubjectPublicKeyInfo.
    #[error("public key is not a DER SubjectPublicKeyInfo: {0}")]
    Der(#[from] der::Error),
    /// A kind of key, a curve or explicit curve parameters that are not supported.
    #[error("unsupported public key: {0}")]
    Unsupported(String),
    /// Structure fine, value not a key: a point off the curve, an even modulus and the like.
    #[error("invalid public key: {0}")]
    Invalid(&'static str),
}

/// Why a signature was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The signature does not belong to this message and key.
    #[error("invalid signature")]
    Invalid,
    /// The digest has another length than its hash function.
    #[error("digest of {got} octets, expected {expected}")]
    DigestLength {
        /// Octets the hash function makes.
        expected: usize,
        /// Octets that came.
        got: usize,
    },
    /// This kind or size of key verifies no such signature.
    #[error("a key of type {key} does not verify signatures over {hash}")]
    Unsupported {
        /// The key's algorithm.
        key: KeyAlgorithm,
        /// The hash asked for.
        hash: &'static str,
    },
}

/// A parsed public key: its SubjectPublicKeyInfo was strict DER, its curve is named, its point is on it.
///
/// Cloning is a reference count. Verification keys of the back end are made once per hash function and
/// kept, so hold on to the value where many signatures of one key are checked.
#[derive(Clone)]
pub struct PublicKey(Arc<Inner>);

struct Inner {
    spki: Vec<u8>,
    algorithm: KeyAlgorithm,
    /// Contents of the subjectPublicKey BIT STRING: EC point, RSAPublicKey, or the 32 octets of Ed25519.
    bits: Vec<u8>,
    /// Where modulus and exponent are, for RSA: (n, e) big endian without leading zeros.
    rsa: Option<spki::RsaNumbers>,
    fingerprint: OnceLock<[u8; 32]>,
    /// Prepared verification keys, by hash; Ed25519 uses the first slot only.
    prepared: [OnceLock<ParsedPublicKey>; 3],
}

impl PublicKey {
    /// Parses a DER SubjectPublicKeyInfo (RFC 5280 §4.1, RFC 5480, RFC 8410): named curves P-256, P-384 and
    /// P-521 with an uncompressed point on the curve, RSA with NULL parameters, Ed25519 without.
    pub fn from_spki_der(spki: &[u8]) -> Result<PublicKey, KeyError> {
        let parsed = spki::parse(spki)?;
        let key = PublicKey(Arc::new(Inner {
            spki: spki.to_vec(),
            algorithm: parsed.algorithm,
            bits: parsed.bits.to_vec(),
            rsa: parsed.rsa,
            fingerprint: OnceLock::new(),
            prepared: Default::default(),
        }));
        // The back end checks the point (SEC 1 §3.2.2.1) or the RSA numbers here, once.
        if let Some(slot) = key.slot(key.default_hash()) {
            let verifier = key
                .prepare(slot)
                .map_err(|()| KeyError::Invalid("rejected by the back end"))?;
            debug_assert_eq!(verifier.as_ref(), key.subject_public_key());
        }
        Ok(key)
    }

    /// Parses a bare RSAPublicKey (RFC 8017 appendix A.1.1), the form the oldest log keys of trusted roots have
    /// (`PKCS1_RSA_PKCS1V5` in protobuf-specs). The result has a SubjectPublicKeyInfo like any other key.
    pub fn from_pkcs1_der(rsa_public_key: &[u8]) -> Result<PublicKey, KeyError> {
        let algorithm = asn1::sequence(&[&asn1::oid(&oid::RSA_ENCRYPTION), asn1::NULL]);
        PublicKey::from_spki_der(&asn1::sequence(&[&algorithm, &asn1::bit_string(rsa_public_key)]))
    }

    /// Parses one PEM block `PUBLIC KEY`; text before it is allowed, anything but white space after it is not.
    pub fn from_pem(text: &str) -> Result<PublicKey, KeyError> {
        let block = pem::decode_one(text.as_bytes())?;
        if block.label != PUBLIC_KEY_LABEL {
            return Err(KeyError::Label(block.label));
        }
        PublicKey::from_spki_der(&block.contents)
    }

    /// The SubjectPublicKeyInfo as it was given.
    pub fn spki_der(&self) -> &[u8] {
        &self.0.spki
    }

    /// PEM of the SubjectPublicKeyInfo, 64 columns, with a final line feed: Rekor's canonical form.
    pub fn to_pem(&self) -> String {
        pem::encode(PUBLIC_KEY_LABEL, &self.0.spki)
    }

    /// Kind and size.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm
    }

    /// Contents of the subjectPublicKey BIT STRING: the uncompressed point, the RSAPublicKey, or the 32
    /// octets of an Ed25519 key.
    pub fn subject_public_key(&self) -> &[u8] {
        &self.0.bits
    }

    /// SHA-256 of the SubjectPublicKeyInfo: log ID of RFC 6962 §3.2, issuer key hash, index key.
    pub fn fingerprint(&self) -> [u8; 32] {
        *self.0.fingerprint.get_or_init(|| sha256(&self.0.spki))
    }

    /// See [`KeyAlgorithm::default_hash`].
    pub fn default_hash(&self) -> HashAlgorithm {
        self.0.algorithm.default_hash()
    }

    /// Verifies `sig` over `message`: ECDSA in ASN.1 DER on any curve with any hash, RSA PKCS #1 v1.5 from
    /// 2048 to 8192 bits, pure Ed25519 (for which `hash` means nothing).
    pub fn verify(&self, hash: HashAlgorithm, message: &[u8], sig: &[u8]) -> Result<(), SignatureError> {
        self.verifier(hash)?
            .verify_sig(message, sig)
            .map_err(|_| SignatureError::Invalid)
    }

    /// Verifies `sig` over a message of which only the digest is known: ECDSA in ASN.1 DER, RSA PKCS #1 v1.5,
    /// and for Ed25519 keys Ed25519ph (RFC 8032 §5.1, empty context), which needs SHA-512.
    pub fn verify_digest(
        &self,
        hash: HashAlgorithm,
        digest: &[u8],
        sig: &[u8],
    ) -> Result<(), SignatureError> {
        if digest.len() != hash.len() {
            return Err(SignatureError::DigestLength {
                expected: hash.len(),
                got: digest.len(),
            });
        }
        if self.algorithm() == KeyAlgorithm::Ed25519 {
            return self.verify_ed25519ph(hash, digest, sig);
        }
        let digest = digest::Digest::import_less_safe(digest, hash.backend()).map_err(|_| {
            SignatureError::DigestLength {
                expected: hash.len(),
                got: digest.len(),
            }
        })?;
        self.verifier(hash)?
            .verify_digest_sig(&digest, sig)
            .map_err(|_| SignatureError::Invalid)
    }

    /// As [`PublicKey::verify_digest`] for an ECDSA signature in the fixed form of IEEE P1363 (r ‖ s), which
    /// Rekor v2 accepts where ASN.1 does not parse (rekor-tiles `pkg/types/verifier`).
    pub fn verify_digest_p1363(
        &self,
        hash: HashAlgorithm,
        digest: &[u8],
        sig: &[u8],
    ) -> Result<(), SignatureError> {
        let len = self.algorithm().field_len().ok_or(SignatureError::Unsupported {
            key: self.algorithm(),
            hash: hash.name(),
        })?;
        match sig.split_at_checked(len) {
            Some((r, s)) if s.len() == len => self.verify_digest_integers(hash, digest, r, s),
            _ => Err(SignatureError::Invalid),
        }
    }

    /// Fulcio's policy on weak keys; see [`WeakKey`]. For RSA that is a bounded amount of arithmetic, done anew at
    /// each call; other kinds cost next to nothing.
    pub fn check_strength(&self) -> Result<(), WeakKey> {
        match (&self.0.rsa, self.algorithm()) {
            (Some(rsa), algorithm) => weak::check_rsa(algorithm, &rsa.modulus, &rsa.exponent),
            (None, KeyAlgorithm::Ed25519) if !ed25519ph::is_strong(&self.0.bits) => Err(WeakKey::SmallOrder),
            // Named curve, point on it, not at infinity: checked when parsed, and these curves have cofactor 1.
            (None, _) => Ok(()),
        }
    }

    fn verify_ed25519ph(&self, hash: HashAlgorithm, digest: &[u8], sig: &[u8]) -> Result<(), SignatureError> {
        if hash != HashAlgorithm::Sha512 {
            return Err(SignatureError::Unsupported {
                key: self.algorithm(),
                hash: hash.name(),
            });
        }
        ed25519ph::verify(&self.0.bits, digest, sig)
            .then_some(())
            .ok_or(SignatureError::Invalid)
    }

    fn verifier(&self, hash: HashAlgorithm) -> Result<&ParsedPublicKey, SignatureError> {
        let unsupported = SignatureError::Unsupported {
            key: self.algorithm(),
            hash: hash.name(),
        };
        let slot = self.slot(hash).ok_or(unsupported)?;
        self.prepare(slot).map_err(|()| SignatureError::Invalid)
    }

    /// The back end's algorithm and the slot its prepared key lives in; nothing where RSA is too small or big.
    fn slot(&self, hash: HashAlgorithm) -> Option<Slot<'_>> {
        let [sha256, sha384, sha512] = &self.0.prepared;
        let cell = match hash {
            HashAlgorithm::Sha256 => sha256,
            HashAlgorithm::Sha384 => sha384,
            HashAlgorithm::Sha512 => sha512,
        };
        let algorithm: &'static dyn VerificationAlgorithm = match (self.0.algorithm, hash) {
            (KeyAlgorithm::EcdsaP256, HashAlgorithm::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
            (KeyAlgorithm::EcdsaP256, HashAlgorithm::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
            (KeyAlgorithm::EcdsaP256, HashAlgorithm::Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
            (KeyAlgorithm::EcdsaP384, HashAlgorithm::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
            (KeyAlgorithm::EcdsaP384, HashAlgorithm::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
            (KeyAlgorithm::EcdsaP384, HashAlgorithm::Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
            (KeyAlgorithm::EcdsaP521, HashAlgorithm::Sha256) => &signature::ECDSA_P521_SHA256_ASN1,
            (KeyAlgorithm::EcdsaP521, HashAlgorithm::Sha384) => &signature::ECDSA_P521_SHA384_ASN1,
            (KeyAlgorithm::EcdsaP521, HashAlgorithm::Sha512) => &signature::ECDSA_P521_SHA512_ASN1,
            (KeyAlgorithm::Ed25519, _) => {
                return Some(Slot {
                    cell: sha256,
                    algorithm: &signature::ED25519,
                });
            }
            (KeyAlgorithm::RsaOther(bits), _) if !(2048..=8192).contains(&bits) => return None,
            (_, HashAlgorithm::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (_, HashAlgorithm::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (_, HashAlgorithm::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        };
        Some(Slot { cell, algorithm })
    }

    fn prepare<'a>(&'a self, slot: Slot<'a>) -> Result<&'a ParsedPublicKey, ()> {
        if let Some(ready) = slot.cell.get() {
            return Ok(ready);
        }
        let parsed = ParsedPublicKey::new(slot.algorithm, &self.0.bits).map_err(|_| ())?;
        Ok(slot.cell.get_or_init(|| parsed))
    }
}

struct Slot<'a> {
    cell: &'a OnceLock<ParsedPublicKey>,
    algorithm: &'static dyn VerificationAlgorithm,
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &PublicKey) -> bool {
        self.0.spki == other.0.spki
    }
}

impl Eq for PublicKey {}

impl std::hash::Hash for PublicKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.spki.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} ", self.0.algorithm)?;
        for byte in self.fingerprint() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}
