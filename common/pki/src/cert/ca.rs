//! The certificates of our own authorities: roots, intermediates, and the timestamp authority's leaf.
//!
//! Shapes follow fulcio `docs/certificate-specification.md` and timestamp-authority `pkg/x509/x509.go`: every
//! authority has a subjectKeyIdentifier and every child an authorityKeyIdentifier, without which
//! sigstore-python refuses leaves.

use der::asn1::ObjectIdentifier;

use super::{BuildError, Certificate, Extension, Serial, TbsCertificate, ext};
use crate::key::{PublicKey, Signer};
use crate::oid;

/// What differs between one authority certificate and the next.
#[derive(Clone, Debug)]
pub struct CaProfile {
    /// DER of the subject's Name, see [`distinguished_name`](super::distinguished_name).
    pub subject: Vec<u8>,
    /// Serial number.
    pub serial: Serial,
    /// First second of validity, Unix time.
    pub not_before: u64,
    /// Last second of validity, Unix time.
    pub not_after: u64,
}

/// A self-signed root: critical basicConstraints and keyUsage (certSign, cRLSign), SKI, no extKeyUsage.
pub fn self_signed_root(profile: CaProfile, signer: &dyn Signer) -> Result<Certificate, BuildError> {
    let key = signer.public_key().clone();
    let extensions = vec![
        ext::certificate_signing(),
        ext::certificate_authority(None),
        ext::subject_key_identifier(&key),
    ];
    let issuer = profile.subject.clone();
    tbs(profile, issuer, key, extensions).sign(signer)
}

/// An intermediate below `parent` with path length 0, for one purpose ([`oid::CODE_SIGNING`] or
/// [`oid::TIME_STAMPING`]): purposes nest, so nothing issued below it serves another.
pub fn intermediate(
    profile: CaProfile,
    key: &PublicKey,
    purpose: &ObjectIdentifier,
    parent: &Certificate,
    parent_signer: &dyn Signer,
) -> Result<Certificate, BuildError> {
    let authority = authority(parent, parent_signer)?;
    let extensions = vec![
        ext::certificate_signing(),
        ext::extended_key_usage(purpose, false),
        ext::certificate_authority(Some(0)),
        ext::subject_key_identifier(key),
        authority,
    ];
    tbs(profile, parent.subject_der().to_vec(), key.clone(), extensions).sign(parent_signer)
}

/// The leaf of a timestamp authority: digitalSignature, and timeStamping as the one and critical purpose
/// (RFC 3161 §2.3).
pub fn timestamping_leaf(
    profile: CaProfile,
    key: &PublicKey,
    parent: &Certificate,
    parent_signer: &dyn Signer,
) -> Result<Certificate, BuildError> {
    let authority = authority(parent, parent_signer)?;
    let extensions = vec![
        ext::digital_signature(),
        ext::extended_key_usage(&oid::TIME_STAMPING, true),
        ext::subject_key_identifier(key),
        authority,
    ];
    tbs(profile, parent.subject_der().to_vec(), key.clone(), extensions).sign(parent_signer)
}

fn tbs(profile: CaProfile, issuer: Vec<u8>, key: PublicKey, extensions: Vec<Extension>) -> TbsCertificate {
    let CaProfile {
        subject,
        serial,
        not_before,
        not_after,
    } = profile;
    TbsCertificate {
        serial,
        issuer,
        not_before,
        not_after,
        subject,
        key,
        extensions,
    }
}

/// The child's authorityKeyIdentifier, once parent and signer are known to belong together.
fn authority(parent: &Certificate, signer: &dyn Signer) -> Result<Extension, BuildError> {
    if !parent.is_ca() {
        return Err(BuildError::Issuer("it is not a certificate authority"));
    }
    if parent.spki_der() != signer.public_key().spki_der() {
        return Err(BuildError::Issuer("the signer's key is not the certificate's"));
    }
    let key_id = parent
        .subject_key_identifier()?
        .ok_or(BuildError::Issuer("it has no subjectKeyIdentifier"))?;
    Ok(ext::authority_key_identifier(&key_id))
}
