//! What is configured for an issuer, checked when it is made so that requests need not.
//!
//! Names and rules are those of upstream's file (fulcio `pkg/config/config.go`).

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use regex::Regex;
use url::{Host, Url};

use super::jwk::Jwks;
use super::kind::IdentityType;
use crate::policy::Policy;
use crate::privacy::Privacy;

/// Longest `iss` that is looked up, in bytes.
pub(super) const MAX_ISSUER: usize = 1_024;

/// One issuer whose tokens are accepted, or all whose URLs match one pattern.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssuerConfig {
    name: IssuerName,
    /// One of these must be in `aud`. Never empty.
    pub audiences: Vec<String>,
    /// What its subjects are.
    pub identity_type: IdentityType,
    /// What `/api/v2/configuration` says a proof of possession signs, where it is not what the type says. Nothing else reads it.
    pub challenge_claim: Option<String>,
    /// Where its keys come from.
    pub keys: KeyOrigin,
    /// Who, of those it vouches for, gets a certificate.
    pub policy: Arc<Policy>,
    /// What of its identities certificates publish, if not all.
    pub privacy: Option<Arc<Privacy>>,
    /// For people.
    pub description: String,
}

/// Where an issuer's keys come from, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyOrigin {
    /// Authorities trusted beside the platform's, PEM.
    pub ca_cert: Option<String>,
    /// How its host is reached.
    pub proxy: Proxy,
    /// For a pattern with `*` in its host: hosts with private addresses are asked as well.
    pub private_addresses: bool,
    /// Set for issuers whose host a token completes: only public addresses are asked.
    pub(crate) public_only: bool,
    /// A key set that is used as it is: the issuer is never asked.
    pub jwks: Option<String>,
}

/// How an issuer's host is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// Directly, whatever the environment says.
    #[default]
    Direct,
    /// As `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    Environment,
    /// Through this one.
    Url(String),
}

/// Which `iss` is meant.
#[derive(Clone, Debug)]
enum IssuerName {
    Exact { text: String, url: Url },
    Pattern { text: String, regex: Regex },
}

impl IssuerConfig {
    /// An issuer of `identity_type` at `issuer_url`, for tokens issued to `client_id`.
    ///
    /// # Errors
    /// If the URL is not https (or http on loopback), or carries a query, a fragment or a user; if `client_id` is empty.
    pub fn new(issuer_url: &str, client_id: &str, identity_type: IdentityType) -> Result<Self, ConfigError> {
        let url = parse(issuer_url)?;
        let name = IssuerName::Exact {
            text: issuer_url.to_owned(),
            url,
        };
        Self::named(name, client_id, identity_type)
    }

    /// Every issuer whose URL matches `pattern`, in which `*` stands for one or more of `[-_a-zA-Z0-9]`.
    ///
    /// # Errors
    /// As [`IssuerConfig::new`]; also for types whose names are only told apart by the issuer's trust domain.
    pub fn meta(pattern: &str, client_id: &str, identity_type: IdentityType) -> Result<Self, ConfigError> {
        let bad = |cause: &str| ConfigError::Url {
            got: pattern.to_owned(),
            cause: cause.to_owned(),
        };
        // Whatever `*` is, the rest must make a URL.
        parse(&pattern.replace('*', "x"))?;
        if !pattern.contains('*') {
            return Err(bad(
                "expected a pattern with *, got none; list it under oidc-issuers",
            ));
        }
        if matches!(identity_type, IdentityType::Spiffe { .. }) {
            return Err(bad(
                "spiffe meta issuers would share one trust domain and are not supported",
            ));
        }
        let regex = compiled(pattern).map_err(|cause| bad(&cause.to_string()))?;
        let name = IssuerName::Pattern {
            text: pattern.to_owned(),
            regex,
        };
        Self::named(name, client_id, identity_type)
    }

    fn named(name: IssuerName, client_id: &str, identity_type: IdentityType) -> Result<Self, ConfigError> {
        let (IssuerName::Exact { text, .. } | IssuerName::Pattern { text, .. }) = &name;
        if client_id.is_empty() {
            return Err(ConfigError::Audience { issuer: text.clone() });
        }
        Ok(Self {
            name,
            audiences: vec![client_id.to_owned()],
            challenge_claim: None,
            identity_type,
            keys: KeyOrigin::default(),
            policy: Arc::default(),
            privacy: None,
            description: String::new(),
        })
    }

    /// Exactly what `iss` and the discovery document must say; the pattern of a meta issuer.
    #[must_use]
    pub fn issuer_url(&self) -> &str {
        match &self.name {
            IssuerName::Exact { text, .. } | IssuerName::Pattern { text, .. } => text,
        }
    }

    /// Whether it stands for all issuers that match a pattern.
    #[must_use]
    pub fn is_meta(&self) -> bool {
        matches!(self.name, IssuerName::Pattern { .. })
    }

    /// Exact ones come first, by URL; then patterns, those in which more is fixed before others.
    fn rank(&self) -> (bool, Reverse<usize>, String) {
        let text = self.issuer_url();
        let fixed = if self.is_meta() {
            text.chars().filter(|c| *c != '*').count()
        } else {
            0
        };
        (self.is_meta(), Reverse(fixed), text.to_owned())
    }

