//! From an identity token to a principal.
//!
//! The order is that of upstream's `pkg/identity/issuerpool.go`: the unverified `iss` selects configuration
//! and nothing else, then the claims every token needs, then the signature, then what the issuer's
//! type demands. Claims are checked before the signature because refusing is cheaper than verifying.

pub(crate) mod claims;
mod config;
mod discovery;
mod error;
mod fetch;
mod jwk;
mod keys;
mod kind;
mod legacy;
mod nearest;
pub(crate) mod principal;
mod provider;
pub(crate) mod template;
pub(crate) mod token;
pub(crate) mod uri;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use openidconnect::JsonWebKey as _;
use tokio::sync::Semaphore;

pub use config::{ConfigError, IssuerConfig, KeyOrigin, Proxy};
pub use discovery::DiscoveryError;
pub use error::TokenError;
pub use fetch::{FETCH_TIMEOUT, Fetch, FetchError, FetchFor, HttpFetcher, MAX_DOCUMENT};
pub use keys::KeyCache;
pub use kind::{ClaimPath, Email, IdentityType, SubjectDomain, TypeText};
pub use provider::{CiProvider, CiProviderText};
pub use token::MAX_TOKEN;

pub(crate) use config::checked;
pub(crate) use error::quote;

use claims::Claims;
use keys::{KeySet, KeySource};
use principal::Principal;
use token::Token;

use crate::Clock;
use crate::policy::Policy;

/// Keys tried for a token that names none; each try is a signature check.
const MAX_CANDIDATES: usize = 16;
/// Issuers kept of those that match patterns. Upstream keeps 100.
const MAX_CONCRETE: usize = 200;
/// Of those, issuers asked for the first time at once: who they are, a token decides.
const MAX_FIRST_CONTACTS: usize = 16;

/// One issuer and its keys.
#[derive(Clone)]
pub(crate) struct Issuer {
    pub(crate) config: Arc<IssuerConfig>,
    keys: Arc<KeySource>,
}

/// Issuers that matched a pattern, by URL, each with the number of its last use.
#[derive(Default)]
struct Concrete {
    uses: u64,
    known: HashMap<String, (u64, Issuer)>,
}

/// How keys are read: what a reload does not change.
#[derive(Clone)]
pub(crate) struct Reading {
    pub(crate) cache: KeyCache,
    pub(crate) fetch: FetchFor,
    pub(crate) clock: Clock,
}

/// The configured issuers.
pub(crate) struct Issuers {
    reading: Reading,
    configs: Vec<Arc<IssuerConfig>>,
    exact: HashMap<String, Issuer>,
    concrete: Mutex<Concrete>,
    first_contacts: Semaphore,
}

impl Issuers {
    /// The issuers of `configs`. Keys that `old` has read are kept where they would be read in the same way.
    pub(crate) fn new(
        mut configs: Vec<IssuerConfig>,
        reading: Reading,
        old: Option<&Self>,
    ) -> Result<Self, ConfigError> {
        for known in old.iter().flat_map(|old| &old.configs) {
            let same = |config: &&mut IssuerConfig| config.issuer_url() == known.issuer_url();
            if let Some(config) = configs.iter_mut().find(same) {
                Arc::make_mut(&mut config.policy).adopt(&known.policy);
            }
        }
        let configs = checked(configs)?;
        let mut exact = HashMap::new();
        for config in configs.iter().filter(|config| !config.is_meta()) {
            let url = config.issuer_url().to_owned();
            let known = old
                .and_then(|old| old.exact.get(&url))
                .filter(|known| known.config.keys == config.keys);
            let issuer = match known {
                Some(known) => Issuer {
                    config: Arc::clone(config),
                    keys: Arc::clone(&known.keys),
                },
                None => reading.issuer(Arc::clone(config))?,
            };
            exact.insert(url, issuer);
        }
        let concrete = old.map(|old| old.matched(&configs)).unwrap_or_default();
        Ok(Self {
            reading,
            configs,
            exact,
            concrete: Mutex::new(concrete),
            first_contacts: Semaphore::new(MAX_FIRST_CONTACTS),
        })
    }

    /// The issuers that matched patterns, where their keys would be read in the same way with `configs`.
    fn matched(&self, configs: &[Arc<IssuerConfig>]) -> Concrete {
        let old = self.concrete.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = old.known.iter().filter_map(|(iss, (used, issuer))| {
            let config = configs.iter().find_map(|config| config.concrete(iss))?;
            let same = config.keys == issuer.config.keys;
            let keys = Arc::clone(&issuer.keys);
            let config = Arc::new(config);
            same.then(|| (iss.clone(), (*used, Issuer { config, keys })))
        });
        Concrete {
            uses: old.uses,
            known: kept.collect(),
        }
    }

    /// How keys are read.
    pub(crate) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Every configuration, exact ones first.
    pub(crate) fn configs(&self) -> &[Arc<IssuerConfig>] {
        &self.configs
    }

