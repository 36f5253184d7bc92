//! How often one principal may ask: a bucket of tokens for each, in a table of bounded size.
//!
//! A bucket is one number, the time at which it would be full again (the generic cell rate algorithm, ITU-T I.371 Annex A), so
//! that a token is given back by a subtraction: what we could not do does not count against who asked.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Principals remembered, at least: the table has two halves of this size, the older one is dropped when the newer is full.
/// Who is forgotten starts with a full bucket.
const REMEMBERED: usize = 32_768;
/// Highest rate and burst that are told apart from no limit.
const MOST: u32 = 1_000_000;

/// Requests in a time, and how many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    every: Duration,
    burst: u32,
}

impl Rate {
    /// At most `count` at once, and as many again in each `every`.
    #[must_use]
    pub const fn in_a_time(count: NonZeroU32, every: Duration) -> Rate {
        Rate {
            count: count.get(),
            every,
            burst: count.get(),
        }
    }
}

/// Not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected RATE or RATE/BURST, requests a second and at once, each a number from 1 to {MOST}, got {0:?}"
)]
pub struct BadRate(String);

impl FromStr for Rate {
    type Err = BadRate;

    /// Without a burst it is twice the rate.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
            number.filter(|_| digits)
        };
        let parsed = match text.split_once('/') {
            Some((rate, burst)) => number(rate).zip(number(burst)),
            None => number(text).map(|rate| (rate, rate.saturating_mul(2).min(MOST))),
        };
        let (count, burst) = parsed.ok_or_else(|| BadRate(text.chars().take(64).collect()))?;
        let every = Duration::from_secs(1);
        Ok(Rate { count, every, burst })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.burst)
    }
}

/// The bucket is empty: answer 429 with `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many requests from this client: expected at most {rate} (a second/at once); retry in {seconds} s"
)]
pub struct Exhausted {
    /// What is allowed.
    rate: Rate,
    /// When there is a token again, in whole seconds, at least 1.
    pub seconds: u32,
}

/// Buckets of one kind of principal. Clones share them.
#[derive(Clone)]
pub struct Quota(Arc<Inner>);

struct Inner {
    rate: Rate,
    interval: Duration,
    started: Instant,
    names: RandomState,
    table: Mutex<Table>,
    refused: metrics::Counter,
}

/// A token that was taken.
#[must_use = "give it back when the request fails by our fault"]
pub struct Spent {
    quota: Quota,
    principal: u64,
}

impl Quota {
    /// Buckets for what the metrics call `kind`.
    #[must_use]
    pub fn new(kind: &'static str, rate: Rate) -> Quota {
        let interval = rate.every.checked_div(rate.count);
        Quota(Arc::new(Inner {
            rate,
            interval: interval.unwrap_or_default(),
            started: Instant::now(),
            names: RandomState::new(),
            table: Mutex::default(),
            refused: metrics::counter!("sigbox_quota_refused_total", "principal" => kind),
        }))
    }

    /// Takes a token of `principal`.
    ///
    /// # Errors
    /// [`Exhausted`] when there is none.
    pub fn spend(&self, principal: &impl Hash) -> Result<Spent, Exhausted> {
        // A keyed hash of 64 bits stands for the principal: what is remembered has one size, and nobody can aim at another's.
        let principal = self.0.names.hash_one(principal);
        let outcome = self.0.take(principal, self.0.started.elapsed());
        if outcome.is_err() {
            self.0.refused.increment(1);
        }
        outcome.map(|()| Spent {
            quota: self.clone(),
            principal,
        })
    }
}

impl Spent {
    /// Puts the token back.
    pub fn give_back(self) {
        let Spent { quota, principal } = self;
        let mut table = quota.0.table();
        if let Some(full_at) = table.newer.get_mut(&principal) {
            *full_at = full_at.saturating_sub(quota.0.interval);
        }
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, principal: u64, now: Duration) -> Result<(), Exhausted> {
        let mut table = self.table();
        let full_at = table.entry(principal);
        let after = (*full_at).max(now).saturating_add(self.interval);
        let whole = self.interval.saturating_mul(self.rate.burst);
        match after.saturating_sub(now).checked_sub(whole) {
            Some(wait) if !wait.is_zero() => Err(Exhausted {
                rate: self.rate,
                seconds: u32::try_from(wait.as_secs().saturating_add(1)).unwrap_or(u32::MAX),
            }),
            _ => {
                *full_at = after;
                Ok(())
            }
        }
    }
}

/// When each bucket is full again, since the start.
#[derive(Default)]
struct Table {
    newer: HashMap<u64, Duration>,
    older: HashMap<u64, Duration>,
}

impl Table {
    fn entry(&mut self, principal: u64) -> &mut Duration {
        if self.newer.len() >= REMEMBERED && !self.newer.contains_key(&principal) {
            self.older = std::mem::take(&mut self.newer);
        }
        let older = self.older.remove(&principal);
        self.newer
            .entry(principal)
            .or_insert_with(|| older.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
