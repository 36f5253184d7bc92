//! What verifies an entry: a public key, a certificate, or a chain of certificates (`rekor pkg/pki/x509/x509.go`).

use common_pki::cert::{
    CERTIFICATE_LABEL, CertError, Certificate, SubjectAltName, VerifyOptions, verify_chain,
};
use common_pki::key::PublicKey;
use common_pki::pem;

use crate::error::Invalid;
use crate::index::sha256_hex;

/// Most certificates of a chain (`rekor pkg/pki/x509/x509.go NewPublicKey`).
const MAX_CHAIN: usize = 10;

const PUBLIC_KEY_LABEL: &str = "PUBLIC KEY";

/// A key that was parsed, with what it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    key: PublicKey,
    /// Leaf first; empty for a bare key.
    certificates: Vec<Certificate>,
    canonical_pem: String,
    names: Vec<SubjectAltName>,
    subjects: Vec<String>,
}

impl Verifier {
    /// Reads PEM: one `PUBLIC KEY`, or one to ten `CERTIFICATE`s, the signer's first. Text before the first block is skipped.
    ///
    /// # Errors
    /// Not PEM, another label (`RSA PUBLIC KEY` among them), or a key of no kind we verify with.
    pub fn from_pem(text: &[u8]) -> Result<Self, Invalid> {
        let (first, rest) = pem::decode(text)?;
        if first.label == PUBLIC_KEY_LABEL && rest.trim_ascii().is_empty() {
            return Self::from_spki(&first.contents);
        }
        if first.label != CERTIFICATE_LABEL {
            return Err(Invalid::PemLabel(first.label));
        }
        let mut certificates = vec![certificate(&first.contents)?];
        if !rest.trim_ascii().is_empty() {
            for block in pem::decode_all(rest, MAX_CHAIN.saturating_sub(1))? {
                if block.label != CERTIFICATE_LABEL {
                    return Err(Invalid::PemLabel(block.label));
                }
                certificates.push(certificate(&block.contents)?);
            }
        }
        Self::from_certificates(certificates)
    }

    /// Takes a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// A key of no kind we verify with.
    pub fn from_spki(der: &[u8]) -> Result<Self, Invalid> {
        let key = PublicKey::from_spki_der(der)?;
        let canonical_pem = key.to_pem();
        Ok(Self {
            key,
            certificates: Vec::new(),
            canonical_pem,
            names: Vec::new(),
            subjects: Vec::new(),
        })
    }

    /// Takes a DER certificate.
    ///
    /// # Errors
    /// Not a certificate, or one for a key of no kind we verify with.
    pub fn from_certificate(der: &[u8]) -> Result<Self, Invalid> {
        Self::from_certificates(vec![certificate(der)?])
    }

    fn from_certificates(certificates: Vec<Certificate>) -> Result<Self, Invalid> {
        let leaf = certificates.first().ok_or(Invalid::Missing("certificate"))?;
        let key = leaf.public_key()?.clone();
        // Names that do not parse are no reason to refuse an entry: they only make it harder to find.
        let names = leaf.subject_alt_names().unwrap_or_default();
        let subjects = names.iter().map(SubjectAltName::text).collect();
        let canonical_pem = certificates.iter().map(Certificate::to_pem).collect();
        Ok(Self {
            key,
            certificates,
            canonical_pem,
            names,
            subjects,
        })
    }

    /// The key signatures are verified with.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The signer's certificate, unless it is a bare key.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificates.first()
    }

    /// The PEM that is logged: 64 columns, a final line feed, nothing around the blocks.
    #[must_use]
    pub fn canonical_pem(&self) -> &str {
        &self.canonical_pem
    }

    /// Lower-case hex SHA-256 of [`canonical_pem`](Self::canonical_pem), which is what a search by public key looks for.
    #[must_use]
    pub fn key_hash(&self) -> String {
        sha256_hex(self.canonical_pem.as_bytes())
    }

    /// Subject alternative names of the certificate.
    #[must_use]
    pub fn names(&self) -> &[SubjectAltName] {
        &self.names
    }

    /// The same as text (`sigstore pkg/cryptoutils/sans.go`).
    #[must_use]
    pub fn subjects(&self) -> &[String] {
        &self.subjects
    }

    /// Where there is a chain, it must lead from the first certificate to the last, at the time the first became valid:
    /// certificates that have expired since may still be logged (`rekor pkg/pki/x509/x509.go verifyCertChain`).
    pub(crate) fn check_chain(&self) -> Result<(), Invalid> {
        let [leaf, intermediates @ .., root] = self.certificates.as_slice() else {
            return Ok(());
        };
        let roots = std::slice::from_ref(root);
        let options = VerifyOptions {
            intermediates,
            roots,
            at: leaf.not_before(),
            purpose: None,
        };
        verify_chain(leaf, &options).map(drop).map_err(Invalid::Chain)
    }
}

fn certificate(der: &[u8]) -> Result<Certificate, Invalid> {
    Certificate::from_der(der).map_err(|cause| match cause {
        CertError::Key(cause) => Invalid::Key(cause),
        other => Invalid::Certificate(other),
    })
}
