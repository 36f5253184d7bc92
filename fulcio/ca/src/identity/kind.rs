//! What the subjects of an issuer are: the types of upstream's file, each with what it needs.

use std::fmt;
use std::sync::Arc;

use super::config::ConfigError;
use super::legacy::Legacy;
use super::provider::CiProvider;
use super::uri::Uri;

/// What the subjects of an issuer are, which decides the certificate's name and what a proof of possession signs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityType {
    /// People by their e-mail address.
    Email(Email),
    /// URIs under one scheme and host.
    Uri(SubjectDomain),
    /// Names within one domain.
    Username {
        /// The domain.
        domain: String,
    },
    /// SPIFFE IDs of one trust domain.
    Spiffe {
        /// The trust domain.
        trust_domain: String,
    },
    /// Service accounts.
    Kubernetes,
    /// Chainguard's identities.
    Chainguard,
    /// Workflows, as templates say.
    CiProvider(Arc<CiProvider>),
    /// Workflows, as upstream's deprecated types have them.
    Legacy(Legacy),
}

/// What there is to say about addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Email {
    /// Where the issuer named in the certificate comes from, if not from `iss`.
    pub issuer_claim: Option<ClaimPath>,
    /// Accept addresses the provider does not vouch for. For internal providers only.
    pub skip_verification: bool,
}

/// Scheme and host of the URIs of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectDomain {
    /// As it was configured.
    text: String,
    pub(super) scheme: String,
    pub(super) host: String,
}

/// The names of the types, as configuration files and `/api/v2/configuration` have them.
pub(crate) const TYPES: [&str; 11] = [
    "email",
    "uri",
    "username",
    "spiffe",
    "kubernetes",
    "ci-provider",
    "chainguard-identity",
    "github-workflow",
    "gitlab-pipeline",
    "buildkite-job",
    "codefresh-workflow",
];

/// What a file says about a type, before it is known which.
#[derive(Clone, Debug, Default)]
pub struct TypeText {
    /// `type`.
    pub name: String,
    /// `issuer-url`, for the rules that compare hosts; none for a pattern.
    pub issuer_url: Option<String>,
    /// `issuer-claim`.
    pub issuer_claim: String,
    /// `subject-domain`.
    pub subject_domain: String,
    /// `spiffe-trust-domain`.
    pub spiffe_trust_domain: String,
    /// `skip-email-verification`.
    pub skip_email_verification: bool,
    /// The mapping that `ci-provider` names.
    pub provider: Option<Arc<CiProvider>>,
}

impl IdentityType {
    /// The type that `text` describes.
    ///
    /// # Errors
    /// If it is unknown, or lacks what it needs.
    pub fn new(text: TypeText) -> Result<Self, ConfigError> {
        let bad = |cause: String| ConfigError::Issuer {
            issuer: text.issuer_url.clone().unwrap_or_else(|| "pattern".to_owned()),
            cause,
        };
        if !text.issuer_claim.is_empty() && text.name != "email" {
            return Err(bad("issuer-claim: only issuers of type email have one".to_owned()));
        }
        if text.skip_email_verification && text.name != "email" {
            return Err(bad(
                "skip-email-verification: only issuers of type email have it".to_owned()
            ));
        }
        Ok(match text.name.as_str() {
            "email" => Self::Email(Email {
                issuer_claim: match text.issuer_claim.as_str() {
                    "" => None,
                    path => Some(path.parse()?),
                },
                skip_verification: text.skip_email_verification,
            }),
            "uri" => {
                let domain = SubjectDomain::new(&text.subject_domain).map_err(bad)?;
                if let Some(issuer) = &text.issuer_url {
                    let issuer =
                        Uri::parse(issuer).map_err(|expected| bad(format!("expected {expected}")))?;
                    if issuer.scheme != domain.scheme {
                        return Err(bad(format!(
                            "subject-domain: expected the issuer's scheme {:?}, got {:?}",
                            issuer.scheme, domain.scheme
                        )));
                    }
                    same_site(&domain.host, &issuer.host).map_err(bad)?;
                }
                Self::Uri(domain)
            }
            "username" => {
                let domain = text.subject_domain.clone();
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                if domain.is_empty() || !domain.chars().all(plain) {
                    return Err(bad(format!(
                        "subject-domain: expected a host name without scheme, got {domain:?}"
                    )));
                }
                if let Some(issuer) = &text.issuer_url {
                    let issuer =
                        Uri::parse(issuer).map_err(|expected| bad(format!("expected {expected}")))?;
                    same_site(&domain, &issuer.host).map_err(bad)?;
                }
                Self::Username { domain }
            }
            "spiffe" => {
                let trust_domain = text.spiffe_trust_domain.clone();
                let plain =
                    |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
                // SPIFFE-ID §2.1.
                if trust_domain.is_empty() || trust_domain.len() > 255 || !trust_domain.chars().all(plain) {
                    return Err(bad(format!(
                        "spiffe-trust-domain: expected a trust domain of lower-case letters, digits, dots, hyphens and \
                         underscores, got {trust_domain:?}"
                    )));
                }
                Self::Spiffe { trust_domain }
            }
            "kubernetes" => Self::Kubernetes,
            "chainguard-identity" => Self::Chainguard,
            "ci-provider" => match text.provider {
                Some(provider) => Self::CiProvider(provider),
                None => {
                    return Err(bad(
                        "ci-provider: expected the name of a provider, got none".to_owned()
                    ));
                }
            },
            name => match Legacy::named(name) {
                Some(legacy) => Self::Legacy(legacy),
                None => {
                    return Err(ConfigError::Type {
                        expected: TYPES.join(", "),
                        got: name.to_owned(),
                    });
                }
            },
        })
    }

