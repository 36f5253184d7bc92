//! The issuing certificate, its signer, and what is above it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common_pki::cert::{Certificate, KeyUsages, VerifyOptions, verify_chain};
use common_pki::key::{PublicKey, Signer};
use common_pki::oid;

/// A chain that certificates are issued under: issuer first, root last. One value holds certificates and key
/// together, so that a rotation never mixes two pairs.
pub struct CaChain {
    issuer: Certificate,
    signer: Arc<dyn Signer>,
    key: PublicKey,
    key_identifier: Vec<u8>,
    /// Unix seconds in which every certificate of the chain is valid: what is issued must lie within.
    not_before: u64,
    not_after: u64,
    /// Unix seconds from which the log may be told again that the end is near.
    next_warning: AtomicU64,
    der: Vec<Vec<u8>>,
    pem: Vec<String>,
}

/// How long before its end the log is told, in seconds: 30 days.
const WARN_AHEAD: u64 = 30 * 86_400;

/// How often, in seconds.
const WARN_EVERY: u64 = 86_400;

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
    /// Not for signing certificates.
    #[error("the first certificate must have the key usage keyCertSign (RFC 5280 §4.2.1.3)")]
    KeyUsage,
    /// A certificate under the issuer would have too many authorities above it.
    #[error("the path length constraint of {0:?} leaves no room for certificates of the issuing authority")]
    PathLength(String),
    /// The root's own signature is wrong.
    #[error("the signature of the root {0:?} on itself does not verify")]
    RootSignature(String),
    /// The signer has another key.
    #[error("the signer's key is not the key of the first certificate")]
    OtherKey,
    /// A weak key.
    #[error("the issuing key is weak: {0}")]
    Weak(#[from] common_pki::key::WeakKey),
    /// Below a root, and not for code signing.
    #[error("an issuing certificate that is no root must have the extended key usage codeSigning")]
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
        if issuer.allows_key_usage(KeyUsages::KeyCertSign)? != Some(true) {
            return Err(ChainError::KeyUsage);
        }
        room_for_leaves(&certificates)?;
        let key = signer.public_key().clone();
        if issuer.spki_der() != key.spki_der() {
            return Err(ChainError::OtherKey);
        }
        key.check_strength()?;
        if !below.is_empty() || !issuer.is_self_issued() {
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
        // A trust anchor's signature proves nothing to a verifier; here a wrong one means that the file is damaged.
        let root_key = root.public_key().map_err(common_pki::cert::CertError::from)?;
        if root.is_self_issued() && root.verify_signature(root_key).is_err() {
            return Err(ChainError::RootSignature(root.subject_text()));
        }
        let not_before = certificates.iter().map(Certificate::not_before).max();
        let not_after = certificates.iter().map(Certificate::not_after).min();
        let der = certificates.iter().map(|one| one.to_der().to_vec()).collect();
        let pem = certificates
            .iter()
            .map(|one| one.to_pem().trim_end().to_owned())
            .collect();
        let chain = Self {
            issuer,
            signer,
            key,
            key_identifier,
            not_before: not_before.unwrap_or(u64::MAX),
            not_after: not_after.unwrap_or(0),
            next_warning: AtomicU64::new(0),
            der,
            pem,
        };
        chain.warn_of_the_end(time);
        Ok(chain)
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

    /// First Unix second in which every certificate of the chain is valid.
    pub(crate) fn not_before(&self) -> u64 {
        self.not_before
    }

    /// Last Unix second in which every certificate of the chain is valid.
    pub(crate) fn not_after(&self) -> u64 {
        self.not_after
    }

    /// Tells the log, once a day, when less than thirty days are left; whether it did.
    pub(crate) fn warn_of_the_end(&self, now: u64) -> bool {
        let left = self.not_after.saturating_sub(now);
        if left >= WARN_AHEAD {
            return false;
        }
        let due = self
            .next_warning
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                (next <= now).then(|| now.saturating_add(WARN_EVERY))
            })
            .is_ok();
        if due {
            tracing::warn!(
                seconds = left,
                "the certificate authority's chain ends soon; nothing can be issued in its last ten minutes"
            );
        }
        due
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

/// RFC 5280 §4.2.1.9: how many authorities may lie between each one and a certificate of the issuer. Verifying the
/// issuer's own chain does not tell, since there the issuer is the leaf, which never counts.
fn room_for_leaves(certificates: &[Certificate]) -> Result<(), ChainError> {
    let mut between = 0_usize;
    for certificate in certificates {
        let (_, path_length) = certificate.basic_constraints()?.unwrap_or_default();
        if path_length.is_some_and(|limit| between > usize::from(limit)) {
            return Err(ChainError::PathLength(certificate.subject_text()));
        }
        if !certificate.is_self_issued() {
            between = between.saturating_add(1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
