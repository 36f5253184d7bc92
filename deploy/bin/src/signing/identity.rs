//! The identity token of a keyless signature: given, from the environment, or of the machine's own.

use clap::Args;
use http::StatusCode;
use serde::Deserialize;
use url::Url;

use crate::exit::Failure;
use crate::http::Client;
use crate::signing::key::private_key;
use crate::signing::login::LoginArgs;
use crate::signing::services::Services;
use crate::signing::{AUDIENCE, Holder};
use crate::trust_source::read;
use std::io::Read as _;
use std::path::PathBuf;

/// Where a token is left for Sigstore clients, by GitLab CI among others.
const TOKEN_VARIABLE: &str = "SIGSTORE_ID_TOKEN";

/// Options of the commands that sign.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Signer")]
pub(crate) struct SignerArgs {
    /// Sign with this private key (PEM: PKCS #8, or cosign's), which verifiers must know. The password of an encrypted one
    /// is $COSIGN_PASSWORD, or asked for.
    #[arg(long, value_name = "PEM", conflicts_with = "identity_token")]
    pub(crate) key: Option<PathBuf>,
    /// Sign as whom this token certifies; the token itself, or a file that holds it. Else $SIGSTORE_ID_TOKEN, or the
    /// token of the GitHub Actions job, or whoever signs in.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) identity_token: Option<String>,
    #[command(flatten)]
    login: LoginArgs,
}

impl SignerArgs {
    /// Who signs.
    ///
    /// # Errors
    /// [`Failure`] when there is neither key nor token.
    pub(crate) async fn holder(&self, services: &Services) -> Result<Holder, Failure> {
        if let Some(path) = &self.key {
            return private_key(path).map(Holder::Key);
        }
        if let Some(given) = &self.identity_token {
            return given_token(given).map(Holder::Token);
        }
        if let Some(token) = variable(TOKEN_VARIABLE) {
            return Ok(Holder::Token(token));
        }
        if let Some(token) = github().await? {
            return Ok(Holder::Token(token));
        }
        if let Some(token) = self.login.token(services.issuer.as_deref()).await? {
            return Ok(Holder::Token(token));
        }
        Err(Failure::failed(format!(
            "no identity: give --identity-token TOKEN, set {TOKEN_VARIABLE}, sign in with --fulcio-auth-flow normal or device, \
             or sign with --key PEM; `sigbox token` prints a token of the development issuer"
        )))
    }
}

/// A token, or what the file of that name holds. Tokens have two dots and files rarely do.
pub(crate) fn given_token(given: &str) -> Result<String, Failure> {
    if given.matches('.').count() == 2 && !given.contains('/') {
        return Ok(given.to_owned());
    }
    let path = std::path::Path::new(given);
    if !path.is_file() {
        // What came may be a token all the same: it is not repeated.
        return Err(Failure::failed(
            "expected an identity token, which has two dots, or the name of a file that holds one",
        ));
    }
    let text = read(path)?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

/// The token that a command is to look at: as it is, of a file, of standard input (`-`), or of [`TOKEN_VARIABLE`].
///
/// # Errors
/// [`Failure`] when there is none.
pub(crate) fn token_to_look_at(given: Option<&str>) -> Result<String, Failure> {
    match given {
        Some("-") => {
            let mut text = Vec::new();
            let limit = u64::try_from(fulcio_ca::MAX_TOKEN).unwrap_or(u64::MAX);
            // One more than a token may have: it is then told that it is too long.
            std::io::stdin()
                .take(limit.saturating_add(2))
                .read_to_end(&mut text)
                .map_err(|error| Failure::failed(format!("standard input: {error}")))?;
            Ok(String::from_utf8_lossy(&text).trim().to_owned())
        }
        Some(given) => given_token(given),
        None => variable(TOKEN_VARIABLE).ok_or_else(|| {
            Failure::usage(format!(
                "no token: give one, the name of a file that holds one, or - for standard input; or set {TOKEN_VARIABLE}"
            ))
        }),
    }
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The token of a GitHub Actions job with `id-token: write`
/// (docs.github.com "OpenID Connect reference", requesting the JWT using environment variables).
async fn github() -> Result<Option<String>, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        value: String,
    }
    let (Some(url), Some(secret)) = (
        variable("ACTIONS_ID_TOKEN_REQUEST_URL"),
        variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
    ) else {
        return Ok(None);
    };
    let failed =
        |why: &dyn std::fmt::Display| Failure::failed(format!("token of the GitHub Actions job: {why}"));
    let mut url = Url::parse(&url).map_err(|error| failed(&error))?;
    url.query_pairs_mut().append_pair("audience", AUDIENCE);
    let path = url
        .as_str()
        .strip_prefix(&url.origin().ascii_serialization())
        .unwrap_or("/")
        .to_owned();
    let client = Client::new(&url.origin().ascii_serialization()).map_err(|error| failed(&error))?;
    let body = client
        .get_authorized(&path, &secret)
        .await
        .and_then(|answer| answer.expect(StatusCode::OK))
        .map_err(|error| failed(&error))?;
    // The body holds a token, so an error must not quote it.
    let answer: Answer =
        serde_json::from_slice(&body).map_err(|_| failed(&"expected JSON with a member value"))?;
    Ok(Some(answer.value))
}
