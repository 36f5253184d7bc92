//! Parsing and writing whole bundles (`protobuf-specs protos/sigstore_bundle.proto`), versions 0.1 to 0.3.

use serde::{Deserialize, Serialize};

use super::dsse::Envelope;
use super::protojson;
use super::tlog_entry::TransparencyLogEntry;

/// Largest bundle read: a v0.3 bundle is a few KiB, and an attestation is capped at 16 MiB by every registry.
pub const MAX_BUNDLE_BYTES: usize = 32 << 20;
/// Most log entries in one bundle (`sigstore-go internal/limits`, GHSA-cq38-jh5f-37mq).
pub const MAX_TLOG_ENTRIES: usize = 32;
/// Most timestamps in one bundle (`sigstore-go internal/limits`, GHSA-cq38-jh5f-37mq).
pub const MAX_TIMESTAMPS: usize = 32;
/// Most certificates in the chain of a v0.1 or v0.2 bundle.
pub const MAX_CERTIFICATES: usize = 10;

/// Why a text is not a bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Larger than [`MAX_BUNDLE_BYTES`].
    #[error("bundle has {got} bytes, at most {MAX_BUNDLE_BYTES} are read")]
    TooLarge {
        /// Bytes given.
        got: usize,
    },
    /// Not JSON, or JSON of another shape.
    #[error("not a bundle: {0}")]
    Json(#[from] serde_json::Error),
    /// A media type that names no version this crate reads.
    #[error(
        "unsupported media type {0:?}, expected application/vnd.dev.sigstore.bundle of version 0.1, 0.2 or 0.3"
    )]
    MediaType(String),
    /// More of something than is read.
    #[error("too many {what}: got {got}, at most {limit} are read")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// Count given.
        got: usize,
        /// Count allowed.
        limit: usize,
    },
    /// Not exactly one member of a `oneof`.
    #[error("expected exactly one of {expected}, got {got}")]
    OneOf {
        /// The members' names.
        expected: &'static str,
        /// How many were set.
        got: usize,
    },
    /// Something the media type's version requires is absent or empty.
    #[error("{what} missing, required in a version {version} bundle")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// Version of the bundle.
        version: &'static str,
    },
    /// Something the media type's version forbids is present.
    #[error("{what} not allowed in a version {version} bundle")]
    NotAllowed {
        /// What is there.
        what: &'static str,
        /// Version of the bundle.
        version: &'static str,
    },
}

/// Version of the bundle format, as the media type names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MediaType {
    /// `application/vnd.dev.sigstore.bundle+json;version=0.1`
    V01,
    /// `application/vnd.dev.sigstore.bundle+json;version=0.2`
    V02,
    /// `application/vnd.dev.sigstore.bundle.v0.3+json`; `…bundle+json;version=0.3` is read as the same.
    V03,
}

impl MediaType {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "application/vnd.dev.sigstore.bundle+json;version=0.1" => Some(Self::V01),
            "application/vnd.dev.sigstore.bundle+json;version=0.2" => Some(Self::V02),
            "application/vnd.dev.sigstore.bundle+json;version=0.3"
            | "application/vnd.dev.sigstore.bundle.v0.3+json" => Some(Self::V03),
            _ => None,
        }
    }

    /// The media type's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V01 => "application/vnd.dev.sigstore.bundle+json;version=0.1",
            Self::V02 => "application/vnd.dev.sigstore.bundle+json;version=0.2",
            Self::V03 => "application/vnd.dev.sigstore.bundle.v0.3+json",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::V01 => "0.1",
            Self::V02 => "0.2",
            Self::V03 => "0.3",
        }
    }
}

/// A bundle that kept to the caps and to the structural rules of its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Version of the format.
    pub media_type: MediaType,
    /// What the signature is verified with.
    pub key_material: KeyMaterial,
    /// At most [`MAX_TLOG_ENTRIES`] log entries.
    pub tlog_entries: Vec<TransparencyLogEntry>,
    /// At most [`MAX_TIMESTAMPS`] DER `TimeStampResp` (RFC 3161 §2.4.2).
    pub timestamps: Vec<Vec<u8>>,
    /// What was signed.
    pub content: Content,
}

/// The signer's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMaterial {
    /// DER certificates, the signer's first. One for version 0.3; earlier versions may add issuers, which are not trusted.
    Certificates(Vec<Vec<u8>>),
    /// A key the verifier has to know already.
    PublicKey {
        /// Free text that may help to find it.
        hint: String,
    },
}

