//! The token endpoint (RFC 6749 §3.2).

use crate::client::{Client, Credentials};
use crate::email::Email;
use crate::error::{Kind, OAuthError};
use crate::form::{Form, Parameters};
use crate::issuer::Issuer;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// RFC 8628 §3.4.
pub(crate) const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// `POST token`.
///
/// The client is authenticated before any code is looked at, so a failed attempt does not use the code up: Go's oauth2 tries
/// Basic first and then, with the same code, the form.
pub(crate) async fn exchange(
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
    let claims = match form.require("grant_type")? {
        "authorization_code" => authorization_code(&issuer, client, &form)?,
        DEVICE_CODE_GRANT => device_code(&issuer, client, &form)?,
        "client_credentials" => client_credentials(&issuer, client)?,
        other => {
            let expected = format!(
                "expected authorization_code, client_credentials or {DEVICE_CODE_GRANT}, got {other}"
            );
            return Err(OAuthError::new(Kind::UnsupportedGrantType, expected));
        }
    };
    respond(&issuer, claims).await
}

/// RFC 6749 §4.1.3 with RFC 7636 §4.6. A code is used up by being shown, whatever else is wrong: shown with the wrong
/// redirect URI or verifier, it is in the wrong hands.
fn authorization_code(
    issuer: &Issuer,
    client: &Client,
    form: &Parameters,
) -> Result<Map<String, Value>, OAuthError> {
    let grant = issuer.grants.redeem_code(form.require("code")?, issuer.now())?;
    if grant.client_id != client.id {
        return Err(OAuthError::invalid_grant("the code was issued to another client"));
    }
    if form.get("redirect_uri") != Some(grant.redirect_uri.as_str()) {
        return Err(OAuthError::invalid_grant(
            "expected the redirect_uri of the authorization request",
        ));
    }
    grant.challenge.verify(form.get("code_verifier"))?;
    Ok(issuer.email_claims(&grant.email, &client.id, grant.nonce.as_deref())?)
}

fn device_code(
    issuer: &Issuer,
    client: &Client,
    form: &Parameters,
) -> Result<Map<String, Value>, OAuthError> {
    let (grant, email) = issuer
        .grants
        .poll_device(form.require("device_code")?, &client.id, issuer.now())?;
    if let Some(challenge) = &grant.challenge {
        challenge.verify(form.get("code_verifier"))?;
    }
    Ok(issuer.email_claims(&email, &client.id, grant.nonce.as_deref())?)
}

/// RFC 6749 §4.4. The client itself signs in; Fulcio wants an address of it, so it gets one under a name nobody can own
/// (RFC 2606 §2).
fn client_credentials(issuer: &Issuer, client: &Client) -> Result<Map<String, Value>, OAuthError> {
    let email = Email::parse(&format!("{}@client.test", client.id)).map_err(|_| {
        OAuthError::new(
            Kind::UnauthorizedClient,
            "the name of this client does not make an e-mail address",
        )
    })?;
    Ok(issuer.email_claims(&email, &client.id, None)?)
}

/// The one shape of success. Both tokens are the same: sigstore-python takes the access token for the identity token
/// (`sigstore/oidc.py`), everyone else wants `id_token`.
pub(crate) async fn respond(
    issuer: &Arc<Issuer>,
    claims: Map<String, Value>,
) -> Result<Response, OAuthError> {
    let token = issuer.sign_for_response(claims).await?;
    let body = json!({
        "access_token": token,
        "id_token": token,
        "token_type": "Bearer",
        "expires_in": issuer.token_lifetime.as_secs(),
        "scope": "openid email",
    });
    // RFC 6749 §5.1.
    Ok((
        [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")],
        Json(body),
    )
        .into_response())
}
