//! Offline verification of a bundle against a trusted root (sigstore client specification, "Verification").
//!
//! Everything is judged at the times that were proven, never at the present: there is no clock here. The order is that of
//! the specification: log entries first, because Rekor v1 entries carry a time; then timestamps; then the signer's
//! certificate at *each* proven time; last the signature over the artifact. Keys come from the trusted root and the policy,
//! never from the bundle. [`Verified`] lists what was proven, for people and for stricter policies of a caller's own.

mod artifact;
mod body;
mod error;
mod evidence;
mod log;
mod matcher;
mod signer;
mod timestamp;
mod witness;

use common_pki::cert::Certificate;
use common_pki::key::{HashAlgorithm, PublicKey};

pub use error::{BodyProblem, VerifyError};
pub use evidence::{Evidence, ProvenTime, TimeSource};
pub use matcher::Matcher;
pub use witness::Witnesses;

use crate::format::{Bundle, Content, KeyMaterial};
use crate::trust::{TrustedRoot, ValidFor};

/// What the caller holds in hand.
#[derive(Clone, Copy, Debug)]
pub enum Artifact<'a> {
    /// The artifact itself.
    Bytes(&'a [u8]),
    /// Its digest only.
    Digest {
        /// How it was digested.
        algorithm: HashAlgorithm,
        /// The digest.
        value: &'a [u8],
    },
    /// Nothing: what the statement of an envelope says of its subjects is the caller's to judge.
    Statement,
}

/// Who must have signed.
#[derive(Clone, Debug)]
pub enum Signer {
    /// Someone with a certificate of a trusted authority that names them.
    Identity {
        /// A subject alternative name of the certificate.
        subject: Matcher,
        /// URL of the identity provider.
        issuer: Matcher,
    },
    /// The holder of this key.
    Key {
        /// The key.
        key: PublicKey,
        /// When its signatures count. With a bound, a proven time is needed to compare with it.
        valid_for: ValidFor,
    },
}

/// What must be proven. A count is of different logs or authorities: two promises of one log are one promise.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who must have signed.
    pub signer: Signer,
    /// Certificate logs that must have promised to include the certificate; a key's signature has none.
    pub scts: usize,
    /// Signature logs that must hold the signature.
    pub log_entries: usize,
    /// Logs and timestamp authorities that must vouch for the time.
    pub times: usize,
    /// Timestamp authorities that must vouch for the time, whatever logs do.
    pub timestamps: usize,
    /// Witnesses that must have cosigned the checkpoint of each entry that is needed.
    pub witnesses: Witnesses,
}

impl Policy {
    /// A signature by someone with a certificate: one of each.
    pub fn identity(subject: impl Into<String>, issuer: impl Into<String>) -> Self {
        Self::matching(Matcher::Exact(subject.into()), Matcher::Exact(issuer.into()))
    }

    /// As [`Policy::identity`], for those whom both matchers let pass.
    #[must_use]
    pub fn matching(subject: Matcher, issuer: Matcher) -> Self {
        Self {
            signer: Signer::Identity { subject, issuer },
            scts: 1,
            log_entries: 1,
            times: 1,
            timestamps: 0,
            witnesses: Witnesses::default(),
        }
    }

    /// A signature by a key that has no certificate, and so no SCT; its log entry need not prove a time.
    #[must_use]
    pub fn key(key: PublicKey, valid_for: ValidFor) -> Self {
        Self {
            signer: Signer::Key { key, valid_for },
            scts: 0,
            log_entries: 1,
            times: 0,
            timestamps: 0,
            witnesses: Witnesses::default(),
        }
    }
}

/// What was proven about a bundle.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Each check that contributed, in the order they were made.
    pub evidence: Vec<Evidence>,
    /// Every proven time of the signature.
    pub times: Vec<ProvenTime>,
    /// The signer's certificate, unless a key was asked for.
    pub certificate: Option<Certificate>,
}

/// Verifies that `policy`'s signer signed `artifact`, with everything `policy` asks for proven by `root`'s authorities.
///
/// # Errors
/// The first check that fails; see [`VerifyError`].
pub fn verify(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    root: &TrustedRoot,
    policy: &Policy,
) -> Result<Verified, VerifyError> {
    let mut evidence = Vec::new();
    let (times, certificate) = examine(bundle, artifact, root, policy, &mut evidence)?;
    Ok(Verified {
        evidence,
        times,
        certificate,
    })
}

