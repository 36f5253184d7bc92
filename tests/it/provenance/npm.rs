//! Provenance of an npm package, as a registry answers it: the job's attestation and the registry's own.

use tests::http::{Response, serve};

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

impl<'a> Registry<'a> {
    /// That signs with `key`, and has the package of all these tests.
    fn new(ci: &'a Ci, key: PathBuf) -> Self {
        let tarball = ci.instance.file("app-4.13.1.tgz", "a package");
        Self { ci, key, tarball }
    }

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
        let hint = &published["verificationMaterial"]["publicKey"]["hint"];
        let keys = json!({ "keys": [{ "keyid": hint, "key": key, "expires": null }] });
        let keys = self.ci.instance.file("keys.json", keys.to_string());
        let more: Vec<&str> = more
            .iter()
            .copied()
            .chain(["--registry-keys", keys.to_str().unwrap()])
            .collect();
        self.judge(
            self.ci.asks("verify-npm-package", SOURCE),
            provenance,
            published,
            &more,
        )
    }

    /// `provenance` is one or several.
    fn judge(&self, mut command: Command, provenance: &Value, published: &Value, more: &[&str]) -> Ran {
        let one = std::slice::from_ref(provenance);
        let several = provenance.as_array().map_or(one, Vec::as_slice);
        let listed = |bundle| json!({ "predicateType": "https://slsa.dev/provenance/v1", "bundle": bundle });
        let mut list: Vec<Value> = several.iter().map(listed).collect();
        list.push(json!({ "predicateType": PUBLISH, "bundle": published }));
        let answer = json!({ "attestations": list });
        let file = self.ci.instance.file("attestations.json", answer.to_string());
        command.arg(&self.tarball).arg("--attestations-path").arg(file);
        command.args(["--package-name", "@acme/app"]);
        if !more.contains(&"--package-version") {
            command.args(["--package-version", "4.13.1"]);
        }
        run(command.args(more))
    }
}

/// Before anything of the package is judged.
#[track_caller]
fn fails(ran: &Ran, code: i32, reason: &str) {
    assert_eq!(ran.code, Some(code), "{}\n{}", ran.line, ran.text());
    assert!(ran.stderr.contains(reason), "{}", ran.stderr);
}

/// What a repository distributes of a registry's key, as sigstore's does of npm's.
fn target(hint: &Value, key: &str, usage: &str, valid_for: &Value) -> String {
    let public = json!({ "rawBytes": key, "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid_for });
    json!({ "keys": [
        { "keyId": "SHA256:other", "keyUsage": "npm:signatures", "publicKey": public },
        { "keyId": hint, "keyUsage": usage, "publicKey": public },
    ]})
    .to_string()
}

#[test]
fn a_registrys_keys_come_from_a_tuf_repository() {
    let ci = Ci::start();
    let stack = &ci.instance;
    let (key, public) = key_pair(stack, "registry");
    let registry = Registry::new(&ci, key);
    let provenance = registry.provenance(PURL, WORKFLOW, RUNNER);
    let published = registry.published("4.13.1");
    let hint = &published["verificationMaterial"]["publicKey"]["hint"];
    let valid = json!({ "start": "1999-01-01T00:00:00.000Z" });
    let ended = json!({ "start": "1999-01-01T00:00:00.000Z", "end": "2025-01-29T00:00:00.000Z" });

    // The trust of the instance and the registry's keys in one repository, written by python-tuf.
    let python = std::fs::canonicalize(tool("sigstore"))
        .unwrap()
        .with_file_name("python3");
    let (sources, folder) = (stack.path("npm-sources"), stack.path("npm-tuf"));
    let names = sources.join("npm.example");
    std::fs::create_dir_all(&names).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["trusted_root.json", "signing_config.v0.2.json"] {
        std::fs::copy(stack.ready.trust_dir.join(name), sources.join(name)).unwrap();
    }
    for (name, content) in [
        ("keys.json", target(hint, &public, "npm:attestations", &valid)),
        ("ended.json", target(hint, &public, "npm:attestations", &ended)),
        ("tarballs.json", target(hint, &public, "npm:signatures", &valid)),
        ("strange.json", "[]".to_owned()),
    ] {
        std::fs::write(names.join(name), content).unwrap();
    }
    ok(Command::new(python)
        .arg("tests/clients/tuf_repository.py")
        .args([&folder, &sources])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")));
    let served = folder.clone();
    let url = serve(
        move |request| match std::fs::read(served.join(request.path.trim_start_matches('/'))) {
            Ok(body) => Response {
                status: 200,
                body,
                ..Response::default()
            },
            Err(_) => Response::status(404),
        },
    );

    let verify = |name: &str| {
        let mut command = Command::new(sigbox());
        command.args(["verify-npm-package", "--source-uri", SOURCE, "--source-tag", TAG]);
        command
            .args([
                "--tuf",
                &url,
                "--certificate-oidc-issuer",
                &ci.issuer.ready.issuer,
                "--root",
            ])
            .arg(folder.join("1.root.json"));
        command.env("SIGBOX_TUF_SEEN", stack.path("seen"));
        let target = format!("npm.example/{name}");
        registry.judge(
            command,
            &provenance,
            &published,
            &["--registry-keys-target", &target],
        )
    };
    let passed = verify("keys.json");
    assert_eq!(passed.code, Some(0), "{}\n{}", passed.line, passed.text());
    for line in [
        "the registry's attestation of the publication",
        "PASSED: SLSA verification passed",
    ] {
        assert!(passed.stderr.contains(line), "{}", passed.stderr);
    }
    refused(&verify("ended.json"), 11, "outside the validity of the key");
    refused(&verify("tarballs.json"), 10, "no key");
    fails(&verify("strange.json"), 1, "expected keys of a registry");
    fails(&verify("nowhere.json"), 1, "nowhere.json");

    // Metadata says what a target is, whoever serves it.
    let served = std::fs::read_dir(folder.join("targets/npm.example")).unwrap();
    let keys = served
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().ends_with(".keys.json"))
        .unwrap();
    std::fs::write(keys, target(hint, &public, "npm:attestations", &json!({}))).unwrap();
    fails(&verify("keys.json"), 1, "npm.example/keys.json");

    // Without a repository there is no target.
    let mut command = ci.asks("verify-npm-package", SOURCE);
    command
        .arg("--trusted-root")
        .arg(stack.ready.trust_dir.join("trusted_root.json"));
    let none = registry.judge(
        command,
        &provenance,
        &published,
        &["--registry-keys-target", "keys.json"],
    );
    fails(&none, 2, "give --tuf URL --root FILE");
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
    let registry = Registry::new(&ci, key);
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
    // One of several suffices, whatever the others are.
    let several = json!([{ "mediaType": "of tomorrow" }, other, provenance]);
    let passed = verify(&several, &tag);
    assert_eq!(passed.code, Some(0), "{}\n{}", passed.line, passed.text());
    refused(&verify(&several, &["--source-tag", "v0"]), 15, "tag: expected");
    let unreadable = json!([{ "mediaType": "of tomorrow" }]);
    refused(&verify(&unreadable, &tag), 10, "missing field");
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
