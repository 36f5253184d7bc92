//! Chain verification at a given time (RFC 5280 §6.1, with the path building and the nested purposes of Go's
//! crypto/x509, which every Sigstore verifier relies on).
//!
//! Left out on purpose: revocation (Sigstore has none), certificate policies, and name constraints, whose
//! presence in an authority makes the chain fail rather than pass unchecked.

use der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::KeyUsages;

use super::{CertError, Certificate, is_understood};
use crate::oid;

/// Longest chain, root included.
const MAX_CHAIN: usize = 10;

/// Most signatures verified for one chain: hostile bags of cross-signed certificates cost no more than that.
const MAX_SIGNATURES: usize = 100;

/// Why no chain was found. Of several candidates, the last one's reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Nobody known issued this certificate.
    #[error("no known issuer for the certificate of {0:?}")]
    UnknownIssuer(String),
    /// The certificate is not valid yet, or no longer.
    #[error("certificate of {subject:?} is valid from {not_before} to {not_after}, checked at {at}")]
    Validity {
        /// Whose certificate.
        subject: String,
        /// First second of validity, Unix time.
        not_before: u64,
        /// Last second of validity, Unix time.
        not_after: u64,
        /// The time asked for.
        at: u64,
    },
    /// A signature in the chain is wrong or of an unsupported algorithm.
    #[error("signature on the certificate of {0:?} does not verify")]
    Signature(String),
    /// An issuer that is not a certificate authority, or may not sign certificates.
    #[error("{0:?} is not allowed to issue certificates")]
    NotAnAuthority(String),
    /// More authorities below than one of them allows.
    #[error("path length constraint of {0:?} exceeded")]
    PathLength(String),
    /// A certificate of the chain is not for the purpose asked for.
    #[error("certificate of {0:?} is not valid for the purpose {1}")]
    Purpose(String, ObjectIdentifier),
    /// A critical extension, or name constraints, that are not understood.
    #[error("certificate of {0:?} has the critical extension {1}, which is not supported")]
    CriticalExtension(String, ObjectIdentifier),
    /// The chain is too long or too many signatures would have to be tried.
    #[error("chain exceeds the limits of {MAX_CHAIN} certificates and {MAX_SIGNATURES} signatures")]
    TooComplex,
    /// A certificate of the chain carries an extension that does not parse.
    #[error(transparent)]
    Malformed(#[from] CertError),
}

/// What is asked of a chain.
#[derive(Clone, Debug)]
pub struct VerifyOptions<'a> {
    /// Certificates that may lie between leaf and root, in any order.
    pub intermediates: &'a [Certificate],
    /// Trust anchors. They are checked like other authorities: validity, basicConstraints, purposes.
    pub roots: &'a [Certificate],
    /// The Unix time, in seconds, at which every certificate of the chain must be valid.
    pub at: u64,
    /// The purpose every certificate with an extKeyUsage must allow, by name or by anyExtendedKeyUsage;
    /// nothing for any purpose.
    pub purpose: Option<ObjectIdentifier>,
}

/// Verifies `leaf` and returns the chain found, leaf first, root last. A leaf that is itself among the roots
/// is a chain of one.
pub fn verify_chain(leaf: &Certificate, options: &VerifyOptions<'_>) -> Result<Vec<Certificate>, ChainError> {
    check_certificate(leaf, options)?;
    if options.roots.contains(leaf) {
        return Ok(vec![leaf.clone()]);
    }
    let mut search = Search {
        options,
        signatures: 0,
    };
    let mut path = vec![leaf];
    search.extend(&mut path)?;
    Ok(path.into_iter().cloned().collect())
}

struct Search<'a> {
    options: &'a VerifyOptions<'a>,
    signatures: usize,
}

