//! Certificate signing requests (PKCS #10, RFC 2986).
//!
//! Fulcio takes nothing from a request but its key and the proof that the requester holds it, so names and
//! attributes are only checked to be there.

use der::{Decode, Reader, Tag};

use crate::asn1;
use crate::cert::SignatureAlgorithm;
use crate::key::{KeyError, PublicKey, SignatureError};
use crate::pem::{self, PemError};

#[cfg(test)]
mod tests;

/// PEM labels of a request (RFC 7468 §7); the second is what old tools write.
const LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// Longest request accepted, in octets of DER.
const MAX_LEN: usize = 64 * 1024;

/// Why bytes are not a certificate signing request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// Not PEM.
    #[error("certificate signing request is not valid PEM: {0}")]
    Pem(#[from] PemError),
    /// The PEM block has another label.
    #[error("expected a PEM block labelled \"CERTIFICATE REQUEST\", got \"{0}\"")]
    Label(String),
    /// Too many octets.
    #[error("certificate signing request of {0} octets exceeds the limit of {MAX_LEN}")]
    TooLong(usize),
    /// Not a DER CertificationRequest.
    #[error("certificate signing request is not valid DER: {0}")]
    Der(#[from] der::Error),
    /// The signature is not a whole number of octets.
    #[error("signature of the certificate signing request has unused bits")]
    UnusedBits,
    /// Its key is not one we use.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A parsed request.
#[derive(Clone, Debug)]
pub struct CertificationRequest {
    info: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
    key: PublicKey,
}

impl CertificationRequest {
    /// Parses one PEM block.
    pub fn from_pem(text: &[u8]) -> Result<CertificationRequest, CsrError> {
        let block = pem::decode_one(text)?;
        if !LABELS.contains(&block.label.as_str()) {
            return Err(CsrError::Label(block.label));
        }
        CertificationRequest::from_der(&block.contents)
    }

    /// Parses a DER CertificationRequest with nothing after it.
    pub fn from_der(der: &[u8]) -> Result<CertificationRequest, CsrError> {
        if der.len() > MAX_LEN {
            return Err(CsrError::TooLong(der.len()));
        }
        let mut reader = asn1::reader(der)?;
        let (info, algorithm, signature) = reader.sequence(|r| {
            let info = r.tlv_bytes()?;
            let algorithm = r.tlv_bytes()?;
            Ok::<_, der::Error>((info, algorithm, asn1::expect(r, Tag::BitString)?))
        })?;
        reader.finish()?;
        let Some((0, signature)) = signature.split_first() else {
            return Err(CsrError::UnusedBits);
        };
        let mut reader = asn1::reader(info)?;
        let spki = reader.sequence(|r| {
            // version INTEGER { v1(0) }, subject Name, the key, attributes [0] (RFC 2986 §4.1).
            if u8::decode(r)? != 0 {
                return Err(Tag::Integer.value_error().into());
            }
            asn1::expect(r, Tag::Sequence)?;
            let spki = r.tlv_bytes()?;
            while !r.is_finished() {
                r.tlv_bytes()?;
            }
            Ok::<_, der::Error>(spki)
        })?;
        Ok(CertificationRequest {
            info: info.to_vec(),
            algorithm: algorithm.to_vec(),
            signature: signature.to_vec(),
            key: PublicKey::from_spki_der(spki)?,
        })
    }

    /// The key to be certified; held by the requester only if [`verify`](Self::verify) says so.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// How the request was signed, where we know the algorithm.
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        SignatureAlgorithm::from_der(&self.algorithm)
    }

    /// Verifies the request's signature with its own key.
    pub fn verify(&self) -> Result<(), SignatureError> {
        let algorithm = self.signature_algorithm().ok_or(SignatureError::Unsupported {
            key: self.key.algorithm(),
            hash: "the request's signature algorithm",
        })?;
        algorithm.verify(&self.key, &self.info, &self.signature)
    }
}
