#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

//! Results, evidence and answers. That genuine evidence is taken is shown end to end, with a running authority and log
//! (`tests/it/scorecard.rs`); here is what must be refused, and the recorded public results and log answer.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::format::{
    Checkpoint, InclusionPromise, InclusionProof, KindVersion, LogId, TransparencyLogEntry,
};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::error::Refusal;

fn vectors() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: the recorded vectors are not beside this repository");
    None
}

#[derive(Default)]
struct Memory(Mutex<HashMap<String, Publication>>);

#[async_trait::async_trait]
impl Store for Memory {
    async fn get(&self, project: &Project, commit: Option<&str>) -> Result<Option<Publication>, StoreError> {
        let key = format!("{project}@{}", commit.unwrap_or("newest"));
        Ok(self.0.lock().unwrap().get(&key).cloned())
    }

    async fn put(&self, project: &Project, publication: &Publication) -> Result<(), StoreError> {
        let mut all = self.0.lock().unwrap();
        for which in [publication.commit.as_str(), "newest"] {
            all.insert(format!("{project}@{which}"), publication.clone());
        }
        Ok(())
    }
}

/// One entry, at the index it has.
struct Recorded(Option<TransparencyLogEntry>);

#[async_trait::async_trait]
impl Log for Recorded {
    async fn entry(&self, index: u64) -> Result<Option<TransparencyLogEntry>, LogError> {
        Ok(self.0.clone().filter(|entry| entry.log_index == index))
    }
}

fn service(entry: Option<TransparencyLogEntry>, trust: Option<TrustedRoot>, issuers: &[&str]) -> Router {
    router(Arc::new(Scorecard::new(Config {
        store: Arc::new(Memory::default()),
        log: Arc::new(Recorded(entry)),
        trust: Arc::new(move || trust.clone()),
        issuers: issuers.iter().map(|issuer| (*issuer).to_owned()).collect(),
        url: "http://localhost:3000".to_owned(),
    })))
}

