//! Attestation objects of Python indexes (PEP 740 "Attestation objects"): a bundle of one in-toto envelope in other words.

use serde::Deserialize;

use super::bundle::{
    Bundle, BundleError, Content, KeyMaterial, MAX_BUNDLE_BYTES, MAX_TLOG_ENTRIES, MediaType, at_most,
};
use super::dsse::{Envelope, EnvelopeSignature, IN_TOTO_PAYLOAD_TYPE};
use super::{TransparencyLogEntry, protojson};

#[derive(Deserialize)]
struct Attestation {
    version: u64,
    verification_material: Material,
    envelope: Enveloped,
}

#[derive(Deserialize)]
struct Material {
    #[serde(with = "protojson::bytes")]
    certificate: Vec<u8>,
    transparency_entries: Vec<TransparencyLogEntry>,
}

#[derive(Deserialize)]
struct Enveloped {
    #[serde(with = "protojson::bytes")]
    statement: Vec<u8>,
    #[serde(with = "protojson::bytes")]
    signature: Vec<u8>,
}

impl Bundle {
    /// Reads an attestation object of version 1 as the bundle that it was made of; `None` for any other JSON.
    ///
    /// # Errors
    /// [`BundleError`] for an object that makes no bundle.
    pub fn from_attestation_object(json: &[u8]) -> Option<Result<Self, BundleError>> {
        if json.len() > MAX_BUNDLE_BYTES {
            return None;
        }
        let object: Attestation = serde_json::from_slice(json).ok()?;
        if object.version != 1 {
            return None;
        }
        let Material {
            certificate,
            transparency_entries,
        } = object.verification_material;
        let bundle = Self {
            media_type: MediaType::V03,
            key_material: KeyMaterial::Certificates(vec![certificate]),
            tlog_entries: transparency_entries,
            timestamps: Vec::new(),
            content: Content::Dsse(Envelope {
                payload: object.envelope.statement,
                payload_type: IN_TOTO_PAYLOAD_TYPE.to_owned(),
                signatures: vec![EnvelopeSignature {
                    sig: object.envelope.signature,
                    keyid: None,
                }],
            }),
        };
        let bounded = at_most("tlog entries", bundle.tlog_entries.len(), MAX_TLOG_ENTRIES);
        Some(bounded.and_then(|()| bundle.check_inclusion()).map(|()| bundle))
    }
}
