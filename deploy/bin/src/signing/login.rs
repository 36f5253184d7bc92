//! Signing in as a person, for an identity token: by a browser on this machine (authorization code, RFC 8252), by a page on
//! another device (RFC 8628), or by a code that is carried here by hand.

mod browser;
mod callback;
mod provider;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use openidconnect::{
    AuthorizationCode, ConfigurationError, CsrfToken, Nonce, PkceCodeChallenge, RedirectUrl, Scope,
};
use url::Url;

use self::callback::{Callback, CallbackError};
use self::provider::Provider;
use super::AUDIENCE;
use crate::console::Console;
use crate::exit::Failure;
use crate::http::HttpError;
use crate::trust_source::read;

/// Where providers show a code instead of sending the browser somewhere (as Google named it, and Dex and sigstore-python know it).
const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

/// How to sign in; the names are cosign's, and sigstore-python's last.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Signing in")]
pub(crate) struct LoginArgs {
    /// The identity provider [default: the one of the signing configuration].
    #[arg(long, value_name = "URL")]
    oidc_issuer: Option<String>,
    /// Name of this program at the provider.
    #[arg(long, value_name = "ID", default_value = AUDIENCE)]
    oidc_client_id: String,
    /// The secret that goes with the name, for a provider that wants one.
    #[arg(long, value_name = "FILE")]
    oidc_client_secret_file: Option<PathBuf>,
    /// Where the browser comes back to, on this machine [default: a free port of localhost].
    #[arg(long, value_name = "URL")]
    oidc_redirect_url: Option<Url>,
    /// By a browser here, or by a page on any device [default: a browser, where there is a terminal].
    #[arg(long, value_name = "FLOW", conflicts_with = "oauth_force_oob")]
    fulcio_auth_flow: Option<Flow>,
    /// Open no browser: print the address, and take the code that the page shows.
    #[arg(long)]
    oauth_force_oob: bool,
}

/// The ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Flow {
    /// A browser on this machine.
    Normal,
    /// A page and a code, on any device.
    Device,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
