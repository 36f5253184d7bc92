//! Kinds of keys, and the hashes they sign over.

use std::fmt;

use aws_lc_rs::digest;

/// Kind and size of a key. RSA sizes with a name of their own are those of the sigstore algorithm registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on NIST P-256.
    EcdsaP256,
    /// ECDSA on NIST P-384.
    EcdsaP384,
    /// ECDSA on NIST P-521.
    EcdsaP521,
    /// RSA with a modulus of exactly 2048 bits.
    Rsa2048,
    /// RSA with a modulus of exactly 3072 bits.
    Rsa3072,
    /// RSA with a modulus of exactly 4096 bits.
    Rsa4096,
    /// RSA of any other size, in bits of the modulus.
    RsaOther(u32),
    /// Ed25519.
    Ed25519,
}

impl KeyAlgorithm {
    /// The algorithm of an RSA modulus of `bits` bits.
    pub fn rsa(bits: u32) -> KeyAlgorithm {
        match bits {
            2048 => KeyAlgorithm::Rsa2048,
            3072 => KeyAlgorithm::Rsa3072,
            4096 => KeyAlgorithm::Rsa4096,
            other => KeyAlgorithm::RsaOther(other),
        }
    }

    /// Bits of the modulus of an RSA key, nothing for other kinds.
    pub fn rsa_bits(self) -> Option<u32> {
        match self {
            KeyAlgorithm::Rsa2048 => Some(2048),
            KeyAlgorithm::Rsa3072 => Some(3072),
            KeyAlgorithm::Rsa4096 => Some(4096),
            KeyAlgorithm::RsaOther(bits) => Some(bits),
            KeyAlgorithm::EcdsaP256
            | KeyAlgorithm::EcdsaP384
            | KeyAlgorithm::EcdsaP521
            | KeyAlgorithm::Ed25519 => None,
        }
    }

    /// True for the three ECDSA curves.
    pub fn is_ecdsa(self) -> bool {
        self.field_len().is_some()
    }

    /// Octets of one field element of an ECDSA curve.
    pub(crate) fn field_len(self) -> Option<usize> {
        match self {
            KeyAlgorithm::EcdsaP256 => Some(32),
            KeyAlgorithm::EcdsaP384 => Some(48),
            KeyAlgorithm::EcdsaP521 => Some(66),
            _ => None,
        }
    }

    /// The hash this kind of key is used with when nothing else says so (sigstore `pkg/signature`
    /// defaults): the curve's own strength for ECDSA, SHA-256 for RSA, SHA-512 for Ed25519.
    pub fn default_hash(self) -> HashAlgorithm {
        match self {
            KeyAlgorithm::EcdsaP384 => HashAlgorithm::Sha384,
            KeyAlgorithm::EcdsaP521 | KeyAlgorithm::Ed25519 => HashAlgorithm::Sha512,
            KeyAlgorithm::EcdsaP256
            | KeyAlgorithm::Rsa2048
            | KeyAlgorithm::Rsa3072
            | KeyAlgorithm::Rsa4096
            | KeyAlgorithm::RsaOther(_) => HashAlgorithm::Sha256,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyAlgorithm::EcdsaP256 => f.write_str("ECDSA P-256"),
            KeyAlgorithm::EcdsaP384 => f.write_str("ECDSA P-384"),
            KeyAlgorithm::EcdsaP521 => f.write_str("ECDSA P-521"),
            KeyAlgorithm::Rsa2048 => f.write_str("RSA 2048"),
            KeyAlgorithm::Rsa3072 => f.write_str("RSA 3072"),
            KeyAlgorithm::Rsa4096 => f.write_str("RSA 4096"),
            KeyAlgorithm::RsaOther(bits) => write!(f, "RSA {bits}"),
            KeyAlgorithm::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

/// The SHA-2 functions a signature may be made over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HashAlgorithm {
    /// SHA-256, 32 octets.
    Sha256,
    /// SHA-384, 48 octets.
    Sha384,
    /// SHA-512, 64 octets.
    Sha512,
}

/// A digest in the making.
pub struct Hasher(digest::Context);

impl Hasher {
    /// Adds data.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The digest of all of it.
    pub fn finish(self) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

impl HashAlgorithm {
    /// Every hash, weakest first.
    pub const ALL: [HashAlgorithm; 3] = [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ];

    /// Octets of a digest.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a digest's length, not a collection's"
    )]
    pub fn len(self) -> usize {
        match self {
            HashAlgorithm::Sha256 => 32,
            HashAlgorithm::Sha384 => 48,
            HashAlgorithm::Sha512 => 64,
        }
    }

    /// The digest of `data`.
    pub fn digest(self, data: &[u8]) -> Vec<u8> {
        digest::digest(self.backend(), data).as_ref().to_vec()
    }

    /// For data that comes in pieces.
    pub fn hasher(self) -> Hasher {
        Hasher(digest::Context::new(self.backend()))
    }

    /// `sha256`, `sha384` or `sha512`, as Rekor writes it.
    pub fn name(self) -> &'static str {
        match self {
            HashAlgorithm::Sha256 => "sha256",
            HashAlgorithm::Sha384 => "sha384",
            HashAlgorithm::Sha512 => "sha512",
        }
    }

    /// The hash of that name, in any case.
    pub fn from_name(name: &str) -> Option<HashAlgorithm> {
        HashAlgorithm::ALL
            .into_iter()
            .find(|hash| hash.name().eq_ignore_ascii_case(name))
    }

    pub(crate) fn backend(self) -> &'static digest::Algorithm {
        match self {
            HashAlgorithm::Sha256 => &digest::SHA256,
            HashAlgorithm::Sha384 => &digest::SHA384,
            HashAlgorithm::Sha512 => &digest::SHA512,
        }
    }
}

/// SHA-256 as an array, which most identifiers of the field are.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    out
}

/// SHA-1 of data in pieces. It no longer protects anything; the formats that still name keys by it or sign over it are
/// named in [`PublicKey::verify_legacy_sha1`](super::PublicKey::verify_legacy_sha1).
pub fn sha1(pieces: &[&[u8]]) -> [u8; 20] {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    pieces.iter().for_each(|piece| context.update(piece));
    let mut out = [0; 20];
    out.copy_from_slice(context.finish().as_ref());
    out
}
