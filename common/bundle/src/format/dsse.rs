//! Dead Simple Signing Envelope (`secure-systems-lab/dsse envelope.md`, `protocol.md`).

use serde::{Deserialize, Serialize};

use super::bundle::MAX_BUNDLE_BYTES;
use super::protojson;

/// Payload type of an in-toto statement (`in-toto/attestation spec/v1/envelope.md`).
pub const IN_TOTO_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// `_type` of a statement in such a payload (`in-toto/attestation spec/v1/statement.md`).
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// Whether this is the `_type` of a statement: of version 1, or of the one before (`spec/v0.1.0/README.md`). What else a
/// payload says it is has other rules for the same members.
#[must_use]
pub fn is_statement_type(kind: &str) -> bool {
    [STATEMENT_TYPE, "https://in-toto.io/Statement/v0.1"].contains(&kind)
}

/// An envelope as bundles and Rekor v2 requests carry it: every octet string base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// The signed octets.
    #[serde(with = "protojson::bytes", default)]
    pub payload: Vec<u8>,
    /// Media type of the payload; part of what is signed.
    #[serde(default, alias = "payload_type")]
    pub payload_type: String,
    /// One signature for each signer, all over the same [`pae`].
    #[serde(default)]
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an [`Envelope`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// Signature over the [`pae`].
    #[serde(with = "protojson::bytes", default)]
    pub sig: Vec<u8>,
    /// Unauthenticated hint; never used to choose a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyid: Option<String>,
}

impl Envelope {
    /// The octets its signatures cover.
    #[must_use]
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }
}

/// Pre-authentication encoding: `DSSEv1 SP len SP type SP len SP payload`, lengths in decimal octets
/// (`secure-systems-lab/dsse protocol.md` "Signature Definition").
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let header = pae_header(payload_type, payload.len());
    let mut encoded = Vec::with_capacity(header.len().saturating_add(payload.len()));
    encoded.extend_from_slice(header.as_bytes());
    encoded.extend_from_slice(payload);
    encoded
}

/// What stands before the payload there, for a payload too long to be copied.
#[must_use]
pub fn pae_header(payload_type: &str, payload_len: usize) -> String {
    format!("DSSEv1 {} {payload_type} {payload_len} ", payload_type.len())
}

/// An envelope by itself, as builders wrote them before there were bundles. The generators for GitHub Actions put the signer's
/// certificate into it (slsa-github-generator `signing/envelope/envelope.go`), others left it in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BareEnvelope {
    /// The envelope, with one signature.
    pub envelope: Envelope,
    /// PEM of the certificate, where it is in the envelope.
    pub certificate: Option<String>,
}

impl BareEnvelope {
    /// Reads one; `None` for any other JSON, for an envelope with several signatures, and for one that is larger than a bundle
    /// may be.
    #[must_use]
    pub fn from_json(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            payload_type: String,
            #[serde(with = "protojson::bytes")]
            payload: Vec<u8>,
            signatures: Vec<WireSignature>,
        }
        #[derive(Deserialize)]
        struct WireSignature {
            #[serde(with = "protojson::bytes")]
            sig: Vec<u8>,
            #[serde(default)]
            cert: String,
        }
        if json.len() > MAX_BUNDLE_BYTES {
            return None;
        }
        let wire: Wire = serde_json::from_slice(json).ok()?;
        let mut signatures = wire.signatures.into_iter();
        let (Some(only), None) = (signatures.next(), signatures.next()) else {
            return None;
        };
        Some(Self {
            envelope: Envelope {
                payload: wire.payload,
                payload_type: wire.payload_type,
                signatures: vec![EnvelopeSignature {
                    sig: only.sig,
                    keyid: None,
                }],
            },
            certificate: Some(only.cert).filter(|pem| !pem.is_empty()),
        })
    }
}
