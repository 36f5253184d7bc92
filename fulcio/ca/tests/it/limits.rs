//! How many requests are taken, in all and of one identity.

use std::time::Duration;

use axum::body::Body;
use common_pki::key::KeyAlgorithm;
use common_server::admission::Bounds;
use common_server::quota::Quota;
use http::{Request, StatusCode};
use serde_json::json;

use crate::support::*;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn issuers() -> Vec<fulcio_ca::IssuerConfig> {
    ["email", "other"]
        .map(|name| email_issuer(&format!("{BASE}/{name}")))
        .into()
}

fn with_quota(rate: &str) -> Stack {
    let quota = Quota::new("identity", rate.parse().unwrap());
    Stack::configured(issuers(), YEAR, |config| config.quota = Some(quota))
}

fn token_of(stack: &Stack, issuer: &str, email: &str) -> String {
    let mut claims = stack.claims();
    claims["iss"] = json!(format!("{BASE}/{issuer}"));
    claims["email"] = json!(email);
    stack.token(&claims)
}

#[tokio::test]
async fn each_identity_of_each_issuer_has_its_own_limit() {
    let stack = with_quota("1/2");
    let greedy = token_of(&stack, "email", "greedy@example.com");
    for _ in 0..2 {
        let answer = stack.sign_in(&greedy, "greedy@example.com").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    let answer = stack.sign_in(&greedy, "greedy@example.com").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.text());
    assert_eq!(answer.json()["code"], 8, "RESOURCE_EXHAUSTED");
    assert!(answer.message().contains("at most 1/2"), "{}", answer.text());
    assert!(answer.headers.contains_key("retry-after"));
    for (issuer, email) in [("email", "modest@example.com"), ("other", "greedy@example.com")] {
        let token = token_of(&stack, issuer, email);
        let answer = stack.sign_in(&token, email).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
}

#[tokio::test]
async fn nobody_spends_what_is_another_s() {
    let stack = with_quota("1/1");
    let token = token_of(&stack, "email", "dev@example.com");
    // A token whose signature does not hold names an identity and proves none.
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    for _ in 0..5 {
        let answer = stack.sign_in(&forged, "dev@example.com").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    }
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

#[tokio::test]
async fn a_full_house_refuses_before_it_reads() {
    let stack = Stack::configured(issuers(), YEAR, |config| config.writes = Bounds::fixed(0));
    let token = token_of(&stack, "email", "dev@example.com");
    let client = Client::new(KeyAlgorithm::EcdsaP256);
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        answer.text()
    );
    assert_eq!(answer.json()["code"], 14, "UNAVAILABLE");
    assert_retry_after(&answer);
    // The body never ends, and nobody waits for it.
    let text = client.body(&token, "dev@example.com").to_string().into_bytes();
    for path in [
        "/api/v2/signingCert",
        "/api/v1/signingCert",
        "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate",
    ] {
        let request = Request::post(path).header("content-type", "application/grpc");
        let request: Request<Body> = request.body(unfinished(text.clone())).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(10), stack.send(request)).await;
        let answer = answer.expect("an answer");
        match answer.headers.get("grpc-status") {
            Some(status) => {
                assert_eq!(status, "14");
                let wait: u32 = answer.headers["grpc-retry-pushback-ms"]
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap();
                assert!((1_000..=3_000).contains(&wait));
            }
            None => assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}"),
        }
    }
    assert_eq!(stack.log.calls(), 0);
    assert_eq!(stack.web.reads(), 0, "nor is an issuer asked");
}
