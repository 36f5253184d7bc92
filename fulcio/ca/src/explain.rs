//! What would become of a token: every check in its order, and the certificate there would be. Nothing is issued, logged,
//! counted or kept.
//!
//! Whoever sends a token learns of it what `/api/v2/configuration` says anyway, and what is written in it. What the certificate
//! would say, and what the policy decides, [`Asker::Anyone`] is told only of a token that verifies, is for this
//! instance and has not expired: otherwise a token that was found, or made up, would tell more than its owner could have had
//! signed.

use std::fmt::Display;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Clock;
use crate::extensions::Extension;
use crate::identity::principal::Principal;
use crate::identity::token::{Token, algorithm_name};
use crate::identity::{ConfigError, FetchFor, IssuerConfig, Issuers, KeyCache, Reading, quote};
use crate::privacy::{self, For, Pseudonyms};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Whoever reaches the service.
    Anyone,
    /// Who may read the configuration.
    Operator,
}

/// What there is to say about a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether who holds the token, and a key, would get a certificate.
    pub accepted: bool,
    /// The configuration that its `iss` selects.
    pub issuer: Option<Selected>,
    /// The checks in their order.
    pub checks: Vec<Check>,
    /// What the certificate would say.
    pub certificate: Option<Preview>,
    /// What one might not expect.
    pub notes: Vec<String>,
}

/// The configuration of an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Selected {
    /// Its URL.
    pub url: String,
    /// Its type.
    #[serde(rename = "type")]
    pub identity_type: String,
    /// The mapping, for workflows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_provider: Option<String>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not, and there is no certificate.
    Failed,
    /// It was not looked at.
    Skipped,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, or what was expected and what came.
    pub detail: String,
}

/// What a certificate would say, and so what logs would publish for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Preview {
    /// What a proof of possession must sign.
    pub proof_of_possession_over: String,
    /// The subject alternative name, which is whom verifiers compare.
    pub subject_alternative_name: String,
    /// Every extension in its order.
    pub extensions: Vec<Published>,
}

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Published {
    /// Its object identifier.
    pub oid: String,
    /// Its name.
    pub name: String,
    /// Whether a verifier that does not know it must refuse.
    pub critical: bool,
    /// Its text, or what it will be.
    pub value: String,
}

/// Explains `raw` by the issuers of a configuration that nothing serves.
///
/// # Errors
/// If the issuers cannot be used.
pub async fn explain(
    issuers: Vec<IssuerConfig>,
    fetch: FetchFor,
    clock: Clock,
    raw: &str,
) -> Result<Explanation, ConfigError> {
    let reading = Reading {
        cache: KeyCache::default(),
        fetch,
        clock,
    };
    let issuers = Issuers::new(issuers, reading, None)?;
    Ok(by(&issuers, Asker::Operator, None, raw).await)
}

/// Explains `raw` by `issuers`.
pub(crate) async fn by(
    issuers: &Issuers,
    asker: Asker,
    pseudonyms: Option<&Arc<dyn Pseudonyms>>,
    raw: &str,
) -> Explanation {
    let mut out = Explanation {
        accepted: false,
        issuer: None,
        checks: Vec::new(),
        certificate: None,
        notes: Vec::new(),
    };
    out.look(issuers, asker, pseudonyms, raw).await;
    out.accepted = out.holds();
    out
}

