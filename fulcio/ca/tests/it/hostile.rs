//! Issuers that answer with what they should not.

use std::sync::Arc;
use std::time::Duration;

use fulcio_ca::{Fetch as _, FetchError, HttpFetcher, IdentityType, IssuerConfig, KeyOrigin, MAX_DOCUMENT};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::*;

const ISSUER: &str = "http://127.0.0.1:1/email";

/// What an answer says when the issuer's documents are these.
async fn answered(discovery: impl Into<Vec<u8>>, keys: impl Into<Vec<u8>>) -> Answered {
    let stack = Stack::new();
    stack
        .web
        .put(&format!("{ISSUER}/.well-known/openid-configuration"), discovery);
    stack.web.put(&format!("{ISSUER}/keys"), keys);
    let token = stack.token(&stack.claims());
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert!(!answer.status.is_success());
    assert_eq!(stack.log.calls(), 0);
    answer
}

fn discovery() -> Value {
    json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/keys")})
}

async fn unavailable(discovery: impl Into<Vec<u8>>, keys: impl Into<Vec<u8>>, part: &str) {
    let answer = answered(discovery, keys).await;
    assert_unavailable(&answer, part);
}

#[tokio::test]
async fn discovery_documents() {
    let keys = || json!({"keys": []}).to_string();
    unavailable("", keys(), "discovery document: expected JSON").await;
    unavailable("[]", keys(), "discovery document: expected JSON").await;
    unavailable(
        json!({"issuer": 1, "jwks_uri": []}).to_string(),
        keys(),
        "discovery document: expected JSON",
    )
    .await;
    unavailable("[".repeat(1 << 20), keys(), "discovery document: expected JSON").await;
    for other in [
        "http://127.0.0.1:1/email/",
        "http://127.0.0.1:1/Email",
        "https://evil.example",
    ] {
        let mut document = discovery();
        document["issuer"] = json!(other);
        unavailable(
            document.to_string(),
            keys(),
            &format!("expected issuer \"{ISSUER}\", got {other:?}"),
        )
        .await;
    }
    for (uri, part) in [
        (
            "file:///etc/passwd",
            "expected https, or http on loopback, got file",
        ),
        (
            "http://169.254.169.254/keys",
            "expected https, or http on loopback, got http",
        ),
        (
            "http://10.0.0.1/keys",
            "expected https, or http on loopback, got http",
        ),
        (
            "https://user:secret@keys.example/",
            "expected no user or password",
        ),
        ("keys", "expected a URL"),
        ("", "expected a URL"),
    ] {
        let mut document = discovery();
        document["jwks_uri"] = json!(uri);
        unavailable(document.to_string(), keys(), part).await;
    }
}

#[tokio::test]
async fn a_public_issuer_may_not_point_inside() {
    let issuer = "https://issuer.example";
    for inside in [
        "http://127.0.0.1:8080/keys",
        "http://localhost/keys",
        "http://[::1]/keys",
        "https://127.0.0.1/",
    ] {
        let fresh = Stack::with(vec![email_issuer(issuer)], Default::default());
        let document = json!({"issuer": issuer, "jwks_uri": inside});
        fresh.web.put(
            &format!("{issuer}/.well-known/openid-configuration"),
            document.to_string(),
        );
        let mut claims = fresh.claims();
        claims["iss"] = json!(issuer);
        let answer = fresh.sign_in(&fresh.token(&claims), "dev@example.com").await;
        assert_unavailable(&answer, "expected a public host");
        assert_eq!(fresh.web.reads(), 1, "nothing inside was read");
    }
}