impl<'a> Search<'a> {
    /// Completes `path` up to a root, or leaves it as it was.
    fn extend(&mut self, path: &mut Vec<&'a Certificate>) -> Result<(), ChainError> {
        let Some(child) = path.last().copied() else {
            return Err(ChainError::TooComplex);
        };
        if path.len() >= MAX_CHAIN {
            return Err(ChainError::TooComplex);
        }
        let mut reason = ChainError::UnknownIssuer(child.subject_text());
        let roots = self.options.roots.iter().map(|candidate| (candidate, true));
        let others = self
            .options
            .intermediates
            .iter()
            .map(|candidate| (candidate, false));
        for (issuer, is_root) in roots.chain(others) {
            if !may_have_issued(issuer, child) || path.iter().any(|seen| same_entity(seen, issuer)) {
                continue;
            }
            match self.try_issuer(path, child, issuer, is_root) {
                Ok(()) => return Ok(()),
                Err(ChainError::TooComplex) => return Err(ChainError::TooComplex),
                Err(other) => reason = other,
            }
        }
        Err(reason)
    }

    fn try_issuer(
        &mut self,
        path: &mut Vec<&'a Certificate>,
        child: &Certificate,
        issuer: &'a Certificate,
        is_root: bool,
    ) -> Result<(), ChainError> {
        check_issuer(issuer, path)?;
        check_certificate(issuer, self.options)?;
        self.signatures = self.signatures.saturating_add(1);
        if self.signatures > MAX_SIGNATURES {
            return Err(ChainError::TooComplex);
        }
        let key = issuer.public_key().map_err(CertError::from)?;
        child
            .verify_signature(key)
            .map_err(|_| ChainError::Signature(child.subject_text()))?;
        path.push(issuer);
        if !is_root && let Err(error) = self.extend(path) {
            path.pop();
            return Err(error);
        }
        Ok(())
    }
}

/// Names chain octet by octet, and key identifiers must not contradict each other where both are there.
fn may_have_issued(issuer: &Certificate, child: &Certificate) -> bool {
    if issuer.subject_der() != child.issuer_der() {
        return false;
    }
    match (child.authority_key_identifier(), issuer.subject_key_identifier()) {
        (Ok(Some(wanted)), Ok(Some(got))) => wanted == got,
        _ => true,
    }
}

/// The same name and key twice in a path is a loop, whatever else the certificates say.
fn same_entity(a: &Certificate, b: &Certificate) -> bool {
    a == b || (a.subject_der() == b.subject_der() && a.spki_der() == b.spki_der())
}

/// RFC 5280 §6.1.3 (a)(2), §6.1.4 (o) and the purpose, for every certificate of the chain.
fn check_certificate(cert: &Certificate, options: &VerifyOptions<'_>) -> Result<(), ChainError> {
    if !cert.is_valid_at(options.at) {
        return Err(ChainError::Validity {
            subject: cert.subject_text(),
            not_before: cert.not_before(),
            not_after: cert.not_after(),
            at: options.at,
        });
    }
    let unknown = cert
        .extensions()
        .iter()
        .find(|ext| ext.critical && !is_understood(&ext.oid));
    if let Some(ext) = unknown {
        return Err(ChainError::CriticalExtension(cert.subject_text(), ext.oid));
    }
    match (options.purpose, cert.extended_key_usage()?) {
        (Some(wanted), Some(purposes))
            if !purposes.contains(&wanted) && !purposes.contains(&oid::ANY_EXTENDED_KEY_USAGE) =>
        {
            Err(ChainError::Purpose(cert.subject_text(), wanted))
        }
        _ => Ok(()),
    }
}

/// RFC 5280 §6.1.4 (k) to (n): what an issuer must be. `path` is what lies below it, leaf first.
fn check_issuer(issuer: &Certificate, path: &[&Certificate]) -> Result<(), ChainError> {
    let Some((true, path_len)) = issuer.basic_constraints()? else {
        return Err(ChainError::NotAnAuthority(issuer.subject_text()));
    };
    if issuer.allows_key_usage(KeyUsages::KeyCertSign)? == Some(false) {
        return Err(ChainError::NotAnAuthority(issuer.subject_text()));
    }
    if issuer.extension(&oid::NAME_CONSTRAINTS).is_some() {
        return Err(ChainError::CriticalExtension(
            issuer.subject_text(),
            oid::NAME_CONSTRAINTS,
        ));
    }
    // Self-issued intermediates do not count (RFC 5280 §4.2.1.9); the leaf never does.
    let below = path.iter().skip(1).filter(|cert| !cert.is_self_issued()).count();
    match path_len {
        Some(limit) if below > usize::from(limit) => Err(ChainError::PathLength(issuer.subject_text())),
        _ => Ok(()),
    }
}