/// As [`verify`], for a caller who shows how far a bundle came before it was refused: `evidence` takes each check that
/// holds, as it is made. Unless this is `Ok`, what is in it proves nothing.
///
/// # Errors
/// The first check that fails; see [`VerifyError`].
pub fn examine(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    root: &TrustedRoot,
    policy: &Policy,
    evidence: &mut Vec<Evidence>,
) -> Result<(Vec<ProvenTime>, Option<Certificate>), VerifyError> {
    examine_text(bundle, None, artifact, root, policy, evidence)
}

/// As [`examine`], for an envelope that came with its certificate and without its log entry, which was looked up: `text` is
/// the envelope as it came, because `intoto` 0.0.1 entries hold the hash of that.
///
/// # Errors
/// The first check that fails; see [`VerifyError`].
pub fn examine_text(
    bundle: &Bundle,
    text: Option<&[u8]>,
    artifact: Artifact<'_>,
    root: &TrustedRoot,
    policy: &Policy,
    evidence: &mut Vec<Evidence>,
) -> Result<(Vec<ProvenTime>, Option<Certificate>), VerifyError> {
    let (key, certificate, beside) = signing_key(bundle, policy)?;
    let mut signed = artifact::Signed::new(bundle, artifact, &key, certificate.as_ref())?;
    signed.envelope_text = text;

    let by_logs = log::verify(&bundle.tlog_entries, &signed, root, policy, evidence)?;
    let mut times = by_logs.times.clone();
    let still = policy.times.saturating_sub(by_logs.logs);
    times.extend(timestamp::verify(
        &bundle.timestamps,
        signed.signature,
        root,
        still.max(policy.timestamps),
        evidence,
    )?);
    by_logs.check_windows(&times)?;

    match &policy.signer {
        Signer::Identity { subject, issuer } => {
            let certificate = certificate.as_ref().ok_or(VerifyError::KeyNotCertificate)?;
            // Without a time there is nothing to judge a certificate of ten minutes by (GHSA-hhfg-fwrw-87w7).
            if times.is_empty() {
                return Err(VerifyError::NoTime);
            }
            signer::verify(certificate, &beside, &times, root, policy.scts, evidence)?;
            signer::check_identity(certificate, subject, issuer, evidence)?;
        }
        Signer::Key { valid_for, .. } => {
            // What certificate logs promise is about a certificate, and a key has none.
            if policy.scts > 0 {
                return Err(VerifyError::TooFewScts {
                    expected: policy.scts,
                    got: 0,
                });
            }
            signer::check_key_window(&key, *valid_for, &times, evidence)?;
        }
    }

    signed.verify(evidence)?;
    Ok((times, certificate))
}

/// The key to verify with: the certificate's where an identity is asked for, the caller's otherwise. Gives the certificate
/// as well, and those beside it.
fn signing_key(
    bundle: &Bundle,
    policy: &Policy,
) -> Result<(PublicKey, Option<Certificate>, Vec<Certificate>), VerifyError> {
    match (&bundle.key_material, &policy.signer) {
        (KeyMaterial::Certificates(chain), Signer::Identity { .. }) => {
            let (certificate, beside) = signer::leaf(chain)?;
            let key = certificate
                .public_key()
                .map_err(|cause| VerifyError::Certificate(cause.into()))?
                .clone();
            Ok((key, Some(certificate), beside))
        }
        (KeyMaterial::PublicKey { .. }, Signer::Key { key, .. }) => Ok((key.clone(), None, Vec::new())),
        (KeyMaterial::PublicKey { .. }, Signer::Identity { .. }) => Err(VerifyError::KeyNotCertificate),
        // Someone who trusts a key did not say that they trust every certificate for it.
        (KeyMaterial::Certificates(_), Signer::Key { .. }) => Err(VerifyError::CertificateNotKey),
    }
}

/// The signature a bundle carries.
fn signature(content: &Content) -> &[u8] {
    match content {
        Content::Message { signature, .. } => signature,
        Content::Dsse(envelope) => envelope
            .signatures
            .first()
            .map_or(&[], |signature| signature.sig.as_slice()),
    }
}

#[cfg(test)]
mod tests;
