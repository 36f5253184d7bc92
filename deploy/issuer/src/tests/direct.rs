//! `POST token/dev`.

use super::{Provider, START, URL};
use crate::Exposure;
use axum::body::Body;
use http::{Request, StatusCode, header};

#[tokio::test]
async fn an_address_is_enough() {
    let provider = Provider::new();
    let claims = provider
        .post_json("/token/dev", r#"{"email":"dev@example.com"}"#)
        .await
        .claims();
    assert_eq!(claims["iss"], URL);
    assert_eq!(claims["aud"], "sigstore");
    assert_eq!(claims["email"], "dev@example.com");
    let other = provider
        .post_json("/token/dev", r#"{"email":"dev@example.com","audience":"other"}"#)
        .await;
    assert_eq!(other.claims()["aud"], "other");
}

#[tokio::test]
async fn claims_replace_and_remove_defaults() {
    let provider = Provider::new();
    let body = r#"{"claims":{"sub":"x","exp":17,"iat":null,"aud":["a","b"],"nested":{"a":[1,2]}}}"#;
    let claims = provider.post_json("/token/dev", body).await.claims();
    assert_eq!(claims["exp"], 17);
    assert_eq!(claims["aud"], serde_json::json!(["a", "b"]));
    assert_eq!(claims["nested"]["a"][1], 2);
    assert_eq!(claims["iss"], URL);
    assert!(claims.get("iat").is_none());
    assert!(
        claims.get("email").is_none(),
        "nothing is added that was not asked for"
    );
    let bare = provider
        .post_json("/token/dev", r#"{"claims":{}}"#)
        .await
        .claims();
    assert_eq!(bare["iat"], START);
}

#[tokio::test]
async fn what_it_does_not_understand_is_refused() {
    let provider = Provider::new();
    let many: Vec<String> = (0..100).map(|n| format!("\"c{n}\":1")).collect();
    let deep = format!("{{\"claims\":{{\"a\":{}{}}}}}", "[".repeat(500), "]".repeat(500));
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"email":"nobody"}"#,
        r#"{"email":7}"#,
        r#"{"email":"a@example.com","claims":{}}"#,
        r#"{"email":"a@example.com","typo":1}"#,
        r#"{"claims":[]}"#,
        deep.as_str(),
        format!("{{\"claims\":{{{}}}}}", many.join(",")).as_str(),
    ] {
        let reply = provider.post_json("/token/dev", body).await;
        assert_eq!(
            (reply.status, reply.error().as_str()),
            (StatusCode::BAD_REQUEST, "invalid_request"),
            "{body:.80}"
        );
    }
    let form = provider.post("/token/dev", &[("email", "dev@example.com")]).await;
    assert_eq!(
        form.error(),
        "invalid_request",
        "a foreign page could send a form"
    );
}

#[tokio::test]
async fn it_stays_on_loopback_even_when_exposed() {
    let mut provider = Provider::with(Exposure::AnyInterface, "https://sigstore.example.com/oidc");
    provider.peer = Some("10.1.2.3:4444".parse().unwrap());
    let reply = provider
        .post_json("/token/dev", r#"{"email":"dev@example.com"}"#)
        .await;
    assert_eq!(
        (reply.status, reply.error().as_str()),
        (StatusCode::FORBIDDEN, "access_denied")
    );
    assert_eq!(
        provider.get("/keys", &[]).await.status,
        StatusCode::OK,
        "the rest is open"
    );
}

#[tokio::test]
async fn a_rebound_name_gets_no_token_even_when_exposed() {
    let provider = Provider::with(Exposure::AnyInterface, "https://sigstore.example.com/oidc");
    let ask = |host: &str| {
        Request::post("/token/dev")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::HOST, host)
            .header(header::ORIGIN, format!("http://{host}"))
            .body(Body::from(r#"{"email":"dev@example.com"}"#))
            .unwrap()
    };
    let reply = provider.send(ask("evil.example:3000")).await;
    assert_eq!(
        (reply.status, reply.error().as_str()),
        (StatusCode::FORBIDDEN, "access_denied")
    );
    for own in ["sigstore.example.com", "localhost:3000", "127.0.0.1:3000"] {
        assert_eq!(provider.send(ask(own)).await.status, StatusCode::OK, "{own}");
    }
}

#[tokio::test]
async fn a_proxy_on_this_machine_gets_no_token_even_when_exposed() {
    let provider = Provider::with(Exposure::AnyInterface, "https://sigstore.example.com/oidc");
    for (name, value) in [
        ("Forwarded", "for=192.0.2.60;proto=https"),
        ("X-Forwarded-For", "192.0.2.60"),
        ("X-Forwarded-Proto", "https"),
        ("X-Real-IP", "192.0.2.60"),
        ("Via", "1.1 proxy"),
    ] {
        let request = Request::post("/token/dev")
            .header(header::CONTENT_TYPE, "application/json")
            .header(name, value)
            .body(Body::from(r#"{"email":"dev@example.com"}"#))
            .unwrap();
        let reply = provider.send(request).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{name}");
        let keys = Request::get("/keys")
            .header(name, value)
            .body(Body::empty())
            .unwrap();
        assert_eq!(
            provider.send(keys).await.status,
            StatusCode::OK,
            "{name}: the rest is open"
        );
    }
}
