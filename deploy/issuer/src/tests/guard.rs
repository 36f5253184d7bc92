//! Who is let in.

use super::Provider;
use axum::body::Body;
use http::{Request, StatusCode, header};

#[tokio::test]
async fn strangers_are_refused() {
    let mut provider = Provider::new();
    for peer in ["10.0.0.1:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1"] {
        provider.peer = Some(peer.parse().unwrap());
        assert_eq!(
            provider.get("/keys", &[]).await.status,
            StatusCode::FORBIDDEN,
            "{peer}"
        );
    }
    provider.peer = None;
    assert_eq!(provider.get("/keys", &[]).await.status, StatusCode::FORBIDDEN);
    for peer in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        provider.peer = Some(peer.parse().unwrap());
        assert_eq!(provider.get("/keys", &[]).await.status, StatusCode::OK, "{peer}");
    }
}

#[tokio::test]
async fn a_proxy_on_this_machine_is_refused() {
    let provider = Provider::new();
    for name in [
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Real-IP",
        "Via",
    ] {
        let request = Request::get("/keys")
            .header(name, "192.0.2.60")
            .body(Body::empty());
        let reply = provider.send(request.unwrap()).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{name}");
        assert!(reply.body.contains("proxy"), "{}", reply.body);
    }
}

#[tokio::test]
async fn a_rebound_name_is_refused() {
    let provider = Provider::new();
    let get = |host: &str| {
        Request::get("/keys")
            .header(header::HOST, host)
            .body(Body::empty())
            .unwrap()
    };
    for host in [
        "evil.example",
        "evil.example:3000",
        "localhost.evil.example",
        "",
        "localhost:3000:1",
    ] {
        assert_eq!(
            provider.send(get(host)).await.status,
            StatusCode::FORBIDDEN,
            "{host}"
        );
    }
    for host in [
        "localhost",
        "LOCALHOST:3000",
        "127.0.0.1:3000",
        "[::1]:3000",
        "[::1]",
    ] {
        assert_eq!(provider.send(get(host)).await.status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn a_foreign_page_cannot_post() {
    let provider = Provider::new();
    let post = |origin: &str| {
        Request::post("/token")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ORIGIN, origin)
            .body(Body::from("grant_type=client_credentials&client_id=sigstore"))
            .unwrap()
    };
    for origin in ["https://evil.example", "null", "http://localhost:9999", ""] {
        assert_eq!(
            provider.send(post(origin)).await.status,
            StatusCode::FORBIDDEN,
            "{origin}"
        );
    }
    assert_eq!(
        provider.send(post("http://localhost:3000")).await.status,
        StatusCode::OK
    );
}
