//! Who a verified token speaks for.

use common_pki::cert::SubjectAltName;

use crate::extensions::Extensions;

/// The outcome of token verification: everything of the identity that a certificate repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The text a proof of possession must sign: raw UTF-8, without hashing by name or nonce.
    pub(crate) name: String,
    /// The certificate's one subject alternative name.
    pub(crate) subject: SubjectAltName,
    /// Fulcio's extensions 1.3.6.1.4.1.57264.1.*.
    pub(crate) extensions: Extensions,
}