/// What a bundle's signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An artifact outside the bundle.
    Message {
        /// Digest of the artifact, as the signer claims it.
        digest: Option<MessageDigest>,
        /// Signature over the artifact.
        signature: Vec<u8>,
    },
    /// An envelope with its payload inside.
    Dsse(Envelope),
}

/// A claimed digest, never trusted by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageDigest {
    /// `SHA2_256`, `SHA2_384` or `SHA2_512` (`sigstore_common.proto HashAlgorithm`).
    pub algorithm: String,
    /// The digest.
    #[serde(with = "protojson::bytes")]
    pub digest: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    media_type: String,
    verification_material: WireMaterial,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_signature: Option<WireMessage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dsse_envelope: Option<Envelope>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireMaterial {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<WireCertificate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x509_certificate_chain: Option<WireChain>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<WireHint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tlog_entries: Option<Vec<TransparencyLogEntry>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp_verification_data: Option<WireTimestamps>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireCertificate {
    #[serde(with = "protojson::bytes")]
    raw_bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireChain {
    #[serde(default)]
    certificates: Vec<WireCertificate>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireHint {
    #[serde(default)]
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireTimestamps {
    #[serde(default)]
    rfc3161_timestamps: Option<Vec<WireTimestamp>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireTimestamp {
    #[serde(with = "protojson::bytes")]
    signed_timestamp: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireMessage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_digest: Option<MessageDigest>,
    #[serde(with = "protojson::bytes", default)]
    signature: Vec<u8>,
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// See [`BundleError`]; what is refused here is refused whatever the trust root says.
    pub fn from_json(json: &[u8]) -> Result<Self, BundleError> {
        if json.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLarge { got: json.len() });
        }
        let wire: Wire = serde_json::from_slice(json)?;
        let media_type = MediaType::parse(&wire.media_type).ok_or(BundleError::MediaType(wire.media_type))?;
        let tlog_entries = wire.verification_material.tlog_entries.unwrap_or_default();
        at_most("tlog entries", tlog_entries.len(), MAX_TLOG_ENTRIES)?;
        let timestamps: Vec<Vec<u8>> = wire
            .verification_material
            .timestamp_verification_data
            .and_then(|data| data.rfc3161_timestamps)
            .unwrap_or_default()
            .into_iter()
            .map(|timestamp| timestamp.signed_timestamp)
            .collect();
        at_most("timestamps", timestamps.len(), MAX_TIMESTAMPS)?;
        let key_material = key_material(
            media_type,
            wire.verification_material.certificate,
            wire.verification_material.x509_certificate_chain,
            wire.verification_material.public_key,
        )?;
        let content = content(media_type, wire.message_signature, wire.dsse_envelope)?;
        let bundle = Self {
            media_type,
            key_material,
            tlog_entries,
            timestamps,
            content,
        };
        bundle.check_inclusion()?;
        Ok(bundle)
    }

    /// Version 0.1 entries need the promise, later ones the proof (`sigstore_bundle.proto` on `tlog_entries`).
    pub(super) fn check_inclusion(&self) -> Result<(), BundleError> {
        let version = self.media_type.version();
        for entry in &self.tlog_entries {
            let missing = match (self.media_type, &entry.inclusion_proof) {
                (MediaType::V01, _) if entry.inclusion_promise.is_none() => "inclusion promise",
                (MediaType::V02 | MediaType::V03, None) => "inclusion proof",
                (MediaType::V02 | MediaType::V03, Some(proof)) if proof.checkpoint.is_empty() => "checkpoint",
                _ => continue,
            };
            return Err(BundleError::Missing {
                what: missing,
                version,
            });
        }
        Ok(())
    }

    /// Writes the bundle in the shape of its version.
    ///
    /// # Errors
    /// None for values made by this crate's types; the serializer's signature is kept rather than a panic.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut material = WireMaterial {
            tlog_entries: Some(self.tlog_entries.clone()),
            timestamp_verification_data: (!self.timestamps.is_empty()).then(|| WireTimestamps {
                rfc3161_timestamps: Some(
                    self.timestamps
                        .iter()
                        .map(|signed_timestamp| WireTimestamp {
                            signed_timestamp: signed_timestamp.clone(),
                        })
                        .collect(),
                ),
            }),
            ..WireMaterial::default()
        };
        match (&self.key_material, self.media_type) {
            (KeyMaterial::PublicKey { hint }, _) => {
                material.public_key = Some(WireHint { hint: hint.clone() })
            }
            (KeyMaterial::Certificates(chain), MediaType::V03) => {
                material.certificate = chain.first().map(|leaf| WireCertificate {
                    raw_bytes: leaf.clone(),
                });
            }
            (KeyMaterial::Certificates(chain), MediaType::V01 | MediaType::V02) => {
                material.x509_certificate_chain = Some(WireChain {
                    certificates: chain
                        .iter()
                        .map(|der| WireCertificate {
                            raw_bytes: der.clone(),
                        })
                        .collect(),
                });
            }
        }
        let (message_signature, dsse_envelope) = match &self.content {
            Content::Message { digest, signature } => (
                Some(WireMessage {
                    message_digest: digest.clone(),
                    signature: signature.clone(),
                }),
                None,
            ),
            Content::Dsse(envelope) => (None, Some(envelope.clone())),
        };
        serde_json::to_string(&Wire {
            media_type: self.media_type.as_str().to_owned(),
            verification_material: material,
            message_signature,
            dsse_envelope,
        })
    }
}

pub(super) fn at_most(what: &'static str, got: usize, limit: usize) -> Result<(), BundleError> {
    if got > limit {
        Err(BundleError::TooMany { what, got, limit })
    } else {
        Ok(())
    }
}

fn key_material(
    media_type: MediaType,
    certificate: Option<WireCertificate>,
    chain: Option<WireChain>,
    public_key: Option<WireHint>,
) -> Result<KeyMaterial, BundleError> {
    let version = media_type.version();
    match (certificate, chain, public_key) {
        // Version 0.3 brought the single certificate and took the chain away; sigstore-go reads either member in earlier
        // versions, so we do (`sigstore-go pkg/bundle/bundle.go validate`).
        (Some(certificate), None, None) => {
            if certificate.raw_bytes.is_empty() {
                return Err(BundleError::Missing {
                    what: "certificate",
                    version,
                });
            }
            Ok(KeyMaterial::Certificates(vec![certificate.raw_bytes]))
        }
        (None, Some(_), None) if media_type == MediaType::V03 => Err(BundleError::NotAllowed {
            what: "x509CertificateChain",
            version,
        }),
        (None, Some(chain), None) => {
            at_most("certificates", chain.certificates.len(), MAX_CERTIFICATES)?;
            let chain: Vec<Vec<u8>> = chain
                .certificates
                .into_iter()
                .map(|certificate| certificate.raw_bytes)
                .collect();
            if chain.is_empty() || chain.iter().any(Vec::is_empty) {
                return Err(BundleError::Missing {
                    what: "certificate",
                    version,
                });
            }
            Ok(KeyMaterial::Certificates(chain))
        }
        (None, None, Some(WireHint { hint })) => Ok(KeyMaterial::PublicKey { hint }),
        (certificate, chain, public_key) => Err(BundleError::OneOf {
            expected: "certificate, x509CertificateChain, publicKey",
            got: usize::from(certificate.is_some())
                .saturating_add(usize::from(chain.is_some()))
                .saturating_add(usize::from(public_key.is_some())),
        }),
    }
}

fn content(
    media_type: MediaType,
    message: Option<WireMessage>,
    envelope: Option<Envelope>,
) -> Result<Content, BundleError> {
    let version = media_type.version();
    match (message, envelope) {
        (Some(message), None) => {
            if message.signature.is_empty() {
                return Err(BundleError::Missing {
                    what: "signature",
                    version,
                });
            }
            Ok(Content::Message {
                digest: message.message_digest,
                signature: message.signature,
            })
        }
        // One signature exactly: `sigstore_bundle.proto` on `dsse_envelope`.
        (None, Some(envelope)) => match envelope.signatures.as_slice() {
            [signature] if !signature.sig.is_empty() => Ok(Content::Dsse(envelope)),
            [_] | [] => Err(BundleError::Missing {
                what: "envelope signature",
                version,
            }),
            more => Err(BundleError::TooMany {
                what: "envelope signatures",
                got: more.len(),
                limit: 1,
            }),
        },
        (message, envelope) => Err(BundleError::OneOf {
            expected: "messageSignature, dsseEnvelope",
            got: usize::from(message.is_some()).saturating_add(usize::from(envelope.is_some())),
        }),
    }
}
