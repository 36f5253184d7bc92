#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]
//! Every flow through the router, as the clients send it.

mod browser;
mod device;
mod direct;
mod guard;
mod provider;
mod token;

use crate::{Client, Config, Exposure, Issuer, router};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common_pki::key::{HashAlgorithm, KeyAlgorithm, LocalSigner, Signer};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};
use tower::ServiceExt as _;

pub(crate) const URL: &str = "http://localhost:3000/oidc";
pub(crate) const START: u64 = 1_800_000_000;
/// RFC 7636 Appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Generating takes a while without optimisation, so all tests share one key.
pub(crate) static KEY: LazyLock<Arc<LocalSigner>> =
    LazyLock::new(|| Arc::new(LocalSigner::generate(KeyAlgorithm::Rsa2048).unwrap().0));

pub(crate) struct Provider {
    pub(crate) router: Router,
    now: Arc<AtomicU64>,
    pub(crate) peer: Option<SocketAddr>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    pub(crate) fn location(&self) -> url::Url {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        url::Url::parse(self.headers[header::LOCATION].to_str().unwrap()).unwrap()
    }

    pub(crate) fn location_parameter(&self, name: &str) -> Option<String> {
        self.location()
            .query_pairs()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The verified claims of the one token.
    pub(crate) fn claims(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        let body = self.json();
        assert_eq!(
            body["access_token"], body["id_token"],
            "sigstore-python takes the access token for the identity"
        );
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(self.headers[header::CACHE_CONTROL], "no-store");
        verify(body["id_token"].as_str().unwrap())
    }
}

/// Checks a token with the key and returns its claims.
pub(crate) fn verify(token: &str) -> Value {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    KEY.public_key()
        .verify(HashAlgorithm::Sha256, signed.as_bytes(), &signature)
        .unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(header["alg"], "RS256");
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert!(
        claims.get("at_hash").is_none(),
        "Go and JavaScript would compare it"
    );
    claims
}

impl Provider {
    pub(crate) fn new() -> Self {
        Self::with(Exposure::LoopbackOnly, URL)
    }

    pub(crate) fn with(exposure: Exposure, url: &str) -> Self {
        let now = Arc::new(AtomicU64::new(START));
        let clock = Arc::clone(&now);
        let confidential = Client {
            id: "robot".to_owned(),
            secret: "s3cret".to_owned(),
            native: false,
            redirect_uris: vec!["https://app.example.com/callback?x=1".to_owned()],
        };
        let config = Config {
            url: url.to_owned(),
            exposure,
            clients: vec![Client::sigstore(), confidential],
            token_lifetime: Duration::from_secs(600),
        };
        let clock =
            Arc::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed)));
        let issuer = Issuer::new(config, KEY.clone(), clock).unwrap();
        Self {
            router: router(Arc::new(issuer)),
            now,
            peer: Some("127.0.0.1:50000".parse().unwrap()),
        }
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) async fn send(&self, mut request: Request<Body>) -> Reply {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        request
            .headers_mut()
            .entry(header::HOST)
            .or_insert(http::HeaderValue::from_static("localhost:3000"));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Reply {
        let uri = if query.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", encode(query))
        };
        self.send(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        self.send(form_request(path, form).body(encode(form).into()).unwrap())
            .await
    }

    pub(crate) async fn post_as(&self, basic: &str, path: &str, form: &[(&str, &str)]) -> Reply {
        let value = format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(basic)
        );
        let request = form_request(path, form).header(header::AUTHORIZATION, value);
        self.send(request.body(encode(form).into()).unwrap()).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &str) -> Reply {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.to_owned().into()).unwrap()).await
    }
}

fn form_request(path: &str, _form: &[(&str, &str)]) -> http::request::Builder {
    Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
}

fn encode(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// `base` with some values replaced, removed (by an empty value) or added.
pub(crate) fn changed<'a>(
    base: &[(&'a str, &'a str)],
    changes: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let kept = base
        .iter()
        .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    kept.chain(changes.iter().filter(|(_, value)| !value.is_empty()))
        .copied()
        .collect()
}