impl Explanation {
    async fn look(
        &mut self,
        issuers: &Issuers,
        asker: Asker,
        pseudonyms: Option<&Arc<dyn Pseudonyms>>,
        raw: &str,
    ) {
        let shape = |token: &Token| format!("a JWT signed with {}", algorithm_name(&token.algorithm));
        let Some(token) = self.check("token", Token::parse(raw), shape) else {
            return;
        };
        let iss = token.claims.required("iss");
        let nearest = iss.as_ref().ok().and_then(|iss| issuers.nearest(iss));
        let found = iss.and_then(|iss| issuers.find(iss));
        let Some(issuer) = self.check("issuer", found, |found| {
            format!("{} is configured", quote(found.config.issuer_url()))
        }) else {
            self.notes
                .extend(nearest.map(|nearest| format!("nearest issuer: {nearest}")));
            return;
        };
        let config = issuer.config.clone();
        self.issuer = Some(Selected {
            url: config.issuer_url().to_owned(),
            identity_type: config.identity_type.name().to_owned(),
            ci_provider: config
                .identity_type
                .provider()
                .map(|provider| provider.name().to_owned()),
        });
        let claims = token.claims.clone();
        self.check("audience", claims.check_audience(&config.audiences), |()| {
            let accepted: Vec<_> = config.audiences.iter().map(|one| quote(one)).collect();
            format!("one of {}", accepted.join(", "))
        });
        self.check("time", claims.check_time(issuers.now()), |()| {
            format!("valid until {}", claims.end().unwrap_or_default())
        });
        let key = token.key_id.as_deref().map(quote);
        let authentic = match issuers.with_keys(token, issuer).await {
            Ok(mut opened) => opened.authenticate().await,
            Err(cause) => Err(cause),
        };
        self.check("signature", authentic, |()| match &key {
            Some(key) => format!("by key {key} of the issuer"),
            None => "by a key of the issuer; the token names none".to_owned(),
        });
        if asker == Asker::Anyone && !self.holds() {
            for name in ["identity", "policy"] {
                self.skip(name, "told of a token only that passes the checks before");
            }
            return;
        }
        let principal = crate::identity::principal::principal(&config, &claims);
        let principal = self.check("identity", principal, |principal| principal.subject.text());
        if let Some(provider) = config.identity_type.provider() {
            self.notes.extend(provider.passed_over(&claims));
        }
        let policy = &config.policy;
        if policy.is_empty() {
            self.skip(
                "policy",
                "the issuer has none: whoever it vouches for gets a certificate",
            );
        } else {
            match policy.check(&claims) {
                Err(denial) if policy.dry_run => {
                    self.skip("policy", &format!("would refuse, and is in a dry run: {denial}"));
                }
                decided => {
                    self.check("policy", decided, |rule| match rule {
                        Some(rule) => format!("allowed by rule {rule:?}"),
                        None => "no rule refuses".to_owned(),
                    });
                }
            }
        }
        if let Some(principal) = &principal {
            let counted = policy
                .quotas
                .iter()
                .map(|quota| quota.counts(&principal.name, &claims));
            self.notes
                .extend(counted.map(|quota| format!("counted by quota {quota}; not looked at here")));
        }
        let Some(principal) = principal else { return };
        if config.privacy.is_none() {
            self.certificate = Some(Preview::of(&principal));
            return;
        }
        let published = privacy::published(&config, &claims, principal, pseudonyms, For::Looking).await;
        let said = |_: &Principal| "the certificate says what the issuer's privacy settings leave".to_owned();
        self.certificate = self.check("privacy", published, said).as_ref().map(Preview::of);
    }

    /// Whether nothing has failed.
    fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.outcome != Outcome::Failed)
    }

    fn check<T>(
        &mut self,
        name: &str,
        outcome: Result<T, impl Display>,
        detail: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let (outcome, detail, value) = match outcome {
            Ok(value) => (Outcome::Passed, detail(&value), Some(value)),
            Err(cause) => (Outcome::Failed, cause.to_string(), None),
        };
        self.push(name, outcome, detail);
        value
    }

    fn skip(&mut self, name: &str, why: &str) {
        self.push(name, Outcome::Skipped, why.to_owned());
    }

    fn push(&mut self, name: &str, outcome: Outcome, detail: String) {
        self.checks.push(Check {
            name: name.to_owned(),
            outcome,
            detail,
        });
    }
}

impl Preview {
    /// The extensions of [`crate::issuance`], in its order.
    fn of(principal: &Principal) -> Self {
        let name = principal.subject.text();
        let standard = |oid: &str, name: &str, critical, value: &str| Published {
            oid: oid.to_owned(),
            name: name.to_owned(),
            critical,
            value: value.to_owned(),
        };
        let mut extensions = vec![
            standard("2.5.29.15", "keyUsage", true, "digitalSignature"),
            standard("2.5.29.37", "extKeyUsage", false, "codeSigning"),
            standard(
                "2.5.29.14",
                "subjectKeyIdentifier",
                false,
                "of the key in the request",
            ),
            standard(
                "2.5.29.35",
                "authorityKeyIdentifier",
                false,
                "of the issuing certificate",
            ),
            standard("2.5.29.17", "subjectAltName", true, &name),
        ];
        let fulcio = principal.extensions.iter();
        extensions.extend(fulcio.map(|(kind, text)| {
            let oid = format!("1.3.6.1.4.1.57264.1.{}", kind.number());
            standard(&oid, label(kind), false, text)
        }));
        extensions.push(standard(
            "1.3.6.1.4.1.11129.2.4.2",
            "signedCertificateTimestampList",
            false,
            "one timestamp of the certificate log",
        ));
        Self {
            proof_of_possession_over: principal.name.clone(),
            subject_alternative_name: name,
            extensions,
        }
    }
}

/// Two extensions have one name.
fn label(kind: Extension) -> &'static str {
    match kind {
        Extension::IssuerV1 => "Issuer (bare text)",
        other => other.name(),
    }
}