async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, String) {
    let answer = router.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(router: &Router, path: &str) -> (StatusCode, String) {
    ask(router, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn post(router: &Router, path: &str, body: &Value) -> (StatusCode, String) {
    ask(
        router,
        Request::post(path).body(Body::from(body.to_string())).unwrap(),
    )
    .await
}

/// The recorded answer of the public log, as a bundle keeps it.
fn recorded_entry(all: &std::path::Path) -> TransparencyLogEntry {
    let answer = std::fs::read(all.join("scorecard/log-entries-response.json")).unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let entry = answer.as_object().unwrap().values().next().unwrap();
    let proof = &entry["verification"]["inclusionProof"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let unhex = |value: &Value| hex::decode(text(value)).unwrap();
    TransparencyLogEntry {
        log_index: entry["logIndex"].as_u64().unwrap(),
        log_id: LogId {
            key_id: unhex(&entry["logID"]),
        },
        kind_version: KindVersion {
            kind: "hashedrekord".to_owned(),
            version: "0.0.1".to_owned(),
        },
        integrated_time: entry["integratedTime"].as_u64().unwrap(),
        inclusion_promise: Some(InclusionPromise {
            signed_entry_timestamp: STANDARD
                .decode(text(&entry["verification"]["signedEntryTimestamp"]))
                .unwrap(),
        }),
        inclusion_proof: Some(InclusionProof {
            log_index: proof["logIndex"].as_u64().unwrap(),
            root_hash: unhex(&proof["rootHash"]),
            tree_size: proof["treeSize"].as_u64().unwrap(),
            hashes: proof["hashes"].as_array().unwrap().iter().map(unhex).collect(),
            checkpoint: Checkpoint {
                envelope: text(&proof["checkpoint"]),
            },
        }),
        canonicalized_body: STANDARD.decode(text(&entry["body"])).unwrap(),
    }
}

fn results(repository: &str, commit: &str) -> String {
    json!({
        "date": "2026-11-22",
        "repo": { "name": repository, "commit": commit },
        "scorecard": { "version": "v5.0.0", "commit": "unknown" },
        "score": 7.4,
        "checks": [{ "name": "Branch-Protection", "score": 8 }, { "name": "Fuzzing", "score": -1 }],
    })
    .to_string()
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn published_results_are_read() {
    let Some(all) = vectors() else { return };
    for (file, repository, score) in [
        (
            "valid-payload.json",
            "github.com/ossf-tests/scorecard-action",
            5.8,
        ),
        ("results.json", "github.com/rohankh532/scorecard-OIDC-test", 5.1),
    ] {
        let json = std::fs::read(all.join("scorecard").join(file)).unwrap();
        let results = Results::from_json(&json).unwrap();
        assert_eq!(results.repository, repository);
        assert!(
            (results.score - score).abs() < f64::EPSILON,
            "{file}: {}",
            results.score
        );
        assert!(results.checks.len() > 10, "{file}: {:?}", results.checks);
    }
}

#[test]
fn a_statement_names_the_repository_as_its_subject() {
    let statement = |subject: Value, kind: &str| {
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subject,
            "predicateType": kind,
            "predicate": { "date": "2026-11-22", "score": 6, "checks": [] },
        })
        .to_string()
        .into_bytes()
    };
    let good = json!([{ "name": "github.com/acme/app", "digest": { "gitCommit": COMMIT } }]);
    let kind = "https://scorecard.dev/result/v0.1";
    let results = Results::from_statement(&statement(good.clone(), kind)).unwrap();
    assert_eq!(
        (results.repository.as_str(), results.commit.as_str()),
        ("github.com/acme/app", COMMIT)
    );
    for (subject, kind) in [
        (good.clone(), "https://slsa.dev/provenance/v1"),
        (json!([]), kind),
        (json!([good[0], good[0]]), kind),
        (
            json!([{ "name": "github.com/acme/app", "digest": { "sha256": COMMIT } }]),
            kind,
        ),
    ] {
        assert!(Results::from_statement(&statement(subject, kind)).is_err());
    }
}

#[test]
fn scores_are_scores() {
    let with = |score: Value, checks: Value| {
        let json =
            json!({ "date": "", "repo": { "name": "", "commit": "" }, "score": score, "checks": checks });
        Results::from_json(json.to_string().as_bytes())
    };
    assert!(with(json!(-1), json!([])).is_ok());
    for (score, checks) in [
        (json!(10.1), json!([])),
        (json!(-2), json!([])),
        (json!("7"), json!([])),
        (json!(7), json!([{ "name": "A", "score": 11 }])),
        // The better of two would be shown to one reader and the worse to another.
        (
            json!(7),
            json!([{ "name": "A", "score": 1 }, { "name": "A", "score": 9 }]),
        ),
        (
            json!(7),
            Value::Array(vec![json!({ "name": "A", "score": 1 }); 257]),
        ),
    ] {
        assert!(with(score.clone(), checks).is_err(), "{score}");
    }
}

#[test]
fn a_check_without_a_result_reaches_no_threshold() {
    let results = Results::from_json(results("github.com/acme/app", COMMIT).as_bytes()).unwrap();
    let short = |min, checks: &[(&str, f64)]| {
        let checks = checks
            .iter()
            .map(|(name, least)| ((*name).to_owned(), *least))
            .collect();
        Thresholds { min, checks }.shortfalls(&results)
    };
    assert!(short(Some(7.4), &[("Branch-Protection", 8.0)]).is_empty());
    assert_eq!(short(Some(7.5), &[]).len(), 1);
    let missing = short(
        None,
        &[("Fuzzing", 0.0), ("Branch-Protection", 9.0), ("Unknown", 0.0)],
    );
    assert_eq!(missing.len(), 3);
    assert_eq!(
        missing[0].to_string(),
        "Fuzzing: expected a score of at least 0, got none"
    );
    assert_eq!(
        missing[1].to_string(),
        "Branch-Protection: expected a score of at least 9, got 8"
    );
}

#[tokio::test]
async fn the_recorded_entry_proves_nothing_about_other_results() {
    let Some(all) = vectors() else { return };
    let root = std::fs::read(all.join("public-good/trusted_root.json")).unwrap();
    let root = TrustedRoot::parse(&root).unwrap();
    let entry = recorded_entry(&all);
    let index = entry.log_index;
    let result = std::fs::read_to_string(all.join("scorecard/results.json")).unwrap();
    let path = "/projects/github.com/rohankh532/scorecard-OIDC-test";
    let submission =
        json!({ "result": result, "branch": "main", "accessToken": "ghs_secret", "tlogIndex": index });

    let router = service(Some(entry.clone()), Some(root.clone()), &[]);
    let (status, message) = post(&router, path, &submission).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{message}");
    assert!(message.contains("digest"), "{message}");
    assert!(!message.contains("ghs_secret"), "{message}");
    assert_eq!(get(&router, path).await.0, StatusCode::NOT_FOUND);

    let github = "https://token.actions.githubusercontent.com";
    let router = service(Some(entry.clone()), Some(root.clone()), &[github]);
    let (status, message) = post(&router, path, &submission).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        message.contains("https://github.com/login/oauth") && message.contains(github),
        "{message}"
    );

    let mut elsewhere = submission.clone();
    elsewhere["tlogIndex"] = json!(0);
    let (status, message) = post(&router, path, &elsewhere).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        message.contains("no entry 0"),
        "an index of 0 is an index: {message}"
    );

    let mut rekord = entry;
    rekord.canonicalized_body = br#"{"apiVersion":"0.0.1","kind":"rekord","spec":{}}"#.to_vec();
    let router = service(Some(rekord), Some(root), &[]);
    let (status, message) = post(&router, path, &submission).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(message.contains("hashedrekord"), "{message}");
}

#[tokio::test]
async fn malformed_requests_are_told_why() {
    let router = service(None, None, &[]);
    let path = "/projects/github.com/acme/app";
    for (body, expected) in [
        (json!([]), "expected"),
        (json!({ "branch": "main" }), "result"),
        (json!({ "result": "{}", "branch": "main" }), "tlogIndex"),
        (
            json!({ "result": "{}", "branch": "main", "tlogIndex": -1 }),
            "tlogIndex",
        ),
        (
            json!({ "result": "{}", "branch": "main", "bundle": {} }),
            "bundle",
        ),
    ] {
        let (status, message) = post(&router, path, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {message}");
        assert!(message.contains(expected), "{body}: {message}");
    }
    let long = Request::post(path)
        .body(Body::from(vec![b' '; MAX_BODY + 1]))
        .unwrap();
    assert_eq!(ask(&router, long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    for path in [
        "/projects/github.com/..%2F..%2Fkeys/registry",
        "/projects/.hidden/acme/app",
        "/projects/github.com/acme/app%00",
        "/projects/github.com/acme/app?commit=..",
        "/projects/github.com/acme/app/badge?style=%3Cscript%3E",
    ] {
        assert_eq!(get(&router, path).await.0, StatusCode::BAD_REQUEST, "{path}");
    }
}

/// Who submits old results again can have them timestamped anew, and cannot have their certificate anew.
#[test]
fn results_are_ordered_by_what_who_submits_them_cannot_move() {
    let Some(all) = vectors() else { return };
    let of = |bundle: &str, signed_at: u64| Publication {
        project: "github.com/acme/app".to_owned(),
        commit: COMMIT.to_owned(),
        branch: "main".to_owned(),
        signed_at,
        log_index: None,
        media_type: "application/json".to_owned(),
        signed: String::new(),
        bundle: std::fs::read_to_string(all.join("slsa").join(bundle)).unwrap(),
    };
    // Certified in March 2024 and in February 2025.
    let old = "gha_delegator/v1.10.0/binary-linux-amd64-push-v14.build.slsa";
    let new = "gha_container-based/v2.1.0/binary-linux-amd64-push-v13.0.30.intoto.build.slsa";
    let refused = of(old, u64::MAX).replaces(&of(new, 0)).unwrap_err();
    assert!(matches!(refused, Refusal::Replayed { .. }), "{refused}");
    of(new, 0).replaces(&of(old, u64::MAX)).unwrap();
    of(new, 0).replaces(&of(new, 1)).unwrap();
}

#[tokio::test]
async fn what_is_published_is_served_to_the_byte() {
    let store = Arc::new(Memory::default());
    let project = Project::new("github.com", "acme", "app").unwrap();
    let signed = results("github.com/acme/app", COMMIT);
    let publication = Publication {
        project: project.to_string(),
        commit: COMMIT.to_owned(),
        branch: "main".to_owned(),
        signed_at: 1_700_000_000,
        log_index: Some(7),
        media_type: "application/json".to_owned(),
        signed: signed.clone(),
        bundle: "{}".to_owned(),
    };
    store.put(&project, &publication).await.unwrap();
    let router = router(Arc::new(Scorecard::new(Config {
        store,
        log: Arc::new(Recorded(None)),
        trust: Arc::new(|| None),
        issuers: Vec::new(),
        url: "http://localhost:3000".to_owned(),
    })));
    let path = "/projects/github.com/acme/app";
    assert_eq!(get(&router, path).await, (StatusCode::OK, signed.clone()));
    assert_eq!(get(&router, &format!("{path}?commit={COMMIT}")).await.1, signed);
    let other = COMMIT.replace('0', "f");
    assert_eq!(
        get(&router, &format!("{path}?commit={other}")).await.0,
        StatusCode::NOT_FOUND
    );

    for (style, _) in badge::Style::ALL {
        let (status, svg) = get(&router, &format!("{path}/badge?style={style}")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            svg.contains(">7.4<") && svg.contains(COMMIT) && svg.contains("log entry 7"),
            "{svg}"
        );
    }
    let (status, svg) = get(&router, "/projects/github.com/acme/other/badge").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(svg.contains("no result"), "{svg}");
}
