//! Proof that the requester holds the private key.
//!
//! Upstream: `pkg/server/grpc_server.go`, `pkg/challenges`. Either a signature over the principal's name, or a
//! certificate signing request, of which only the key and its self-signature count.

use common_pki::cert::SignatureAlgorithm;
use common_pki::csr::CertificationRequest;
use common_pki::key::{HashAlgorithm, KeyError, PublicKey};
use common_pki::registry::SigningAlgorithm;
use common_pki::{oid, pem};
use der::Encode as _;
use der::asn1::{AnyRef, BitStringRef, Null};
use x509_cert::spki::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use crate::error::Error;

/// The key part of a request, as it came.
pub(crate) enum KeyRequest {
    /// Neither form.
    None,
    /// A key in PEM or DER, and a signature over the principal's name.
    PublicKey { content: Vec<u8>, proof: Vec<u8> },
    /// A PKCS#10 request in PEM.
    Csr(Vec<u8>),
}

impl KeyRequest {
    /// Reads the key, checks it against policy and that its private half is held. Heavy.
    pub(crate) fn verify(&self, name: &str, permitted: &[SigningAlgorithm]) -> Result<PublicKey, Error> {
        match self {
            Self::None => Err(Error::NoKey),
            Self::PublicKey { content, proof } => {
                let key = parse_key(content)?;
                key.check_strength()?;
                let hash = key.default_hash();
                key.verify(hash, name.as_bytes(), proof)
                    .map_err(|cause| Error::possession(name, cause))?;
                permit(&key, SignatureAlgorithm::of_key(&key).hash(), permitted)?;
                Ok(key)
            }
            Self::Csr(pem) => {
                let csr =
                    CertificationRequest::from_pem(pem).map_err(|cause| Error::Csr(cause.to_string()))?;
                let key = csr.public_key().clone();
                key.check_strength()?;
                csr.verify().map_err(|cause| Error::Possession {
                    expected: "a certificate signing request signed by its own key".to_owned(),
                    got: cause.to_string(),
                })?;
                // The hash is the one the request was signed with, so that P-384 with SHA-256 is refused.
                permit(
                    &key,
                    csr.signature_algorithm().and_then(SignatureAlgorithm::hash),
                    permitted,
                )?;
                Ok(key)
            }
        }
    }
}

/// PEM, or else DER, as upstream tries them.
fn parse_key(content: &[u8]) -> Result<PublicKey, Error> {
    let text = match std::str::from_utf8(content) {
        Ok(text) if text.contains("-----BEGIN") => text,
        _ => return Ok(PublicKey::from_spki_der(content)?),
    };
    match PublicKey::from_pem(text) {
        // sigstore `pkg/cryptoutils` takes PKCS #1 (RFC 8017 appendix A.1.1) as well.
        Err(KeyError::Label(label)) if label == "RSA PUBLIC KEY" => {
            let block = pem::decode_one(text.as_bytes()).map_err(KeyError::from)?;
            let info = SubjectPublicKeyInfo {
                algorithm: AlgorithmIdentifier {
                    oid: oid::RSA_ENCRYPTION,
                    parameters: Some(AnyRef::from(Null)),
                },
                subject_public_key: BitStringRef::from_bytes(&block.contents).map_err(KeyError::from)?,
            };
            Ok(PublicKey::from_spki_der(&info.to_der().map_err(KeyError::from)?)?)
        }
        other => Ok(other?),
    }
}

/// Whether that pair of key and hash (none for pure Ed25519) is on the list.
fn permit(key: &PublicKey, hash: Option<HashAlgorithm>, permitted: &[SigningAlgorithm]) -> Result<(), Error> {
    if permitted
        .iter()
        .any(|one| one.key_algorithm() == key.algorithm() && one.hash() == hash)
    {
        return Ok(());
    }
    Err(Error::NotPermitted {
        got: format!(
            "{}, {}",
            key.algorithm(),
            hash.map_or("no hash", HashAlgorithm::name)
        ),
        permitted: permitted
            .iter()
            .map(|one| one.flag_name())
            .collect::<Vec<_>>()
            .join(", "),
    })
}
