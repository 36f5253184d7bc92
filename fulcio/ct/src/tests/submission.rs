//! Submission over HTTP.

use super::World;
use crate::{CtLog, router};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::cert::Certificate;
use common_pki::key::Signer as _;
use common_pki::sct::{AddChainResponse, Sct};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use std::sync::Arc;
use tower::ServiceExt as _;

async fn post(log: &Arc<CtLog>, path: &str, body: String) -> (StatusCode, String) {
    let request = Request::post(path).body(Body::from(body)).unwrap();
    let answer = router(Arc::clone(log)).oneshot(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn chain(world: &World, serial: u64) -> String {
    let mut chain = vec![world.authority.precertificate(serial).to_der().to_vec()];
    chain.extend(world.authority.chain());
    let chain: Vec<_> = chain.iter().map(|der| STANDARD.encode(der)).collect();
    json!({ "chain": chain }).to_string()
}

/// The precertificate of a body.
fn submitted(body: &str) -> Certificate {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let der = STANDARD.decode(body["chain"][0].as_str().unwrap()).unwrap();
    Certificate::from_der(&der).unwrap()
}

#[tokio::test]
async fn submission_is_off_unless_switched_on() {
    let world = World::new().await;
    for path in ["/v1/add-pre-chain", "/v1/add-chain"] {
        let (status, body) = post(&world.log, path, chain(&world, 1)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    }
}

#[tokio::test]
async fn an_outside_authority_gets_a_timestamp_that_verifies_and_the_same_again() {
    let world = World::new().await;
    let log = world.taking_submissions();
    let body = chain(&world, 1);
    let (status, first) = post(&log, "/v1/add-pre-chain", body.clone()).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    let answer: AddChainResponse = serde_json::from_str(&first).unwrap();
    let sct = Sct::try_from(&answer).unwrap();
    let logged = submitted(&body);
    let entry = common_pki::sct::precert_entry(&logged, world.authority.signer.public_key());
    sct.verify(&entry, world.personality.public_key()).unwrap();
    let (_, again) = post(&log, "/ct/v1/add-pre-chain", body).await;
    let again: AddChainResponse = serde_json::from_str(&again).unwrap();
    assert_eq!(
        (again.timestamp, &again.extensions),
        (answer.timestamp, &answer.extensions)
    );
}

/// Whoever is told to come again comes for ever: a closed log says that it is.
#[tokio::test]
async fn a_log_that_was_closed_for_another_refuses_for_good() {
    let world = World::new().await;
    let log = world.taking_submissions();
    world.fill(1).await;
    world.engine.freeze(super::LOG).await.unwrap();
    let (status, said) = post(&log, "/v1/add-pre-chain", chain(&world, 2)).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{said}");
    assert!(said.contains("takes no more entries"), "{said}");
}

#[tokio::test]
async fn what_no_authority_of_ours_made_is_refused_with_the_reason() {
    let world = World::new().await;
    let log = world.taking_submissions();
    let other = super::Authority::new();
    let foreign = [
        other.precertificate(1).to_der().to_vec(),
        other.issuer.to_der().to_vec(),
    ];
    let foreign: Vec<_> = foreign.iter().map(|der| STANDARD.encode(der)).collect();
    for (path, body, status, expected) in [
        (
            "/v1/add-pre-chain",
            json!({ "chain": foreign }).to_string(),
            400,
            "root this log accepts",
        ),
        ("/v1/add-pre-chain", "{}".to_owned(), 400, "chain"),
        (
            "/v1/add-pre-chain",
            json!({ "chain": [] }).to_string(),
            400,
            "empty",
        ),
        (
            "/v1/add-pre-chain",
            json!({ "chain": ["?"] }).to_string(),
            400,
            "base64",
        ),
        ("/v1/add-pre-chain", " ".repeat(2 << 20), 413, "at most"),
        ("/v1/add-chain", chain(&world, 1), 400, "add-pre-chain"),
    ] {
        let (got, body) = post(&log, path, body).await;
        assert_eq!(got.as_u16(), status, "{body}");
        assert!(body.contains(expected), "{body}");
    }
}
