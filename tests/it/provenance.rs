//! SLSA provenance against a private instance: the classic command line of slsa-verifier, and each way in which it fails.
//!
//! Two instances: the development issuer of one plays the CI system, the other trusts it as one.

mod image;
mod npm;
mod private;

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tests::stack::Stack;
use tests::{Ran, ok, openssl_key_pair, run, sigbox, tool};

const BUILDER: &str = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_generic_slsa3.yml@refs/tags/v1.9.0";
const COMMIT: &str = "4f1d0b3a5c6e7f8091a2b3c4d5e6f708192a3b4c";
const TAG: &str = "v4.13.1";
const SOURCE: &str = "github.com/acme/app";

/// A predicate of version 0.2 as the generator of that release writes it.
fn predicate(builder: &str) -> Value {
    let git = json!({ "uri": format!("git+https://{SOURCE}@refs/tags/{TAG}"), "digest": { "sha1": COMMIT } });
    let mut config = git.clone();
    config["entryPoint"] = ".github/workflows/release.yml".into();
    json!({
        "builder": { "id": builder },
        "buildType": "https://github.com/slsa-framework/slsa-github-generator/generic@v1",
        "invocation": {
            "configSource": config, "parameters": {},
            "environment": {
                "github_event_name": "push", "github_ref": format!("refs/tags/{TAG}"), "github_ref_type": "tag",
                "github_base_ref": "", "github_event_payload": { "base_ref": "refs/heads/main" },
            },
        },
        "materials": [git],
    })
}

struct Ci {
    /// Issues the tokens of the jobs.
    issuer: Stack,
    instance: Stack,
}

impl Ci {
    fn start() -> Self {
        let issuer = Stack::ephemeral();
        let url = &issuer.ready.issuer;
        let config = json!({ "oidc-issuers": { url: {
            "issuer-url": url, "client-id": "sigstore", "type": "github-workflow",
        }}});
        let file = issuer.file("fulcio.json", config.to_string());
        let instance = Stack::with_issuers(&file);
        Self { issuer, instance }
    }

    /// A token as GitHub Actions gives it to a workflow that the release's called for the tag, or to that itself.
    fn token(&self, signer: &str) -> String {
        let claims = json!({
            "sub": format!("repo:acme/app:ref:refs/tags/{TAG}"),
            "email": null,
            "email_verified": null,
            "job_workflow_ref": signer.strip_prefix("https://github.com/").unwrap(),
            "job_workflow_sha": "07e64b653f10a80b6510f4568f685f8b7b9ea830",
            "repository": "acme/app", "repository_id": "1", "repository_owner": "acme", "repository_owner_id": "2",
            "repository_visibility": "private", "sha": COMMIT, "ref": format!("refs/tags/{TAG}"),
            "workflow": "release", "workflow_ref": format!("acme/app/.github/workflows/release.yml@refs/tags/{TAG}"),
            "workflow_sha": COMMIT, "event_name": "push", "runner_environment": "github-hosted",
            "run_id": "123", "run_attempt": "1",
        });
        let file = self.issuer.file("claims.json", claims.to_string());
        let mut command = Command::new(sigbox());
        command
            .args(["token", "--url", &self.issuer.ready.url, "--claims"])
            .arg(file);
        ok(&mut command).stdout.trim().to_owned()
    }

    /// Provenance of version 0.2 as the generator of that release writes it, logged, with the certificate in the envelope.
    fn provenance(&self, artifact: &Path, builder: &str, name: &str) -> PathBuf {
        let sum = ok(Command::new("sha256sum").arg(artifact)).stdout;
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://slsa.dev/provenance/v0.2",
            "subject": [{ "name": "app", "digest": { "sha256": sum.split_whitespace().next().unwrap() } }],
            "predicate": predicate(builder),
        });
        let statement = self
            .instance
            .file(&format!("{name}.statement.json"), statement.to_string());
        let envelope = self.instance.path(name);
        let mut command = Command::new(sigbox());
        command.args([
            "attest",
            "--url",
            &self.instance.ready.url,
            "--rekor-version",
            "1",
        ]);
        command
            .args(["--identity-token", &self.token(BUILDER), "--statement"])
            .arg(&statement);
        ok(command.arg("--envelope").arg(&envelope));
        envelope
    }

    fn verify(&self, artifact: &Path, provenance: &Path, source: &str, more: &[&str]) -> Ran {
        let mut command = self.asks("verify-artifact", source);
        command.arg(artifact).arg("--provenance-path").arg(provenance);
        run(command.args(more))
    }

    /// One of the commands that verify provenance.
    fn asks(&self, verb: &str, source: &str) -> Command {
        let mut command = Command::new(sigbox());
        command.args([verb, "--source-uri", source, "--url", &self.instance.ready.url]);
        command.args(["--certificate-oidc-issuer", &self.issuer.ready.issuer]);
        command
    }
}

