//! The development OIDC issuer: an OpenID provider that believes whoever asks.
//!
//! It exists so that a private Sigstore is complete on one machine: the official clients sign in against it unmodified, by
//! browser (authorization code with PKCE, RFC 7636), without one (device code, RFC 8628), as a service (client
//! credentials, RFC 6749 §4.4), and directly (`POST token/dev`, below). It asks for an e-mail address and certifies it
//! without any proof, so it answers loopback callers only unless its owner says otherwise in [`Exposure`].
//!
//! It leaves out everything an identity provider is for: passwords, sessions, consent, refresh tokens, user records, key
//! rotation. It never fetches anything: `request_uri` and the like are refused. Its key is the caller's
//! ([`common_pki::key::Signer`], RSA), and so is the clock.
//!
//! # Direct development grant
//!
//! `POST {issuer}/token/dev` with `Content-Type: application/json`, from a loopback peer only and through no
//! proxy that says so:
//!
//! - `{"email": "dev@example.com", "audience": "sigstore"}` answers a token for that verified address
//!   (`audience` optional);
//! - `{"claims": {"sub": "…", …}}` answers a token with exactly these claims over the defaults `iss`, `aud`, `iat`,
//!   `exp`. A claim set to `null` removes the default, so that a test can ask for an expired, misdirected or incomplete token.
//!
//! The answer is the token endpoint's: `{"access_token": T, "id_token": T, "token_type": "Bearer", "expires_in": N}`.
//!
//! Built upon by `deploy/bin`, which mounts [`router`] under `/oidc` and gives the URL of that mount to [`Issuer::new`].

mod authorize;
mod client;
mod device;
mod direct;
mod discovery;
mod email;
mod error;
mod form;
mod grants;
mod guard;
mod issuer;
mod jwt;
mod page;
mod pkce;
mod token;

pub use client::Client;
pub use direct::DIRECT_GRANT_PATH;
pub use email::{Email, EmailError};
pub use issuer::{Clock, Config, ConfigError, Exposure, Issuer, MintError};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use std::sync::Arc;

/// The largest request body any endpoint reads, in bytes. The longest honest one is a token request of a few hundred.
const BODY_LIMIT: usize = 16 << 10;

/// All endpoints, relative to the issuer URL.
///
/// The server that carries them must put the peer's address into the request as
/// `axum::extract::ConnectInfo<std::net::SocketAddr>`: a request without it counts as a stranger's.
pub fn router(issuer: Arc<Issuer>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery::configuration))
        .route("/keys", get(discovery::keys))
        .route("/auth", get(authorize::ask).post(authorize::answer))
        .route("/device", get(device::ask).post(device::answer))
        .route("/device/code", post(device::authorization))
        .route("/token", post(token::exchange))
        .route(DIRECT_GRANT_PATH, post(direct::grant))
        .route("/style.css", get(page::stylesheet))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&issuer),
            guard::admit,
        ))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(issuer)
}

#[cfg(test)]
mod tests;
