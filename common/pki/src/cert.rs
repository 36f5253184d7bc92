//! X.509 certificates (RFC 5280): read without losing a byte, built in exactly the order asked for, verified
//! at a time that is an argument.
//!
//! Times are seconds since the Unix epoch, which is all the resolution a certificate has.

mod algorithm;
mod build;
mod ca;
pub mod ext;
mod parse;
mod san;
mod verify;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use der::Decode as _;
use der::asn1::ObjectIdentifier;
use x509_cert::name::Name;

pub use algorithm::SignatureAlgorithm;
pub(crate) use algorithm::algorithm_identifier;
pub use build::{BuildError, Serial, TbsCertificate, distinguished_name, empty_name};
pub use ca::{CaProfile, intermediate, self_signed_root, timestamping_leaf};
pub use ext::Extension;
pub use san::SubjectAltName;
pub use verify::{ChainError, VerifyOptions, verify_chain};
pub use x509_cert::ext::pkix::KeyUsages;

use crate::asn1;
use crate::key::{KeyError, PublicKey, SignatureError, sha256};
use crate::oid;
use crate::pem::{self, PemError};

/// The PEM label of a certificate (RFC 7468 §5).
pub const CERTIFICATE_LABEL: &str = "CERTIFICATE";

/// Longest certificate accepted, in octets of DER.
pub const MAX_CERTIFICATE_LEN: usize = 64 * 1024;

