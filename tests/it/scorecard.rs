//! A job signs its Scorecard results and publishes them with their evidence; whoever reads them can check the same bytes, and
//! evidence of anything else is refused.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::clients::Cosign;
use tests::issuer::Issuer;
use tests::stack::Stack;
use tests::{ok, refused, sigbox};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

struct Job {
    stack: Stack,
    issuer: Issuer,
}

impl Job {
    fn start() -> Job {
        let issuer = Issuer::start();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fulcio.json");
        let github = json!({"preset": "github", "issuer-url": issuer.url("/github")});
        let issuers = json!({"oidc-issuers": {issuer.url("/github"): github}});
        std::fs::write(&file, issuers.to_string()).unwrap();
        Job {
            stack: Stack::with_issuers(&file),
            issuer,
        }
    }

    fn token(&self, repository: &str) -> String {
        let workflow = format!("{repository}/.github/workflows/scorecard.yml@refs/heads/main");
        let claims = json!({"sub": format!("repo:{repository}:ref:refs/heads/main"), "job_workflow_ref": workflow,
            "job_workflow_sha": COMMIT, "repository": repository, "sha": COMMIT, "ref": "refs/heads/main",
            "workflow_ref": workflow, "workflow_sha": COMMIT, "workflow": "Scorecard", "event_name": "push",
            "runner_environment": "github-hosted", "repository_id": "1", "repository_owner": "acme",
            "repository_owner_id": "2", "repository_visibility": "private", "run_id": "1", "run_attempt": "1"});
        self.issuer.token("/github", &claims)
    }

    /// Signs results of `repository` with cosign, as a job of `by`; the results and the bundle.
    fn signed(
        &self,
        cosign: &Cosign<'_>,
        name: &str,
        repository: &str,
        by: &str,
        score: f64,
    ) -> (String, Value) {
        let results = json!({"date": "2026-11-28", "repo": {"name": format!("github.com/{repository}"), "commit": COMMIT},
            "scorecard": {"version": "v5.2.1", "commit": "unknown"}, "score": score,
            "checks": [{"name": "Branch-Protection", "score": 8, "reason": "protected"}]})
        .to_string();
        let file = self.stack.file(&format!("{name}.json"), &results);
        let bundle = self.stack.path(&format!("{name}.sigstore.json"));
        let mut command = cosign.command();
        command.args([
            "sign-blob",
            "--yes",
            "--identity-token",
            &self.token(by),
            "--bundle",
        ]);
        ok(command.arg(&bundle).arg(&file));
        (
            results,
            serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap(),
        )
    }

    async fn publish(&self, path: &str, submission: &Value) -> (StatusCode, String) {
        let request = self
            .stack
            .http
            .post(self.stack.url(path))
            .body(submission.to_string());
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.stack.http.get(self.stack.url(path)).send().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_published_with_their_evidence_and_served_to_the_byte() {
    let job = Job::start();
    let cosign = Cosign::initialize(&job.stack);
    let path = "/projects/github.com/acme/app";
    let (results, bundle) = job.signed(&cosign, "results", "acme/app", "acme/app", 7.4);
    let submission = json!({"result": results, "branch": "main", "bundle": bundle});
    let (status, said) = job.publish(path, &submission).await;
    assert_eq!(status, StatusCode::CREATED, "{said}");

    let served = job.get(path).await;
    let index = served.headers()["sigbox-log-index"].to_str().unwrap().to_owned();
    assert_eq!(served.text().await.unwrap(), results);
    let evidence: Value =
        serde_json::from_str(&job.get(&format!("{path}/evidence")).await.text().await.unwrap()).unwrap();
    assert_eq!(evidence["logIndex"].to_string(), index);
    let entry = evidence["logEntry"].as_str().unwrap();
    assert!(
        job.stack
            .http
            .get(entry)
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    let badge = job.get(&format!("{path}/badge")).await.text().await.unwrap();
    assert!(badge.contains(">7.4<"), "{badge}");

    // The same by the index alone, as scorecard-action sends it.
    let by_index = json!({"result": results, "branch": "refs/heads/main", "tlogIndex": evidence["logIndex"], "accessToken": "x"});
    let (status, said) = job.publish(path, &by_index).await;
    assert_eq!(status, StatusCode::CREATED, "{said}");

    // Whoever reads it checks it, with thresholds of their own.
    let file = job.stack.path("results.json");
    let verify = |extra: &[&str]| {
        let mut command = std::process::Command::new(sigbox());
        command.args(["verify", "--url", &job.stack.ready.url]);
        command.args(["--certificate-identity", evidence["identity"].as_str().unwrap()]);
        command.args([
            "--certificate-oidc-issuer",
            &job.issuer.url("/github"),
            "--bundle",
        ]);
        command
            .arg(job.stack.path("results.sigstore.json"))
            .args(extra)
            .arg(&file);
        command
    };
    ok(&mut verify(&[
        "--scorecard-min",
        "7",
        "--scorecard-check",
        "Branch-Protection=8",
    ]));
    let said = refused(&mut verify(&[
        "--scorecard-min",
        "7.5",
        "--scorecard-check",
        "Fuzzing=1",
    ]))
    .text();
    assert!(
        said.contains("at least 7.5, got 7.4") && said.contains("Fuzzing"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_anything_else_is_refused() {
    let job = Job::start();
    let cosign = Cosign::initialize(&job.stack);
    let path = "/projects/github.com/acme/app";
    let (old, old_bundle) = job.signed(&cosign, "old", "acme/app", "acme/app", 9.9);
    // Signed entry timestamps count seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (new, new_bundle) = job.signed(&cosign, "new", "acme/app", "acme/app", 3.1);
    let (other, other_bundle) = job.signed(&cosign, "other", "acme/other", "acme/other", 9.0);
    let (forged, forged_bundle) = job.signed(&cosign, "forged", "acme/app", "evil/app", 9.0);
    let good = json!({"result": new, "branch": "main", "bundle": new_bundle});
    assert_eq!(job.publish(path, &good).await.0, StatusCode::CREATED);

    for (what, result, branch, bundle, status) in [
        ("digest", new.replace("3.1", "9.9"), "main", &new_bundle, 400),
        ("repository", other, "main", &other_bundle, 400),
        ("repository", forged, "main", &forged_bundle, 400),
        ("ref of the certificate", new.clone(), "release", &new_bundle, 400),
        ("older", old, "main", &old_bundle, 409),
    ] {
        let submission = json!({"result": result, "branch": branch, "bundle": bundle});
        let (got, said) = job.publish(path, &submission).await;
        assert_eq!(got.as_u16(), status, "{what}: {said}");
        assert!(said.contains(what), "{what}: {said}");
    }
    // An e-mail address names no repository, whoever it belongs to.
    let file = job.stack.file("mail.json", &new);
    let mail = cosign.sign_blob(tests::clients::Rekor::V1, "dev@example.com", &file);
    let bundle: Value = serde_json::from_slice(&std::fs::read(mail).unwrap()).unwrap();
    let (status, said) = job
        .publish(path, &json!({"result": new, "branch": "main", "bundle": bundle}))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
    assert!(said.contains("repository of the certificate"), "{said}");
    assert_eq!(
        job.get(path).await.text().await.unwrap(),
        new,
        "what was published is what is served"
    );
}
