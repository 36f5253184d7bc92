//! The authorization endpoint: code flow with PKCE (RFC 6749 §4.1, RFC 7636), and the page that asks who you are.

use crate::client::{Client, Redirect};
use crate::email::Email;
use crate::error::{Kind, OAuthError};
use crate::form::{Form, Parameters};
use crate::grants::CodeGrant;
use crate::issuer::Issuer;
use crate::page;
use crate::pkce::Challenge;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use std::sync::Arc;

/// What the page carries from the question to the answer. Everything is checked again then.
const CARRIED: [&str; 8] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
];

/// A request that may be answered at its redirect URI.
struct AuthorizationRequest<'a> {
    client: &'a Client,
    redirect_uri: &'a str,
    redirect: Redirect,
    challenge: Challenge,
}

/// Why not: told to the person while the redirect URI is in doubt, to the client afterwards (RFC 6749 §4.1.2.1).
enum Refusal {
    Page(OAuthError),
    Redirect(Redirect, OAuthError),
}

/// `GET auth`.
pub(crate) async fn ask(State(issuer): State<Arc<Issuer>>, RawQuery(query): RawQuery) -> Response {
    let parameters = match Parameters::parse(query.unwrap_or_default().as_bytes()) {
        Ok(parameters) => parameters,
        Err(error) => return page::refusal(&error),
    };
    match read(&issuer, &parameters) {
        Ok(request)
            if parameters
                .get("prompt")
                .is_some_and(|prompt| prompt.split(' ').any(|p| p == "none")) =>
        {
            // OpenID Connect Core §3.1.2.1: no page may be shown, and without one nobody is signed in.
            refuse(
                &parameters,
                Refusal::Redirect(
                    request.redirect,
                    OAuthError::new(Kind::LoginRequired, "sign in first"),
                ),
            )
        }
        Ok(_) => page::sign_in(
            &carried(&parameters),
            parameters.get("login_hint").unwrap_or_default(),
            None,
        ),
        Err(refusal) => refuse(&parameters, refusal),
    }
}

/// `POST auth`: the page comes back with an address.
pub(crate) async fn answer(State(issuer): State<Arc<Issuer>>, form: Result<Form, OAuthError>) -> Response {
    let parameters = match form {
        Ok(Form(parameters)) => parameters,
        Err(error) => return page::refusal(&error),
    };
    match grant(&issuer, &parameters) {
        Ok(response) => response,
        Err(refusal) => refuse(&parameters, refusal),
    }
}

fn grant(issuer: &Issuer, parameters: &Parameters) -> Result<Response, Refusal> {
    let request = read(issuer, parameters)?;
    if parameters.get("decision") == Some("deny") {
        return Err(Refusal::Redirect(
            request.redirect,
            OAuthError::new(Kind::AccessDenied, "the sign-in was refused"),
        ));
    }
    let typed = parameters.get("email").unwrap_or_default();
    let email = match Email::parse(typed) {
        Ok(email) => email,
        Err(error) => {
            return Ok(page::sign_in(
                &carried(parameters),
                typed,
                Some(&error.to_string()),
            ));
        }
    };
    let code = CodeGrant {
        client_id: request.client.id.clone(),
        redirect_uri: request.redirect_uri.to_owned(),
        challenge: request.challenge,
        nonce: parameters.get("nonce").map(str::to_owned),
        email,
    };
    match issuer.grants.issue_code(code, issuer.now()) {
        Ok(code) => Ok(match request.redirect {
            Redirect::Uri(_) => see_other(parameters, request.redirect, &[("code", &code)]),
            Redirect::OutOfBand => page::code(&code),
        }),
        Err(error) => Err(Refusal::Redirect(request.redirect, error)),
    }
}

fn read<'a>(issuer: &'a Issuer, parameters: &'a Parameters) -> Result<AuthorizationRequest<'a>, Refusal> {
    let client_id = parameters.require("client_id").map_err(Refusal::Page)?;
    let client = issuer.client(client_id).ok_or_else(|| {
        Refusal::Page(OAuthError::invalid_request(format!(
            "no client is called {client_id}"
        )))
    })?;
    // RFC 9700 §4.11: never redirect to a URI that was not checked.
    let redirect_uri = parameters.require("redirect_uri").map_err(Refusal::Page)?;
    let redirect = client.redirect(redirect_uri).ok_or_else(|| {
        Refusal::Page(OAuthError::invalid_request(format!(
            "expected a redirect_uri of client {client_id}, for a native client http://localhost:PORT/ANY, got {redirect_uri}"
        )))
    })?;
    match checked_challenge(parameters) {
        Ok(challenge) => Ok(AuthorizationRequest {
            client,
            redirect_uri,
            redirect,
            challenge,
        }),
        Err(error) => Err(Refusal::Redirect(redirect, error)),
    }
}

/// Everything that is reported to the client itself.
fn checked_challenge(parameters: &Parameters) -> Result<Challenge, OAuthError> {
    if parameters.get("request").is_some() {
        return Err(OAuthError::new(
            Kind::RequestNotSupported,
            "expected plain parameters",
        ));
    }
    // OpenID Connect Core §6.2 would have us fetch a URL of the client's choice.
    if parameters.get("request_uri").is_some() {
        return Err(OAuthError::new(
            Kind::RequestUriNotSupported,
            "expected plain parameters",
        ));
    }
    let response_type = parameters.require("response_type")?;
    if response_type != "code" {
        let message = format!("expected response_type code, got {response_type}");
        return Err(OAuthError::new(Kind::UnsupportedResponseType, message));
    }
    if let Some(mode) = parameters.get("response_mode").filter(|mode| *mode != "query") {
        return Err(OAuthError::invalid_request(format!(
            "expected response_mode query, got {mode}"
        )));
    }
    let scope = parameters.get("scope").unwrap_or_default();
    if !scope.split(' ').any(|scope| scope == "openid") {
        return Err(OAuthError::new(
            Kind::InvalidScope,
            "expected scope openid, at most with email",
        ));
    }
    Challenge::read(parameters)?.ok_or_else(|| {
        OAuthError::invalid_request("expected code_challenge with method S256 (RFC 7636), got none")
    })
}

fn carried(parameters: &Parameters) -> Vec<(&'static str, &str)> {
    CARRIED
        .into_iter()
        .filter_map(|name| Some((name, parameters.get(name)?)))
        .collect()
}

fn refuse(parameters: &Parameters, refusal: Refusal) -> Response {
    match refusal {
        Refusal::Page(error) | Refusal::Redirect(Redirect::OutOfBand, error) => page::refusal(&error),
        Refusal::Redirect(redirect, error) => {
            let description = error.description.as_str();
            see_other(
                parameters,
                redirect,
                &[("error", error.kind.code()), ("error_description", description)],
            )
        }
    }
}

/// Back to the client, with its `state` (RFC 6749 §4.1.2). 303, so that a posted address is not posted on.
fn see_other(parameters: &Parameters, redirect: Redirect, answer: &[(&str, &str)]) -> Response {
    let Redirect::Uri(mut url) = redirect else {
        return page::refusal(&OAuthError::new(
            Kind::ServerError,
            "there is nowhere to go back to",
        ));
    };
    url.query_pairs_mut()
        .extend_pairs(answer)
        .extend_pairs(parameters.get("state").map(|state| ("state", state)));
    let headers = [
        (header::LOCATION, url.as_str()),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}