enum LoginError {
    /// The provider does not speak OpenID Connect.
    #[error("{0}")]
    Provider(String),
    /// The provider did not answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Its page is none: a browser's opener starts other programs for it.
    #[error("expected an http:// or https:// page to sign in at, got {0}")]
    Page(String),
    /// It lacks an endpoint.
    #[error("the provider has no {0} endpoint")]
    Endpoint(&'static str),
    /// The browser did not come back.
    #[error(transparent)]
    Callback(#[from] CallbackError),
    /// No exchange for a token.
    #[error("no token: {0}")]
    Exchange(String),
    /// A token, and not of identity.
    #[error("the provider gave no identity token")]
    NoIdToken,
    /// A token of something else.
    #[error("the identity token: {0}")]
    Token(#[from] openidconnect::ClaimsVerificationError),
    /// Nobody typed it.
    #[error("expected the code that the page shows")]
    NoCode,
    /// An address that is none.
    #[error("{0}")]
    Url(#[from] url::ParseError),
}

impl From<ConfigurationError> for LoginError {
    fn from(error: ConfigurationError) -> LoginError {
        match error {
            ConfigurationError::MissingUrl(what) => LoginError::Endpoint(what),
            other => LoginError::Provider(other.to_string()),
        }
    }
}

impl LoginArgs {
    /// Signs in, if somebody is there to do it or a way was asked for.
    ///
    /// # Errors
    /// [`Failure`] names the provider.
    pub(crate) async fn token(&self, configured: Option<&str>) -> Result<Option<String>, Failure> {
        let attended = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if !attended && self.fulcio_auth_flow.is_none() && !self.oauth_force_oob {
            return Ok(None);
        }
        let issuer = self.oidc_issuer.as_deref().or(configured).ok_or_else(|| {
            Failure::usage("the signing configuration lists no identity provider: give --oidc-issuer URL")
        })?;
        let failed = |error: LoginError| Failure::failed(format!("signing in at {issuer}: {error}"));
        let secret = self.oidc_client_secret_file.as_deref().map(read).transpose()?;
        let secret = secret.map(|text| String::from_utf8_lossy(&text).trim().to_owned());
        let provider = Provider::discover(issuer, &self.oidc_client_id, secret)
            .await
            .map_err(failed)?;
        let token = match self.fulcio_auth_flow {
            Some(Flow::Device) => by_device(&provider).await,
            _ if self.oauth_force_oob => by_hand(&provider).await,
            _ => self.by_browser(&provider).await,
        };
        token.map(Some).map_err(failed)
    }

    async fn by_browser(&self, provider: &Provider) -> Result<String, LoginError> {
        let callback = Callback::bind(self.oidc_redirect_url.as_ref()).await?;
        let asked = Asked::new(provider, callback.url())?;
        if !browser::open(asked.url.as_str()).await {
            return by_hand(provider).await;
        }
        say(&format!(
            "Sign in with the browser that opens, or at:\n\n  {}\n",
            asked.url
        ));
        let code = callback.code(asked.state.secret()).await?;
        asked.redeem(provider, code).await
    }
}

/// The page of another device asks for a code that is shown here.
async fn by_device(provider: &Provider) -> Result<String, LoginError> {
    let waiting = provider.device().await?;
    let page = waiting.page();
    say(&format!(
        "Sign in with any device at:\n\n  {page}\n\nThe code there is {}",
        waiting.code()
    ));
    waiting.token(provider).await
}

/// The page shows a code that is typed here.
async fn by_hand(provider: &Provider) -> Result<String, LoginError> {
    let asked = Asked::new(provider, OUT_OF_BAND)?;
    say(&format!(
        "Sign in with any browser at:\n\n  {}\n\nThen type the code that it shows:",
        asked.url
    ));
    let code = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let code = code.await.ok().and_then(Result::ok).unwrap_or_default();
    let code = code.trim();
    if code.is_empty() {
        return Err(LoginError::NoCode);
    }
    asked.redeem(provider, code.to_owned()).await
}

fn say(text: &str) {
    Console::new().line(text);
}

/// An address that opens in a browser. The provider chooses it, and for another scheme than these two the desktop would start
/// what is registered for it.
fn page(mut url: Url) -> Result<Url, LoginError> {
    if matches!(url.scheme(), "http" | "https") {
        return Ok(url);
    }
    // What we added says nothing about it.
    url.set_query(None);
    Err(LoginError::Page(url.into()))
}

/// A request for a code, and what proves that the answer belongs to it.
struct Asked {
    url: Url,
    state: CsrfToken,
    nonce: Nonce,
    verifier: openidconnect::PkceCodeVerifier,
    redirect: RedirectUrl,
}

impl Asked {
    fn new(provider: &Provider, redirect: &str) -> Result<Asked, LoginError> {
        let redirect = RedirectUrl::new(redirect.to_owned())?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = provider
            .authorize()
            .set_redirect_uri(std::borrow::Cow::Borrowed(&redirect))
            .add_scope(Scope::new("email".to_owned()))
            .set_pkce_challenge(challenge)
            .url();
        Ok(Asked {
            url: page(url)?,
            state,
            nonce,
            verifier,
            redirect,
        })
    }

    async fn redeem(self, provider: &Provider, code: String) -> Result<String, LoginError> {
        let code = AuthorizationCode::new(code);
        provider
            .redeem(code, self.verifier, &self.redirect, &self.nonce)
            .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn nothing_but_a_page_is_opened() {
        for (address, refused) in [
            ("https://issuer.example/auth?state=s", None),
            ("http://localhost:3000/oidc/auth?state=s", None),
            ("file:///tmp/run.desktop?state=s", Some("file:///tmp/run.desktop")),
            ("steam://run/1?state=s", Some("steam://run/1")),
            ("ms-msdt:x?state=s", Some("ms-msdt:x")),
        ] {
            let said = page(address.parse().unwrap())
                .err()
                .map(|error| error.to_string());
            let expected =
                refused.map(|got| format!("expected an http:// or https:// page to sign in at, got {got}"));
            assert_eq!(said, expected, "{address}");
        }
    }
}