    /// The issuer that `iss` names, and the configuration that it was found by: an exact URL before any pattern, and of the
    /// patterns the one in which most is fixed.
    pub(crate) fn find(&self, iss: &str) -> Result<Issuer, TokenError> {
        if let Some(issuer) = self.exact.get(iss) {
            return Ok(issuer.clone());
        }
        let mut matching = self.configs.iter().filter_map(|config| config.concrete(iss));
        let Some(config) = matching.next() else {
            return Err(TokenError::UnknownIssuer { got: quote(iss) });
        };
        let mut concrete = self.concrete.lock().unwrap_or_else(PoisonError::into_inner);
        let Concrete { uses, known } = &mut *concrete;
        *uses = uses.saturating_add(1);
        if let Some((used, issuer)) = known.get_mut(iss) {
            *used = *uses;
            return Ok(issuer.clone());
        }
        if known.len() >= MAX_CONCRETE {
            // Names that anybody can make up go before issuers that answered.
            let oldest = known
                .iter()
                .min_by_key(|(_, (used, issuer))| (issuer.keys.has_keys(), *used));
            let oldest = oldest.map(|(iss, _)| iss.clone());
            oldest.and_then(|iss| known.remove(&iss));
        }
        let issuer = self
            .reading
            .issuer(Arc::new(config))
            .map_err(|cause| unavailable(iss, &cause))?;
        known.insert(iss.to_owned(), (*uses, issuer.clone()));
        Ok(issuer)
    }

    /// Which configuration an `iss` that none has was probably meant for, and what differs.
    pub(crate) fn nearest(&self, iss: &str) -> Option<String> {
        nearest::nearest(&self.configs, iss)
    }

    /// Checks the claims of `token` and gets the keys it must have been signed with.
    pub(crate) async fn open(&self, token: Token) -> Result<Opened, TokenError> {
        let issuer = self.find(token.claims.required("iss")?)?;
        token.claims.check_audience(&issuer.config.audiences)?;
        token.claims.check_time(self.now())?;
        self.with_keys(token, issuer).await
    }

    /// The time that tokens are judged at.
    pub(crate) fn now(&self) -> SystemTime {
        (self.reading.clock)()
    }

    /// `token`, and the keys of its issuer.
    pub(crate) async fn with_keys(&self, token: Token, issuer: Issuer) -> Result<Opened, TokenError> {
        let Issuer { config, keys: source } = issuer;
        let url = config.issuer_url();
        let first_contact = if self.exact.contains_key(url) || source.has_keys() {
            None
        } else {
            let busy = |_| {
                unavailable(
                    url,
                    &"too many issuers are asked for the first time; retry shortly",
                )
            };
            Some(self.first_contacts.try_acquire().map_err(busy)?)
        };
        let keys = source.current().await.map_err(|cause| unavailable(url, &cause))?;
        drop(first_contact);
        Ok(Opened {
            token,
            config,
            source,
            keys,
        })
    }
}

impl Reading {
    fn issuer(&self, config: Arc<IssuerConfig>) -> Result<Issuer, ConfigError> {
        let clock = Arc::clone(&self.clock);
        let keys = match config.keys.fixed(config.issuer_url())? {
            Some(keys) => KeySource::fixed(Arc::clone(&config), keys, clock),
            None => KeySource::new(Arc::clone(&config), self.cache, (self.fetch)(&config)?, clock),
        };
        Ok(Issuer {
            config,
            keys: Arc::new(keys),
        })
    }
}

fn unavailable(issuer: &str, cause: &dyn std::fmt::Display) -> TokenError {
    TokenError::KeysUnavailable {
        issuer: issuer.to_owned(),
        cause: cause.to_string(),
    }
}

/// A token whose claims pass and whose signature is still to be checked.
pub(crate) struct Opened {
    token: Token,
    config: Arc<IssuerConfig>,
    source: Arc<KeySource>,
    keys: Arc<KeySet>,
}

impl Opened {
    /// Whose token it is.
    pub(crate) fn issuer_url(&self) -> &str {
        self.config.issuer_url()
    }

    /// The configuration it was found by.
    pub(crate) fn config(&self) -> &IssuerConfig {
        &self.config
    }

    /// The issuer's policy, for a token that has verified.
    pub(crate) fn policy(&self) -> &Policy {
        &self.config.policy
    }

    /// Its claims, to be believed once it has verified.
    pub(crate) fn claims(&self) -> &Claims {
        &self.token.claims
    }

    /// Who is meant. Only for a token that has verified.
    pub(crate) fn principal(&self) -> Result<Principal, TokenError> {
        principal::principal(&self.config, &self.token.claims)
    }

    /// Checks the signature. The issuer may have rotated its keys since they were read, so after a failure it is asked once
    /// more. Heavy.
    pub(crate) async fn authenticate(&mut self) -> Result<(), TokenError> {
        match self.signature() {
            Err(TokenError::UnknownKey { .. } | TokenError::Signature { .. }) if self.renew().await => {
                self.signature()
            }
            outcome => outcome,
        }
    }

    fn signature(&self) -> Result<(), TokenError> {
        let Token {
            algorithm, key_id, ..
        } = &self.token;
        let published = &self.keys.published;
        if !published.algorithms.contains(algorithm) {
            let names: Vec<_> = published.algorithms.iter().map(token::algorithm_name).collect();
            return Err(TokenError::Algorithm {
                expected: names.join(", "),
                got: quote(token::algorithm_name(algorithm)),
            });
        }
        let mut tried = false;
        for key in jwk::candidates(&published.keys, key_id.as_deref(), algorithm, MAX_CANDIDATES) {
            tried = true;
            if key
                .verify_signature(algorithm, self.token.signed(), self.token.signature())
                .is_ok()
            {
                return Ok(());
            }
        }
        let issuer = self.config.issuer_url().to_owned();
        Err(match tried {
            true => TokenError::Signature { issuer },
            false => TokenError::UnknownKey {
                issuer,
                algorithm: token::algorithm_name(algorithm),
                kid: key_id.as_deref().map_or_else(|| "none".to_owned(), quote),
            },
        })
    }

    /// After a signature that did not verify: takes newer keys if the issuer has any. `false` if not.
    async fn renew(&mut self) -> bool {
        match self.source.newer(&self.keys).await {
            Some(keys) => {
                self.keys = keys;
                true
            }
            None => false,
        }
    }
}
