#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

mod openssl;
mod vectors;

use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::cert::{CaProfile, distinguished_name, intermediate, self_signed_root, timestamping_leaf};
use common_pki::key::{HashAlgorithm, KeyAlgorithm, LocalSigner};
use common_pki::tsp::{ImprintAlgorithm, MessageImprint, TimeStampRequest, TimestampTrust, TstInfo, verify};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;

const NOW: u64 = 1_800_000_000;
const MESSAGE: &[u8] = b"sigbox test message";
const QUERY: &str = "application/timestamp-query";
const JSON: &str = "application/json";

fn clock_at(seconds: u64) -> Clock {
    Arc::new(move || UNIX_EPOCH + Duration::from_secs(seconds))
}

fn profile(name: &str, serial: u8) -> CaProfile {
    CaProfile {
        subject: distinguished_name("sigbox", name),
        serial: Serial::new(&[serial]).unwrap(),
        not_before: NOW - 1000,
        not_after: NOW + 1000,
    }
}

fn authority() -> (Vec<Certificate>, Arc<LocalSigner>) {
    let root_signer = LocalSigner::generate(KeyAlgorithm::EcdsaP384).unwrap().0;
    let mid_signer = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0;
    let signer = Arc::new(LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0);
    let root = self_signed_root(profile("tsa root", 1), &root_signer).unwrap();
    let mid_key = mid_signer.public_key();
    let mid = intermediate(
        profile("tsa mid", 2),
        mid_key,
        &oid::TIME_STAMPING,
        &root,
        &root_signer,
    )
    .unwrap();
    let leaf = timestamping_leaf(profile("tsa", 3), signer.public_key(), &mid, &mid_signer).unwrap();
    (vec![leaf, mid, root], signer)
}

struct Server {
    router: Router,
    chain: Vec<Certificate>,
}

