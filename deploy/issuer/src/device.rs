//! Device authorization (RFC 8628): for a client without a browser, cosign's default without a terminal.

use crate::client::Credentials;
use crate::email::Email;
use crate::error::{Kind, OAuthError};
use crate::form::{Form, Parameters};
use crate::grants::{DEVICE_LIFETIME, DeviceGrant, POLL_INTERVAL};
use crate::issuer::Issuer;
use crate::page;
use crate::pkce::Challenge;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use serde_json::json;
use std::sync::Arc;

/// `POST device/code` (RFC 8628 §3.1).
pub(crate) async fn authorization(
    State(issuer): State<Arc<Issuer>>,
    headers: HeaderMap,
    Form(form): Form,
) -> Result<Response, OAuthError> {
    let client = Credentials::read(
        headers.get(header::AUTHORIZATION),
        form.get("client_id"),
        form.get("client_secret"),
    )?
    .authenticate(&issuer.clients)?;
    if !form
        .get("scope")
        .unwrap_or_default()
        .split(' ')
        .any(|scope| scope == "openid")
    {
        return Err(OAuthError::new(
            Kind::InvalidScope,
            "expected scope openid, at most with email",
        ));
    }
    let grant = DeviceGrant {
        client_id: client.id.clone(),
        challenge: Challenge::read(&form)?,
        nonce: form.get("nonce").map(str::to_owned),
    };
    let codes = issuer.grants.issue_device(grant, issuer.now())?;
    let page = format!("{}/device", issuer.url);
    let body = json!({
        "device_code": codes.device_code,
        "user_code": codes.user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={}", codes.user_code),
        "expires_in": DEVICE_LIFETIME.as_secs(),
        "interval": POLL_INTERVAL.as_secs(),
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// `GET device`: the page behind the verification URI.
pub(crate) async fn ask(RawQuery(query): RawQuery) -> Response {
    match Parameters::parse(query.unwrap_or_default().as_bytes()) {
        Ok(parameters) => page::device(parameters.get("user_code").unwrap_or_default(), "", None),
        Err(error) => page::refusal(&error),
    }
}

/// `POST device`: the page comes back with a decision.
pub(crate) async fn answer(State(issuer): State<Arc<Issuer>>, form: Result<Form, OAuthError>) -> Response {
    let form = match form {
        Ok(Form(form)) => form,
        Err(error) => return page::refusal(&error),
    };
    let user_code = form.get("user_code").unwrap_or_default();
    let typed = form.get("email").unwrap_or_default();
    let answer = match form.get("decision") {
        Some("deny") => None,
        _ => match Email::parse(typed) {
            Ok(email) => Some(email),
            Err(error) => return page::device(user_code, typed, Some(&error.to_string())),
        },
    };
    let message = match &answer {
        Some(email) => format!("Signed in as {}. You can close this page.", email.as_str()),
        None => "The sign-in was refused. You can close this page.".to_owned(),
    };
    if issuer.grants.decide_device(user_code, answer, issuer.now()) {
        page::message("Done", &message)
    } else {
        page::device(
            user_code,
            typed,
            Some("No sign-in with this code is waiting: check the code, or start again."),
        )
    }
}
