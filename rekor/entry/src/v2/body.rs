//! What both v2 kinds share: verifiers as they are read, checked and written.

use common_bundle::format::protojson::decode_bytes;
use common_pki::key::HashAlgorithm;
use common_pki::registry::SigningAlgorithm;

use super::MAX_BODY;
use super::request::VerifierMessage;
use crate::encoding::push_base64;
use crate::error::Invalid;
use crate::json::Text;
use crate::verifier::Verifier;

/// A verifier whose label says what its key is.
pub(super) struct Labelled {
    pub(super) label: SigningAlgorithm,
    pub(super) verifier: Verifier,
    /// DER as submitted, which is how it is logged.
    pub(super) der: Vec<u8>,
    is_certificate: bool,
}

impl Labelled {
    /// Reads the message; of key and certificate exactly one must be there. Chain, expiry and usage of a certificate are
    /// not looked at (`rekor-tiles pkg/types/verifier`).
    pub(super) fn parse(message: &VerifierMessage<'_>) -> Result<Self, Invalid> {
        let (raw, is_certificate) = match (&message.public_key, &message.x509_certificate) {
            (Some(key), None) => (key, false),
            (None, Some(certificate)) => (certificate, true),
            _ => {
                return Err(Invalid::Missing(
                    "verifier: exactly one of publicKey and x509Certificate",
                ));
            }
        };
        let der = bytes("rawBytes", raw.raw_bytes.as_ref())?;
        let verifier = if is_certificate {
            Verifier::from_certificate(&der)?
        } else {
            Verifier::from_spki(&der)?
        };
        let label = message.key_details.as_ref().and_then(|details| details.0);
        let label = label.ok_or(Invalid::Missing("keyDetails of a known algorithm"))?;
        // Upstream checks key and hash apart, so that a P-256 key labelled as RSA passes, and logs the wrong label.
        if label.key_algorithm() != verifier.key().algorithm() {
            let key = verifier.key().algorithm().to_string();
            return Err(Invalid::KeyLabel {
                label: label.proto_name(),
                key,
            });
        }
        Ok(Self {
            label,
            verifier,
            der,
            is_certificate,
        })
    }

    /// Appends the message in canonical form.
    pub(super) fn push_json(&self, body: &mut String) {
        body.push_str(r#"{"keyDetails":""#);
        body.push_str(self.label.proto_name());
        body.push_str(if self.is_certificate {
            r#"","x509Certificate":{"rawBytes":""#
        } else {
            r#"","publicKey":{"rawBytes":""#
        });
        push_base64(body, &self.der);
        body.push_str(r#""}}"#);
    }
}

/// The octets of a field that must be there and not be empty.
pub(super) fn bytes(field: &'static str, text: Option<&Text<'_>>) -> Result<Vec<u8>, Invalid> {
    let text = text
        .filter(|text| !text.is_empty())
        .ok_or(Invalid::Missing(field))?;
    decode_bytes(text).map_err(|_| Invalid::Base64(field))
}

/// Name of a hash in bodies (`sigstore_common.proto HashAlgorithm`).
pub(super) fn hash_name(hash: HashAlgorithm) -> &'static str {
    match hash {
        HashAlgorithm::Sha256 => "SHA2_256",
        HashAlgorithm::Sha384 => "SHA2_384",
        HashAlgorithm::Sha512 => "SHA2_512",
    }
}

/// The inverse of [`hash_name`].
pub(super) fn hash_from_name(name: &str) -> Option<HashAlgorithm> {
    HashAlgorithm::ALL
        .into_iter()
        .find(|hash| hash_name(*hash) == name)
}

/// Refuses a body that no entry bundle can hold. Upstream notices when the log does, and answers 500.
pub(super) fn fits(body: String) -> Result<Vec<u8>, Invalid> {
    if body.len() > MAX_BODY {
        return Err(Invalid::TooLarge {
            limit: MAX_BODY,
            got: body.len(),
        });
    }
    Ok(body.into_bytes())
}
