//! `trusted_root.json` (protobuf-specs `sigstore_trustroot.proto`, `TrustedRoot`).

use common_pki::key::{KeyError, PublicKey};
use common_pki::registry::SigningAlgorithm;
use serde::{Deserialize, Serialize};

use super::{MAX_BYTES, MAX_CHAIN, MAX_INSTANCES, TrustError, ValidFor};
use crate::format::protojson;

/// The public keys and certificates that signatures are verified with.
///
/// `checkpointKeyId` and `operator` of the schema are left out on purpose: sigstore-js takes a
/// four-byte `checkpointKeyId` for the log ID and then finds neither SET nor SCT keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedRoot {
    /// [`TrustedRoot::MEDIA_TYPE`] in what is written here.
    pub media_type: String,
    /// Signature transparency logs.
    #[serde(default)]
    pub tlogs: Vec<TransparencyLog>,
    /// Authorities that issue signing certificates.
    #[serde(default)]
    pub certificate_authorities: Vec<CertificateAuthority>,
    /// Certificate transparency logs.
    #[serde(default)]
    pub ctlogs: Vec<TransparencyLog>,
    /// RFC 3161 authorities.
    #[serde(default)]
    pub timestamp_authorities: Vec<CertificateAuthority>,
}

/// A log and the key it signs with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransparencyLog {
    /// Where it is; clients derive the checkpoint's key name from the host.
    #[serde(default)]
    pub base_url: String,
    /// Of its tree: always `SHA2_256` today.
    #[serde(default = "sha2_256")]
    pub hash_algorithm: String,
    /// Its key.
    pub public_key: LogKey,
    /// Its identifier.
    pub log_id: LogId,
}

fn sha2_256() -> String {
    "SHA2_256".to_owned()
}

/// A log's public key with the time it was in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogKey {
    /// SubjectPublicKeyInfo in DER.
    #[serde(default, with = "protojson::bytes")]
    pub raw_bytes: Vec<u8>,
    /// A `PublicKeyDetails` name. Kept as text: a key of a kind unknown here must not make the
    /// others unreadable.
    #[serde(default)]
    pub key_details: String,
    /// When the key was in use.
    #[serde(default)]
    pub valid_for: ValidFor,
}

impl LogKey {
    /// The key, where it is of a known kind.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        PublicKey::from_spki_der(&self.raw_bytes)
    }

    /// The registered algorithm, where it is a known one.
    #[must_use]
    pub fn algorithm(&self) -> Option<SigningAlgorithm> {
        SigningAlgorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.proto_name() == self.key_details)
    }
}

/// `dev.sigstore.common.v1.LogId`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogId {
    /// 32 bytes: SHA-256 of the SubjectPublicKeyInfo, or for a Rekor v2 Ed25519 log of origin and key.
    #[serde(default, with = "protojson::bytes")]
    pub key_id: Vec<u8>,
}

/// An authority and its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateAuthority {
    /// Who: sigstore-python refuses an authority without both parts.
    #[serde(default)]
    pub subject: DistinguishedName,
    /// Where it is.
    #[serde(default)]
    pub uri: String,
    /// For a certificate authority from the issuing intermediate to the root; for a timestamp
    /// authority from its leaf to the root.
    #[serde(default)]
    pub cert_chain: CertificateChain,
    /// When it was in use.
    #[serde(default)]
    pub valid_for: ValidFor,
}

/// The two parts of a subject that the format carries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DistinguishedName {
    /// O.
    #[serde(default)]
    pub organization: String,
    /// CN.
    #[serde(default)]
    pub common_name: String,
}

/// `X509CertificateChain`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateChain {
    /// Each signed by the next.
    #[serde(default)]
    pub certificates: Vec<RawCertificate>,
}

/// `X509Certificate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawCertificate {
    /// DER.
    #[serde(default, with = "protojson::bytes")]
    pub raw_bytes: Vec<u8>,
}

impl TrustedRoot {
    /// The only type that released clients accept (sigstore-go `pkg/root/trusted_root.go`,
    /// sigstore-python `models.py`, sigstore-java `SigstoreTrustedRoot.java`).
    pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

    /// Reads a trusted root. Unknown members are ignored; sizes are bounded; every log must say since
    /// when its key is valid.
    pub fn parse(json: &[u8]) -> Result<Self, TrustError> {
        if json.len() > MAX_BYTES {
            return Err(TrustError::TooLarge(json.len()));
        }
        let root: Self = serde_json::from_slice(json)?;
        root.check()?;
        Ok(root)
    }

    pub(super) fn check(&self) -> Result<(), TrustError> {
        if self.media_type != Self::MEDIA_TYPE {
            return Err(TrustError::MediaType {
                expected: Self::MEDIA_TYPE,
                got: self.media_type.clone(),
            });
        }
        bounded("tlogs", self.tlogs.len(), MAX_INSTANCES)?;
        bounded("ctlogs", self.ctlogs.len(), MAX_INSTANCES)?;
        bounded(
            "certificateAuthorities",
            self.certificate_authorities.len(),
            MAX_INSTANCES,
        )?;
        bounded(
            "timestampAuthorities",
            self.timestamp_authorities.len(),
            MAX_INSTANCES,
        )?;
        for log in self.tlogs.iter().chain(&self.ctlogs) {
            if log.public_key.valid_for.start.is_none() {
                return Err(TrustError::MissingStart(format!(
                    "the key of log {:?}",
                    log.base_url
                )));
            }
        }
        for authority in self
            .certificate_authorities
            .iter()
            .chain(&self.timestamp_authorities)
        {
            bounded(
                "certificates of a chain",
                authority.cert_chain.certificates.len(),
                MAX_CHAIN,
            )?;
        }
        Ok(())
    }

    /// The file's text.
    pub fn to_json(&self) -> Result<String, TrustError> {
        to_json(self)
    }
}

pub(super) fn bounded(what: &'static str, got: usize, limit: usize) -> Result<(), TrustError> {
    if got > limit {
        Err(TrustError::TooMany { what, limit, got })
    } else {
        Ok(())
    }
}

/// Indented, with a final newline: people read these files.
pub(super) fn to_json<T: Serialize>(file: &T) -> Result<String, TrustError> {
    let mut json = serde_json::to_string_pretty(file)?;
    json.push('\n');
    Ok(json)
}

#[cfg(test)]
mod tests;
