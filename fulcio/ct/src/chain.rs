//! What may be logged: a precertificate whose issuers lead to a root this log accepts.
//!
//! As upstream (certificate-transparency-go `trillian/ctfe/cert_checker.go`), validity periods, path lengths and name
//! constraints are not enforced: a log records what an authority did, also when it should not have.

use crate::beside::Fingerprint;
use arc_swap::ArcSwap;
use common_pki::cert::{CertError, Certificate};
use common_pki::key::PublicKey;
use common_pki::{oid, sct};
use der::asn1::ObjectIdentifier;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Extended key usage of a Precertificate Signing Certificate (RFC 6962 §3.1).
const PRECERTIFICATE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.4");
/// Issuers in one submission, root included.
const MAX_CHAIN: usize = 10;
/// Distinct issuer chains remembered; an authority has one, and a second one while it rotates.
const REMEMBERED: usize = 64;

/// Why a chain is not logged. Counting starts at the certificate after the precertificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Something does not parse.
    #[error("certificate {position} of the submission does not parse: {cause}")]
    Certificate {
        /// 0 is the precertificate.
        position: usize,
        /// What is wrong.
        cause: CertError,
    },
    /// RFC 6962 §3.1: poison extension, critical, ASN.1 NULL.
    #[error("expected a precertificate with the critical poison extension 1.3.6.1.4.1.11129.2.4.3 = NULL")]
    NotPrecertificate,
    /// A final certificate's extension.
    #[error("expected a precertificate without embedded SCTs")]
    HasScts,
    /// Fulcio's logs take nothing else (fulcio `docs/ctlog.md`).
    #[error("expected a precertificate with extended key usage codeSigning")]
    NotCodeSigning,
    /// No issuer at all.
    #[error("expected 1 to {MAX_CHAIN} issuers after the precertificate, got {0}")]
    Length(usize),
    /// RFC 6962 §3.1: each certificate certifies the one before it.
    #[error("certificate {0} of the submission did not issue the one before it")]
    NotIssuer(usize),
    /// Not allowed to issue.
    #[error("certificate {0} of the submission is not a certificate authority")]
    NotAuthority(usize),
    /// RFC 6962 §3.1 permits a dedicated signer of precertificates; Sigstore has none.
    #[error(
        "expected a precertificate signed by the final certificate's issuer, got one by a Precertificate Signing Certificate"
    )]
    PrecertificateSigner,
    /// The end of the chain is unknown.
    #[error("the chain does not end at a root this log accepts, see get-roots")]
    UnknownRoot,
}

/// The roots a log accepts, in the order `get-roots` shows them.
#[derive(Clone, Debug, Default)]
pub struct AcceptedRoots(Vec<Certificate>);

impl AcceptedRoots {
    /// Takes self-issued certificate authorities; anything else given as a root is an operator's error.
    ///
    /// # Errors
    ///
    /// [`ChainError`] with the position of the certificate that cannot be a root, counted from 0.
    pub fn new(roots: Vec<Certificate>) -> Result<Self, ChainError> {
        for (position, root) in roots.iter().enumerate() {
            if !root.is_ca() || !root.is_self_issued() {
                return Err(ChainError::NotAuthority(position));
            }
        }
        Ok(Self(roots))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.0.iter()
    }
}

/// An issuer chain that was verified up to an accepted root, which is its last certificate.
pub(crate) struct Issuers {
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) fingerprints: Vec<Fingerprint>,
    /// Its fingerprint is the entry's issuer_key_hash (RFC 6962 §3.2).
    pub(crate) issuer_key: PublicKey,
    issuer_subject: Vec<u8>,
    stored: AtomicBool,
}

impl Issuers {
    /// Whether the certificates are known to be in the log's store.
    pub(crate) fn are_stored(&self) -> bool {
        self.stored.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stored(&self) {
        self.stored.store(true, Ordering::Relaxed);
    }
}

/// Validates submissions; remembers issuer chains, because all precertificates of an authority come with the same one.
pub(crate) struct Validator {
    roots: ArcSwap<AcceptedRoots>,
    /// By all of their bytes: hashing them with SHA-256 for each submission would cost more than looking at them.
    known: Mutex<HashMap<Vec<Vec<u8>>, Arc<Issuers>>>,
}

impl Validator {
    pub(crate) fn new(roots: AcceptedRoots) -> Self {
        Self {
            roots: ArcSwap::from_pointee(roots),
            known: Mutex::default(),
        }
    }