    /// The configuration of the issuer at `url`, which matches this pattern.
    pub(crate) fn concrete(&self, url: &str) -> Option<Self> {
        let IssuerName::Pattern { text, regex } = &self.name else {
            return None;
        };
        if url.len() > MAX_ISSUER || !regex.is_match(url) {
            return None;
        }
        let mut keys = self.keys.clone();
        // A host that is written out was chosen by the operator; one that the token completes was not.
        keys.public_only = authority(text).contains('*') && !keys.private_addresses;
        Some(Self {
            name: IssuerName::Exact {
                text: url.to_owned(),
                url: parse(url).ok()?,
            },
            keys,
            ..self.clone()
        })
    }

    /// The URL of one issuer, parsed; `None` for a pattern.
    pub(crate) fn url(&self) -> Option<&Url> {
        match &self.name {
            IssuerName::Exact { url, .. } => Some(url),
            IssuerName::Pattern { .. } => None,
        }
    }

    /// The claim that `/api/v2/configuration` names.
    pub(crate) fn challenge_claim(&self) -> &str {
        self.challenge_claim
            .as_deref()
            .unwrap_or_else(|| self.identity_type.challenge_claim())
    }
}

impl KeyOrigin {
    /// Whether the fixed keys can be used.
    pub(crate) fn check(&self, issuer: &str) -> Result<(), ConfigError> {
        self.fixed(issuer).map(drop)
    }

    /// The fixed keys, parsed.
    pub(crate) fn fixed(&self, issuer: &str) -> Result<Option<Jwks>, ConfigError> {
        let Some(text) = &self.jwks else { return Ok(None) };
        let bad = |cause: &str| ConfigError::Issuer {
            issuer: issuer.to_owned(),
            cause: format!("jwks-file: {cause}"),
        };
        let keys: Jwks = serde_json::from_str(text)
            .map_err(|_| bad("expected a JSON Web Key Set {\"keys\": […]}, got something else"))?;
        if keys.keys().is_empty() {
            return Err(bad("expected at least one usable signature key, got none"));
        }
        Ok(Some(keys))
    }
}

/// A pattern, anchored. GHSA-59jp-pj84-45mr: without the anchors https://evil.example/?https://ci.example/1 matches.
fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!(
        "^{}$",
        regex::escape(pattern).replace(r"\*", "[-_a-zA-Z0-9]+")
    ))
}

/// Whether `text` is what `pattern`, or a part of one, stands for.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    pattern == text || (pattern.contains('*') && compiled(pattern).is_ok_and(|regex| regex.is_match(text)))
}

/// What stands between `//` and the next slash.
fn authority(url: &str) -> &str {
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(authority, _)| authority)
}

fn parse(issuer_url: &str) -> Result<Url, ConfigError> {
    let bad = |cause: String| ConfigError::Url {
        got: issuer_url.to_owned(),
        cause,
    };
    let url = Url::parse(issuer_url).map_err(|cause| bad(cause.to_string()))?;
    check_origin(&url).map_err(bad)?;
    // OpenID Connect Discovery §3: "no query or fragment component".
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("expected no query and no fragment".to_owned()));
    }
    Ok(url)
}

/// Only https is safe to take keys from; plain http is for an issuer on this machine.
pub(crate) fn check_origin(url: &Url) -> Result<(), String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("expected no user or password".to_owned());
    }
    match url.scheme() {
        "https" if url.host().is_some() => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        scheme => Err(format!("expected https, or http on loopback, got {scheme}")),
    }
}

/// Whether the host is this machine, by name or address.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The issuers, exact ones by URL and patterns in the order they are tried.
pub(crate) fn checked(configs: Vec<IssuerConfig>) -> Result<Vec<Arc<IssuerConfig>>, ConfigError> {
    let mut seen = BTreeSet::new();
    let mut sorted: Vec<_> = configs.into_iter().map(Arc::new).collect();
    for config in &sorted {
        if !seen.insert(config.issuer_url().to_owned()) {
            return Err(ConfigError::Duplicate {
                issuer: config.issuer_url().to_owned(),
            });
        }
    }
    sorted.sort_by_cached_key(|config| config.rank());
    Ok(sorted)
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not what it should be.
    #[error("{0}")]
    Document(String),
    /// Not a usable issuer URL.
    #[error("issuer URL {got:?}: {cause}")]
    Url {
        /// What was configured.
        got: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Not a known identity type.
    #[error("issuer type: expected one of {expected}, got {got:?}")]
    Type {
        /// The known names.
        expected: String,
        /// What was configured.
        got: String,
    },
    /// Something of one issuer.
    #[error("issuer {issuer}: {cause}")]
    Issuer {
        /// The issuer's URL.
        issuer: String,
        /// What is wrong.
        cause: String,
    },
    /// Something of one provider's mapping.
    #[error("ci-issuer-metadata {provider:?}: {field}: {cause}")]
    Provider {
        /// The provider.
        provider: String,
        /// Which template.
        field: String,
        /// What is wrong.
        cause: String,
    },
    /// Not a claim path.
    #[error("issuer-claim: expected a path such as $.federated_claims.connector_id, got {got:?}")]
    ClaimPath {
        /// What was configured.
        got: String,
    },
    /// No audience.
    #[error("issuer {issuer}: expected a client-id, got none")]
    Audience {
        /// The issuer's URL.
        issuer: String,
    },
    /// The same issuer twice.
    #[error("issuer {issuer}: expected one configuration, got two")]
    Duplicate {
        /// The issuer's URL.
        issuer: String,
    },
    /// The HTTP client cannot be made.
    #[error("HTTP client: {0}")]
    Http(String),
}

#[cfg(test)]
mod tests;
