//! How many certificates in a time, for each value of a claim.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use common_server::quota::{Quota, Rate, Spent};

use super::{ClaimName, Denial};
use crate::identity::claims::Claims;
use crate::identity::quote;

/// So many certificates in a time, for each value of a claim.
#[derive(Clone)]
pub struct QuotaRule {
    name: String,
    per: Per,
    limit: NonZeroU32,
    every: Duration,
    /// Of bounded size, whatever is counted.
    buckets: Quota,
}

/// What has a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Per {
    /// Who proves possession of a key.
    Identity,
    /// A value of this claim. Tokens without it share one quota.
    Claim(ClaimName),
}

/// A quota is spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spend {
    /// Which, and for whom.
    pub(crate) denial: Denial,
    /// When there is one again, in seconds.
    pub(crate) seconds: u32,
}

impl QuotaRule {
    /// `limit` certificates in `every` for each value of the claim `per`, or for each `identity`.
    #[must_use]
    pub fn new(name: Option<String>, per: &str, limit: NonZeroU32, every: Duration) -> Self {
        let per_whom = match per {
            "identity" => Per::Identity,
            claim => Per::Claim(ClaimName::new(claim)),
        };
        Self {
            name: name.unwrap_or_else(|| format!("quota per {per}")),
            per: per_whom,
            limit,
            every,
            buckets: Quota::new("policy", Rate::in_a_time(limit, every)),
        }
    }

    /// Takes one certificate for who asks.
    pub(super) fn spend(&self, issuer: &str, name: &str, claims: &Claims) -> Result<Spent, Spend> {
        let value = self.value(name, claims);
        self.buckets.spend(&(issuer, &value)).map_err(|exhausted| Spend {
            denial: Denial {
                rule: self.name.clone(),
                // Not when there is one again: refusals that say the same are kept as one.
                reason: format!(
                    "{}: expected at most {self} for {}, got one more",
                    self.claim(),
                    quote(&value)
                ),
            },
            seconds: exhausted.seconds,
        })
    }

    /// What it counts, for people.
    pub(crate) fn counts(&self, name: &str, claims: &Claims) -> String {
        format!(
            "{:?}: at most {self} for {} {}",
            self.name,
            self.claim(),
            quote(&self.value(name, claims))
        )
    }

    fn claim(&self) -> String {
        match &self.per {
            Per::Identity => "identity".to_owned(),
            Per::Claim(claim) => claim.to_string(),
        }
    }

    fn value(&self, name: &str, claims: &Claims) -> String {
        match &self.per {
            Per::Identity => name.to_owned(),
            Per::Claim(claim) => claim.text(claims),
        }
    }

    /// Goes on counting where `other`, which says the same, has counted.
    pub(super) fn adopt(&mut self, other: &Self) {
        self.buckets = other.buckets.clone();
    }
}

impl fmt::Display for QuotaRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates in {} s", self.limit, self.every.as_secs())
    }
}

// What it says, not what it has counted.
impl PartialEq for QuotaRule {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.per, self.limit, self.every) == (&other.name, &other.per, other.limit, other.every)
    }
}

impl Eq for QuotaRule {}

impl fmt::Debug for QuotaRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuotaRule({:?}, {:?}, {self})", self.name, self.per)
    }
}