    /// People by their address, verified by the issuer.
    #[must_use]
    pub fn email() -> Self {
        Self::Email(Email::default())
    }

    /// The name in configuration files and in `/api/v2/configuration`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Uri(_) => "uri",
            Self::Username { .. } => "username",
            Self::Spiffe { .. } => "spiffe",
            Self::Kubernetes => "kubernetes",
            Self::Chainguard => "chainguard-identity",
            Self::CiProvider(_) => "ci-provider",
            Self::Legacy(legacy) => legacy.name(),
        }
    }

    /// The claim a proof of possession signs, as `/api/v2/configuration` tells it.
    #[must_use]
    pub fn challenge_claim(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            _ => "sub",
        }
    }

    /// `subject-domain`, empty for the types without one.
    pub(crate) fn subject_domain(&self) -> &str {
        match self {
            Self::Uri(domain) => &domain.text,
            Self::Username { domain } => domain,
            _ => "",
        }
    }

    /// `spiffe-trust-domain`, empty for the other types.
    pub(crate) fn trust_domain(&self) -> &str {
        match self {
            Self::Spiffe { trust_domain } => trust_domain,
            _ => "",
        }
    }

    /// The mapping of workflows that a configuration can say.
    pub(crate) fn provider(&self) -> Option<&CiProvider> {
        match self {
            Self::CiProvider(provider) => Some(provider),
            _ => None,
        }
    }

    /// Whether unverified addresses pass.
    pub(crate) fn skips_verification(&self) -> bool {
        matches!(self, Self::Email(email) if email.skip_verification)
    }
}

impl SubjectDomain {
    fn new(text: &str) -> Result<Self, String> {
        match Uri::parse(text) {
            Ok(Uri { scheme, host, .. }) if !host.is_empty() => Ok(Self {
                text: text.to_owned(),
                scheme,
                host,
            }),
            _ => Err(format!(
                "subject-domain: expected scheme and host such as https://example.com, got {text:?}"
            )),
        }
    }
}

/// Hosts are equal or have the last two labels in common (fulcio `pkg/config/config.go`, `validateAllowedDomain`): whoever
/// configures an issuer for a domain has shown that it is theirs.
fn same_site(subject: &str, issuer: &str) -> Result<(), String> {
    let last_two = |host: &str| {
        let mut labels = host.rsplit('.').map(str::to_owned);
        labels.next().zip(labels.next())
    };
    if subject == issuer || last_two(subject).is_some_and(|two| last_two(issuer) == Some(two)) {
        return Ok(());
    }
    Err(format!(
        "subject-domain: expected the issuer's host {issuer:?} or one with the same last two labels, got {subject:?}"
    ))
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

impl fmt::Display for IdentityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
