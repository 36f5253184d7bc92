//! The store that is damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::trust::{Registry, Role};
use common_engine::fsck::{Fsck, LogCheck, Report};
use common_engine::{NoAnchor, Storage};
use common_pki::cert::{
    CaProfile, Certificate, Serial, TbsCertificate, distinguished_name, empty_name, ext, intermediate,
    self_signed_root,
};
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer, sha256};
use common_pki::oid;
use fulcio_ct::{AcceptedRoots, CtLog, CtPersonality};
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::super::checks;
use crate::clock::Clock;
use crate::keys::{Keys, Places};
use crate::layout::Layout;
use crate::public_url::PublicUrl;
use crate::services::{self, CT, Parts, Services};
use crate::site::Site;
use crate::up::limits::LimitArgs;

fn signer(algorithm: KeyAlgorithm) -> LocalSigner {
    LocalSigner::generate(algorithm).unwrap().0
}

/// Every look is some time after the last one, so that times are no round numbers and tell leaves apart.
fn clock() -> Clock {
    let now = AtomicU64::new(1_800_000_000_000);
    Arc::new(move || SystemTime::UNIX_EPOCH + Duration::from_millis(now.fetch_add(1_237, Ordering::Relaxed)))
}

/// Fills `storage` by the services of a new folder at `path`; gives the keys' registry.
pub(super) async fn fill(path: &Path, storage: Arc<dyn Storage>) -> Registry {
    let url: PublicUrl = "http://localhost:3000".parse().unwrap();
    let clock = clock();
    let (layout, site) = (Layout::new(path.to_owned()), Site::from(url));
    let keys = Keys::open(&layout, &site, &Places::default(), clock()).unwrap();
    let services = services::start(Parts {
        keys: &keys,
        issuer_key: Some(crate::keys::development_issuer(&layout).unwrap()),
        site: &site,
        exposure: deploy_issuer::Exposure::LoopbackOnly,
        issuers: Vec::new(),
        intake: services::handover::Intake::default(),
        limits: &LimitArgs::default(),
        v1_policy: rekor_api::v1::Policy::default(),
        v1_events: None,
        kept: None,
        storage: Some(storage),
        anchor: Arc::new(NoAnchor),
        clock,
        trust: None,
        scorecard: PathBuf::new(),
        scorecard_issuers: Vec::new(),
    })
    .await
    .unwrap();
    let key = signer(KeyAlgorithm::EcdsaP256);
    for number in 0..8 {
        let content = format!("artifact {number}");
        post(&services, "/api/v1/log/entries", &hashedrekord(&key, &content)).await;
        post(&services, "/api/v2/log/entries", &hashedrekord_v2(&key, &content)).await;
        if number % 3 == 0 {
            post(&services, "/api/v1/log/entries", &dsse(&key, number)).await;
            post(&services, "/api/v1/log/entries", &intoto(&key, number)).await;
        }
    }
    certificates(&services, &keys).await;
    services.engine.as_ref().unwrap().shutdown().await;
    keys.registry().clone()
}

async fn post(services: &Services, path: &str, body: &Value) {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let answer = services.router.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let said = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    assert_eq!(status, 201, "{path}: {}", String::from_utf8_lossy(&said));
}

fn hashedrekord(key: &LocalSigner, content: &str) -> Value {
    json!({"kind": "hashedrekord", "apiVersion": "0.0.1", "spec": {
        "data": {"hash": {"algorithm": "sha256", "value": hex::encode(sha256(content.as_bytes()))}},
        "signature": {
            "content": STANDARD.encode(key.sign(content.as_bytes()).unwrap()),
            "publicKey": {"content": STANDARD.encode(key.public_key().to_pem())},
        },
    }})
}

fn hashedrekord_v2(key: &LocalSigner, content: &str) -> Value {
    json!({"hashedRekordRequestV002": {
        "digest": STANDARD.encode(sha256(content.as_bytes())),
        "signature": {
            "content": STANDARD.encode(key.sign(content.as_bytes()).unwrap()),
            "verifier": {
                "publicKey": {"rawBytes": STANDARD.encode(key.public_key().spki_der())},
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            },
        },
    }})
}

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A statement about two subjects, and its signature as an envelope wants it.
fn statement(key: &LocalSigner, number: u32) -> (String, Vec<u8>) {
    let payload = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": "a", "digest": {"sha256": hex::encode(sha256(&[1, number as u8]))}},
            {"name": "b", "digest": {"sha256": hex::encode(sha256(&[2, number as u8]))}},
        ],
        "predicate": {},
    })
    .to_string();
    // The DSSE pre-authentication encoding.
    let (kind, length) = (PAYLOAD_TYPE, payload.len());
    let signed = format!("DSSEv1 {} {kind} {length} {payload}", kind.len());
    (payload, key.sign(signed.as_bytes()).unwrap())
}

