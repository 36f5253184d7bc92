//! The issuing certificate, its signer, and what is above it.

use std::sync::Arc;

use common_pki::cert::{Certificate, VerifyOptions, verify_chain};
use common_pki::key::{PublicKey, Signer};
use common_pki::oid;

/// A chain that certificates are issued under: issuer first, root last. One value holds certificates and key
/// together, so that a rotation never mixes two pairs.
pub struct CaChain {
    issuer: Certificate,
    signer: Arc<dyn Signer>,
    key: PublicKey,
    key_identifier: Vec<u8>,
    der: Vec<Vec<u8>>,
    pem: Vec<String>,
}

/// Why a chain cannot issue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No certificates.
    #[error("expected the issuing certificate and those above it, root last, got none")]
    Empty,
    /// The first certificate is not a CA.
    #[error("the first certificate must be that of the issuing authority: it is not a CA")]
    NotAuthority,
    /// The signer has another key.
    #[error("the signer's key is not the key of the first certificate")]
    OtherKey,
    /// A weak key.
    #[error("the issuing key is weak: {0}")]
    Weak(#[from] common_pki::key::WeakKey),
    /// Below a root, and not for code signing.
    #[error("an intermediate must have the extended key usage codeSigning")]
    Purpose,
    /// Leaves would lack an authority key identifier.
    #[error(
        "the issuing certificate has no subject key identifier: leaves would have no authority key identifier, which sigstore-python demands"
    )]
    NoKeyIdentifier,
    /// Not in order.
    #[error("the certificates are not one chain from the issuing authority to the root, in that order")]
    Order,
    /// Does not verify.
    #[error("the chain does not verify: {0}")]
    Verification(#[from] common_pki::cert::ChainError),
    /// A certificate cannot be read.
    #[error("{0}")]
    Certificate(#[from] common_pki::cert::CertError),
}

impl CaChain {
    /// Checks `certificates` (issuer first, root last) against `signer` and at `time` (Unix seconds), as
    /// upstream's `VerifyCertChain` does (fulcio `pkg/ca/common.go`), and for the identifiers clients need.
    ///
    /// # Errors
    /// If the chain could not issue certificates that clients accept.
    pub fn new(
        certificates: Vec<Certificate>,
        signer: Arc<dyn Signer>,
        time: u64,
    ) -> Result<Self, ChainError> {
        let Some((root, below)) = certificates.split_last() else {
            return Err(ChainError::Empty);
        };
        let issuer = certificates.first().unwrap_or(root).clone();
        if !issuer.is_ca() {
            return Err(ChainError::NotAuthority);
        }
        let key = signer.public_key().clone();
        if issuer.spki_der() != key.spki_der() {
            return Err(ChainError::OtherKey);
        }
        key.check_strength()?;
        if !below.is_empty() {
            let purposes = issuer.extended_key_usage()?.unwrap_or_default();
            if !purposes.contains(&oid::CODE_SIGNING) {
                return Err(ChainError::Purpose);
            }
        }
        let key_identifier = issuer
            .subject_key_identifier()?
            .ok_or(ChainError::NoKeyIdentifier)?;
        let options = VerifyOptions {
            intermediates: below.get(1..).unwrap_or_default(),
            roots: std::slice::from_ref(root),
            at: time,
            purpose: Some(oid::CODE_SIGNING),
        };
        if verify_chain(&issuer, &options)? != certificates {
            return Err(ChainError::Order);
        }
        let der = certificates.iter().map(|one| one.to_der().to_vec()).collect();
        let pem = certificates
            .iter()
            .map(|one| one.to_pem().trim_end().to_owned())
            .collect();
        Ok(Self {
            issuer,
            signer,
            key,
            key_identifier,
            der,
            pem,
        })
    }

    /// The issuing certificate.
    #[must_use]
    pub fn issuer(&self) -> &Certificate {
        &self.issuer
    }

    /// Each certificate in DER, issuer first, root last.
    #[must_use]
    pub fn der(&self) -> &[Vec<u8>] {
        &self.der
    }

    /// Each certificate in PEM without a final line feed, issuer first, root last.
    #[must_use]
    pub fn pem(&self) -> &[String] {
        &self.pem
    }

    pub(crate) fn signer(&self) -> &dyn Signer {
        self.signer.as_ref()
    }

    /// The issuing key.
    pub(crate) fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The issuing certificate's subject key identifier.
    pub(crate) fn key_identifier(&self) -> &[u8] {
        &self.key_identifier
    }
}
