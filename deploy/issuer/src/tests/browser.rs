//! The authorization endpoint: browser flows of cosign, sigstore-python and sigstore-js, and what is refused.

use super::{CHALLENGE, Provider, Reply, START, URL, VERIFIER, changed};
use http::{StatusCode, header};

/// `sigstore/sigstore pkg/oauthflow/interactive.go`.
const COSIGN: &[(&str, &str)] = &[
    ("access_type", "online"),
    ("client_id", "sigstore"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
    ("nonce", "n-0S6_WzA2Mj"),
    ("redirect_uri", "http://localhost:43617/auth/callback"),
    ("response_type", "code"),
    ("scope", "openid email"),
    ("state", "af0ifjsldkj"),
];

async fn sign_in(provider: &Provider, request: &[(&str, &str)], email: &str) -> Reply {
    let page = provider.get("/auth", request).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    provider
        .post(
            "/auth",
            &changed(request, &[("email", email), ("decision", "approve")]),
        )
        .await
}

#[tokio::test]
async fn cosign_signs_in() {
    let provider = Provider::new();
    let answer = sign_in(&provider, COSIGN, "dev@example.com").await;
    assert_eq!(answer.location_parameter("state").as_deref(), Some("af0ifjsldkj"));
    assert!(
        answer
            .location()
            .as_str()
            .starts_with("http://localhost:43617/auth/callback?code=")
    );
    let code = answer.location_parameter("code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
        ("redirect_uri", "http://localhost:43617/auth/callback"),
    ];
    let claims = provider.post_as("sigstore:", "/token", &form).await.claims();
    assert_eq!(claims["iss"], URL);
    assert_eq!(claims["aud"], "sigstore");
    assert_eq!(claims["sub"], "dev@example.com");
    assert_eq!(claims["email"], "dev@example.com");
    assert_eq!(claims["email_verified"], true);
    assert_eq!(claims["nonce"], "n-0S6_WzA2Mj");
    assert_eq!(claims["iat"], START);
    assert_eq!(claims["exp"], START + 600);
}

#[tokio::test]
async fn sigstore_python_signs_in_without_nonce_and_with_an_empty_secret() {
    let provider = Provider::new();
    let request = changed(COSIGN, &[("nonce", ""), ("access_type", "")]);
    let mut with_secret = request.clone();
    with_secret.push(("client_secret", ""));
    let answer = sign_in(&provider, &with_secret, "py@example.com").await;
    let code = answer.location_parameter("code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("redirect_uri", "http://localhost:43617/auth/callback"),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
    ];
    let claims = provider.post_as("sigstore:", "/token", &form).await.claims();
    assert_eq!(claims["email"], "py@example.com");
    assert!(claims.get("nonce").is_none());
}

#[tokio::test]
async fn sigstore_js_signs_in_on_a_port_without_a_path() {
    let provider = Provider::new();
    let request = changed(COSIGN, &[("redirect_uri", "http://localhost:8123")]);
    let answer = sign_in(&provider, &request, "js@example.com").await;
    assert_eq!(answer.location().host_str(), Some("localhost"));
    assert_eq!(answer.location().port(), Some(8123));
    let code = answer.location_parameter("code").unwrap();
    let form = [
        ("client_id", "sigstore"),
        ("grant_type", "authorization_code"),
        ("redirect_uri", "http://localhost:8123"),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(
        provider.post("/token", &form).await.claims()["email"],
        "js@example.com"
    );
}

#[tokio::test]
async fn without_a_port_the_code_is_shown() {
    let provider = Provider::new();
    let request = changed(COSIGN, &[("redirect_uri", "urn:ietf:wg:oauth:2.0:oob")]);
    let page = sign_in(&provider, &request, "dev@example.com").await;
    assert_eq!(page.status, StatusCode::OK);
    let (_, rest) = page.body.split_once("<code class=\"secret\">").unwrap();
    let (code, _) = rest.split_once('<').unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("redirect_uri", "urn:ietf:wg:oauth:2.0:oob"),
        ("code", code),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(
        provider.post_as("sigstore:", "/token", &form).await.claims()["email"],
        "dev@example.com"
    );
}

#[tokio::test]
async fn refusing_goes_back_to_the_client() {
    let provider = Provider::new();
    let answer = provider
        .post("/auth", &changed(COSIGN, &[("decision", "deny")]))
        .await;
    assert_eq!(
        answer.location_parameter("error").as_deref(),
        Some("access_denied")
    );
    assert_eq!(answer.location_parameter("state").as_deref(), Some("af0ifjsldkj"));
    assert_eq!(answer.location_parameter("code"), None);
}

#[tokio::test]
async fn a_bad_address_is_asked_for_again() {
    let provider = Provider::new();
    for email in [
        "nobody",
        "a@b",
        "a b@example.com",
        "a@exam_ple.com",
        "ü@example.com",
        "a@@example.com",
        ".a@example.com",
    ] {
        let page = provider
            .post("/auth", &changed(COSIGN, &[("email", email)]))
            .await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{email}");
        assert!(
            page.body.contains("role=\"alert\">expected"),
            "{email}: {}",
            page.body
        );
        assert!(page.body.contains("af0ifjsldkj"), "the request is carried on");
    }
}

#[tokio::test]
async fn nobody_is_sent_to_an_unknown_place() {
    let provider = Provider::new();
    for uri in [
        "https://evil.example/cb",
        "http://localhost.evil.example/cb",
        "http://localhost@evil.example/cb",
        "http://user@localhost:1/cb",
        "http://localhost:1/cb#fragment",
        "https://localhost:1/cb",
        "http://127.0.0.1.evil.example/",
        "http://192.168.0.1/cb",
        "http://[::2]/cb",
        "javascript:alert(1)",
        "//localhost/cb",
        "urn:ietf:wg:oauth:2.0:oob:auto",
        "",
    ] {
        for reply in [
            provider
                .get("/auth", &changed(COSIGN, &[("redirect_uri", uri)]))
                .await,
            provider
                .post(
                    "/auth",
                    &changed(COSIGN, &[("redirect_uri", uri), ("email", "dev@example.com")]),
                )
                .await,
        ] {
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{uri}");
            assert!(!reply.headers.contains_key(header::LOCATION), "{uri}");
        }
    }
    for uri in [
        "http://127.0.0.1:9/x",
        "http://127.8.8.8:9",
        "http://[::1]:9/Callback?a=b",
        "http://localhost/",
    ] {
        assert_eq!(
            provider
                .get("/auth", &changed(COSIGN, &[("redirect_uri", uri)]))
                .await
                .status,
            200,
            "{uri}"
        );
    }
}

#[tokio::test]
async fn another_client_gets_its_registered_place_only() {
    let provider = Provider::new();
    let robot = changed(COSIGN, &[("client_id", "robot")]);
    assert_eq!(
        provider.get("/auth", &robot).await.status,
        StatusCode::BAD_REQUEST,
        "not native"
    );
    let exact = changed(
        &robot,
        &[("redirect_uri", "https://app.example.com/callback?x=1")],
    );
    let answer = sign_in(&provider, &exact, "dev@example.com").await;
    assert!(
        answer
            .location()
            .as_str()
            .starts_with("https://app.example.com/callback?x=1&code=")
    );
    for near in [
        "https://app.example.com/callback",
        "https://app.example.com/callback?x=1&",
        "https://app.example.com:443/callback?x=1",
    ] {
        assert_eq!(
            provider
                .get("/auth", &changed(&robot, &[("redirect_uri", near)]))
                .await
                .status,
            400,
            "{near}"
        );
    }
}

#[tokio::test]
async fn the_client_hears_what_it_did_wrong() {
    let provider = Provider::new();
    let cases: &[(&str, &str, &str)] = &[
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("scope", "email", "invalid_scope"),
        ("scope", "", "invalid_scope"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("response_mode", "fragment", "invalid_request"),
        ("prompt", "none", "login_required"),
        ("request", "eyJ", "request_not_supported"),
        (
            "request_uri",
            "http://169.254.169.254/",
            "request_uri_not_supported",
        ),
    ];
    for (name, value, expected) in cases {
        let reply = provider.get("/auth", &changed(COSIGN, &[(name, value)])).await;
        assert_eq!(
            reply.location_parameter("error").as_deref(),
            Some(*expected),
            "{name}={value}"
        );
        assert_eq!(
            reply.location_parameter("state").as_deref(),
            Some("af0ifjsldkj"),
            "{name}={value}"
        );
    }
    let repeated: Vec<_> = COSIGN.iter().copied().chain([("state", "again")]).collect();
    assert_eq!(
        provider.get("/auth", &repeated).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        provider
            .get("/auth", &changed(COSIGN, &[("client_id", "nobody")]))
            .await
            .status,
        400
    );
    let long = "x".repeat(5000);
    assert_eq!(
        provider
            .get("/auth", &changed(COSIGN, &[("state", &long)]))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn pages_escape_everything_and_run_nothing() {
    let provider = Provider::new();
    let attack = r#""><script>alert('x')</script>{{hidden}}"#;
    let hostile = changed(
        COSIGN,
        &[("state", attack), ("nonce", attack), ("login_hint", attack)],
    );
    for page in [
        provider.get("/auth", &hostile).await,
        provider
            .post("/auth", &changed(&hostile, &[("email", attack)]))
            .await,
        provider
            .get("/auth", &changed(COSIGN, &[("client_id", attack)]))
            .await,
        provider.get("/device", &[("user_code", attack)]).await,
        provider
            .post("/device", &[("user_code", attack), ("email", attack)])
            .await,
    ] {
        assert!(!page.body.contains("<script"), "{}", page.body);
        assert!(page.body.contains("&lt;script&gt;"), "{}", page.body);
        assert_eq!(page.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(
            page.headers[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .starts_with("default-src 'none'")
        );
        assert_eq!(page.headers[header::CACHE_CONTROL], "no-store");
    }
    // A value that looks like a placeholder stays a value.
    let page = provider
        .get("/auth", &changed(COSIGN, &[("login_hint", "{{hidden}}")]))
        .await;
    assert!(page.body.contains(r#"value="{{hidden}}""#), "{}", page.body);
}
