//! The sigstore algorithm registry: which key goes with which hash, and what each pair is called.
//!
//! Numbers and names are those of `PublicKeyDetails` in protobuf-specs `sigstore_common.proto`; flag names
//! are those of sigstore `pkg/signature/algorithm_registry.go`. RSA-PSS, LMS and ML-DSA entries of the
//! enumeration are left out: no log and no certificate authority of Sigstore accepts them today, and
//! [`PublicKey`](crate::key::PublicKey) does not verify them.

use crate::key::{HashAlgorithm, KeyAlgorithm};

#[cfg(test)]
mod tests;

/// One registered pair of key and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SigningAlgorithm {
    /// RSA 2048, PKCS #1 v1.5, SHA-256.
    RsaPkcs1v15_2048Sha256,
    /// RSA 3072, PKCS #1 v1.5, SHA-256.
    RsaPkcs1v15_3072Sha256,
    /// RSA 4096, PKCS #1 v1.5, SHA-256.
    RsaPkcs1v15_4096Sha256,
    /// ECDSA P-256, SHA-256.
    EcdsaP256Sha256,
    /// ECDSA P-384, SHA-384.
    EcdsaP384Sha384,
    /// ECDSA P-521, SHA-512.
    EcdsaP521Sha512,
    /// ECDSA P-384, SHA-256 (deprecated pair).
    EcdsaP384Sha256,
    /// ECDSA P-521, SHA-256 (deprecated pair).
    EcdsaP521Sha256,
    /// Pure Ed25519.
    Ed25519,
    /// Ed25519ph: SHA-512 first.
    Ed25519Ph,
}

use SigningAlgorithm as A;

/// One row: algorithm, number, name, flag, key, hash.
struct Row(
    SigningAlgorithm,
    i32,
    &'static str,
    &'static str,
    KeyAlgorithm,
    Option<HashAlgorithm>,
);

const fn row(algorithm: SigningAlgorithm) -> Row {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    use KeyAlgorithm::{EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa2048, Rsa3072, Rsa4096};
    let (number, name, flag, key, hash) = match algorithm {
        A::RsaPkcs1v15_2048Sha256 => (
            9,
            "PKIX_RSA_PKCS1V15_2048_SHA256",
            "rsa-sign-pkcs1-2048-sha256",
            Rsa2048,
            Some(Sha256),
        ),
        A::RsaPkcs1v15_3072Sha256 => (
            10,
            "PKIX_RSA_PKCS1V15_3072_SHA256",
            "rsa-sign-pkcs1-3072-sha256",
            Rsa3072,
            Some(Sha256),
        ),
        A::RsaPkcs1v15_4096Sha256 => (
            11,
            "PKIX_RSA_PKCS1V15_4096_SHA256",
            "rsa-sign-pkcs1-4096-sha256",
            Rsa4096,
            Some(Sha256),
        ),
        A::EcdsaP256Sha256 => (
            5,
            "PKIX_ECDSA_P256_SHA_256",
            "ecdsa-sha2-256-nistp256",
            EcdsaP256,
            Some(Sha256),
        ),
        A::EcdsaP384Sha384 => (
            12,
            "PKIX_ECDSA_P384_SHA_384",
            "ecdsa-sha2-384-nistp384",
            EcdsaP384,
            Some(Sha384),
        ),
        A::EcdsaP521Sha512 => (
            13,
            "PKIX_ECDSA_P521_SHA_512",
            "ecdsa-sha2-512-nistp521",
            EcdsaP521,
            Some(Sha512),
        ),
        A::EcdsaP384Sha256 => (
            19,
            "PKIX_ECDSA_P384_SHA_256",
            "ecdsa-sha2-256-nistp384",
            EcdsaP384,
            Some(Sha256),
        ),
        A::EcdsaP521Sha256 => (
            20,
            "PKIX_ECDSA_P521_SHA_256",
            "ecdsa-sha2-256-nistp521",
            EcdsaP521,
            Some(Sha256),
        ),
        A::Ed25519 => (7, "PKIX_ED25519", "ed25519", Ed25519, None),
        A::Ed25519Ph => (8, "PKIX_ED25519_PH", "ed25519-ph", Ed25519, Some(Sha512)),
    };
    Row(algorithm, number, name, flag, key, hash)
}

impl SigningAlgorithm {
    /// Every registered pair.
    pub const ALL: [SigningAlgorithm; 10] = [
        A::RsaPkcs1v15_2048Sha256,
        A::RsaPkcs1v15_3072Sha256,
        A::RsaPkcs1v15_4096Sha256,
        A::EcdsaP256Sha256,
        A::EcdsaP384Sha384,
        A::EcdsaP521Sha512,
        A::EcdsaP384Sha256,
        A::EcdsaP521Sha256,
        A::Ed25519,
        A::Ed25519Ph,
    ];

    /// Number in `PublicKeyDetails`.
    pub fn proto_number(self) -> i32 {
        row(self).1
    }

    /// Name in `PublicKeyDetails`, as JSON writes it.
    pub fn proto_name(self) -> &'static str {
        row(self).2
    }

    /// Name in `--client-signing-algorithms`.
    pub fn flag_name(self) -> &'static str {
        row(self).3
    }

    /// The key it needs.
    pub fn key_algorithm(self) -> KeyAlgorithm {
        row(self).4
    }

    /// The hash signed over; nothing for pure Ed25519, which signs the message itself.
    pub fn hash(self) -> Option<HashAlgorithm> {
        row(self).5
    }

    /// The pair with that number in `PublicKeyDetails`.
    pub fn from_proto_number(number: i32) -> Option<SigningAlgorithm> {
        Self::find(|row| row.1 == number)
    }

    /// The pair with that name in `PublicKeyDetails`.
    pub fn from_proto_name(name: &str) -> Option<SigningAlgorithm> {
        Self::find(|row| row.2 == name)
    }

    /// The pair with that flag name.
    pub fn from_flag_name(name: &str) -> Option<SigningAlgorithm> {
        Self::find(|row| row.3 == name)
    }

    /// The pair of `key` and `hash`; nothing as hash means a signature over the message itself.
    pub fn from_key_and_hash(key: KeyAlgorithm, hash: Option<HashAlgorithm>) -> Option<SigningAlgorithm> {
        Self::find(|row| row.4 == key && row.5 == hash)
    }

    /// The pair a key of this kind signs with by default, pure Ed25519 for Ed25519; nothing for RSA sizes
    /// that are not registered.
    pub fn default_for(key: KeyAlgorithm) -> Option<SigningAlgorithm> {
        let hash = (key != KeyAlgorithm::Ed25519).then(|| key.default_hash());
        Self::from_key_and_hash(key, hash)
    }

    fn find(matches: impl Fn(&Row) -> bool) -> Option<SigningAlgorithm> {
        Self::ALL
            .into_iter()
            .map(row)
            .find(|row| matches(row))
            .map(|row| row.0)
    }
}