#[tokio::test]
async fn key_sets() {
    let document = || discovery().to_string();
    unavailable(document(), "", "key set: expected JSON").await;
    unavailable(document(), "{\"keys\":7}", "key set: expected JSON").await;
    unavailable(document(), "{}", "key set: expected JSON").await;
    unavailable(document(), "[".repeat(1 << 20), "key set: expected JSON").await;
    unavailable(
        document(),
        json!({"keys": []}).to_string(),
        "at least one usable signature key",
    )
    .await;
    let key = TokenKey::rsa().jwk("k1");
    let hostile = [
        json!(7),
        json!(null),
        json!([]),
        json!({}),
        json!({"kty": "RSA"}),
        json!({"kty": "RSA", "n": 1, "e": []}),
        json!({"kty": "RSA", "n": "AQ", "e": "AQAB"}),
        json!({"kty": "RSA", "n": "A".repeat(100_000), "e": "AQAB"}),
        json!({"kty": "RSA", "n": key["n"], "e": ""}),
        json!({"kty": "RSA", "n": "!", "e": "AQAB"}),
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "HS256"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        json!({"kty": "EC", "crv": "P-256", "x": "A".repeat(43), "y": "A".repeat(43)}),
        json!({"kty": "EC", "crv": "secp256k1", "x": "A".repeat(43), "y": "A".repeat(43)}),
        json!({"kty": "OKP", "crv": "X25519", "x": "A".repeat(43)}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
    ];
    unavailable(
        document(),
        json!({"keys": hostile}).to_string(),
        "at least one usable signature key",
    )
    .await;
    let mut encryption = key.clone();
    encryption["use"] = json!("enc");
    unavailable(
        document(),
        json!({"keys": [encryption]}).to_string(),
        "at least one usable signature key",
    )
    .await;
    let mut wrap = key.clone();
    wrap["alg"] = json!("RSA-OAEP");
    unavailable(
        document(),
        json!({"keys": [wrap]}).to_string(),
        "at least one usable signature key",
    )
    .await;
    let many: Vec<_> = (0..101).map(|n| TokenKey::ed().jwk(&n.to_string())).collect();
    unavailable(
        document(),
        json!({"keys": many}).to_string(),
        "expected at most 100 keys, got 101",
    )
    .await;
    // One bad key does not spoil the others: this set is readable, and the token's key is not in it.
    let answer = answered(document(), json!({"keys": [{}, key]}).to_string()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    assert!(
        answer.message().contains("signature: expected one by a key of"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn ed25519_keys_are_32_octets_of_full_order() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let key = |x: &[u8]| json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(x)});
    let sound = TokenKey::ed().jwk("k1");
    let sound = URL_SAFE_NO_PAD.decode(sound["x"].as_str().unwrap()).unwrap();
    // The same key as a SubjectPublicKeyInfo (RFC 8410), which is no JWK.
    let info = [
        b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
        sound.as_slice(),
    ]
    .concat();
    let identity = [&[1][..], &[0; 31]].concat();
    let order_two = [&[0xec][..], &[0xff; 30], &[0x7f]].concat();
    let mut order_eight = [0; 32];
    for (octet, pair) in order_eight.iter_mut().zip(
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
            .as_bytes()
            .chunks(2),
    ) {
        *octet = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    }
    for (what, x) in [
        ("encoded", info.as_slice()),
        ("short", &sound[..31]),
        ("long", &[sound.as_slice(), &[0]].concat()),
        ("identity", &identity),
        ("order 2", &order_two),
        ("order 4", &[0; 32]),
        ("order 8", &order_eight),
    ] {
        let answer = answered(discovery().to_string(), json!({"keys": [key(x)]}).to_string()).await;
        assert!(
            answer.message().contains("at least one usable signature key"),
            "{what}: {}",
            answer.text()
        );
    }
    let answer = answered(
        discovery().to_string(),
        json!({"keys": [key(&sound)]}).to_string(),
    )
    .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "this one is taken");
}

#[tokio::test(start_paused = true)]
async fn a_slow_issuer_is_given_up() {
    let stack = Stack::new();
    *stack.web.delay.lock().unwrap() = Duration::from_secs(3_600);
    let token = stack.token(&stack.claims());
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_unavailable(&answer, "no answer within 10 s");
}

#[test]
fn issuer_urls() {
    for bad in [
        "",
        "issuer",
        "ftp://issuer.example",
        "http://issuer.example",
        "http://10.0.0.1",
        "https://u@issuer.example",
        "https://issuer.example?x",
        "https://issuer.example#x",
        "http://localhost.evil.example",
    ] {
        assert!(
            IssuerConfig::new(bad, "sigstore", IdentityType::email()).is_err(),
            "{bad}"
        );
    }
    for good in [
        "https://issuer.example/a",
        "http://localhost:3000/oidc",
        "http://[::1]:1",
        "http://127.9.9.9/",
    ] {
        IssuerConfig::new(good, "sigstore", IdentityType::email()).unwrap();
    }
    assert!(IssuerConfig::new("https://issuer.example", "", IdentityType::email()).is_err());
    for bad in ["", "$", "$.", "a.b", "$.a..b", "$.a[0]", "$..a"] {
        assert!(bad.parse::<fulcio_ca::ClaimPath>().is_err(), "{bad}");
    }
}

/// A body without length and without end.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(vec![b'a'; 64 * 1024].into()))))
    }
}

/// A server on loopback that answers as the handler says.
pub async fn serve(router: axum::Router) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(async move {
                let builder =
                    hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                let _ = builder.serve_connection(io, service).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn the_network_fetcher_keeps_its_limits() {
    use axum::response::Redirect;
    use axum::routing::get;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let elsewhere = serve(axum::Router::new().route("/keys", get(|| async { "stolen" }))).await;
    let target = format!("http://127.0.0.1:{elsewhere}/keys");
    let port = serve(
        axum::Router::new()
            .route("/ok", get(|| async { "body" }))
            .route("/away", get(move || async move { Redirect::temporary(&target) }))
            .route("/near", get(|| async { Redirect::temporary("/ok") }))
            .route("/loop", get(|| async { Redirect::temporary("/loop") }))
            .route("/full", get(|| async { vec![b'a'; MAX_DOCUMENT] }))
            .route("/huge", get(|| async { vec![b'a'; MAX_DOCUMENT + 1] }))
            .route("/endless", get(|| async { axum::body::Body::new(Endless) })),
    )
    .await;
    let fetcher = HttpFetcher::new(&KeyOrigin::default()).unwrap();
    let get = |path: &str| {
        let (fetcher, url) = (
            fetcher.clone(),
            format!("http://127.0.0.1:{port}{path}").parse().unwrap(),
        );
        async move { fetcher.get(&url).await }
    };
    assert_eq!(get("/ok").await.unwrap(), b"body");
    assert_eq!(get("/near").await.unwrap(), b"body");
    assert!(matches!(get("/away").await, Err(FetchError::Redirect)));
    assert!(matches!(get("/loop").await, Err(FetchError::Redirect)));
    assert!(matches!(get("/none").await, Err(FetchError::Status(404))));
    assert_eq!(get("/full").await.unwrap().len(), MAX_DOCUMENT);
    assert!(matches!(get("/huge").await, Err(FetchError::TooLarge)));
    assert!(matches!(get("/endless").await, Err(FetchError::TooLarge)));
    let closed = "http://127.0.0.1:1/".parse().unwrap();
    assert!(matches!(fetcher.get(&closed).await, Err(FetchError::Connect)));
    let _: Arc<dyn fulcio_ca::Fetch> = Arc::new(fetcher);
}