/// Why bytes are not a certificate we read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertError {
    /// Not PEM.
    #[error("certificate is not valid PEM: {0}")]
    Pem(#[from] PemError),
    /// The PEM block has another label.
    #[error("expected a PEM block labelled \"{CERTIFICATE_LABEL}\", got \"{0}\"")]
    Label(String),
    /// More octets than any certificate accepted here has.
    #[error("certificate of {0} octets exceeds the limit of {MAX_CERTIFICATE_LEN}")]
    TooLong(usize),
    /// Not a DER Certificate.
    #[error("certificate is not valid DER: {0}")]
    Der(#[from] der::Error),
    /// DER, but against a rule of RFC 5280.
    #[error("malformed certificate: {0}")]
    Malformed(&'static str),
    /// The certificate's key is not one we use.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A parsed certificate. Cloning is a reference count.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

/// Where things are in the certificate's bytes.
struct Inner {
    der: Vec<u8>,
    /// TBSCertificate, header included: what is signed.
    tbs: Range<usize>,
    /// Contents of the TBSCertificate up to its extensions.
    tbs_head: Range<usize>,
    /// Contents of the serial number INTEGER.
    serial: Range<usize>,
    /// AlgorithmIdentifier, header included.
    signature_algorithm: Range<usize>,
    issuer: Range<usize>,
    not_before: u64,
    not_after: u64,
    subject: Range<usize>,
    spki: Range<usize>,
    extensions: Vec<Extension>,
    /// Contents of the signature BIT STRING.
    signature: Range<usize>,
    key: OnceLock<Result<PublicKey, KeyError>>,
    fingerprint: OnceLock<[u8; 32]>,
}

impl Certificate {
    /// Parses one DER certificate of version 1 or 3 with nothing after it.
    pub fn from_der(der: &[u8]) -> Result<Certificate, CertError> {
        if der.len() > MAX_CERTIFICATE_LEN {
            return Err(CertError::TooLong(der.len()));
        }
        Ok(Certificate(Arc::new(parse::parse(der)?)))
    }

    /// Parses a TBSCertificate by itself, as the log entry of a precertificate has it (RFC 6962 §3.2): its names and extensions
    /// are what the log committed to. Its signature is empty, and verifies with no key.
    pub fn from_tbs_der(tbs: &[u8]) -> Result<Certificate, CertError> {
        if tbs.len() > MAX_CERTIFICATE_LEN {
            return Err(CertError::TooLong(tbs.len()));
        }
        let algorithm = parse::tbs_algorithm(tbs)?;
        Certificate::from_der(&asn1::sequence(&[tbs, algorithm, &asn1::bit_string(&[])]))
    }

    /// Parses one PEM block `CERTIFICATE`.
    pub fn from_pem(text: &str) -> Result<Certificate, CertError> {
        from_block(pem::decode_one(text.as_bytes())?)
    }

    /// Parses at least one and at most `max` PEM blocks `CERTIFICATE`, in the order given.
    pub fn chain_from_pem(text: &str, max: usize) -> Result<Vec<Certificate>, CertError> {
        pem::decode_all(text.as_bytes(), max)?
            .into_iter()
            .map(from_block)
            .collect()
    }

    /// The DER it was parsed from.
    pub fn to_der(&self) -> &[u8] {
        &self.0.der
    }

    /// PEM, 64 columns, with a final line feed.
    pub fn to_pem(&self) -> String {
        pem::encode(CERTIFICATE_LABEL, &self.0.der)
    }

    /// SHA-256 of the DER.
    pub fn fingerprint(&self) -> [u8; 32] {
        *self.0.fingerprint.get_or_init(|| sha256(&self.0.der))
    }

    /// The TBSCertificate's DER: what the issuer signed.
    pub fn tbs_der(&self) -> &[u8] {
        self.slice(&self.0.tbs)
    }

    pub(crate) fn tbs_head(&self) -> &[u8] {
        self.slice(&self.0.tbs_head)
    }

    /// Contents octets of the serial number INTEGER, two's complement, as they stand.
    pub fn serial(&self) -> &[u8] {
        self.slice(&self.0.serial)
    }

    /// DER of the issuer's Name.
    pub fn issuer_der(&self) -> &[u8] {
        self.slice(&self.0.issuer)
    }

    /// DER of the subject's Name.
    pub fn subject_der(&self) -> &[u8] {
        self.slice(&self.0.subject)
    }

    /// The subject as RFC 4514 writes it, for people; empty where it is empty or not readable.
    pub fn subject_text(&self) -> String {
        Name::from_der(self.subject_der())
            .map(|name| name.to_string())
            .unwrap_or_default()
    }

    /// The first value of an attribute of the subject, for example [`oid::COMMON_NAME`].
    pub fn subject_attribute(&self, kind: &ObjectIdentifier) -> Option<String> {
        let name = Name::from_der(self.subject_der()).ok()?;
        let found = name.iter().find(|attribute| attribute.oid == *kind)?;
        String::from_utf8(found.value.value().to_vec()).ok()
    }

    /// First second of validity, Unix time.
    pub fn not_before(&self) -> u64 {
        self.0.not_before
    }

    /// Last second of validity, Unix time, itself included (RFC 5280 §4.1.2.5).
    pub fn not_after(&self) -> u64 {
        self.0.not_after
    }

    /// True from the first to the last second of validity, both included.
    pub fn is_valid_at(&self, time: u64) -> bool {
        self.0.not_before <= time && time <= self.0.not_after
    }

    /// DER of the SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        self.slice(&self.0.spki)
    }

    /// The subject's key, parsed once.
    pub fn public_key(&self) -> Result<&PublicKey, KeyError> {
        let parsed = self
            .0
            .key
            .get_or_init(|| PublicKey::from_spki_der(self.spki_der()));
        parsed.as_ref().map_err(Clone::clone)
    }

    /// Extensions in the order of the certificate.
    pub fn extensions(&self) -> &[Extension] {
        &self.0.extensions
    }

    /// The extension of that kind; there is at most one.
    pub fn extension(&self, kind: &ObjectIdentifier) -> Option<&Extension> {
        self.0.extensions.iter().find(|extension| extension.oid == *kind)
    }

    /// The value of a Fulcio extension 1.3.6.1.4.1.57264.1.`number` (fulcio `docs/oid-info.md`): numbers 1 to
    /// 6 hold the text itself, later ones a DER UTF8String.
    pub fn sigstore_extension(&self, number: u32) -> Option<String> {
        let kind = ext::sigstore_oid(number)?;
        let value = &self.extension(&kind)?.value;
        match number {
            1..=6 => String::from_utf8(value.clone()).ok(),
            _ => String::from_der(value).ok(),
        }
    }

    /// How the issuer signed, where we know the algorithm.
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        SignatureAlgorithm::from_der(self.slice(&self.0.signature_algorithm))
    }

    /// The issuer's signature.
    pub fn signature(&self) -> &[u8] {
        self.slice(&self.0.signature)
    }

    /// Verifies this certificate's signature with its issuer's key; nothing else about the two is checked.
    pub fn verify_signature(&self, issuer: &PublicKey) -> Result<(), SignatureError> {
        let algorithm = self.signature_algorithm().ok_or(SignatureError::Unsupported {
            key: issuer.algorithm(),
            hash: "the certificate's signature algorithm",
        })?;
        algorithm.verify(issuer, self.tbs_der(), self.signature())
    }

    /// True where subject and issuer are the same name; says nothing about the signature.
    pub fn is_self_issued(&self) -> bool {
        self.subject_der() == self.issuer_der()
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.0.der.get(range.clone()).unwrap_or_default()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Certificate) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for Certificate {}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Certificate({:?}, {} octets)",
            self.subject_text(),
            self.0.der.len()
        )
    }
}

fn from_block(block: pem::Block) -> Result<Certificate, CertError> {
    if block.label == CERTIFICATE_LABEL {
        Certificate::from_der(&block.contents)
    } else {
        Err(CertError::Label(block.label))
    }
}

/// True where the extension is one this crate understands when it is critical (RFC 5280 §4.2).
fn is_understood(kind: &ObjectIdentifier) -> bool {
    [
        oid::KEY_USAGE,
        oid::EXTENDED_KEY_USAGE,
        oid::BASIC_CONSTRAINTS,
        oid::SUBJECT_ALT_NAME,
        oid::SUBJECT_KEY_IDENTIFIER,
        oid::AUTHORITY_KEY_IDENTIFIER,
        oid::CERTIFICATE_POLICIES,
    ]
    .contains(kind)
}
