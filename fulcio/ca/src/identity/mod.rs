//! From an identity token to a principal.
//!
//! The order is that of upstream's `pkg/identity/issuerpool.go`: the unverified `iss` selects configuration
//! and nothing else, then the claims every token needs, then the signature, then what the issuer's
//! type demands. Claims are checked before the signature because refusing is cheaper than verifying.

pub(crate) mod claims;
mod config;
mod discovery;
mod email;
mod error;
mod fetch;
mod jwk;
mod keys;
pub(crate) mod principal;
pub(crate) mod token;

use std::collections::HashMap;
use std::sync::Arc;

use openidconnect::JsonWebKey as _;

pub use config::{ClaimPath, ConfigError, IdentityType, IssuerConfig};
pub use discovery::DiscoveryError;
pub use error::TokenError;
pub use fetch::{FETCH_TIMEOUT, Fetch, FetchError, HttpFetcher, MAX_DOCUMENT};
pub use keys::KeyCache;
pub use token::MAX_TOKEN;

pub(crate) use error::quote;

use keys::{KeySet, KeySource};
use principal::Principal;
use token::Token;

use crate::Clock;

/// Keys tried for a token that names none; each try is a signature check.
const MAX_CANDIDATES: usize = 16;

/// The configured issuers.
pub(crate) struct Issuers {
    clock: Clock,
    by_url: HashMap<String, Arc<KeySource>>,
}

impl Issuers {
    pub(crate) fn new(
        configs: Vec<IssuerConfig>,
        cache: KeyCache,
        fetch: &Arc<dyn Fetch>,
        clock: &Clock,
    ) -> Result<Self, ConfigError> {
        let mut by_url = HashMap::new();
        for config in configs {
            let url = config.issuer_url().to_owned();
            let source = KeySource::new(config, cache, Arc::clone(fetch), Arc::clone(clock));
            if by_url.insert(url.clone(), Arc::new(source)).is_some() {
                return Err(ConfigError::Duplicate { issuer: url });
            }
        }
        Ok(Self {
            clock: Arc::clone(clock),
            by_url,
        })
    }

    /// Every configuration, by URL.
    pub(crate) fn configs(&self) -> Vec<&IssuerConfig> {
        let mut configs: Vec<_> = self.by_url.values().map(|source| source.config()).collect();
        configs.sort_by(|one, other| one.issuer_url().cmp(other.issuer_url()));
        configs
    }

    /// Checks the claims of `token` and gets the keys it must have been signed with.
    pub(crate) async fn open(&self, token: Token) -> Result<Opened, TokenError> {
        let issuer = token.claims.required("iss")?;
        let source = self
            .by_url
            .get(issuer)
            .ok_or_else(|| TokenError::UnknownIssuer { got: quote(issuer) })?;
        token.claims.check_audience(&source.config().audiences)?;
        token.claims.check_time((self.clock)())?;
        let keys = source
            .current()
            .await
            .map_err(|cause| TokenError::KeysUnavailable {
                issuer: source.config().issuer_url().to_owned(),
                cause: cause.to_string(),
            })?;
        Ok(Opened {
            token,
            source: Arc::clone(source),
            keys,
        })
    }
}

/// A token whose claims pass and whose signature is still to be checked.
pub(crate) struct Opened {
    token: Token,
    source: Arc<KeySource>,
    keys: Arc<KeySet>,
}

impl Opened {
    /// Whose token it is.
    pub(crate) fn issuer_url(&self) -> &str {
        self.source.config().issuer_url()
    }

    /// Checks the signature and makes the principal. Heavy.
    pub(crate) fn verify(&self) -> Result<Principal, TokenError> {
        let config = self.source.config();
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
                return match config.identity_type {
                    IdentityType::Email => email::principal(config, &self.token.claims),
                };
            }
        }
        let issuer = config.issuer_url().to_owned();
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
    pub(crate) async fn renew(&mut self) -> bool {
        match self.source.newer(&self.keys).await {
            Some(keys) => {
                self.keys = keys;
                true
            }
            None => false,
        }
    }
}
