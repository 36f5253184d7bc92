//! What would become of a token, told without issuing.

use std::sync::Arc;
use std::time::Duration;

use common_pki::cert::Certificate;
use fulcio_ca::{Asker, CiProvider, ClaimName, IdentityType, IssuerConfig, Pattern, Policy, Rule};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::*;

const WHO: &str = "dev@example.com";

async fn explain(stack: &Stack, token: &str) -> Value {
    let answer = stack
        .post(
            fulcio_ca::EXPLAIN_PATH,
            &[("authorization", &format!("Bearer {token}"))],
            "",
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.headers["cache-control"], "no-store");
    for secret in token.split('.').filter(|segment| segment.len() > 12) {
        assert!(!answer.text().contains(secret), "token text in {}", answer.text());
    }
    answer.json()
}

/// Outcome and detail of a check.
fn check<'a>(explanation: &'a Value, name: &str) -> (&'a str, &'a str) {
    let checks = explanation["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("no check {name} in {explanation}"));
    (
        check["outcome"].as_str().unwrap(),
        check["detail"].as_str().unwrap(),
    )
}

fn policy(pattern: &str, dry_run: bool) -> Arc<Policy> {
    let mut policy = Policy::default();
    policy.dry_run = dry_run;
    policy.allow.push(Rule {
        name: "ours".to_owned(),
        claims: vec![(ClaimName::new("email"), vec![Pattern::new(pattern).unwrap()])],
    });
    Arc::new(policy)
}

/// Each extension of what was issued: identifier, whether critical, and text where there is one.
fn issued(answer: &Answered) -> Vec<(String, bool, Option<String>)> {
    let certificate = Certificate::from_pem(&answer.certificates()[0]).unwrap();
    let text = |value: &[u8]| {
        let bare = value.strip_prefix(&[0x0c]).and_then(|rest| rest.get(1..));
        bare.map(|text| String::from_utf8_lossy(text).into_owned())
    };
    let extensions = certificate.extensions();
    let extensions = extensions.iter();
    extensions
        .map(|one| (one.oid.to_string(), one.critical, text(&one.value)))
        .collect()
}

fn github() -> (IssuerConfig, Value) {
    let provider = Arc::new(CiProvider::builtin("github-workflow").unwrap());
    let issuer = IssuerConfig::new(
        &format!("{BASE}/github"),
        "sigstore",
        IdentityType::CiProvider(provider),
    );
    let claims = json!({"iss": format!("{BASE}/github"), "aud": "sigstore", "iat": START, "exp": START + 300,
        "sub": "repo:acme/app:ref:refs/heads/main", "job_workflow_ref": "acme/app/.github/workflows/r.yml@refs/heads/main",
        "job_workflow_sha": "a", "repository": "acme/app", "sha": "b", "ref": "refs/heads/main",
        "workflow_ref": "acme/app/.github/workflows/r.yml@refs/heads/main", "workflow_sha": "b", "workflow": "Release",
        "event_name": "push", "runner_environment": "github-hosted", "repository_id": "1", "repository_owner": "acme",
        "repository_owner_id": "2", "repository_visibility": "private", "run_id": "1", "run_attempt": "1",
        "url": "https://evil.example"});
    (issuer.unwrap(), claims)
}

#[tokio::test]
async fn what_is_told_is_what_is_issued() {
    let (github, workflow) = github();
    let stack = Stack::with(
        vec![email_issuer(&format!("{BASE}/email")), github],
        Default::default(),
    );
    for (claims, signed) in [
        (stack.claims(), WHO),
        (workflow, "repo:acme/app:ref:refs/heads/main"),
    ] {
        let token = stack.token(&claims);
        let told = explain(&stack, &token).await;
        assert_eq!(told["accepted"], true, "{told}");
        let before = stack.log.calls();
        let certificate = &told["certificate"];
        assert_eq!(certificate["proof_of_possession_over"], signed);
        let answer = stack.sign_in(&token, signed).await;
        assert_eq!(stack.log.calls(), before + 1, "explaining had logged something");
        let issued = issued(&answer);
        let told = certificate["extensions"].as_array().unwrap();
        assert_eq!(told.len(), issued.len());
        for (told, (oid, critical, text)) in told.iter().zip(issued) {
            assert_eq!(told["oid"], oid);
            assert_eq!(told["critical"], critical, "{oid}");
            if let Some(text) = text {
                assert_eq!(told["value"], text, "{oid}");
            }
        }
        let names = Certificate::from_pem(&answer.certificates()[0])
            .unwrap()
            .subject_alt_names()
            .unwrap();
        assert_eq!(certificate["subject_alternative_name"], names[0].text());
    }
}

#[tokio::test]
async fn each_check_says_what_was_expected_and_what_came() {
    let stack = Stack::new();
    let told = async |change: Value| {
        let mut claims = stack.claims();
        claims
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        explain(&stack, &stack.token(&claims)).await
    };
    for (change, name, expected) in [
        (
            json!({"aud": "other"}),
            "audience",
            "audience: expected \"sigstore\", got \"other\"",
        ),
        (
            json!({"exp": START - 1}),
            "time",
            "exp: expected a time after 2026-11-22T12:00:00Z, got 2026-11-22T11:59:59Z",
        ),
        (
            json!({"email_verified": false}),
            "identity",
            "email_verified: expected true, got false or none",
        ),
        (
            json!({"iss": "https://127.0.0.1:1/email"}),
            "issuer",
            "iss: expected a configured issuer",
        ),
    ] {
        let told = told(change).await;
        assert_eq!(told["accepted"], false, "{told}");
        let (outcome, detail) = check(&told, name);
        assert_eq!(outcome, "failed", "{told}");
        assert!(detail.contains(expected), "{told}");
    }
    let told = told(json!({"iss": format!("{BASE}/email/")})).await;
    assert_eq!(
        told["notes"],
        json!([format!(
            "nearest issuer: \"{BASE}/email\" is configured: it has no slash at its end"
        )])
    );
    let good = stack.token(&stack.claims());
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    let (outcome, detail) = (
        explain(&stack, &forged).await,
        "signature: expected one by a key of",
    );
    assert!(check(&outcome, "signature").1.starts_with(detail), "{outcome}");
    assert_eq!(check(&explain(&stack, "a.b").await, "token").0, "failed");
    let missing = stack.post(fulcio_ca::EXPLAIN_PATH, &[], good).await;
    assert_eq!(
        missing.status,
        StatusCode::BAD_REQUEST,
        "a body is not looked at: {}",
        missing.text()
    );
    assert_eq!(stack.log.calls(), 0);
}

/// The rules of the operator, and what templates make of claims, are for who could have had a certificate.
#[tokio::test]
async fn a_token_that_proves_nothing_learns_nothing() {
    let mut issuer = email_issuer(&format!("{BASE}/email"));
    issuer.policy = policy("*@example.com", false);
    let stack = Stack::with(vec![issuer], Default::default());
    let (good, mut expired, mut other) = (stack.claims(), stack.claims(), stack.claims());
    expired["exp"] = json!(START - 1);
    other["aud"] = json!("another service");
    let good = stack.token(&good);
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    for token in [forged, stack.token(&expired), stack.token(&other)] {
        let told = explain(&stack, &token).await;
        assert_eq!(told["accepted"], false);
        assert_eq!(told["certificate"], Value::Null, "{told}");
        assert_eq!(check(&told, "policy").0, "skipped", "{told}");
        assert!(!told.to_string().contains("ours"), "the rule's name: {told}");
        let operator = stack.ca.explain(Asker::Operator, token).await.unwrap();
        assert!(
            !operator.accepted && operator.certificate.is_some(),
            "{operator:?}"
        );
    }
    assert_eq!(
        check(&explain(&stack, &good).await, "policy"),
        ("passed", "allowed by rule \"ours\"")
    );
}

#[tokio::test]
async fn the_policy_s_decision_is_told() {
    let mut issuer = email_issuer(&format!("{BASE}/email"));
    for (dry_run, accepted) in [(false, false), (true, true)] {
        issuer.policy = policy("*@acme.example", dry_run);
        let stack = Stack::with(vec![issuer.clone()], Default::default());
        let told = explain(&stack, &stack.token(&stack.claims())).await;
        assert_eq!(told["accepted"], accepted, "{told}");
        let (_, detail) = check(&told, "policy");
        assert!(
            detail.ends_with("rule \"ours\": email: expected \"*@acme.example\", got \"dev@example.com\""),
            "{told}"
        );
        assert_eq!(told["certificate"]["subject_alternative_name"], WHO, "{told}");
    }
}

#[tokio::test]
async fn a_claim_that_is_passed_over_is_told() {
    let (github, claims) = github();
    let stack = Stack::with(vec![github], Default::default());
    let told = explain(&stack, &stack.token(&claims)).await;
    let note = "the claim \"url\" is passed over: its default \"https://github.com\" is fixed";
    assert_eq!(told["notes"], json!([note]));
}

/// Explaining costs as much as verifying, so there is a bound.
#[tokio::test]
async fn few_are_explained_at_once() {
    let stack = Arc::new(Stack::new());
    *stack.web.delay.lock().unwrap() = Duration::from_secs(2);
    let token = format!("Bearer {}", stack.token(&stack.claims()));
    let ask = || {
        let (stack, token) = (Arc::clone(&stack), token.clone());
        tokio::spawn(async move {
            stack
                .post(fulcio_ca::EXPLAIN_PATH, &[("authorization", &token)], "")
                .await
        })
    };
    let asked: Vec<_> = (0..40).map(|_| ask()).collect();
    let mut statuses = Vec::new();
    for one in asked {
        let answer = one.await.unwrap();
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            assert_retry_after(&answer);
        }
        statuses.push(answer.status.as_u16());
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        16,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 503).count(),
        24,
        "{statuses:?}"
    );
}
