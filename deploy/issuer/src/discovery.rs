//! OpenID Connect Discovery and the key set.

use crate::issuer::Issuer;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use serde_json::json;
use std::sync::Arc;

/// Long enough to spare a verifier's second look, short enough for a developer who replaces the key.
const CACHE: &str = "public, max-age=60";

/// `GET .well-known/openid-configuration` (OpenID Connect Discovery §3).
///
/// Go's clients refuse to start without `code_challenge_methods_supported`
/// (`sigstore/sigstore pkg/oauthflow/pkce.go`), sigstore-rs without response types, subject types and signing algorithms.
pub(crate) async fn configuration(State(issuer): State<Arc<Issuer>>) -> impl IntoResponse {
    let url = &issuer.url;
    let body = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/auth"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
        "device_authorization_endpoint": format!("{url}/device/code"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code",
            "client_credentials",
            crate::token::DEVICE_CODE_GRANT,
        ],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "email"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "email", "email_verified", "nonce"],
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    });
    ([(header::CACHE_CONTROL, CACHE)], Json(body))
}

/// `GET keys`.
pub(crate) async fn keys(State(issuer): State<Arc<Issuer>>) -> impl IntoResponse {
    (
        [(header::CACHE_CONTROL, CACHE)],
        Json(issuer.signer.key_set().clone()),
    )
}
