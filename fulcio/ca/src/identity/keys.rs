//! The bounded cache of one issuer's keys.
//!
//! go-oidc refetches on every unknown key identifier, so that anybody can make a Fulcio hammer an
//! issuer. Here a set has a lifetime, attempts have a minimum interval, and requests that need a
//! refresh at the same time share one (`jwks.go` in go-oidc for the parts that agree). While there are
//! keys that may serve, nobody waits for an issuer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use tokio::sync::OwnedMutexGuard;

use super::config::IssuerConfig;
use super::discovery::{DiscoveryError, Published, discover};
use super::fetch::{Fetch, Nowhere};
use super::jwk::Jwks;
use super::token::{SUPPORTED, algorithm};
use crate::Clock;

/// How long keys are believed.
#[derive(Clone, Copy, Debug)]
pub struct KeyCache {
    /// Age at which a set is read again: the use that finds it so old starts that, and is served all the same.
    pub lifetime: Duration,
    /// Least time from the end of an attempt at one issuer, successful or not, to the next.
    pub min_interval: Duration,
    /// Age up to which a set serves until the issuer has answered.
    pub max_stale: Duration,
}

impl Default for KeyCache {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(5 * 60),
            min_interval: Duration::from_secs(10),
            max_stale: Duration::from_secs(60 * 60),
        }
    }
}

/// Time that only goes forward, out of a clock that may be set back: a step back counts as no time.
struct Steady {
    clock: Clock,
    seen: Mutex<(SystemTime, Duration)>,
}

impl Steady {
    fn new(clock: Clock) -> Self {
        let seen = Mutex::new((clock(), Duration::ZERO));
        Self { clock, seen }
    }

    /// Time since this was made.
    fn now(&self) -> Duration {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.clock)();
        let passed = now.duration_since(seen.0).unwrap_or_default();
        *seen = (now, seen.1.saturating_add(passed));
        seen.1
    }
}

/// A set and when it was asked for.
#[derive(Debug)]
pub(crate) struct KeySet {
    pub(crate) published: Published,
    read_at: Duration,
}

/// One issuer's keys.
pub(crate) struct KeySource {
    config: Arc<IssuerConfig>,
    cache: KeyCache,
    fetch: Arc<dyn Fetch>,
    time: Steady,
    current: ArcSwapOption<KeySet>,
    /// Held while the issuer is asked; holds the outcome of the last attempt.
    last: Arc<tokio::sync::Mutex<Option<Attempt>>>,
}

/// How an attempt ended, and when: a slow one must not be followed at once by the next.
struct Attempt {
    ended: Duration,
    failure: Option<DiscoveryError>,
}

/// The right to ask the issuer.
type Turn = OwnedMutexGuard<Option<Attempt>>;

impl KeySource {
    pub(crate) fn new(
        config: Arc<IssuerConfig>,
        cache: KeyCache,
        fetch: Arc<dyn Fetch>,
        clock: Clock,
    ) -> Self {
        Self {
            config,
            cache,
            fetch,
            time: Steady::new(clock),
            current: ArcSwapOption::empty(),
            last: Arc::default(),
        }
    }

    /// Keys that stay as they are: the issuer is never asked.
    pub(crate) fn fixed(config: Arc<IssuerConfig>, keys: Jwks, clock: Clock) -> Self {
        // Without a discovery document that says otherwise a key serves every algorithm of its family.
        let algorithms = SUPPORTED.iter().filter_map(|name| algorithm(name)).collect();
        let cache = KeyCache {
            lifetime: Duration::MAX,
            min_interval: Duration::MAX,
            max_stale: Duration::MAX,
        };
        let source = Self::new(config, cache, Arc::new(Nowhere), clock);
        let read_at = source.time.now();
        let published = Published { keys, algorithms };
        source
            .current
            .store(Some(Arc::new(KeySet { published, read_at })));
        source
    }

    /// Whether there are keys.
    pub(crate) fn has_keys(&self) -> bool {
        self.current.load().is_some()
    }

