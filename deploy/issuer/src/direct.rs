//! The direct development grant: a token for the asking, for tests and `sigbox token`.

use crate::email::Email;
use crate::error::{Kind, OAuthError};
use crate::form::{expect_media_type, read_body};
use crate::guard::require_own_machine;
use crate::issuer::Issuer;
use crate::token::respond;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Where the grant is, under the issuer URL. The crate's documentation has the request.
pub const DIRECT_GRANT_PATH: &str = "/token/dev";

const MAX_CLAIMS: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DirectGrant {
    email: Option<String>,
    claims: Option<Map<String, Value>>,
    audience: Option<String>,
}

/// `POST token/dev`, from this machine whatever else is allowed.
pub(crate) async fn grant(
    State(issuer): State<Arc<Issuer>>,
    request: Request,
) -> Result<Response, OAuthError> {
    require_own_machine(&request)?;
    expect_media_type(&request, "application/json")?;
    let body = read_body(request, &issuer).await?;
    // Where, not what: serde_json's own message can quote a value, and that value can be a token.
    let grant: DirectGrant = serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        OAuthError::invalid_request(format!(
            "expected {{'email': ...}} or {{'claims': {{...}}}} with an optional 'audience', got something else at line {line}, column {column}"
        ))
    })?;
    let audience = grant.audience.as_deref().unwrap_or("sigstore");
    let claims = match (grant.email, grant.claims) {
        (Some(email), None) => {
            let email =
                Email::parse(&email).map_err(|error| OAuthError::invalid_request(error.to_string()))?;
            issuer.email_claims(&email, audience, None)?
        }
        (None, Some(wanted)) => over_defaults(issuer.base_claims(audience)?, wanted)?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(OAuthError::new(
                Kind::InvalidRequest,
                "expected either email or claims",
            ));
        }
    };
    respond(&issuer, claims).await
}

fn over_defaults(
    mut claims: Map<String, Value>,
    wanted: Map<String, Value>,
) -> Result<Map<String, Value>, OAuthError> {
    if wanted.len() > MAX_CLAIMS {
        return Err(OAuthError::invalid_request(format!(
            "expected at most {MAX_CLAIMS} claims, got {}",
            wanted.len()
        )));
    }
    for (name, value) in wanted {
        match value {
            Value::Null => claims.remove(&name),
            value => claims.insert(name, value),
        };
    }
    Ok(claims)
}
