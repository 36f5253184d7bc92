//! OpenID Connect Discovery 1.0 §4: from an issuer's URL to its keys.
//!
//! `openidconnect::ProviderMetadata` is not used: it demands an authorization endpoint, and workload
//! issuers (GitHub Actions, Kubernetes) have none and publish none.

use openidconnect::core::CoreJwsSigningAlgorithm;
use serde::Deserialize;
use url::Url;

use super::config::{IssuerConfig, check_origin, is_loopback};
use super::error::quote;
use super::fetch::{FETCH_TIMEOUT, Fetch, FetchError};
use super::jwk::Jwks;
use super::token::algorithm;

/// Keys kept of one issuer; more are a mistake or an attack.
const MAX_KEYS: usize = 100;

/// What an issuer publishes.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) keys: Jwks,
    /// The issuer's list, cut to what is verified here.
    pub(crate) algorithms: Vec<CoreJwsSigningAlgorithm>,
}

/// Why an issuer's keys could not be had. Shown to clients.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// A document could not be read.
    #[error("{document}: {cause}")]
    Fetch {
        /// Which.
        document: &'static str,
        /// Why.
        cause: FetchError,
    },
    /// A document is not what it should be.
    #[error("{document}: expected JSON with the members that OpenID Connect demands, got something else")]
    Json {
        /// Which.
        document: &'static str,
    },
    /// The document speaks for somebody else (Discovery §4.3).
    #[error("discovery document: expected issuer {expected}, got {got}")]
    Issuer {
        /// The configured URL.
        expected: String,
        /// The document's.
        got: String,
    },
    /// Keys from there cannot be trusted.
    #[error("jwks_uri: {cause}")]
    KeysUrl {
        /// Why not.
        cause: String,
    },
    /// Too many keys to be a real set.
    #[error("key set: expected at most {MAX_KEYS} keys, got {got}")]
    TooManyKeys {
        /// How many.
        got: usize,
    },
    /// None that verifies anything.
    #[error("key set: expected at least one usable signature key, got none")]
    NoKeys,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
    id_token_signing_alg_values_supported: Option<Vec<String>>,
}

const DISCOVERY: &str = "discovery document";
const KEY_SET: &str = "key set";

/// Reads the issuer's discovery document and key set.
pub(crate) async fn discover(fetch: &dyn Fetch, issuer: &IssuerConfig) -> Result<Published, DiscoveryError> {
    let base = issuer.issuer_url().trim_end_matches('/');
    let url = Url::parse(&format!("{base}/.well-known/openid-configuration"))
        .map_err(|_| DiscoveryError::Json { document: DISCOVERY })?;
    let document = get(fetch, &url, DISCOVERY).await?;
    let metadata: Metadata =
        serde_json::from_slice(&document).map_err(|_| DiscoveryError::Json { document: DISCOVERY })?;
    if metadata.issuer != issuer.issuer_url() {
        return Err(DiscoveryError::Issuer {
            expected: quote(issuer.issuer_url()),
            got: quote(&metadata.issuer),
        });
    }

    let keys_url = Url::parse(&metadata.jwks_uri).map_err(|_| DiscoveryError::KeysUrl {
        cause: "expected a URL, got something else".to_owned(),
    })?;
    check_origin(&keys_url).map_err(|cause| DiscoveryError::KeysUrl { cause })?;
    if is_loopback(&keys_url) && !issuer.url().is_some_and(is_loopback) {
        // A public issuer must not point this server at itself or its neighbours.
        let cause = "expected a public host, got a loopback one".to_owned();
        return Err(DiscoveryError::KeysUrl { cause });
    }
    let document = get(fetch, &keys_url, KEY_SET).await?;
    // Keys that cannot be used (other families, encryption) are skipped by the set's own reader.
    let keys: Jwks =
        serde_json::from_slice(&document).map_err(|_| DiscoveryError::Json { document: KEY_SET })?;
    match keys.keys().len() {
        0 => return Err(DiscoveryError::NoKeys),
        got if got > MAX_KEYS => return Err(DiscoveryError::TooManyKeys { got }),
        _ => {}
    }
    // OpenID Connect Discovery §3 wants RS256 in every list; go-oidc assumes it where there is no list.
    let algorithms = match metadata.id_token_signing_alg_values_supported {
        Some(names) => names
            .iter()
            .take(MAX_KEYS)
            .filter_map(|name| algorithm(name))
            .collect(),
        None => vec![CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256],
    };
    Ok(Published { keys, algorithms })
}

async fn get(fetch: &dyn Fetch, url: &Url, document: &'static str) -> Result<Vec<u8>, DiscoveryError> {
    match tokio::time::timeout(FETCH_TIMEOUT, fetch.get(url)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(cause)) => Err(DiscoveryError::Fetch { document, cause }),
        Err(_) => Err(DiscoveryError::Fetch {
            document,
            cause: FetchError::Timeout,
        }),
    }
}
