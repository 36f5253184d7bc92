//! Every kind of identity by every door of the authority: HTTP, gRPC, the legacy API over both. And what a server that logs
//! all it can says of the tokens that it saw: nothing.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::cert::Certificate;
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _};
use serde_json::{Value, json};
use tests::grpc::{Authority, Status};
use tests::issuer::Issuer;
use tests::stack::Stack;

/// The issuers of the story, by path, and their lines in a configuration file.
fn configuration(issuer: &Issuer) -> String {
    let provider = |name: &str| json!({"client-id": "sigstore", "type": "ci-provider", "ci-provider": name});
    let mut issuers = json!({
        "/email": {"client-id": "sigstore", "type": "email"},
        "/uri": {"client-id": "sigstore", "type": "uri", "subject-domain": issuer.url("")},
        "/username": {"client-id": "sigstore", "type": "username", "subject-domain": "127.0.0.1"},
        "/spiffe": {"client-id": "sigstore", "type": "spiffe", "spiffe-trust-domain": "example.org"},
        "/kubernetes": {"client-id": "sigstore", "type": "kubernetes"},
        "/chainguard": {"client-id": "sigstore", "type": "chainguard-identity"},
        "/github": provider("github-workflow"),
        "/gitlab": provider("gitlab-pipeline"),
        "/buildkite": provider("buildkite-job"),
        "/codefresh": provider("codefresh-workflow"),
        "/circleci": provider("circleci-job"),
        "/buddy": provider("buddy-pipeline"),
    });
    let issuers: serde_json::Map<_, _> = issuers
        .as_object_mut()
        .unwrap()
        .iter()
        .map(|(path, lines)| (issuer.url(path), lines.clone()))
        .collect();
    json!({"oidc-issuers": issuers}).to_string()
}