#[track_caller]
fn refused(ran: &Ran, code: i32, reason: &str) {
    assert_eq!(ran.code, Some(code), "{}\n{}", ran.line, ran.text());
    assert!(
        ran.stderr.contains("FAILED: SLSA verification failed") && ran.stderr.contains(reason),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_classic_command_line_passes_and_fails_for_each_reason() {
    let ci = Ci::start();
    let artifact = ci.instance.file("app", "the release");
    let provenance = ci.provenance(&artifact, BUILDER, "multiple.intoto.jsonl");
    let tag = ["--source-tag", TAG];

    let passed = ci.verify(&artifact, &provenance, SOURCE, &tag);
    assert_eq!(passed.code, Some(0), "{}", passed.text());
    for line in [
        &format!(
            "Verified signature against tlog entry index 0 at URL: {}/api/v1/log/entries/",
            ci.instance.ready.url
        ),
        &format!("Verified build using builder \"{BUILDER}\" at commit {COMMIT}"),
        "PASSED: SLSA verification passed",
    ] as [&str; 3]
    {
        // The canary took the first entries, so only the shape of the index is known.
        let shape = line.replace("index 0", "index ");
        let (before, after) = shape.split_once("index ").unwrap_or((&shape, ""));
        assert!(
            passed.stderr.contains(before) && passed.stderr.contains(after.trim_start()),
            "{line}\n{}",
            passed.stderr
        );
    }
    let url = passed
        .stderr
        .lines()
        .find_map(|line| line.split("at URL: ").nth(1))
        .unwrap();
    ok(Command::new("curl").args(["-fsS", url]));

    for more in [
        &["--source-versioned-tag", "v4"] as &[&str],
        &["--source-versioned-tag", "v4.13"],
        &["--source-branch", "main"],
        &["--source-tag", TAG, "--builder-id", BUILDER],
        &[
            "--source-tag",
            TAG,
            "--builder-id",
            BUILDER.split_once('@').unwrap().0,
        ],
    ] {
        let ran = ci.verify(&artifact, &provenance, SOURCE, more);
        assert_eq!(ran.code, Some(0), "{more:?}\n{}", ran.text());
    }
    let printed = ci.verify(&artifact, &provenance, SOURCE, &["--print-provenance"]);
    let statement: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(statement["predicate"]["builder"]["id"], BUILDER);

    refused(
        &ci.verify(&artifact, &provenance, SOURCE, &["--source-tag", "v4.13.2"]),
        15,
        "tag: expected \"v4.13.2\"",
    );
    refused(
        &ci.verify(&artifact, &provenance, SOURCE, &["--source-branch", "dev"]),
        15,
        "branch: expected \"dev\"",
    );
    refused(
        &ci.verify(&artifact, &provenance, "github.com/acme/other", &tag),
        14,
        "source: expected",
    );
    refused(
        &ci.verify(
            &artifact,
            &provenance,
            SOURCE,
            &["--builder-id", "https://example.com/b"],
        ),
        16,
        "builder: expected",
    );
    refused(
        &ci.verify(&artifact, &provenance, SOURCE, &["--build-workflow-input", "a=b"]),
        17,
        "workflow input",
    );
    let other = ci.instance.file("other", "another release");
    refused(&ci.verify(&other, &provenance, SOURCE, &tag), 12, "no subject");

    // The certificate names the generator, the statement someone else.
    let forged = ci.provenance(
        &artifact,
        &BUILDER.replace("v1.9.0", "v1.9.1"),
        "forged.intoto.jsonl",
    );
    refused(&ci.verify(&artifact, &forged, SOURCE, &tag), 16, "builder");

    // One more blank, and it is not what was logged.
    let text = std::fs::read_to_string(&provenance).unwrap();
    let unlogged = ci.instance.file("unlogged.jsonl", text.replacen('{', "{ ", 1));
    refused(
        &ci.verify(&artifact, &unlogged, SOURCE, &tag),
        13,
        "no matching rekor entries",
    );
}

/// What is public can be logged by anyone, as another kind of entry too.
#[test]
fn an_envelope_that_somebody_logged_again_still_passes() {
    let ci = Ci::start();
    let artifact = ci.instance.file("app", "the release");
    let provenance = ci.provenance(&artifact, BUILDER, "multiple.intoto.jsonl");
    let text = std::fs::read_to_string(&provenance).unwrap();
    let envelope: Value = serde_json::from_str(&text).unwrap();
    let certificate = envelope["signatures"][0]["cert"].as_str().unwrap();
    let proposal = json!({ "apiVersion": "0.0.1", "kind": "intoto", "spec": {
        "content": { "envelope": text }, "publicKey": BASE64_STANDARD.encode(certificate),
    }});
    let body = ci.instance.file("proposal.json", proposal.to_string());
    let mut again = Command::new("curl");
    again.args(["-fsS", "-H", "content-type: application/json", "--data-binary"]);
    again.arg(format!("@{}", body.display()));
    ok(again.arg(ci.instance.url("/api/v1/log/entries")));

    let passed = ci.verify(&artifact, &provenance, SOURCE, &["--source-tag", TAG]);
    assert_eq!(passed.code, Some(0), "{}", passed.text());
    let wrong = ci.verify(&artifact, &provenance, SOURCE, &["--source-tag", "v0"]);
    refused(&wrong, 15, "tag: expected");
}

/// Very old builders left the certificate in the log, where it is found by what the envelope says.
#[test]
fn an_envelope_without_its_certificate_is_looked_up_too() {
    let ci = Ci::start();
    let artifact = ci.instance.file("app", "the release");
    let provenance = ci.provenance(&artifact, BUILDER, "multiple.intoto.jsonl");
    let whole: Value = serde_json::from_slice(&std::fs::read(&provenance).unwrap()).unwrap();
    let with = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut bare = whole.clone();
        bare["signatures"][0]
            .as_object_mut()
            .unwrap()
            .remove("cert")
            .unwrap();
        change(&mut bare);
        ci.instance.file(name, bare.to_string())
    };
    let tag = ["--source-tag", TAG];

    let bare = with("bare.intoto.jsonl", &|_| {});
    let passed = ci.verify(&artifact, &bare, SOURCE, &tag);
    assert_eq!(passed.code, Some(0), "{}", passed.text());
    assert!(
        passed
            .stderr
            .contains("Verified signature against tlog entry index"),
        "{}",
        passed.stderr
    );
    let resigned = with("resigned.intoto.jsonl", &|it| {
        it["signatures"][0]["sig"] = "MAYCAQECAQE=".into();
    });
    refused(&ci.verify(&artifact, &resigned, SOURCE, &tag), 10, "signature");
    let unlogged = with("unlogged.intoto.jsonl", &|it| {
        let said = it["payload"].as_str().unwrap().to_owned();
        it["payload"] = said.replacen("ey", "fy", 1).into();
    });
    refused(
        &ci.verify(&artifact, &unlogged, SOURCE, &tag),
        13,
        "no matching rekor entries",
    );
}

#[test]
fn bundles_pass_too_and_a_summary_is_written_for_those_who_trust_the_verifier() {
    let ci = Ci::start();
    let artifact = ci.instance.file("app", "the release");
    ci.provenance(&artifact, BUILDER, "multiple.intoto.jsonl");
    let bundle = ci
        .instance
        .path("multiple.intoto.jsonl.statement.json.intoto.sigstore.json");
    let (key, public) = (ci.instance.path("vsa.pem"), ci.instance.path("vsa.pub"));
    openssl_key_pair(&key, &public);
    let summary = ci.instance.path("app.vsa.jsonl");
    let ran = ci.verify(
        &artifact,
        &bundle,
        SOURCE,
        &[
            "--vsa-out",
            summary.to_str().unwrap(),
            "--vsa-key",
            key.to_str().unwrap(),
            "--vsa-verifier-id",
            "https://verifier.example",
            "--vsa-resource-uri",
            "pkg:generic/app",
            "--explain",
        ],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    let sum = ok(Command::new("sha256sum").arg(&artifact)).stdout;
    let digest = format!("sha256:{}", sum.split_whitespace().next().unwrap());
    let vsa = |digest: &str, verifier: &str, level: &str| {
        let mut command = Command::new(sigbox());
        command
            .arg("verify-vsa")
            .arg("--attestation-path")
            .arg(&summary)
            .arg("--public-key-path")
            .arg(&public);
        command.args([
            "--subject-digest",
            digest,
            "--verifier-id",
            verifier,
            "--resource-uri",
            "pkg:generic/app",
        ]);
        run(command.args(["--verified-level", level])).code
    };
    assert_eq!(
        vsa(&digest, "https://verifier.example", "SLSA_BUILD_LEVEL_3"),
        Some(0)
    );
    assert_eq!(
        vsa("sha256:00", "https://verifier.example", "SLSA_BUILD_LEVEL_3"),
        Some(12)
    );
    assert_eq!(
        vsa(&digest, "https://other.example", "SLSA_BUILD_LEVEL_3"),
        Some(17)
    );
    assert_eq!(
        vsa(&digest, "https://verifier.example", "SLSA_BUILD_LEVEL_4"),
        Some(17)
    );

    // What can be read only once is named by what was read then.
    let mut once = ci.asks("verify-artifact", SOURCE);
    once.args(["/dev/stdin", "--vsa-verifier-id", "https://verifier.example"]);
    once.args(["--vsa-resource-uri", "pkg:generic/app", "--vsa-out"]);
    once.arg(&summary).arg("--vsa-key").arg(&key);
    once.arg("--provenance-path").arg(&bundle);
    let mut piped = Command::new("sh");
    piped.args(["-c", r#"cat "$0" | "$@""#]).arg(&artifact);
    let ran = run(piped.arg(once.get_program()).args(once.get_args()));
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    assert_eq!(
        vsa(&digest, "https://verifier.example", "SLSA_BUILD_LEVEL_3"),
        Some(0)
    );
}
