//! The token endpoint: what uses a code up, what does not, and client authentication.

use super::{CHALLENGE, Provider, VERIFIER, changed};
use http::{Request, StatusCode, header};

const REDIRECT: &str = "http://localhost:43617/auth/callback";

async fn code(provider: &Provider) -> String {
    let form = [
        ("client_id", "sigstore"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("email", "dev@example.com"),
    ];
    provider
        .post("/auth", &form)
        .await
        .location_parameter("code")
        .unwrap()
}

fn exchange(code: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", "sigstore"),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", REDIRECT),
    ]
}

#[tokio::test]
async fn a_code_works_once() {
    let provider = Provider::new();
    let code = code(&provider).await;
    provider.post("/token", &exchange(&code)).await.claims();
    let replay = provider.post("/token", &exchange(&code)).await;
    assert_eq!(
        (replay.status, replay.error().as_str()),
        (StatusCode::BAD_REQUEST, "invalid_grant")
    );
    assert!(!replay.body.contains(&code), "no code in an answer");
}

#[tokio::test]
async fn a_code_expires_after_five_minutes() {
    let provider = Provider::new();
    let (early, late) = (code(&provider).await, code(&provider).await);
    provider.advance(299);
    provider.post("/token", &exchange(&early)).await.claims();
    provider.advance(1);
    assert_eq!(
        provider.post("/token", &exchange(&late)).await.error(),
        "invalid_grant"
    );
}

#[tokio::test]
async fn a_code_shown_with_the_wrong_proof_is_used_up() {
    let provider = Provider::new();
    let other = "a".repeat(43);
    let cases: &[(&str, &str)] = &[
        ("code_verifier", &other),
        ("code_verifier", "short"),
        ("code_verifier", CHALLENGE),
        ("code_verifier", ""),
        ("redirect_uri", "http://localhost:43618/auth/callback"),
        ("redirect_uri", ""),
    ];
    for change in cases {
        let code = code(&provider).await;
        let reply = provider
            .post("/token", &changed(&exchange(&code), &[*change]))
            .await;
        assert_eq!(
            (reply.status, reply.error().as_str()),
            (StatusCode::BAD_REQUEST, "invalid_grant"),
            "{change:?}"
        );
        assert_eq!(
            provider.post("/token", &exchange(&code)).await.error(),
            "invalid_grant",
            "{change:?}"
        );
    }
}

#[tokio::test]
async fn a_code_belongs_to_its_client() {
    let provider = Provider::new();
    let code = code(&provider).await;
    let form = changed(&exchange(&code), &[("client_id", "")]);
    assert_eq!(
        provider.post_as("robot:s3cret", "/token", &form).await.error(),
        "invalid_grant"
    );
}

#[tokio::test]
async fn failed_client_authentication_leaves_the_code_alone() {
    let provider = Provider::new();
    let code = code(&provider).await;
    let form = exchange(&code);
    for basic in ["sigstore:wrong", "nobody:", "robot:", "robot:s3cre", "sigstore"] {
        let reply = provider
            .post_as(basic, "/token", &changed(&form, &[("client_id", "")]))
            .await;
        assert_eq!(
            (reply.status, reply.error().as_str()),
            (StatusCode::UNAUTHORIZED, "invalid_client"),
            "{basic}"
        );
        assert!(reply.headers.contains_key(header::WWW_AUTHENTICATE));
    }
    let none = provider
        .post("/token", &changed(&form, &[("client_id", "")]))
        .await;
    assert_eq!(none.error(), "invalid_client");
    let two = provider.post_as("robot:s3cret", "/token", &form).await;
    assert_eq!(two.error(), "invalid_request", "two clients in one request");
    provider.post("/token", &form).await.claims();
}

#[tokio::test]
async fn secrets_go_in_the_header_or_the_form() {
    let provider = Provider::new();
    let grant = ("grant_type", "client_credentials");
    let form = provider
        .post(
            "/token",
            &[grant, ("client_id", "robot"), ("client_secret", "s3cret")],
        )
        .await;
    assert_eq!(form.claims()["email"], "robot@client.test");
    assert_eq!(
        provider
            .post_as("robot:s3%63ret", "/token", &[grant])
            .await
            .claims()["aud"],
        "robot"
    );
    assert_eq!(
        provider.post_as("sigstore:", "/token", &[grant]).await.claims()["email"],
        "sigstore@client.test"
    );
    let both = [grant, ("client_secret", "s3cret")];
    assert_eq!(
        provider.post_as("robot:s3cret", "/token", &both).await.error(),
        "invalid_request"
    );
}

#[tokio::test]
async fn what_is_no_token_request_is_refused_in_json() {
    let provider = Provider::new();
    let client = ("client_id", "sigstore");
    assert_eq!(
        provider.post("/token", &[client]).await.error(),
        "invalid_request"
    );
    assert_eq!(
        provider
            .post("/token", &[client, ("grant_type", "password")])
            .await
            .error(),
        "unsupported_grant_type"
    );
    let empty = provider
        .post("/token", &[client, ("grant_type", "authorization_code")])
        .await;
    assert_eq!(empty.error(), "invalid_request");
    let json = provider.post_json("/token", "{}").await;
    assert_eq!(
        (json.status, json.error().as_str()),
        (StatusCode::BAD_REQUEST, "invalid_request")
    );
    let big = "x".repeat(20_000);
    let big = provider.post("/token", &[client, ("code", &big)]).await;
    assert_eq!(
        (big.status, big.error().as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request")
    );
    let many: Vec<String> = (0..40).map(|n| format!("p{n}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(provider.post("/token", &many).await.error(), "invalid_request");
    let wrong = Request::get("/token").body(axum::body::Body::empty()).unwrap();
    assert_eq!(provider.send(wrong).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn descriptions_hold_no_foreign_characters() {
    let provider = Provider::new();
    let reply = provider
        .post(
            "/token",
            &[("client_id", "sigstore"), ("grant_type", "\"\\\u{7f}é\n<")],
        )
        .await;
    let description = reply.json()["error_description"].as_str().unwrap().to_owned();
    assert!(description.ends_with("got '????<"), "{description}");
}
