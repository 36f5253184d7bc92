//! Who, of those an issuer vouches for, gets a certificate: rules on claims.
//!
//! An issuer such as GitHub's vouches for every workflow in the world (fulcio #1989). A rule compares claims with patterns;
//! a `deny` rule that matches refuses, and where there are `allow` rules one of them must match. Then quotas count. A refusal
//! tells which rule, which claim, what was expected and what came.

mod audit;
mod pattern;
mod quota;

use std::fmt;

use common_server::quota::Spent;
use serde_json::Value;

use crate::identity::claims::Claims;
use crate::identity::quote;

pub use audit::{AuditLog, Denied};
pub use pattern::Pattern;
pub use quota::QuotaRule;

pub(crate) use quota::Spend;

/// The rules of one issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Refusals are logged and counted, and the certificate is issued all the same.
    pub dry_run: bool,
    /// Where there are any, one must match.
    pub allow: Vec<Rule>,
    /// None may match.
    pub deny: Vec<Rule>,
    /// None may be spent.
    pub quotas: Vec<QuotaRule>,
}

/// Claims that must all be as said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is called in messages.
    pub name: String,
    /// Which claim must match one of which patterns.
    pub claims: Vec<Wanted>,
}

/// A claim, and the patterns of which it must match one.
pub type Wanted = (ClaimName, Vec<Pattern>);

/// A claim by its name, or by a path within claims: `$.a.b`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimName(String);

/// Why a policy refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The rule, as the configuration names it.
    pub rule: String,
    /// The claim that decided, what was expected and what came.
    pub reason: String,
}

impl Policy {
    /// Whether there is nothing to check.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty() && self.quotas.is_empty()
    }

    /// Takes one certificate from each quota, or none from any.
    pub(crate) fn spend(&self, issuer: &str, name: &str, claims: &Claims) -> Result<Vec<Spent>, Spend> {
        let mut spent = Vec::with_capacity(self.quotas.len());
        for quota in &self.quotas {
            match quota.spend(issuer, name, claims) {
                Ok(one) => spent.push(one),
                Err(refused) => {
                    spent.into_iter().for_each(Spent::give_back);
                    return Err(refused);
                }
            }
        }
        Ok(spent)
    }

    /// Goes on counting where the quotas of `old` that say the same have counted: a file that is read again gives nobody
    /// a fresh start.
    pub(crate) fn adopt(&mut self, old: &Self) {
        for quota in &mut self.quotas {
            if let Some(same) = old.quotas.iter().find(|one| *one == quota) {
                quota.adopt(same);
            }
        }
    }

    /// What the rules say of `claims`; the name of the rule that allowed them, if one had to. Quotas are not asked.
    pub(crate) fn check(&self, claims: &Claims) -> Result<Option<&str>, Denial> {
        if let Some(rule) = self
            .deny
            .iter()
            .find(|rule| rule.first_mismatch(claims).is_none())
        {
            let matched: Vec<_> = rule
                .claims
                .iter()
                .map(|(name, _)| format!("{name} is {}", name.shown(claims)))
                .collect();
            return Err(Denial {
                rule: rule.name.clone(),
                reason: format!(
                    "expected a token that does not match it, got one whose {}",
                    matched.join(" and ")
                ),
            });
        }
        // The rule that fits best says most about what is wrong.
        let mut nearest: Option<(usize, &Rule, &Wanted)> = None;
        for rule in &self.allow {
            match rule.first_mismatch(claims) {
                None => return Ok(Some(&rule.name)),
                Some((at, mismatch)) => {
                    if nearest.is_none_or(|(best, ..)| at > best) {
                        nearest = Some((at, rule, mismatch));
                    }
                }
            }
        }
        let Some((_, rule, (claim, patterns))) = nearest else {
            return Ok(None);
        };
        let expected: Vec<_> = patterns.iter().map(|pattern| quote(pattern.as_str())).collect();
        Err(Denial {
            rule: rule.name.clone(),
            reason: format!(
                "{claim}: expected {}, got {}",
                expected.join(" or "),
                claim.shown(claims)
            ),
        })
    }
}

impl Rule {
    /// How many claims match before the first that does not, and that one.
    fn first_mismatch(&self, claims: &Claims) -> Option<(usize, &Wanted)> {
        self.claims
            .iter()
            .enumerate()
            .find(|(_, (name, patterns))| !name.matches(claims, patterns))
    }
}

impl ClaimName {
    /// A claim of that name, or at that path.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    fn value<'a>(&self, claims: &'a Claims) -> Option<&'a Value> {
        match self.0.strip_prefix("$.") {
            Some(path) => claims.at(&path.split('.').collect::<Vec<_>>()),
            None => claims.at(&[&self.0]),
        }
    }

    /// Whether the claim, or one of its values, matches one of the patterns. A claim that is missing matches nothing.
    fn matches(&self, claims: &Claims, patterns: &[Pattern]) -> bool {
        let any = |text: &str| patterns.iter().any(|pattern| pattern.matches(text));
        match self.value(claims) {
            None | Some(Value::Null | Value::Object(_)) => false,
            Some(Value::String(text)) => any(text),
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).any(any),
            Some(other @ (Value::Bool(_) | Value::Number(_))) => any(&other.to_string()),
        }
    }

    /// The whole value, for what is told apart by it.
    fn text(&self, claims: &Claims) -> String {
        match self.value(claims) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    fn shown(&self, claims: &Claims) -> String {
        match self.value(claims) {
            None | Some(Value::Null) => "none".to_owned(),
            Some(value) => crate::identity::claims::shown(value),
        }
    }
}

impl fmt::Display for ClaimName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {:?}: {}", self.rule, self.reason)
    }
}

#[cfg(test)]
mod tests;
