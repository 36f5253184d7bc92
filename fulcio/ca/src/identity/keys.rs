//! The bounded cache of one issuer's keys.
//!
//! go-oidc refetches on every unknown key identifier, so that anybody can make a Fulcio hammer an
//! issuer. Here a set has a lifetime, attempts have a minimum interval, and requests that need a
//! refresh at the same time share one (`jwks.go` in go-oidc for the parts that agree).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use super::config::IssuerConfig;
use super::discovery::{DiscoveryError, Published, discover};
use super::fetch::Fetch;
use crate::Clock;

/// How long keys are believed.
#[derive(Clone, Copy, Debug)]
pub struct KeyCache {
    /// Age at which a set is read again before its next use.
    pub lifetime: Duration,
    /// Least time between two attempts at one issuer, successful or not.
    pub min_interval: Duration,
    /// Age up to which a set still serves when the issuer does not answer.
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

/// A set and when it was read.
#[derive(Debug)]
pub(crate) struct KeySet {
    pub(crate) published: Published,
    read_at: SystemTime,
}

/// One issuer's keys.
pub(crate) struct KeySource {
    config: IssuerConfig,
    cache: KeyCache,
    fetch: Arc<dyn Fetch>,
    clock: Clock,
    current: ArcSwapOption<KeySet>,
    /// Held while the issuer is asked; holds the outcome of the last attempt.
    last: Mutex<Option<Attempt>>,
}

struct Attempt {
    at: SystemTime,
    failure: Option<DiscoveryError>,
}

impl KeySource {
    pub(crate) fn new(config: IssuerConfig, cache: KeyCache, fetch: Arc<dyn Fetch>, clock: Clock) -> Self {
        Self {
            config,
            cache,
            fetch,
            clock,
            current: ArcSwapOption::empty(),
            last: Mutex::new(None),
        }
    }

    pub(crate) fn config(&self) -> &IssuerConfig {
        &self.config
    }

    /// Keys to verify with now: fresh ones, or stale ones while the issuer does not answer.
    pub(crate) async fn current(self: &Arc<Self>) -> Result<Arc<KeySet>, DiscoveryError> {
        let held = self.current.load_full();
        if let Some(set) = &held
            && self.age(set.read_at) < self.cache.lifetime
        {
            return Ok(Arc::clone(set));
        }
        match (self.refresh(held.clone()).await, held) {
            (Ok(set), _) => Ok(set),
            // Only silence is bridged. An issuer that answers and publishes no usable key has withdrawn them.
            (Err(DiscoveryError::Fetch { .. }), Some(set))
                if self.age(set.read_at) < self.cache.max_stale =>
            {
                Ok(set)
            }
            (Err(cause), _) => Err(cause),
        }
    }

    /// Keys newer than `seen`, which did not verify a token; `None` if there are none to be had yet.
    pub(crate) async fn newer(self: &Arc<Self>, seen: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let set = self.refresh(Some(Arc::clone(seen))).await.ok()?;
        (!Arc::ptr_eq(&set, seen)).then_some(set)
    }

    /// Asks the issuer, unless somebody did meanwhile or did so too recently.
    ///
    /// In a task of its own, so that a client that goes away does not stop what others wait for.
    async fn refresh(self: &Arc<Self>, seen: Option<Arc<KeySet>>) -> Result<Arc<KeySet>, DiscoveryError> {
        let source = Arc::clone(self);
        let task = tokio::spawn(async move { source.refresh_alone(seen).await });
        // The task is never aborted; a panic in it is answered as an issuer that does not answer.
        task.await.unwrap_or(Err(DiscoveryError::NoKeys))
    }

    async fn refresh_alone(&self, seen: Option<Arc<KeySet>>) -> Result<Arc<KeySet>, DiscoveryError> {
        let mut last = self.last.lock().await;
        let held = self.current.load_full();
        if let Some(set) = &held
            && !seen.is_some_and(|seen| Arc::ptr_eq(&seen, set))
        {
            return Ok(Arc::clone(set));
        }
        if let Some(attempt) = last.as_ref()
            && self.age(attempt.at) < self.cache.min_interval
        {
            return match (&attempt.failure, held) {
                (None, Some(set)) => Ok(set),
                (Some(cause), _) => Err(cause.clone()),
                (None, None) => Err(DiscoveryError::NoKeys),
            };
        }
        let at = (self.clock)();
        match discover(self.fetch.as_ref(), &self.config).await {
            Ok(published) => {
                *last = Some(Attempt { at, failure: None });
                let set = Arc::new(KeySet {
                    published,
                    read_at: at,
                });
                self.current.store(Some(Arc::clone(&set)));
                Ok(set)
            }
            Err(cause) => {
                tracing::warn!(issuer = %self.config.issuer_url(), %cause, "keys cannot be read");
                *last = Some(Attempt {
                    at,
                    failure: Some(cause.clone()),
                });
                Err(cause)
            }
        }
    }

    /// How long ago `time` was. A clock that went back makes it for ever ago, which asks again.
    fn age(&self, time: SystemTime) -> Duration {
        (self.clock)().duration_since(time).unwrap_or(Duration::MAX)
    }
}
