//! The issuer itself: configuration, state and the minting of tokens.

use crate::client::{Client, is_loopback};
use crate::email::Email;
use crate::error::{Kind, OAuthError};
use crate::grants::Grants;
use crate::jwt::TokenSigner;
use common_pki::key::Signer;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Who may talk to an issuer that believes everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Callers on this machine.
    LoopbackOnly,
    /// Anyone who reaches the socket: whoever starts it so must know that anyone may then sign as anyone. The direct
    /// grant stays on loopback even then.
    AnyInterface,
}

/// How to set up an [`Issuer`].
#[derive(Clone, Debug)]
pub struct Config {
    /// The issuer identifier, exactly as in tokens: an http(s) URL without query, fragment or trailing slash
    /// (OpenID Connect Discovery §3), at which [`crate::router`] is mounted.
    pub url: String,
    /// Who may call.
    pub exposure: Exposure,
    /// The clients it serves; usually [`Client::sigstore`] alone.
    pub clients: Vec<Client>,
    /// How long a token is valid, 1 second to 24 hours.
    pub token_lifetime: Duration,
}

impl Config {
    /// Whether an [`Issuer`] can be made of this, given an RSA key: for callers that create keys only for what can start.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says which part cannot be.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.parsed_url().map(drop)
    }

    fn parsed_url(&self) -> Result<Url, ConfigError> {
        let Self {
            url,
            exposure,
            clients,
            token_lifetime,
        } = self;
        let parsed = Url::parse(url).map_err(|_| ConfigError::Url(url.clone()))?;
        let plain = matches!(parsed.scheme(), "http" | "https")
            && parsed.query().is_none()
            && parsed.fragment().is_none()
            && parsed.username().is_empty()
            && parsed.password().is_none();
        if !plain || url.ends_with('/') || parsed.as_str().trim_end_matches('/') != url {
            return Err(ConfigError::Url(url.clone()));
        }
        if *exposure == Exposure::LoopbackOnly && !is_loopback(&parsed) {
            return Err(ConfigError::NotLoopback(url.clone()));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(24 * 3600)).contains(token_lifetime) {
            return Err(ConfigError::Lifetime(*token_lifetime));
        }
        let ids: std::collections::HashSet<&str> = clients.iter().map(|client| client.id.as_str()).collect();
        if ids.len() != clients.len() || ids.contains("") {
            return Err(ConfigError::Clients);
        }
        Ok(parsed)
    }
}

/// Why an [`Issuer`] cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The URL is not an issuer identifier.
    #[error(
        "expected an issuer URL http(s)://host[:port][/path] without query, fragment or trailing slash, got {0:?}"
    )]
    Url(String),
    /// A loopback-only issuer with the name of another machine.
    #[error(
        "the development issuer certifies any e-mail address to anyone: its URL must be on localhost, 127.0.0.1 or [::1], got {0:?}, unless every interface is allowed explicitly"
    )]
    NotLoopback(String),
    /// Tokens must outlive the request they are for, and no more than a working day.
    #[error("expected a token lifetime from 1 second to 24 hours, got {0:?}")]
    Lifetime(Duration),
    /// Tokens are signed with RS256.
    #[error("expected an RSA key for RS256, got {0:?}")]
    Key(common_pki::key::KeyAlgorithm),
    /// Two clients of one name, or a client without one.
    #[error("expected clients with distinct, non-empty ids")]
    Clients,
}

/// Why no token could be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The key refused.
    #[error("the issuer's key could not sign")]
    Sign(#[from] common_pki::key::SignError),
    /// The clock is before 1970.
    #[error("the clock is before 1970")]
    Clock,
}

/// A development issuer.
pub struct Issuer {
    pub(crate) url: String,
    pub(crate) host: Option<String>,
    pub(crate) exposure: Exposure,
    pub(crate) clients: Vec<Client>,
    pub(crate) grants: Grants,
    pub(crate) signer: TokenSigner,
    pub(crate) token_lifetime: Duration,
    clock: Clock,
}

impl Issuer {
    /// An issuer that signs with `signer`, an RSA key of the caller's.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says which part of the configuration cannot be.
    pub fn new(config: Config, signer: Arc<dyn Signer>, clock: Clock) -> Result<Self, ConfigError> {
        let host = config.parsed_url()?.host_str().map(str::to_owned);
        let Config {
            url,
            exposure,
            clients,
            token_lifetime,
        } = config;
        let algorithm = signer.public_key().algorithm();
        let signer = TokenSigner::new(signer).ok_or(ConfigError::Key(algorithm))?;
        Ok(Self {
            url,
            host,
            exposure,
            clients,
            grants: Grants::new(),
            signer,
            token_lifetime,
            clock,
        })
    }

    /// The issuer identifier.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    pub(crate) fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// A token for a verified address, without any request: for callers in this process.
    ///
    /// # Errors
    ///
    /// [`MintError`]; none of them is the caller's fault.
    pub fn mint(&self, email: &Email, audience: &str) -> Result<String, MintError> {
        self.sign(self.email_claims(email, audience, None)?)
    }

    /// The claims of a person. `nbf` is left out: sigstore-python allows it no slack
    /// (`sigstore/oidc.py`), and a token is valid from its making anyway. `at_hash` is left out because Go and JavaScript
    /// compare it when present, and the access token is the identity token itself.
    pub(crate) fn email_claims(
        &self,
        email: &Email,
        audience: &str,
        nonce: Option<&str>,
    ) -> Result<Map<String, Value>, MintError> {
        let mut claims = self.base_claims(audience)?;
        claims.insert("sub".to_owned(), email.as_str().into());
        claims.insert("email".to_owned(), email.as_str().into());
        claims.insert("email_verified".to_owned(), true.into());
        if let Some(nonce) = nonce {
            claims.insert("nonce".to_owned(), nonce.into());
        }
        Ok(claims)
    }

    /// `iss`, `aud`, `iat`, `exp` (OpenID Connect Core §2), in whole seconds.
    pub(crate) fn base_claims(&self, audience: &str) -> Result<Map<String, Value>, MintError> {
        let now = self
            .now()
            .duration_since(UNIX_EPOCH)
            .map_err(|_| MintError::Clock)?;
        let expires = now.saturating_add(self.token_lifetime);
        Ok(Map::from_iter([
            ("iss".to_owned(), self.url.as_str().into()),
            ("aud".to_owned(), audience.into()),
            ("iat".to_owned(), now.as_secs().into()),
            ("exp".to_owned(), expires.as_secs().into()),
        ]))
    }

    pub(crate) fn sign(&self, claims: Map<String, Value>) -> Result<String, MintError> {
        Ok(self.signer.sign(claims)?)
    }

    /// [`Issuer::sign`] away from the async threads, with the errors of an endpoint.
    pub(crate) async fn sign_for_response(
        self: &Arc<Self>,
        claims: Map<String, Value>,
    ) -> Result<String, OAuthError> {
        let issuer = Arc::clone(self);
        common_server::cpu::run(move || issuer.sign(claims))
            .await
            .map_err(|_| OAuthError::new(Kind::TemporarilyUnavailable, "the server is busy"))?
            .map_err(OAuthError::from)
    }
}

impl From<MintError> for OAuthError {
    fn from(error: MintError) -> Self {
        tracing::error!(%error, "no token was made");
        Self::new(Kind::ServerError, "no token could be made")
    }
}
