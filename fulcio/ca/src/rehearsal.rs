//! What policies decide of claims that nobody has signed: for tests of a policy, before it is in use.
//!
//! Signatures, audiences and times are not looked at, so that recorded tokens serve for ever. Quotas are not counted.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::config::{Fields, ReadFile, tree};
use crate::identity::claims::Claims;
use crate::identity::token::Token;
use crate::identity::{ConfigError, IssuerConfig, principal, quote};

/// Most cases of one file.
const MAX_CASES: usize = 10_000;

/// The issuers whose policies are asked.
pub struct Rehearsal(Vec<Arc<IssuerConfig>>);

/// What a policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A certificate.
    Allow,
    /// None.
    Deny,
    /// It is not asked: the issuer is not configured.
    NoIssuer,
}

/// A decision, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// What is decided.
    pub verdict: Verdict,
    /// The configuration that decides.
    pub issuer: Option<String>,
    /// The rule that decided, if one did.
    pub rule: Option<String>,
    /// The claim that decided, what was expected and what came.
    pub reason: Option<String>,
    /// It is only told, and the certificate issued all the same.
    pub dry_run: bool,
    /// Why there would be no certificate all the same.
    pub no_identity: Option<String>,
}

/// Claims, and what is expected of the policy. It is not for printing: claims are personal.
#[derive(Clone)]
#[non_exhaustive]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// [`Verdict::Allow`] or [`Verdict::Deny`].
    pub expected: Option<Verdict>,
    /// The rule that must have decided.
    pub rule: Option<String>,
    claims: Claims,
}

impl Rehearsal {
    /// The policies of `issuers`.
    ///
    /// # Errors
    /// If one is configured twice.
    pub fn new(issuers: Vec<IssuerConfig>) -> Result<Self, ConfigError> {
        Ok(Self(crate::identity::checked(issuers)?))
    }

    /// What is decided of `case`.
    #[must_use]
    pub fn decide(&self, case: &Case) -> Decision {
        let claims = &case.claims;
        let iss = claims.required("iss");
        let found = iss.as_ref().ok().and_then(|iss| self.find(iss));
        let Some(config) = found else {
            let reason = match iss {
                Ok(iss) => format!("iss: expected a configured issuer, got {}", quote(iss)),
                Err(cause) => cause.to_string(),
            };
            return Decision {
                verdict: Verdict::NoIssuer,
                issuer: None,
                rule: None,
                reason: Some(reason),
                dry_run: false,
                no_identity: None,
            };
        };
        let (verdict, rule, reason) = match config.policy.check(claims) {
            Ok(rule) => (Verdict::Allow, rule.map(str::to_owned), None),
            Err(denial) => (Verdict::Deny, Some(denial.rule), Some(denial.reason)),
        };
        Decision {
            verdict,
            issuer: Some(config.issuer_url().to_owned()),
            rule,
            reason,
            dry_run: config.policy.dry_run,
            no_identity: principal::principal(&config, claims)
                .err()
                .map(|cause| cause.to_string()),
        }
    }

    /// As issuance finds it.
    fn find(&self, iss: &str) -> Option<Arc<IssuerConfig>> {
        let exact = |config: &&Arc<IssuerConfig>| !config.is_meta() && config.issuer_url() == iss;
        let exact = self.0.iter().find(exact).cloned();
        exact.or_else(|| {
            self.0
                .iter()
                .find_map(|config| config.concrete(iss))
                .map(Arc::new)
        })
    }
}

impl Case {
    /// The cases in a file called `name`: a token, the claims of one as a JSON object, or a table with a list `cases`.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong, without repeating a token.
    pub fn read(name: &str, text: &[u8], read: ReadFile<'_>) -> Result<Vec<Self>, ConfigError> {
        let plain = |claims| Self {
            name: name.to_owned(),
            expected: None,
            rule: None,
            claims,
        };
        if let Some(claims) = token(text) {
            return claims
                .map(|claims| vec![plain(claims)])
                .map_err(|cause| document(name, &cause));
        }
        let tree = tree(text).map_err(|cause| document(name, &cause.to_string()))?;
        match tree {
            Value::Object(members) if !members.contains_key("cases") => Ok(vec![plain(Claims::new(members))]),
            tree => {
                let mut file = Fields::new(name, tree)?;
                file.only(&["cases"])?;
                let cases = file.tables("cases")?;
                if cases.is_empty() || cases.len() > MAX_CASES {
                    let expected = format!("1 to {MAX_CASES} cases");
                    return Err(file.wrong("cases", &expected, &cases.len().to_string()));
                }
                let numbered = (1_usize..).zip(cases);
                numbered
                    .map(|(number, case)| Self::numbered(number, case, read))
                    .collect()
            }
        }
    }

    fn numbered(number: usize, mut fields: Fields, read: ReadFile<'_>) -> Result<Self, ConfigError> {
        fields.only(&["name", "claims", "claims-file", "token-file", "expect", "rule"])?;
        let name = fields.text("name")?.unwrap_or_else(|| format!("case {number}"));
        let mut given = Vec::new();
        given.extend(fields.object("claims")?.map(Claims::new));
        for (key, is_token) in [("claims-file", false), ("token-file", true)] {
            let Some(path) = fields.text(key)? else { continue };
            let cause =
                |cause: &str| fields.wrong(key, "a file that can be used", &format!("{path:?}: {cause}"));
            let text = read(path.as_ref()).map_err(|error| cause(&error.to_string()))?;
            given.push(match (is_token, token(&text)) {
                (true, Some(claims)) => claims.map_err(|error| cause(&error))?,
                (true, None) => return Err(cause("not a token")),
                (false, _) => match serde_json::from_slice(&text) {
                    Ok(Value::Object(members)) => Claims::new(members),
                    _ => return Err(cause("not a JSON object")),
                },
            });
        }
        let count = given.len();
        let (Some(claims), 1) = (given.pop(), count) else {
            let got = if count == 0 { "none" } else { "several" };
            return Err(fields.wrong("claims", "one of claims, claims-file, token-file", got));
        };
        let expected = match fields.text("expect")?.as_deref() {
            Some("allow") => Some(Verdict::Allow),
            Some("deny") => Some(Verdict::Deny),
            // A case without is a slip: it would pass whatever is decided.
            other => {
                return Err(fields.wrong("expect", "allow or deny", &format!("{:?}", other.unwrap_or(""))));
            }
        };
        Ok(Self {
            name,
            expected,
            rule: fields.text("rule")?,
            claims,
        })
    }

    /// Whether `decision` is the one that was expected; `None` where nothing was.
    #[must_use]
    pub fn met(&self, decision: &Decision) -> Option<bool> {
        let expected = self.expected?;
        Some(expected == decision.verdict && (self.rule.is_none() || self.rule == decision.rule))
    }
}

fn document(name: &str, cause: &str) -> ConfigError {
    ConfigError::Document(format!("{name}: {cause}"))
}

/// The claims of `text`, if it looks like a token.
fn token(text: &[u8]) -> Option<Result<Claims, String>> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(letters) || text.matches('.').count() != 2 {
        return None;
    }
    Some(
        Token::parse(text)
            .map(|token| token.claims)
            .map_err(|cause| cause.to_string()),
    )
}

#[cfg(test)]
mod tests;
