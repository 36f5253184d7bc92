//! Verifying a timestamp, in the order of timestamp-authority `pkg/verification/verify.go`.

use der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::KeyUsages;

use super::response::CertificateId;
use super::{SignerId, TimeStampResponse, TimeStampToken, TspError, TstInfo};
use crate::cert::{Certificate, VerifyOptions, verify_chain};
use crate::oid;

/// Whom to believe about time.
#[derive(Clone, Debug)]
pub struct TimestampTrust<'a> {
    /// The authority's own certificate, where the trusted root lists it: then it and no other may have signed.
    pub leaf: Option<&'a Certificate>,
    /// Certificates between leaf and root.
    pub intermediates: &'a [Certificate],
    /// Trust anchors.
    pub roots: &'a [Certificate],
}

/// A timestamp that holds.
#[derive(Clone, Debug)]
pub struct VerifiedTimestamp {
    /// The statement; its `time` is in Unix seconds. Whether the authority was trusted at that time
    /// (`validFor`) is for the caller to say.
    pub info: TstInfo,
    /// The certificate that signed.
    pub signer: Certificate,
}

/// Verifies a DER TimeStampResp over `message`: granted, about this message, signed by a certificate that is
/// a timestamp authority's, and that chains to a root at the time of the timestamp. Nothing stands beside that but
/// certificates of this chain.
pub fn verify(
    response: &[u8],
    message: &[u8],
    trust: &TimestampTrust<'_>,
) -> Result<VerifiedTimestamp, TspError> {
    let response = TimeStampResponse::from_der(response)?;
    if response.remarks {
        return Err(TspError::Unsigned("a text or failure beside its status"));
    }
    let token = response.granted()?;
    token.info.imprint.checked()?;
    if !token.info.imprint.is_of(message) {
        return Err(TspError::Imprint);
    }
    token.verify(trust)
}

impl TimeStampToken {
    /// Verifies everything but what the timestamp is about.
    pub fn verify(&self, trust: &TimestampTrust<'_>) -> Result<VerifiedTimestamp, TspError> {
        let known = match trust.leaf {
            Some(leaf) => std::slice::from_ref(leaf),
            None => trust.intermediates,
        };
        // A trusted leaf is the only candidate; otherwise whoever is named, embedded or known, and the chain decides.
        let candidates = known
            .iter()
            .chain(self.certificates.iter().filter(|_| trust.leaf.is_none()));
        let signer = self.find_signer(candidates)?;
        self.verify_signature(signer)?;
        check_signer_certificate(signer)?;
        let embedded: Vec<Certificate> = trust
            .intermediates
            .iter()
            .chain(&self.certificates)
            .cloned()
            .collect();
        let chain = verify_chain(
            signer,
            &VerifyOptions {
                intermediates: &embedded,
                roots: trust.roots,
                at: self.info.time,
                purpose: Some(oid::TIME_STAMPING),
            },
        )?;
        debug_assert!(chain.first() == Some(signer));
        if let Some(what) = self.unsigned {
            return Err(TspError::Unsigned(what));
        }
        if !self.certificates.iter().all(|cert| chain.contains(cert)) {
            return Err(TspError::Unsigned(
                "a certificate that is not in its signer's chain",
            ));
        }
        Ok(VerifiedTimestamp {
            info: self.info.clone(),
            signer: signer.clone(),
        })
    }

    /// The certificate the SignerInfo names, among those given.
    pub fn find_signer<'a>(
        &self,
        candidates: impl IntoIterator<Item = &'a Certificate>,
    ) -> Result<&'a Certificate, TspError> {
        candidates
            .into_iter()
            .find(|cert| self.is_signer(cert))
            .ok_or(TspError::UnknownSigner)
    }

    /// Verifies digest, certificate binding and signature with the certificate that signed, and nothing about
    /// whether to trust it.
    ///
    /// Everything is checked on `signer` itself: GHSA-xm5m-wgh2-rrg3 was a verifier that checked purposes on
    /// some other certificate of the bag.
    pub fn verify_signature(&self, signer: &Certificate) -> Result<(), TspError> {
        if !self.is_signer(signer) {
            return Err(TspError::UnknownSigner);
        }
        // RFC 5652 §5.4, §11.2: the attribute is the digest of the content's octets.
        if self.hash.digest(&self.content) != self.message_digest {
            return Err(TspError::Malformed(
                "messageDigest is not the digest of the TSTInfo",
            ));
        }
        // RFC 5035 §5.4: the attribute names the certificate by its hash.
        let named = match &self.signing_certificate {
            CertificateId::Sha2(hash, digest) => hash.digest(signer.to_der()) == *digest,
            CertificateId::Sha1(digest) => {
                use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest as hash};
                hash(&SHA1_FOR_LEGACY_USE_ONLY, signer.to_der()).as_ref() == digest.as_slice()
            }
        };
        if !named {
            return Err(TspError::SignerCertificate(
                "the signingCertificate attribute names another",
            ));
        }
        let key = signer.public_key().map_err(crate::cert::CertError::from)?;
        Ok(self.algorithm.verify(key, &self.signed, &self.signature)?)
    }

    fn is_signer(&self, cert: &Certificate) -> bool {
        match &self.signer {
            SignerId::IssuerAndSerial { issuer, serial } => {
                cert.issuer_der() == issuer && cert.serial() == serial
            }
            SignerId::KeyIdentifier(id) => cert.subject_key_identifier().ok().flatten().as_ref() == Some(id),
        }
    }
}

/// RFC 3161 §2.3: extKeyUsage is critical and timeStamping is its only purpose; and it is a leaf that may sign.
pub(super) fn check_signer_certificate(cert: &Certificate) -> Result<(), TspError> {
    let purposes: Option<Vec<ObjectIdentifier>> = cert.extended_key_usage()?;
    if purposes.as_deref() != Some(&[oid::TIME_STAMPING]) {
        return Err(TspError::SignerCertificate(
            "timeStamping is not its one extended key usage",
        ));
    }
    if !cert
        .extension(&oid::EXTENDED_KEY_USAGE)
        .is_some_and(|extension| extension.critical)
    {
        return Err(TspError::SignerCertificate(
            "its extended key usage is not critical",
        ));
    }
    if cert.is_ca() {
        return Err(TspError::SignerCertificate("it is a certificate authority"));
    }
    if cert.allows_key_usage(KeyUsages::DigitalSignature)? == Some(false) {
        return Err(TspError::SignerCertificate(
            "its key usage does not include digitalSignature",
        ));
    }
    Ok(())
}