/// Path of the issuer, claims of a token, and the name in its certificate. `SECRET` is in claims that no certificate repeats.
fn identities(issuer: &Issuer) -> Vec<(&'static str, Value, String)> {
    let user = format!("{}/users/1", issuer.url(""));
    let account = json!({"namespace": "build", "serviceaccount": {"name": "builder", "uid": "u"}, "pod": {"name": "p", "uid": "v"}});
    let mut identities = vec![
        (
            "/email",
            json!({"email": "dev@example.com", "email_verified": true, "sub": "s1"}),
            "dev@example.com".to_owned(),
        ),
        ("/uri", json!({"sub": user}), user.clone()),
        ("/username", json!({"sub": "alice"}), "alice!127.0.0.1".to_owned()),
        (
            "/spiffe",
            json!({"sub": "spiffe://example.org/ns/build", "aud": ["sigstore", "spire"]}),
            "spiffe://example.org/ns/build".to_owned(),
        ),
        (
            "/kubernetes",
            json!({"sub": "system:serviceaccount:build:builder", "kubernetes.io": account}),
            "https://kubernetes.io/namespaces/build/serviceaccounts/builder".to_owned(),
        ),
        (
            "/chainguard",
            json!({"sub": "7209/b1b9"}),
            format!("{}/7209/b1b9", issuer.url("/chainguard")),
        ),
        (
            "/github",
            json!({"sub": "repo:acme/app:ref:refs/heads/main", "job_workflow_ref": "acme/app/.github/workflows/r.yml@refs/heads/main",
                "job_workflow_sha": "a", "repository": "acme/app", "sha": "b", "ref": "refs/heads/main", "workflow": "Release",
                "workflow_ref": "acme/app/.github/workflows/r.yml@refs/heads/main", "workflow_sha": "b", "event_name": "push",
                "runner_environment": "github-hosted", "repository_id": "1", "repository_owner": "acme", "repository_owner_id": "2",
                "repository_visibility": "private", "run_id": "1", "run_attempt": "1"}),
            "https://github.com/acme/app/.github/workflows/r.yml@refs/heads/main".to_owned(),
        ),
        (
            "/gitlab",
            json!({"sub": "project_path:acme/app:ref_type:branch:ref:main", "ref": "main", "ref_type": "branch", "project_id": "11",
                "project_path": "acme/app", "namespace_path": "acme", "namespace_id": "22", "pipeline_source": "push", "job_id": "44",
                "ci_config_ref_uri": "gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main", "ci_config_sha": "a", "sha": "b",
                "runner_environment": "gitlab-hosted", "project_visibility": "internal"}),
            "https://gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main".to_owned(),
        ),
        (
            "/buildkite",
            json!({"sub": "organization:acme:pipeline:app", "organization_slug": "acme", "pipeline_slug": "app", "build_number": 5,
                "job_id": "0184", "build_commit": "b", "build_source": "webhook", "runner_environment": "hosted"}),
            "https://buildkite.com/acme/app".to_owned(),
        ),
        (
            "/codefresh",
            json!({"sub": "account:acme:pipeline:app", "account_id": "a1", "account_name": "acme", "pipeline_id": "p1",
                "pipeline_name": "app/build", "workflow_id": "w1", "platform_url": "https://codefresh.example"}),
            "https://codefresh.example/acme/app/build:a1/p1".to_owned(),
        ),
        (
            "/circleci",
            json!({"sub": "org/0a/project/2c/user/4e", "oidc.circleci.com/project-id": "2c", "oidc.circleci.com/pipeline-id": "6a",
                "oidc.circleci.com/pipeline-definition-id": "9d", "oidc.circleci.com/workflow-id": "8c", "oidc.circleci.com/job-id": "0e",
                "oidc.circleci.com/ssh-rerun": false, "oidc.circleci.com/vcs-origin": "github.com/acme/app",
                "oidc.circleci.com/vcs-ref": "refs/heads/main"}),
            "https://circleci.com/api/v2/projects/2c/pipeline-definitions/9d".to_owned(),
        ),
        (
            "/buddy",
            json!({"sub": "acme/app/12", "workspace_domain": "acme", "project_name": "app", "pipeline_id": 12, "execution_id": "e1",
                "triggered_on": "EVENT", "runner_environment": "hosted", "revision": "01", "ref": "refs/heads/main"}),
            "https://app.buddy.works/acme/app/pipelines/pipeline/12".to_owned(),
        ),
    ];
    for (_, claims, _) in &mut identities {
        claims["jti"] = json!("SECRET-OF-THE-TOKEN");
    }
    identities
}

/// A key of the story, and what a request needs of it.
struct Key {
    signer: LocalSigner,
    pem: String,
    der: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let (pem, der) = (
            signer.public_key().to_pem(),
            signer.public_key().spki_der().to_vec(),
        );
        Self { signer, pem, der }
    }

    fn proof(&self, subject: &str) -> Vec<u8> {
        self.signer.sign(subject.as_bytes()).unwrap()
    }
}

struct Doors<'a> {
    stack: &'a Stack,
    grpc: Authority,
    key: Key,
}

