//! Why something of OpenPGP is refused; the texts are upstream's where it has one (`ProtonMail/go-crypto openpgp/errors`).

use std::borrow::Cow;

/// What is wrong with a ring, a signature or a signed message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PgpError {
    /// Packets that do not make sense.
    #[error("openpgp: invalid data: {0}")]
    Structural(Cow<'static, str>),
    /// Something that is not implemented; in a ring, the packet is skipped.
    #[error("openpgp: unsupported feature: {0}")]
    Unsupported(String),
    /// Data that ends too early.
    #[error("unexpected EOF")]
    Eof,
    /// Longer than is read.
    #[error("PGP {what} of {got} octets, at most {limit} are allowed")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Octets allowed.
        limit: usize,
        /// Octets given.
        got: usize,
    },
    /// More self-signatures than are verified for one ring.
    #[error("PGP public key with more than {0} signatures by itself")]
    TooManySignatures(usize),
    /// A ring that is armored under another label.
    #[error("invalid PGP type detected")]
    NotAPublicKey,
    /// A secret key: nobody should send it, and it is not read.
    #[error("this is a PGP private key, which must never leave its owner; give the public key")]
    PrivateKey,
    /// A ring without a usable key.
    #[error("no PGP public keys could be read")]
    NoKey,
    /// Not a signature.
    #[error("valid PGP signature was not detected")]
    NotASignature,
    /// Key and signature are of different algorithms.
    #[error("openpgp: invalid argument: public key and signature use different algorithms")]
    Algorithm,
    /// A signature that does not verify.
    #[error("openpgp: invalid signature: {0}")]
    Signature(Cow<'static, str>),
    /// No key of the ring may have made the signature.
    #[error("openpgp: signature made by unknown entity")]
    UnknownIssuer,
    /// The key of a package's signature is not in the ring.
    #[error("keyid {0} not found")]
    KeyNotFound(String),
    /// The key was revoked.
    #[error("openpgp: signature made by revoked key")]
    Revoked,
    /// The key had expired when it signed.
    #[error("openpgp: key expired")]
    KeyExpired,
    /// The signature had expired.
    #[error("openpgp: signature expired")]
    SignatureExpired,
}

impl PgpError {
    pub(super) const fn structural(what: &'static str) -> Self {
        Self::Structural(Cow::Borrowed(what))
    }

    pub(super) const fn signature(what: &'static str) -> Self {
        Self::Signature(Cow::Borrowed(what))
    }
}