impl Server {
    fn start() -> Server {
        let (chain, signer) = authority();
        let tsa = Tsa::new(chain.clone(), signer, clock_at(NOW)).unwrap();
        Server {
            router: router(Arc::new(tsa)),
            chain,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let headers = response.headers().clone();
        let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        Answer {
            status,
            headers,
            body,
        }
    }

    async fn post(&self, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post("/api/v1/timestamp").header("content-type", content_type);
        self.send(request.body(body.into()).unwrap()).await
    }

    fn verify(&self, response: &[u8]) -> TstInfo {
        let [leaf, mid @ .., root] = self.chain.as_slice() else {
            unreachable!()
        };
        let trust = TimestampTrust {
            leaf: Some(leaf),
            intermediates: mid,
            roots: std::slice::from_ref(root),
        };
        verify(response, MESSAGE, &trust).unwrap().info
    }
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and message of a refusal, whose code must repeat the status.
    fn refusal(&self) -> (u16, String) {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(self.header("content-type"), JSON);
        if self.status != StatusCode::UNPROCESSABLE_ENTITY {
            assert_eq!(body["code"], self.status.as_u16());
        }
        (self.status.as_u16(), body["message"].as_str().unwrap().to_owned())
    }
}

fn request() -> TimeStampRequest {
    let hash = HashAlgorithm::Sha256;
    TimeStampRequest {
        imprint: MessageImprint {
            algorithm: ImprintAlgorithm::Strong(hash),
            digest: hash.digest(MESSAGE),
        },
        policy: None,
        nonce: None,
        certificates: false,
        extensions: false,
    }
}

fn json(fields: &str) -> String {
    let digest = STANDARD.encode(HashAlgorithm::Sha256.digest(MESSAGE));
    format!(r#"{{"artifactHash":"{digest}","hashAlgorithm":"sha256"{fields}}}"#)
}

#[tokio::test]
async fn both_forms_are_answered() {
    let server = Server::start();
    let der = server.post(QUERY, request().to_der().unwrap()).await;
    let js = server.post(JSON, json("")).await;
    for answer in [&der, &js] {
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-type"), "application/timestamp-reply");
        assert!(answer.header("cache-control").contains("no-store"));
        let info = server.verify(&answer.body);
        assert_eq!((info.time, info.nonce), (NOW, None));
    }
    assert_ne!(server.verify(&der.body).serial, server.verify(&js.body).serial);
}

#[tokio::test]
async fn nonces_of_any_length_come_back() {
    let server = Server::start();
    let cases = [
        ("0", vec![0]),
        ("127", vec![127]),
        ("128", vec![0, 128]),
        ("255", vec![0, 255]),
        ("256", vec![1, 0]),
        ("18446744073709551616", vec![1, 0, 0, 0, 0, 0, 0, 0, 0]),
        (
            "340282366920938463463374607431768211455",
            [vec![0], vec![255; 16]].concat(),
        ),
    ];
    for (decimal, wanted) in cases {
        let answer = server.post(JSON, json(&format!(r#","nonce":{decimal}"#))).await;
        assert_eq!(server.verify(&answer.body).nonce, Some(wanted), "{decimal}");
    }
    for bad in ["-1", "1.5", "1e3", r#""7""#, "[1]", &"9".repeat(301)] {
        let answer = server.post(JSON, json(&format!(r#","nonce":{bad}"#))).await;
        assert_eq!(
            answer.refusal(),
            (400, "Error generating timestamp response".to_owned()),
            "{bad}"
        );
    }
    assert_eq!(
        server.post(JSON, json(r#","nonce":null"#)).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn certificate_chain_is_leaf_first() {
    let server = Server::start();
    for method in ["GET", "HEAD"] {
        let request = Request::builder()
            .method(method)
            .uri("/api/v1/timestamp/certchain");
        let answer = server.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-type"), "application/pem-certificate-chain");
        assert_eq!(answer.header("cache-control"), "max-age=86400, immutable");
        if method == "GET" {
            let text = String::from_utf8(answer.body).unwrap();
            assert_eq!(Certificate::chain_from_pem(&text, 5).unwrap(), server.chain);
        }
    }
    let request = Request::post("/api/v1/timestamp/certchain")
        .body(Body::empty())
        .unwrap();
    let answer = server.send(request).await;
    assert_eq!(
        answer.refusal(),
        (405, "method POST is not allowed, but [GET] are".to_owned())
    );
    assert_eq!(answer.header("allow"), "GET");
}

/// GHSA-4qg8-fj49-pxjh (CVE-2025-66564): memory spent on splitting hostile identifiers and Content-Types.
#[tokio::test]
async fn ghsa_4qg8_policies_and_content_types_are_bounded() {
    let server = Server::start();
    let arcs = |count: usize| vec!["1"; count].join(".");
    let with_policy = |policy: String| json(&format!(r#","tsaPolicyOID":"{policy}""#));
    let too_many = (
        400,
        "OID should be comprised of at most 128 components".to_owned(),
    );
    let unaccepted = (
        400,
        "unaccepted policy: requested TSA policy is not supported by the TSA".to_owned(),
    );
    assert_eq!(
        server.post(JSON, with_policy(arcs(129))).await.refusal(),
        too_many
    );
    assert_eq!(
        server.post(JSON, with_policy(arcs(128))).await.refusal(),
        unaccepted
    );
    assert_eq!(
        server.post(JSON, with_policy(".".repeat(900))).await.refusal(),
        too_many
    );
    let large = (400, "timestamp request is too large".to_owned());
    assert_eq!(
        server
            .post(JSON, with_policy(".".repeat(500_000)))
            .await
            .refusal(),
        large
    );
    assert_eq!(server.post(JSON, json(&" ".repeat(1024))).await.refusal(), large);
    for bad in ["1..2", ".", "1.x", "-1.2", "1 .2"] {
        let answer = server.post(JSON, with_policy(bad.to_owned())).await;
        assert_eq!(
            answer.refusal(),
            (400, "Error generating timestamp response".to_owned()),
            "{bad}"
        );
    }

    // The same in DER: 128 arcs are 127 octets.
    let der = |octets| {
        TimeStampRequest {
            policy: Some(vec![0x2A; octets]),
            ..request()
        }
        .to_der()
        .unwrap()
    };
    assert_eq!(server.post(QUERY, der(127)).await.refusal(), unaccepted);
    assert_eq!(server.post(QUERY, der(128)).await.refusal(), too_many);
    assert_eq!(
        server.post(QUERY, der(5000)).await.status,
        StatusCode::BAD_REQUEST
    );

    for hostile in [
        "application/".repeat(5000),
        ";".repeat(60_000),
        "/".repeat(60_000),
    ] {
        let answer = server.post(&hostile, request().to_der().unwrap()).await;
        let (status, message) = answer.refusal();
        assert_eq!(status, 415);
        assert!(message.len() < 250, "{} octets come back", message.len());
    }
}

#[tokio::test]
async fn media_types() {
    let server = Server::start();
    let der = request().to_der().unwrap();
    for good in [
        QUERY,
        "Application/Timestamp-Query",
        "application/timestamp-query ; a=b",
    ] {
        assert_eq!(
            server.post(good, der.clone()).await.status,
            StatusCode::OK,
            "{good}"
        );
    }
    for bad in [
        "text/plain",
        "application/timestamp-queryx",
        "application",
        "",
        ";application/json",
    ] {
        assert_eq!(server.post(bad, der.clone()).await.refusal().0, 415, "{bad}");
    }
    let bare = Request::post("/api/v1/timestamp").body(Body::from(der)).unwrap();
    assert_eq!(server.send(bare).await.refusal().0, 415);
    // A JSON body under the other name is not DER, and the reverse.
    assert_eq!(server.post(QUERY, json("")).await.refusal().0, 400);
    assert_eq!(
        server.post(JSON, request().to_der().unwrap()).await.refusal().0,
        400
    );
}

#[tokio::test]
async fn bodies_are_bounded() {
    let server = Server::start();
    let limit = MAX_BODY;
    let message = "request body exceeds the limit of 1048576 octets".to_owned();
    let answer = server.post(QUERY, vec![0x30; limit + 1]).await;
    assert_eq!(answer.refusal(), (413, message.clone()));
    // Without a declared length.
    let stream = Body::new(http_body_util::Full::new(Bytes::from(vec![0x30; limit + 1])).boxed());
    assert_eq!(server.post(QUERY, stream).await.refusal(), (413, message.clone()));
    // A length that only claims to be long is refused before anything is read.
    let claim = Body::new(Declared(limit as u64 + 1, None));
    assert_eq!(server.post(QUERY, claim).await.refusal(), (413, message));
    assert_eq!(server.post(QUERY, vec![0x30; limit]).await.refusal().0, 400);
}

/// A body that declares a length, sends this much, and does not go on.
struct Declared(u64, Option<Bytes>);

impl axum::body::HttpBody for Declared {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        match self.1.take() {
            Some(bytes) => std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(bytes)))),
            None => std::task::Poll::Pending,
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.0)
    }
}

#[tokio::test]
async fn large_requests_take_turns() {
    let server = Server::start();
    let large = 300 * 1024;
    let held: Vec<_> = (0..16)
        .map(|_| {
            let body = Declared(large as u64 + 1, Some(vec![0x30; large].into()));
            let request = Request::post("/api/v1/timestamp").header("content-type", QUERY);
            let request = request.body(Body::new(body)).unwrap();
            tokio::spawn(server.router.clone().oneshot(request))
        })
        .collect();
    tokio::task::yield_now().await;
    let answer = server.post(QUERY, vec![0x30; large]).await;
    assert!(["1", "2", "3"].contains(&answer.header("retry-after")));
    assert_eq!(answer.refusal().0, 503);
    let answer = server.post(QUERY, request().to_der().unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "small ones pass");
    for request in held {
        request.abort();
        let _ = request.await;
    }
    assert_eq!(server.post(QUERY, vec![0x30; large]).await.refusal().0, 400);
}

#[tokio::test]
async fn request_extensions_are_refused() {
    let server = Server::start();
    let plain = request().to_der().unwrap();
    // [0] { Extension { 1.2.3, OCTET STRING } } after certReq.
    let extension = [0xA0, 10, 0x30, 8, 0x30, 6, 0x06, 2, 0x2A, 3, 0x04, 0];
    let mut der = vec![0x30, u8::try_from(plain.len() - 2 + extension.len()).unwrap()];
    der.extend(&plain[2..]);
    der.extend(extension);
    let wanted = "unaccepted extension: requested extensions are not supported by the TSA";
    assert_eq!(server.post(QUERY, der).await.refusal(), (400, wanted.to_owned()));
}

#[tokio::test]
async fn no_timestamp_outside_the_validity_of_the_chain() {
    let (chain, signer) = authority();
    let time = Arc::new(std::sync::atomic::AtomicU64::new(NOW));
    let shared = Arc::clone(&time);
    let clock: Clock =
        Arc::new(move || UNIX_EPOCH + Duration::from_secs(shared.load(std::sync::atomic::Ordering::Relaxed)));
    let tsa = Tsa::new(chain.clone(), signer, clock).unwrap();
    let server = Server {
        router: router(Arc::new(tsa)),
        chain,
    };
    assert_eq!(server.post(JSON, json("")).await.status, StatusCode::OK);
    time.store(NOW + 1001, std::sync::atomic::Ordering::Relaxed);
    let answer = server.post(JSON, json("")).await;
    assert_eq!(
        answer.refusal(),
        (500, "Error generating timestamp response".to_owned())
    );
}

#[tokio::test]
async fn an_authority_starts_only_with_a_chain_that_verifies() {
    let (chain, signer) = authority();
    let new = |chain: &[Certificate], at| Tsa::new(chain.to_vec(), signer.clone(), clock_at(at)).err();
    assert!(new(&chain, NOW).is_none());
    assert!(matches!(new(&[], NOW), Some(TsaError::ShortChain(0))));
    assert!(matches!(new(&chain[..1], NOW), Some(TsaError::ShortChain(1))));
    assert!(matches!(
        new(&chain, NOW + 2000),
        Some(TsaError::Chain(ChainError::Validity { .. }))
    ));
    assert!(matches!(
        new(&[chain[0].clone(), chain[2].clone()], NOW),
        Some(TsaError::Chain(_))
    ));
    let (other, _) = authority();
    assert!(matches!(new(&other, NOW), Some(TsaError::Leaf(_))));
    let before: Clock = Arc::new(|| UNIX_EPOCH - Duration::from_secs(1));
    assert!(matches!(
        Tsa::new(chain, signer.clone(), before),
        Err(TsaError::Clock)
    ));
}

#[tokio::test]
async fn short_digests_are_named() {
    let server = Server::start();
    let mut der = request().to_der().unwrap();
    // Take one octet off the digest and off every length around it.
    for at in [1, 6, 23] {
        der[at] -= 1;
    }
    der.pop();
    let message = "Message digest has incorrect length for specified algorithm";
    assert_eq!(server.post(QUERY, der).await.refusal(), (400, message.to_owned()));
}

#[tokio::test]
async fn hostile_bodies_get_an_answer() {
    let server = Server::start();
    let good = request().to_der().unwrap();
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut changed = good.clone();
            changed[at] ^= flip;
            let answer = server.post(QUERY, changed).await;
            assert!(
                matches!(answer.status.as_u16(), 200 | 400),
                "octet {at}: {}",
                answer.status
            );
        }
        let cut = server.post(QUERY, good[..at].to_vec()).await;
        assert!(cut.status.is_client_error(), "cut at {at}");
    }
    let deep = format!("{}1{}", r#"{"a":"#.repeat(150), "}".repeat(150));
    assert_eq!(server.post(JSON, deep).await.refusal().0, 400);
}
