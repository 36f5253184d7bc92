//! Device flow as cosign runs it (`sigstore/sigstore pkg/oauthflow/device.go`).

use super::{CHALLENGE, Provider, VERIFIER};
use crate::token::DEVICE_CODE_GRANT;
use http::StatusCode;
use serde_json::Value;

async fn start(provider: &Provider) -> Value {
    let form = [
        ("client_id", "sigstore"),
        ("scope", "openid email"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let reply = provider.post("/device/code", &form).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    reply.json()
}

async fn poll(provider: &Provider, codes: &Value, verifier: &str) -> super::Reply {
    let form = [
        ("client_id", "sigstore"),
        ("grant_type", DEVICE_CODE_GRANT),
        ("device_code", codes["device_code"].as_str().unwrap()),
        ("scope", "openid email"),
        ("code_verifier", verifier),
    ];
    provider.post("/token", &form).await
}

#[tokio::test]
async fn cosign_signs_in_without_a_browser_of_its_own() {
    let provider = Provider::new();
    let codes = start(&provider).await;
    assert_eq!(codes["verification_uri"], "http://localhost:3000/oidc/device");
    let user_code = codes["user_code"].as_str().unwrap();
    assert_eq!(
        codes["verification_uri_complete"],
        format!("http://localhost:3000/oidc/device?user_code={user_code}")
    );
    assert!(codes["interval"].as_u64().unwrap() >= 1);
    assert_eq!(codes["expires_in"], 600);
    let pending = poll(&provider, &codes, VERIFIER).await;
    assert_eq!(
        (pending.status, pending.error().as_str()),
        (StatusCode::BAD_REQUEST, "authorization_pending")
    );
    let page = provider.get("/device", &[("user_code", user_code)]).await;
    assert!(page.body.contains(user_code));
    let done = provider
        .post(
            "/device",
            &[("user_code", user_code), ("email", "dev@example.com")],
        )
        .await;
    assert_eq!(done.status, StatusCode::OK);
    provider.advance(1);
    let claims = poll(&provider, &codes, VERIFIER).await.claims();
    assert_eq!(claims["email"], "dev@example.com");
    assert_eq!(poll(&provider, &codes, VERIFIER).await.error(), "invalid_grant");
}

#[tokio::test]
async fn refusal_and_expiry_are_told() {
    let provider = Provider::new();
    let codes = start(&provider).await;
    let form = [
        ("user_code", codes["user_code"].as_str().unwrap()),
        ("decision", "deny"),
    ];
    assert_eq!(provider.post("/device", &form).await.status, StatusCode::OK);
    assert_eq!(poll(&provider, &codes, VERIFIER).await.error(), "access_denied");
    let codes = start(&provider).await;
    provider.advance(600);
    assert_eq!(poll(&provider, &codes, VERIFIER).await.error(), "expired_token");
}

#[tokio::test]
async fn the_verifier_is_bound_here_too() {
    let provider = Provider::new();
    let codes = start(&provider).await;
    let form = [
        ("user_code", codes["user_code"].as_str().unwrap()),
        ("email", "dev@example.com"),
    ];
    provider.post("/device", &form).await;
    assert_eq!(
        poll(&provider, &codes, &"b".repeat(64)).await.error(),
        "invalid_grant"
    );
    assert_eq!(
        poll(&provider, &codes, VERIFIER).await.error(),
        "invalid_grant",
        "used up"
    );
}

#[tokio::test]
async fn a_wrong_code_approves_nothing() {
    let provider = Provider::new();
    start(&provider).await;
    let page = provider
        .post(
            "/device",
            &[("user_code", "BBBB-BBBB"), ("email", "dev@example.com")],
        )
        .await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    let plain = [
        ("client_id", "sigstore"),
        ("scope", "openid"),
        ("code_challenge", VERIFIER),
    ];
    assert_eq!(
        provider.post("/device/code", &plain).await.error(),
        "invalid_request",
        "no plain challenge"
    );
    assert_eq!(
        provider
            .post("/device/code", &[("client_id", "sigstore")])
            .await
            .error(),
        "invalid_scope"
    );
    assert_eq!(
        provider
            .post("/device/code", &[("scope", "openid")])
            .await
            .error(),
        "invalid_client"
    );
}