fn dsse(key: &LocalSigner, number: u32) -> Value {
    let (payload, signature) = statement(key, number);
    let envelope = json!({
        "payloadType": PAYLOAD_TYPE,
        "payload": STANDARD.encode(payload),
        "signatures": [{"sig": STANDARD.encode(signature)}],
    });
    json!({"kind": "dsse", "apiVersion": "0.0.1", "spec": {"proposedContent": {
        "envelope": envelope.to_string(),
        "verifiers": [STANDARD.encode(key.public_key().to_pem())],
    }}})
}

/// The one kind here that keeps its payload beside the log.
fn intoto(key: &LocalSigner, number: u32) -> Value {
    let (payload, signature) = statement(key, number);
    let hash = hex::encode(sha256(payload.as_bytes()));
    json!({"kind": "intoto", "apiVersion": "0.0.2", "spec": {"content": {
        "envelope": {
            "payloadType": PAYLOAD_TYPE,
            "payload": STANDARD.encode(STANDARD.encode(&payload)),
            "signatures": [{
                "publicKey": STANDARD.encode(key.public_key().to_pem()),
                "sig": STANDARD.encode(STANDARD.encode(signature)),
            }],
        },
        "hash": {"algorithm": "sha256", "value": hash},
    }}})
}

fn profile(name: &str, serial: u8) -> CaProfile {
    CaProfile {
        subject: distinguished_name("sigbox", name),
        serial: Serial::new(&[serial]).unwrap(),
        not_before: 1_700_000_000,
        not_after: 2_000_000_000,
    }
}

/// Precertificates of an authority of two levels, straight into the log.
async fn certificates(services: &Services, keys: &Keys) {
    let root_signer = signer(KeyAlgorithm::EcdsaP384);
    let root = self_signed_root(profile("root", 1), &root_signer).unwrap();
    let issuing = signer(KeyAlgorithm::EcdsaP256);
    let purpose = &oid::CODE_SIGNING;
    let issuer = intermediate(
        profile("issuer", 2),
        issuing.public_key(),
        purpose,
        &root,
        &root_signer,
    )
    .unwrap();
    let (record, log_signer) = keys.active(Role::CtLog).unwrap();
    let personality = CtPersonality::new(log_signer, &record.origin).unwrap();
    let roots = AcceptedRoots::new(vec![root.clone()]).unwrap();
    let log = CtLog::new(services.engine.clone().unwrap(), CT, Arc::new(personality), roots);
    let chain: Vec<Vec<u8>> = [&issuer, &root]
        .map(|one: &Certificate| one.to_der().to_vec())
        .into();
    for serial in 0..6u8 {
        let tbs = TbsCertificate {
            serial: Serial::new(&[1, serial]).unwrap(),
            issuer: issuer.subject_der().to_vec(),
            not_before: 1_800_000_000,
            not_after: 1_800_000_600,
            subject: empty_name(),
            extensions: vec![
                ext::digital_signature(),
                ext::extended_key_usage(&oid::CODE_SIGNING, false),
            ],
            key: signer(KeyAlgorithm::EcdsaP256).public_key().clone(),
        };
        let precertificate = tbs.sign_precertificate(&issuing).unwrap();
        log.add_pre_chain(precertificate.to_der(), &chain).await.unwrap();
    }
}

/// What `fsck` checks in the store.
pub(super) async fn checks_of(registry: &Registry, storage: &dyn Storage) -> Vec<LogCheck> {
    let logs = checks::logs(registry, &storage.logs().await.unwrap());
    assert!(logs.wrong.is_empty(), "{:?}", logs.wrong);
    logs.checks
}

/// The engine's part of `fsck`.
pub(super) async fn check(storage: &dyn Storage, logs: &[LogCheck]) -> Report {
    let fsck = Fsck {
        storage,
        logs,
        published: &[],
        limit: 100,
        progress: &|_| {},
    };
    fsck.run().await.unwrap()
}