    pub(crate) fn roots(&self) -> Arc<AcceptedRoots> {
        self.roots.load_full()
    }

    /// Accepts other roots from now on. Chains that were verified are so again.
    pub(crate) fn set_roots(&self, roots: AcceptedRoots) {
        self.roots.store(Arc::new(roots));
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The precertificate and its verified issuers.
    pub(crate) fn validate(
        &self,
        precertificate: &[u8],
        chain: &[Vec<u8>],
    ) -> Result<(Certificate, Arc<Issuers>), ChainError> {
        let precertificate = Certificate::from_der(precertificate)
            .map_err(|cause| ChainError::Certificate { position: 0, cause })?;
        check_precertificate(&precertificate)?;
        let issuers = self.issuers(chain)?;
        if precertificate.issuer_der() != issuers.issuer_subject
            || precertificate.verify_signature(&issuers.issuer_key).is_err()
        {
            return Err(ChainError::NotIssuer(1));
        }
        Ok((precertificate, issuers))
    }

    fn issuers(&self, chain: &[Vec<u8>]) -> Result<Arc<Issuers>, ChainError> {
        if !(1..=MAX_CHAIN).contains(&chain.len()) {
            return Err(ChainError::Length(chain.len()));
        }
        if let Some(known) = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(chain)
        {
            return Ok(Arc::clone(known));
        }
        let issuers = Arc::new(self.verify(chain)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(chain.to_vec(), Arc::clone(&issuers));
        Ok(issuers)
    }

    /// RFC 6962 §3.1: in submitted order, each certifies the one before, the last is an accepted root or issued by one.
    fn verify(&self, chain: &[Vec<u8>]) -> Result<Issuers, ChainError> {
        let mut certificates = Vec::with_capacity(chain.len().saturating_add(1));
        for (position, der) in (1..).zip(chain) {
            let certificate =
                Certificate::from_der(der).map_err(|cause| ChainError::Certificate { position, cause })?;
            if !certificate.is_ca() {
                return Err(ChainError::NotAuthority(position));
            }
            if certificates
                .last()
                .is_some_and(|child| !issued(&certificate, child))
            {
                return Err(ChainError::NotIssuer(position));
            }
            certificates.push(certificate);
        }
        let last = certificates.last().ok_or(ChainError::Length(0))?;
        let roots = self.roots.load();
        if !roots.iter().any(|root| root == last) {
            let root = roots
                .iter()
                .find(|root| issued(root, last))
                .ok_or(ChainError::UnknownRoot)?;
            certificates.push(root.clone());
        }
        let issuer = certificates.first().ok_or(ChainError::Length(0))?;
        if purposes(issuer, 1)?.contains(&PRECERTIFICATE_SIGNING) {
            return Err(ChainError::PrecertificateSigner);
        }
        let issuer_key = issuer
            .public_key()
            .map_err(|cause| ChainError::Certificate {
                position: 1,
                cause: cause.into(),
            })?
            .clone();
        Ok(Issuers {
            fingerprints: certificates.iter().map(Certificate::fingerprint).collect(),
            issuer_key,
            issuer_subject: issuer.subject_der().to_vec(),
            certificates,
            stored: AtomicBool::new(false),
        })
    }
}

fn check_precertificate(precertificate: &Certificate) -> Result<(), ChainError> {
    if sct::is_precertificate(precertificate) != Ok(true) {
        return Err(ChainError::NotPrecertificate);
    }
    if precertificate.extension(&oid::SCT_LIST).is_some() {
        return Err(ChainError::HasScts);
    }
    if purposes(precertificate, 0)?.contains(&oid::CODE_SIGNING) {
        Ok(())
    } else {
        Err(ChainError::NotCodeSigning)
    }
}

fn purposes(certificate: &Certificate, position: usize) -> Result<Vec<ObjectIdentifier>, ChainError> {
    let purposes = certificate.extended_key_usage();
    Ok(purposes
        .map_err(|cause| ChainError::Certificate { position, cause })?
        .unwrap_or_default())
}

pub(crate) fn issued(issuer: &Certificate, child: &Certificate) -> bool {
    issuer.subject_der() == child.issuer_der()
        && issuer
            .public_key()
            .is_ok_and(|key| child.verify_signature(key).is_ok())
}
