//! Issuers of a file beside the development issuer: cosign signs and verifies with what they certify.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::clients::Cosign;
use tests::issuer::Issuer;
use tests::stack::Stack;
use tests::{ok, refused};

fn configuration(issuer: &Issuer) -> String {
    json!({"oidc-issuers": {
        issuer.url("/uri"): {"client-id": "sigstore", "type": "uri", "subject-domain": issuer.url("")},
        issuer.url("/username"): {"client-id": "sigstore", "type": "username", "subject-domain": "127.0.0.1"},
        issuer.url("/github"): {"preset": "github", "issuer-url": issuer.url("/github")},
    }, "meta-issuers": {
        issuer.url("/clusters/*"): {"preset": "kubernetes"},
    }})
    .to_string()
}

#[test]
fn cosign_signs_and_verifies_with_uris_and_user_names() {
    let issuer = Issuer::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fulcio.json");
    std::fs::write(&file, configuration(&issuer)).unwrap();
    let stack = Stack::with_issuers(&file);
    let cosign = Cosign::initialize(&stack);
    let artifact = stack.file("artifact", "signed by workloads");
    let user = format!("{}/users/1", issuer.url(""));
    let github = json!({"sub": "repo:acme/app:ref:refs/heads/main", "job_workflow_ref": "acme/app/.github/workflows/r.yml@refs/heads/main",
        "job_workflow_sha": "a", "repository": "acme/app", "sha": "b", "ref": "refs/heads/main",
        "workflow_ref": "acme/app/.github/workflows/r.yml@refs/heads/main", "workflow_sha": "b", "workflow": "Release",
        "event_name": "push", "runner_environment": "github-hosted", "repository_id": 123_456_789_012_u64,
        "repository_owner": "acme", "repository_owner_id": "2", "repository_visibility": "private", "run_id": "1",
        "run_attempt": "1"});
    let account = json!({"sub": "system:serviceaccount:build:builder",
        "kubernetes.io": {"namespace": "build", "serviceaccount": {"name": "builder"}}});
    for (path, claims, identity) in [
        ("/uri", json!({"sub": user}), user.as_str()),
        ("/username", json!({"sub": "alice"}), "alice!127.0.0.1"),
        (
            "/github",
            github,
            "https://github.com/acme/app/.github/workflows/r.yml@refs/heads/main",
        ),
        (
            "/clusters/7",
            account,
            "https://kubernetes.io/namespaces/build/serviceaccounts/builder",
        ),
    ] {
        let bundle = stack.path(&format!("{}.json", path.replace('/', "-")));
        let token = issuer.token(path, &claims);
        sign(&cosign, &token, &bundle, &artifact);
        ok(&mut verify(
            &cosign,
            &bundle,
            identity,
            &issuer.url(path),
            &artifact,
        ));
        // Who signed is part of what is verified, and so is who says so.
        refused(&mut verify(
            &cosign,
            &bundle,
            "somebody else",
            &issuer.url(path),
            &artifact,
        ));
        refused(&mut verify(
            &cosign,
            &bundle,
            identity,
            &issuer.url("/other"),
            &artifact,
        ));
    }
}

#[tokio::test]
async fn a_file_that_changes_is_followed_and_a_bad_one_is_not() {
    let issuer = Issuer::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fulcio.yaml");
    let one = |path: &str| format!("oidc-issuers: {{'{}': {{preset: keycloak}}}}", issuer.url(path));
    std::fs::write(&file, one("/first")).unwrap();
    let stack = Stack::with_issuers(&file);
    let configured = async || -> Vec<String> {
        let answer = stack
            .http
            .get(stack.url("/api/v2/configuration"))
            .send()
            .await
            .unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let issuers = answer["issuers"].as_array().unwrap().iter();
        issuers
            .map(|issuer| issuer["issuerUrl"].as_str().unwrap().to_owned())
            .collect()
    };
    let until = |said: &str| {
        let began = Instant::now();
        while !stack.said().contains(said) {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "expected {said:?} in\n{}",
                stack.said()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    assert!(configured().await.contains(&issuer.url("/first")));
    std::fs::write(&file, "oidc-issuers: {'https://a.example': {type: emial}}").unwrap();
    stack.signal("HUP");
    until("those in use stay as they are");
    assert!(stack.said().contains("expected one of email"), "{}", stack.said());
    assert!(configured().await.contains(&issuer.url("/first")));
    std::fs::write(&file, one("/second")).unwrap();
    until("issuers read again");
    assert!(
        configured().await.contains(&issuer.url("/second"))
            && !configured().await.contains(&issuer.url("/first"))
    );
    assert_eq!(configured().await.len(), 2, "the development issuer stays");
}

fn sign(cosign: &Cosign<'_>, token: &str, bundle: &Path, artifact: &Path) {
    let mut command = cosign.command();
    command.args(["sign-blob", "--yes", "--identity-token", token, "--bundle"]);
    ok(command.arg(bundle).arg(artifact));
}

/// cosign, asked whether `identity` of `issuer` signed the artifact.
pub(crate) fn verify(
    cosign: &Cosign<'_>,
    bundle: &Path,
    identity: &str,
    issuer: &str,
    artifact: &Path,
) -> std::process::Command {
    let mut command = cosign.command();
    command.arg("verify-blob").arg("--bundle").arg(bundle);
    command.args([
        "--certificate-identity",
        identity,
        "--certificate-oidc-issuer",
        issuer,
    ]);
    command.arg(artifact);
    command
}
