//! What is configured for an issuer, checked when it is made so that requests need not.
//!
//! Names and rules are those of upstream's file (fulcio `pkg/config/config.go`).

use std::fmt;

use url::{Host, Url};

/// What the subjects of an issuer are, which decides the certificate's name and the signed challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityType {
    /// People by their e-mail address.
    Email,
}

impl IdentityType {
    /// Every type that can be configured.
    pub const ALL: [Self; 1] = [Self::Email];

    /// The name in configuration files and in `/api/v2/configuration`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
        }
    }

    /// The claim a proof of possession signs, as `/api/v2/configuration` tells it.
    #[must_use]
    pub fn challenge_claim(self) -> &'static str {
        match self {
            Self::Email => "email",
        }
    }
}

impl std::str::FromStr for IdentityType {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        Self::ALL
            .into_iter()
            .find(|one| one.name() == name)
            .ok_or_else(|| ConfigError::Type {
                expected: Self::ALL.map(Self::name).join(", "),
                got: name.to_owned(),
            })
    }
}

/// Where in a token the name of the real issuer is, behind a federating provider: `$.a.b`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath {
    text: String,
    steps: Vec<String>,
}

impl ClaimPath {
    /// Member names, outermost first.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// The path as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::str::FromStr for ClaimPath {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let word = |step: &str| {
            !step.is_empty()
                && step
                    .chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ':' | '/'))
        };
        match text.strip_prefix("$.") {
            Some(rest) if rest.split('.').all(word) => Ok(Self {
                text: text.to_owned(),
                steps: rest.split('.').map(str::to_owned).collect(),
            }),
            _ => Err(ConfigError::ClaimPath { got: text.to_owned() }),
        }
    }
}

/// One issuer whose tokens are accepted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssuerConfig {
    issuer_url: String,
    /// One of these must be in `aud`. Never empty.
    pub audiences: Vec<String>,
    /// What its subjects are.
    pub identity_type: IdentityType,
    /// Where the issuer named in the certificate comes from, if not from `iss`.
    pub issuer_claim: Option<ClaimPath>,
    /// Accept addresses the provider does not vouch for. For internal providers only.
    pub skip_email_verification: bool,
    /// For people.
    pub description: String,
    /// `issuer_url`, parsed.
    url: Url,
}

impl IssuerConfig {
    /// An issuer of `identity_type` at `issuer_url`, for tokens issued to `client_id`.
    ///
    /// # Errors
    /// If the URL is not https (or http on loopback), or carries a query, a fragment or a user; if `client_id` is empty.
    pub fn new(issuer_url: &str, client_id: &str, identity_type: IdentityType) -> Result<Self, ConfigError> {
        let url = Url::parse(issuer_url).map_err(|cause| ConfigError::Url {
            got: issuer_url.to_owned(),
            cause: cause.to_string(),
        })?;
        check_origin(&url).map_err(|cause| ConfigError::Url {
            got: issuer_url.to_owned(),
            cause,
        })?;
        // OpenID Connect Discovery §3: "no query or fragment component".
        if url.query().is_some() || url.fragment().is_some() {
            let cause = "expected no query and no fragment".to_owned();
            return Err(ConfigError::Url {
                got: issuer_url.to_owned(),
                cause,
            });
        }
        if client_id.is_empty() {
            return Err(ConfigError::Audience {
                issuer: issuer_url.to_owned(),
            });
        }
        Ok(Self {
            issuer_url: issuer_url.to_owned(),
            audiences: vec![client_id.to_owned()],
            identity_type,
            issuer_claim: None,
            skip_email_verification: false,
            description: String::new(),
            url,
        })
    }

    /// Exactly what `iss` and the discovery document must say.
    #[must_use]
    pub fn issuer_url(&self) -> &str {
        &self.issuer_url
    }

    /// The same, parsed.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }
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

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
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

impl fmt::Display for IdentityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
