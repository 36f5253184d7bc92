//! `token`: an identity token of the development issuer on standard output.

use std::io::Read;
use std::path::Path;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::TokenArgs;
use crate::console;
use crate::exit::Failure;
use crate::http::Client;

/// The issuer reads no more.
const CLAIMS_LIMIT: u64 = 16 << 10;

/// Runs the command.
///
/// # Errors
/// [`Failure`] when the claims cannot be read or the issuer gives no token.
pub(crate) async fn run(args: TokenArgs) -> Result<(), Failure> {
    let request = match &args.claims {
        Some(file) => json!({ "claims": claims(file)? }),
        None => json!({ "email": args.email }),
    };
    let client = Client::instance(&args.url).map_err(Failure::failed)?;
    let token = get(&client, &request).await.map_err(Failure::failed)?;
    console::result(&token).map_err(|error| Failure::failed(format!("cannot write the token: {error}")))
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// No answer, or a refusal.
    #[error(transparent)]
    Http(#[from] crate::http::HttpError),
    /// A server that gives no tokens.
    #[error(
        "{0} has no development issuer, which only `sigbox up` has: take a token of an issuer that this instance trusts"
    )]
    NoIssuer(String),
    /// An answer without a token in it.
    #[error(
        "{url}: expected JSON with id_token, got something else; is this a sigbox with a development issuer?"
    )]
    Shape {
        /// The URL asked.
        url: String,
    },
}

/// A token by the development grant.
///
/// # Errors
/// [`TokenError`].
pub(crate) async fn get(client: &Client, request: &Value) -> Result<String, TokenError> {
    #[derive(Deserialize)]
    struct Granted {
        id_token: String,
    }
    let path = format!("/oidc{}", deploy_issuer::DIRECT_GRANT_PATH);
    let answer = client
        .post(&path, "application/json", request.to_string().into_bytes())
        .await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Err(TokenError::NoIssuer(client.base().to_owned()));
    }
    let url = answer.url.clone();
    let body = answer.expect(StatusCode::OK)?;
    let granted: Granted = serde_json::from_slice(&body).map_err(|_| TokenError::Shape { url })?;
    Ok(granted.id_token)
}

fn claims(file: &Path) -> Result<Value, Failure> {
    let failed = |what: String| Failure::failed(format!("{}: {what}", file.display()));
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(|error| failed(error.to_string()))?)
    };
    let mut text = Vec::new();
    source
        .take(CLAIMS_LIMIT.saturating_add(1))
        .read_to_end(&mut text)
        .map_err(|error| failed(error.to_string()))?;
    if u64::try_from(text.len()).is_ok_and(|length| length > CLAIMS_LIMIT) {
        return Err(failed(format!(
            "expected at most {CLAIMS_LIMIT} bytes of claims, got more"
        )));
    }
    match serde_json::from_slice(&text) {
        Ok(Value::Object(claims)) => Ok(Value::Object(claims)),
        Ok(_) => Err(failed(
            "expected a JSON object of claims, got another JSON value".to_owned(),
        )),
        Err(error) => Err(failed(format!("expected a JSON object of claims: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::Router;

    use super::*;

    #[tokio::test]
    async fn an_instance_without_a_development_issuer_is_told_from_one_that_refuses() {
        let serve = Client::within(Router::new(), "https://sigstore.example");
        let said = get(&serve, &json!({ "email": "dev@example.com" }))
            .await
            .unwrap_err();
        assert!(matches!(said, TokenError::NoIssuer(_)), "{said}");
        assert!(
            said.to_string()
                .starts_with("https://sigstore.example has no development issuer"),
            "{said}"
        );
    }
}
