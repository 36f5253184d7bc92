//! One signature by one key, in the encodings Rekor's verifiers take (`sigstore pkg/signature/{ecdsa,rsapkcs1v15,ed25519,ed25519ph}.go`).

use common_pki::key::{HashAlgorithm, KeyAlgorithm, PublicKey, SignatureError};

/// Why a signature was not accepted; the texts are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureFailure {
    /// An ASN.1 signature that does not verify.
    #[error("invalid signature when validating ASN.1 encoded signature")]
    Ecdsa,
    /// A fixed-size signature that does not verify.
    #[error("invalid signature when validating IEEE_P1363 encoded signature")]
    EcdsaFixedSize,
    /// An RSA signature that is not PKCS #1 v1.5 over this digest.
    #[error("crypto/rsa: verification error")]
    Rsa,
    /// An Ed25519 signature that does not verify, or the pure one where only the prehashed can be checked.
    #[error("failed to verify signature: ed25519: invalid signature")]
    Ed25519,
    /// Ed25519ph is defined over SHA-512 alone (RFC 8032 §5.1).
    #[error("unsupported hash algorithm: {0:?} not in [SHA-512]")]
    Ed25519Hash(&'static str),
    /// An SSH signature that does not verify, or is of another kind than the key.
    #[error("ssh: signature did not verify")]
    Ssh,
    /// The key cannot be used that way.
    #[error("{0}")]
    Key(SignatureError),
}

/// Verifies a signature over a digest; an Ed25519 key means Ed25519ph.
pub(crate) fn verify_digest(
    key: &PublicKey,
    hash: HashAlgorithm,
    digest: &[u8],
    signature: &[u8],
) -> Result<(), SignatureFailure> {
    if key.algorithm().is_ecdsa() && !is_ecdsa_der(signature) {
        return key
            .verify_digest_p1363(hash, digest, signature)
            .map_err(|cause| match cause {
                SignatureError::Invalid => SignatureFailure::EcdsaFixedSize,
                other => SignatureFailure::Key(other),
            });
    }
    key.verify_digest(hash, digest, signature)
        .map_err(|cause| failure(key.algorithm(), cause))
}

/// How an envelope's signatures are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Over the hash of the message; Ed25519 signs the message itself.
    Message(HashAlgorithm),
    /// Ed25519ph, over SHA-512 of the message.
    Ed25519Ph,
}

impl Scheme {
    /// The hash over whose digest a key's signatures are verified; none where the key signs the message itself.
    pub(crate) fn hash(self, key: KeyAlgorithm) -> Option<HashAlgorithm> {
        match self {
            Self::Ed25519Ph => Some(HashAlgorithm::Sha512),
            Self::Message(_) if key == KeyAlgorithm::Ed25519 => None,
            Self::Message(hash) => Some(hash),
        }
    }
}

/// Whether a signature has the length that all signatures of such a key have (RFC 8032 §5.1.6, RFC 8017 §8.2.2 step 1).
/// Those of ECDSA vary; a malformed one is refused before any arithmetic.
pub(crate) fn has_length_of(key: KeyAlgorithm, signature: &[u8]) -> bool {
    let expected = match key {
        KeyAlgorithm::Ed25519 => Some(64),
        other => other.rsa_bits().map(|bits| bits.div_ceil(8)),
    };
    expected.is_none_or(|expected| u32::try_from(signature.len()) == Ok(expected))
}

fn failure(key: KeyAlgorithm, cause: SignatureError) -> SignatureFailure {
    match cause {
        SignatureError::Invalid if key == KeyAlgorithm::Ed25519 => SignatureFailure::Ed25519,
        SignatureError::Invalid if key.is_ecdsa() => SignatureFailure::Ecdsa,
        SignatureError::Invalid => SignatureFailure::Rsa,
        SignatureError::Unsupported { hash, .. } if key == KeyAlgorithm::Ed25519 => {
            SignatureFailure::Ed25519Hash(match hash {
                "sha256" => "SHA-256",
                "sha384" => "SHA-384",
                other => other,
            })
        }
        other => SignatureFailure::Key(other),
    }
}

/// Whether a signature is a DER SEQUENCE of two INTEGERs. Anything else is taken for r ‖ s
/// (`sigstore pkg/signature/ecdsa.go VerifySignature`).
fn is_ecdsa_der(signature: &[u8]) -> bool {
    let integers = match signature {
        [0x30, length @ 0..=0x7f, rest @ ..] | [0x30, 0x81, length, rest @ ..]
            if usize::from(*length) == rest.len() =>
        {
            rest
        }
        _ => return false,
    };
    after_integer(integers)
        .and_then(after_integer)
        .is_some_and(<[u8]>::is_empty)
}

fn after_integer(der: &[u8]) -> Option<&[u8]> {
    match der {
        [0x02, length @ 1..=0x7f, rest @ ..] => rest.get(usize::from(*length)..),
        _ => None,
    }
}