    /// Keys to verify with now: those held, and if these are old, the issuer is asked meanwhile. Only where none may
    /// serve does the caller wait.
    pub(crate) async fn current(self: &Arc<Self>) -> Result<Arc<KeySet>, DiscoveryError> {
        let held = self.current.load_full();
        if let Some(set) = &held {
            let age = self.since(set.read_at);
            if age < self.cache.lifetime {
                return Ok(Arc::clone(set));
            }
            if age < self.cache.max_stale {
                self.refresh_meanwhile();
                return Ok(Arc::clone(set));
            }
        }
        self.refresh(held).await
    }

    /// Keys newer than `seen`, which did not verify a token; `None` if there are none to be had yet.
    pub(crate) async fn newer(self: &Arc<Self>, seen: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let set = self.refresh(Some(Arc::clone(seen))).await.ok()?;
        (!Arc::ptr_eq(&set, seen)).then_some(set)
    }

    /// Asks the issuer in a task of its own, unless somebody does or did so too recently.
    fn refresh_meanwhile(self: &Arc<Self>) {
        let Ok(turn) = Arc::clone(&self.last).try_lock_owned() else {
            return;
        };
        if self.cooling(&turn).is_none() {
            let source = Arc::clone(self);
            tokio::spawn(async move { source.ask(turn).await });
        }
    }

    /// Keys other than `seen`: asks the issuer, unless somebody did meanwhile or did so too recently.
    ///
    /// In a task of its own, so that a client that goes away does not stop what others wait for.
    async fn refresh(self: &Arc<Self>, seen: Option<Arc<KeySet>>) -> Result<Arc<KeySet>, DiscoveryError> {
        let source = Arc::clone(self);
        let task = tokio::spawn(async move {
            let turn = Arc::clone(&source.last).lock_owned().await;
            let held = source.current.load_full();
            if let Some(set) = &held
                && !seen.is_some_and(|seen| Arc::ptr_eq(&seen, set))
            {
                return Ok(Arc::clone(set));
            }
            match (source.cooling(&turn), held) {
                (None, _) => source.ask(turn).await,
                (Some(None), Some(set)) => Ok(set),
                (Some(Some(cause)), _) => Err(cause.clone()),
                (Some(None), None) => Err(DiscoveryError::NoKeys),
            }
        });
        // The task is never aborted; a panic in it is answered as an issuer that does not answer.
        task.await.unwrap_or(Err(DiscoveryError::NoKeys))
    }

    /// How the last attempt failed, if at all, while it is too early for the next one.
    fn cooling<'a>(&self, turn: &'a Turn) -> Option<Option<&'a DiscoveryError>> {
        turn.as_ref()
            .filter(|attempt| self.since(attempt.ended) < self.cache.min_interval)
            .map(|attempt| attempt.failure.as_ref())
    }

    async fn ask(&self, mut turn: Turn) -> Result<Arc<KeySet>, DiscoveryError> {
        // What is read is at least as new as the moment it is asked for.
        let read_at = self.time.now();
        let outcome = discover(self.fetch.as_ref(), &self.config).await;
        let ended = self.time.now();
        match outcome {
            Ok(published) => {
                let set = Arc::new(KeySet { published, read_at });
                self.current.store(Some(Arc::clone(&set)));
                *turn = Some(Attempt { ended, failure: None });
                Ok(set)
            }
            Err(cause) => {
                tracing::warn!(issuer = %self.config.issuer_url(), %cause, "keys cannot be read");
                // Only silence is bridged. An issuer that answers and publishes no usable key has withdrawn them.
                if !matches!(cause, DiscoveryError::Fetch { .. }) {
                    self.current.store(None);
                }
                *turn = Some(Attempt {
                    ended,
                    failure: Some(cause.clone()),
                });
                Err(cause)
            }
        }
    }

    fn since(&self, time: Duration) -> Duration {
        self.time.now().saturating_sub(time)
    }
}

#[cfg(test)]
mod tests;
