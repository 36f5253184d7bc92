//! `signing_config.v0.2.json` and the client trust configuration (protobuf-specs
//! `sigstore_trustroot.proto`, `SigningConfig` and `ClientTrustConfig`).

use serde::{Deserialize, Serialize};

use super::{MAX_BYTES, MAX_INSTANCES, TrustError, TrustedRoot, ValidFor, root};

/// The file that clients look for first. It lists Rekor v1 where there is one.
pub const SIGNING_CONFIG: &str = "signing_config.v0.2.json";
/// The file that lists Rekor v2, whatever else there is.
pub const SIGNING_CONFIG_V2: &str = "signing_config_rekor_v2.v0.2.json";

/// Where clients sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningConfig {
    /// [`SigningConfig::MEDIA_TYPE`].
    pub media_type: String,
    /// Fulcio base URLs.
    #[serde(default)]
    pub ca_urls: Vec<Service>,
    /// Token issuers.
    #[serde(default)]
    pub oidc_urls: Vec<Service>,
    /// Rekor base URLs.
    #[serde(default)]
    pub rekor_tlog_urls: Vec<Service>,
    /// How many logs to use. sigstore-go dereferences it unchecked, so it is always written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rekor_tlog_config: Option<ServiceConfiguration>,
    /// Timestamp endpoints, each in full.
    #[serde(default)]
    pub tsa_urls: Vec<Service>,
    /// How many timestamp authorities to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsa_config: Option<ServiceConfiguration>,
}

/// One service that clients may choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Without a trailing slash: sigstore-go appends paths to it.
    #[serde(default)]
    pub url: String,
    /// 1, or 2 for Rekor v2.
    #[serde(default)]
    pub major_api_version: u32,
    /// When it takes requests.
    #[serde(default)]
    pub valid_for: ValidFor,
    /// Who runs it: one service per operator is chosen.
    #[serde(default)]
    pub operator: String,
}

/// `ServiceConfiguration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceConfiguration {
    /// How many of the listed.
    #[serde(default)]
    pub selector: Selector,
    /// For [`Selector::Exact`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// `ServiceSelector`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Selector {
    /// Not said, which clients refuse.
    #[default]
    #[serde(rename = "SERVICE_SELECTOR_UNDEFINED")]
    Undefined,
    /// Every one.
    All,
    /// One of them: the only value sigstore-js accepts.
    Any,
    /// As many as `count`.
    Exact,
}

impl SigningConfig {
    /// Version 0.2, the one every current client reads.
    pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";

    /// Reads a signing configuration; unknown members are ignored.
    pub fn parse(json: &[u8]) -> Result<Self, TrustError> {
        if json.len() > MAX_BYTES {
            return Err(TrustError::TooLarge(json.len()));
        }
        let config: Self = serde_json::from_slice(json)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), TrustError> {
        if self.media_type != Self::MEDIA_TYPE {
            return Err(TrustError::MediaType {
                expected: Self::MEDIA_TYPE,
                got: self.media_type.clone(),
            });
        }
        for (what, list) in [
            ("caUrls", &self.ca_urls),
            ("oidcUrls", &self.oidc_urls),
            ("rekorTlogUrls", &self.rekor_tlog_urls),
            ("tsaUrls", &self.tsa_urls),
        ] {
            root::bounded(what, list.len(), MAX_INSTANCES)?;
        }
        Ok(())
    }

    /// The file's text.
    pub fn to_json(&self) -> Result<String, TrustError> {
        root::to_json(self)
    }
}

/// Both files in one, for `--trust-config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientTrustConfig {
    /// [`ClientTrustConfig::MEDIA_TYPE`].
    pub media_type: String,
    /// What to verify with.
    pub trusted_root: TrustedRoot,
    /// Where to sign.
    pub signing_config: SigningConfig,
}

impl ClientTrustConfig {
    /// Version 0.1, the only one.
    pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json";

    /// Reads a client trust configuration; unknown members are ignored.
    pub fn parse(json: &[u8]) -> Result<Self, TrustError> {
        if json.len() > MAX_BYTES {
            return Err(TrustError::TooLarge(json.len()));
        }
        let config: Self = serde_json::from_slice(json)?;
        if config.media_type != Self::MEDIA_TYPE {
            return Err(TrustError::MediaType {
                expected: Self::MEDIA_TYPE,
                got: config.media_type,
            });
        }
        config.trusted_root.check()?;
        config.signing_config.check()?;
        Ok(config)
    }

    /// The file's text.
    pub fn to_json(&self) -> Result<String, TrustError> {
        root::to_json(self)
    }
}

#[cfg(test)]
mod tests;
