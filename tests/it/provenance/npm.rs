//! Provenance of an npm package, as a registry answers it: the job's attestation and the registry's own.

use super::*;

const PURL: &str = "pkg:npm/%40acme/app@4.13.1";
const WORKFLOW: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v4.13.1";
const RUNNER: &str = "https://github.com/actions/runner/github-hosted";
const PUBLISH: &str = "https://github.com/npm/attestation/tree/main/specs/publish/v0.1";

struct Registry<'a> {
    ci: &'a Ci,
    key: PathBuf,
    tarball: PathBuf,
}

impl Registry<'_> {
    fn statement(&self, name: &str, kind: &str, predicate: &Value) -> PathBuf {
        let sum = ok(Command::new("sha512sum").arg(&self.tarball)).stdout;
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "name": name, "digest": { "sha512": sum.split_whitespace().next().unwrap() } }],
            "predicateType": kind,
            "predicate": predicate,
        });
        self.ci.instance.file("statement.json", statement.to_string())
    }

    /// An attestation by a token, or by the registry's key.
    fn attest(&self, statement: &Path, token: Option<&str>) -> Value {
        let bundle = self.ci.instance.path("attestation.json");
        let mut command = Command::new(sigbox());
        command.args(["attest", "--url", &self.ci.instance.ready.url, "--statement"]);
        command.arg(statement).arg("--bundle").arg(&bundle);
        match token {
            Some(token) => ok(command.args(["--identity-token", token])),
            None => ok(command.arg("--key").arg(&self.key)),
        };
        serde_json::from_slice(&std::fs::read(bundle).unwrap()).unwrap()
    }

    fn provenance(&self, name: &str, signer: &str, builder: &str) -> Value {
        let predicate = json!({
            "buildDefinition": {
                "buildType": "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
                "externalParameters": { "workflow": {
                    "ref": format!("refs/tags/{TAG}"), "repository": format!("https://{SOURCE}"),
                    "path": ".github/workflows/release.yml",
                }},
                "internalParameters": { "github": { "event_name": "push" } },
                "resolvedDependencies": [{
                    "uri": format!("git+https://{SOURCE}@refs/tags/{TAG}"), "digest": { "gitCommit": COMMIT },
                }],
            },
            "runDetails": { "builder": { "id": builder } },
        });
        let statement = self.statement(name, "https://slsa.dev/provenance/v1", &predicate);
        self.attest(&statement, Some(&self.ci.token(signer)))
    }

    fn published(&self, version: &str) -> Value {
        self.said(version, PUBLISH)
    }

    /// The registry's word, of a type.
    fn said(&self, version: &str, kind: &str) -> Value {
        let predicate = json!({ "name": "@acme/app", "version": version, "registry": "https://npm.example" });
        self.attest(&self.statement(PURL, kind, &predicate), None)
    }

    fn verify(&self, provenance: &Value, published: &Value, key: &str, more: &[&str]) -> Ran {
        let stack = &self.ci.instance;
        let answer = json!({ "attestations": [
            { "predicateType": PUBLISH, "bundle": published },
            { "predicateType": "https://slsa.dev/provenance/v1", "bundle": provenance },
        ]});
        let file = stack.file("attestations.json", answer.to_string());
        let hint = &published["verificationMaterial"]["publicKey"]["hint"];
        let keys = json!({ "keys": [{ "keyid": hint, "key": key, "expires": null }] });
        let keys = stack.file("keys.json", keys.to_string());
        let mut command = self.ci.asks("verify-npm-package", SOURCE);
        command.arg(&self.tarball).arg("--attestations-path").arg(file);
        command.arg("--registry-keys").arg(keys);
        command.args(["--package-name", "@acme/app"]);
        if !more.contains(&"--package-version") {
            command.args(["--package-version", "4.13.1"]);
        }
        run(command.args(more))
    }
}

/// Base64 of a key pair's public half, as registries list it.
fn key_pair(stack: &Stack, name: &str) -> (PathBuf, String) {
    let (key, public) = (
        stack.path(&format!("{name}.pem")),
        stack.path(&format!("{name}.pub")),
    );
    openssl_key_pair(&key, &public);
    let pem = std::fs::read_to_string(public).unwrap();
    (key, pem.lines().filter(|line| !line.starts_with('-')).collect())
}

#[test]
fn a_package_is_verified_by_both_of_its_attestations() {
    let ci = Ci::start();
    let (key, public) = key_pair(&ci.instance, "registry");
    let (_, stranger) = key_pair(&ci.instance, "stranger");
    let tarball = ci.instance.file("app-4.13.1.tgz", "a package");
    let registry = Registry {
        ci: &ci,
        key,
        tarball,
    };
    let provenance = registry.provenance(PURL, WORKFLOW, RUNNER);
    let published = registry.published("4.13.1");
    let tag = ["--source-tag", TAG];

    let passed = registry.verify(&provenance, &published, &public, &tag);
    assert_eq!(passed.code, Some(0), "{}\n{}", passed.line, passed.text());
    assert!(
        passed.stderr.contains("PASSED: SLSA verification passed")
            && passed.stderr.contains("the registry's attestation"),
        "{}",
        passed.stderr
    );

    let verify = |provenance: &Value, more: &[&str]| registry.verify(provenance, &published, &public, more);
    refused(&verify(&provenance, &["--source-tag", "v0"]), 15, "tag: expected");
    refused(
        &verify(&provenance, &["--package-version", "4.13.2"]),
        12,
        "4.13.2",
    );
    let other = registry.provenance("pkg:npm/app@4.13.1", WORKFLOW, RUNNER);
    refused(&verify(&other, &tag), 12, "package: expected");
    // A workflow of another repository may not speak for this one, nor a runner for another.
    let reused = registry.provenance(PURL, &WORKFLOW.replace("acme/app", "acme/other"), RUNNER);
    refused(&verify(&reused, &tag), 16, "no signer that is trusted");
    let own = registry.provenance(PURL, WORKFLOW, &RUNNER.replace("github-hosted", "self-hosted"));
    refused(&verify(&own, &tag), 16, "expected a runner");

    refused(
        &registry.verify(&provenance, &published, &stranger, &tag),
        10,
        "the registry's attestation",
    );
    let republished = registry.published("4.13.2");
    refused(
        &registry.verify(&provenance, &republished, &public, &tag),
        12,
        "got @acme/app 4.13.2",
    );
    // The list says what it is, and what is signed says something else.
    let other = registry.said("4.13.1", "https://npm.example/deprecated/v1");
    refused(
        &registry.verify(&provenance, &other, &public, &tag),
        10,
        "expected predicate type",
    );
    std::fs::write(&registry.tarball, "another package").unwrap();
    refused(&verify(&provenance, &tag), 12, "no subject");
}