impl Doors<'_> {
    async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> (u16, String) {
        let mut request = self.stack.http.post(self.stack.url(path));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = request.body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The name in the certificate by each door, or why there is none.
    async fn ask(&self, token: &str, subject: &str) -> Vec<Result<String, String>> {
        let (key, proof) = (&self.key, self.key.proof(subject));
        let public = json!({"publicKey": {"content": key.pem}, "proofOfPossession": STANDARD.encode(&proof)});
        let legacy = json!({"publicKey": {"content": STANDARD.encode(&key.der)}, "signedEmailAddress": STANDARD.encode(&proof)});
        let mut answers = Vec::new();
        for (header, credentials) in [
            (None, json!({"oidcIdentityToken": token})),
            (Some(token), Value::Null),
        ] {
            let body = json!({"credentials": credentials, "publicKeyRequest": public});
            let (status, text) = self.post("/api/v2/signingCert", header, &body).await;
            let answer: Value = serde_json::from_str(&text).unwrap();
            let leaf = &answer["signedCertificateEmbeddedSct"]["chain"]["certificates"][0];
            answers.push(match leaf.as_str() {
                Some(pem) if status == 200 => Ok(pem.to_owned()),
                _ => Err(format!("{status} {text}")),
            });
        }
        let (status, text) = self.post("/api/v1/signingCert", Some(token), &legacy).await;
        answers.push(if status == 201 {
            Ok(text)
        } else {
            Err(format!("{status} {text}"))
        });
        let said = |status: Status| format!("{} {}", status.code, status.message);
        let chain = self.grpc.certificate(token, &key.pem, &proof).await;
        answers.push(chain.map(|mut chain| chain.remove(0)).map_err(said));
        answers.push(
            self.grpc
                .legacy_certificate(token, &key.der, &proof)
                .await
                .map_err(said),
        );
        answers
            .into_iter()
            .map(|answer| answer.map(|pem| self.name(&pem)))
            .collect()
    }

    fn name(&self, pem: &str) -> String {
        let leaf = &Certificate::chain_from_pem(pem, 3).unwrap()[0];
        assert_eq!(leaf.spki_der(), self.key.der, "of our key");
        leaf.subject_alt_names().unwrap()[0].text()
    }
}

/// The certificates are those of the same token whatever the door, and a refused token is refused at each.
///
/// "js puts the token in an error message": here neither answers nor the whole log of a run at the most verbose level
/// have a segment of one, good, expired or forged.
#[tokio::test(flavor = "multi_thread")]
async fn every_identity_by_every_door_and_no_token_in_any_line_of_the_log() {
    let issuer = Issuer::start();
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("fulcio.json");
    std::fs::write(&file, configuration(&issuer)).unwrap();
    let mut stack = Stack::with_issuers_and_log(&file, "trace");
    let mut tokens = vec![stack.token("dev@example.com")];
    let doors = Doors {
        grpc: Authority::at(&stack.ready.url),
        key: Key::new(),
        stack: &stack,
    };
    for (path, claims, name) in identities(&issuer) {
        let subject = claims.get("email").unwrap_or(&claims["sub"]).as_str().unwrap();
        let token = issuer.token(path, &claims);
        for (door, answer) in doors.ask(&token, subject).await.into_iter().enumerate() {
            assert_eq!(answer.as_ref(), Ok(&name), "{path}, door {door}");
        }
        let mut late = claims.clone();
        late["exp"] = json!(1_700_000_000);
        let mut forged = token.clone();
        forged.replace_range(forged.len() - 8.., "AAAAAAAA");
        let expired = issuer.token(path, &late);
        for bad in [&expired, &forged, &format!("{token}.{token}")] {
            for answer in doors.ask(bad, subject).await {
                let said = answer.unwrap_err();
                assert!(
                    said.starts_with("400 ") || said.starts_with("3 "),
                    "{path}: {said}"
                );
                assert!(
                    !secrets(bad).any(|secret| said.contains(secret)),
                    "{path}: {said}"
                );
            }
        }
        tokens.extend([token, expired, forged]);
    }
    assert!(stack.interrupt().is_some());
    let said = stack.said();
    assert!(
        said.contains("no certificate issued") && said.contains("TRACE"),
        "a verbose log"
    );
    assert!(!said.contains("SECRET-OF-THE-TOKEN"));
    for token in &tokens {
        for secret in secrets(token) {
            assert!(!said.contains(secret), "a segment of a token is in the log");
        }
    }
}

/// What of a token is nobody's business: its claims and its signature, and both in part.
fn secrets(token: &str) -> impl Iterator<Item = &str> {
    token
        .split('.')
        .skip(1)
        .flat_map(|segment| [segment, &segment[..segment.len().min(40)]])
        .filter(|secret| secret.len() >= 20)
}
