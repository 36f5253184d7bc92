//! Recorded public provenance through `sigbox verify-artifact`, against the public instance's trust.

use std::path::Path;
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _, sha256};
use common_tlog::checkpoint::Checkpoint;
use common_tlog::leaf_hash;
use common_tlog::note::Note;
use common_tlog::notekey::NoteKey;
use serde_json::{Value, json};
use tests::http::{Response, serve};
use tests::stack::Stack;
use tests::{Ran, run, sigbox};

use crate::conformance::vectors;

const PACKAGE: &str = "github.com/slsa-framework/example-package";

fn verify(all: &Path, artifact: &str, provenance: &str, source: &str, more: &[&str]) -> Ran {
    let folder = all.join("slsa");
    let mut command = Command::new(sigbox());
    command.arg("verify-artifact").arg(folder.join(artifact));
    command.arg("--provenance-path").arg(folder.join(provenance));
    command
        .arg("--trusted-root")
        .arg(all.join("public-good/trusted_root.json"));
    run(command.args(["--source-uri", source]).args(more))
}

#[test]
fn recorded_provenance_gets_its_verdict() {
    let Some(all) = vectors() else { return };
    let old = "gha_container-based/v1.8.0/binary-linux-amd64-push-v14.2";
    let new = "gha_container-based/v2.1.0/binary-linux-amd64-push-v13.0.30";
    let delegated = "gha_delegator/v1.10.0/binary-linux-amd64-push-v14";
    let workflow =
        "https://github.com/slsa-framework/example-trw/.github/workflows/builder_high-perms_slsa3.yml";
    let lint = "github.com/aspect-build/rules_lint";
    let rows: [(&str, String, &str, &[&str], i32); 9] = [
        (
            old,
            format!("{old}.intoto.jsonl"),
            PACKAGE,
            &["--source-tag", "v14.2"],
            0,
        ),
        (
            new,
            format!("{new}.intoto.build.slsa"),
            PACKAGE,
            &["--source-tag", "v13.0.30"],
            0,
        ),
        (
            delegated,
            format!("{delegated}.build.slsa"),
            PACKAGE,
            &["--source-tag", "v14", "--builder-id", workflow],
            0,
        ),
        (
            "bcr/MODULE.bazel",
            "bcr/MODULE.bazel.intoto.jsonl".to_owned(),
            lint,
            &[],
            0,
        ),
        (
            "bcr/MODULE-wrong-signer.bazel",
            "bcr/MODULE-wrong-signer.bazel.intoto.jsonl".to_owned(),
            lint,
            &[],
            16,
        ),
        (
            old,
            format!("{old}.intoto.jsonl"),
            PACKAGE,
            &["--source-tag", "v14.3"],
            15,
        ),
        (
            old,
            format!("{old}.intoto.jsonl"),
            "github.com/other/repo",
            &[],
            14,
        ),
        (delegated, format!("{old}.intoto.jsonl"), PACKAGE, &[], 12),
        (
            delegated,
            format!("{delegated}.build.slsa"),
            PACKAGE,
            &["--source-tag", "v14"],
            16,
        ),
    ];
    for (artifact, provenance, source, more, code) in rows {
        let ran = verify(&all, artifact, &provenance, source, more);
        assert_eq!(ran.code, Some(code), "{}\n{}", ran.line, ran.text());
        let line = if code == 0 {
            "PASSED: SLSA verification passed"
        } else {
            "FAILED: SLSA verification failed"
        };
        assert!(ran.stderr.contains(line), "{}", ran.stderr);
    }
}

const GENERIC: &str = "gha_generic/v1.9.0/binary-linux-amd64-workflow_dispatch.intoto.jsonl";
/// Of whom it is said there.
const BINARY: &str = "sha256:25d35b781bef1fcf8c2d863fa21dcebda08748955b3aff71d4f5fccbbdefe41a";
/// 2023-08-23T05:22:00Z, twelve seconds after the certificate was issued.
const WHEN: u64 = 1_692_768_120;

/// What a log of one entry answers about the envelope in `text`, and the public instance's trusted root with that log in it.
/// What the public log answered was not recorded, and only that is made up: the entry is the one that it has, by the rules of
/// `intoto` 0.0.1, at a time in the ten minutes of the certificate, under a key of the test's own. Authority, certificate log,
/// certificate, envelope and predicate are the public ones.
fn logged(all: &Path, text: &str, time: u64) -> (String, Value) {
    let (key, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let spki = key.public_key().spki_der().to_vec();
    let log_id = hex::encode(sha256(&spki));

    let envelope: Value = serde_json::from_str(text).unwrap();
    let payload = BASE64_STANDARD
        .decode(envelope["payload"].as_str().unwrap())
        .unwrap();
    let hash = |octets: &[u8]| json!({ "algorithm": "sha256", "value": hex::encode(sha256(octets)) });
    let certificate = envelope["signatures"][0]["cert"].as_str().unwrap();
    // Members in the order of their names, without blanks: so far RFC 8785.
    let body = json!({ "apiVersion": "0.0.1", "kind": "intoto", "spec": {
        "content": { "hash": hash(text.as_bytes()), "payloadHash": hash(&payload) },
        "publicKey": BASE64_STANDARD.encode(certificate),
    }})
    .to_string();
    let root = leaf_hash(body.as_bytes());

    let body = BASE64_STANDARD.encode(body);
    let promised =
        json!({ "body": body, "integratedTime": time, "logID": log_id, "logIndex": 0 }).to_string();
    let note_key = NoteKey::Ecdsa(spki.clone());
    let mut note = Note::new(Checkpoint::new("localhost - 1", 1, root).to_string()).unwrap();
    let signature = key.sign(note.text().as_bytes()).unwrap();
    note.push("localhost", note_key.hint("localhost"), signature)
        .unwrap();
    let answer = json!([{ hex::encode(root): {
        "body": body, "integratedTime": time, "logID": log_id, "logIndex": 0,
        "verification": {
            "inclusionProof": {
                "checkpoint": note.to_string(), "hashes": [], "logIndex": 0,
                "rootHash": hex::encode(root), "treeSize": 1,
            },
            "signedEntryTimestamp": BASE64_STANDARD.encode(key.sign(promised.as_bytes()).unwrap()),
        },
    }}]);

    let public = std::fs::read(all.join("public-good/trusted_root.json")).unwrap();
    let mut trusted: Value = serde_json::from_slice(&public).unwrap();
    trusted["tlogs"].as_array_mut().unwrap().push(json!({
        "baseUrl": "http://localhost", "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": BASE64_STANDARD.encode(&spki), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": { "start": "2021-01-12T11:53:27Z" },
        },
        "logId": { "keyId": BASE64_STANDARD.encode(sha256(&spki)) },
    }));
    (answer.to_string(), trusted)
}

/// Gives every request the same answer; its URL.
fn always(answer: String) -> String {
    let answer = serde_json::from_str(&answer).unwrap();
    serve(move |_| Response::json(200, &answer))
}

/// An envelope with the certificate in it, of the release that the Scorecard project was built with.
#[test]
fn an_envelope_that_a_log_has_passes_and_fails_for_each_reason() {
    let Some(all) = vectors() else { return };
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(all.join("slsa").join(GENERIC)).unwrap();
    let judged = |text: &str, time: u64, source: &str, artifact: &str, more: &[&str]| {
        let (answer, trusted) = logged(&all, text, time);
        let (root, envelope) = (
            folder.path().join("root.json"),
            folder.path().join("envelope.jsonl"),
        );
        std::fs::write(&root, trusted.to_string()).unwrap();
        std::fs::write(&envelope, text).unwrap();
        let mut command = Command::new(sigbox());
        command.args(["verify-artifact", artifact, "--source-uri", source]);
        command.args(["--rekor-url", &always(answer)]);
        command.arg("--provenance-path").arg(&envelope);
        run(command.arg("--trusted-root").arg(&root).args(more))
    };
    let branch = ["--source-branch", "main"];
    let passed = judged(&text, WHEN, PACKAGE, BINARY, &branch);
    assert_eq!(passed.code, Some(0), "{}", passed.text());
    for line in [
        "Verified signature against tlog entry index 0 at URL: ",
        "generator_generic_slsa3.yml@refs/tags/v1.9.0\" at commit 2bcaa7495e1cbd11fbd4f598d857b3a6f18df933",
        "PASSED: SLSA verification passed",
    ] {
        assert!(passed.stderr.contains(line), "{}", passed.stderr);
    }

    let late = WHEN + 600;
    let other = format!("sha256:{}", "25".repeat(32));
    let resigned = text.replacen("MEYCIQCZ", "MEYCIQCa", 1);
    assert_ne!(resigned, text);
    type Row<'a> = (&'a str, u64, &'a str, &'a str, &'a [&'a str], i32);
    let rows: [Row<'_>; 6] = [
        (&text, WHEN, PACKAGE, BINARY, &["--source-tag", "v1"], 15),
        (&text, WHEN, "github.com/other/repo", BINARY, &branch, 14),
        (&text, WHEN, PACKAGE, &other, &branch, 12),
        (
            &text,
            WHEN,
            PACKAGE,
            BINARY,
            &["--builder-id", "https://example.com/b"],
            16,
        ),
        // The certificate is of another time, and the signature of nothing.
        (&text, late, PACKAGE, BINARY, &branch, 10),
        (&resigned, WHEN, PACKAGE, BINARY, &branch, 10),
    ];
    for (text, time, source, artifact, more, code) in rows {
        let ran = judged(text, time, source, artifact, more);
        assert_eq!(ran.code, Some(code), "{}\n{}", ran.line, ran.text());
    }
}

/// Each artifact passes by a line of the file, and they are not of one build.
#[test]
fn an_artifact_of_another_builder_is_not_said_to_be_verified() {
    let Some(all) = vectors() else { return };
    let folder = tempfile::tempdir().unwrap();
    let container = "gha_container-based/v2.1.0/binary-linux-amd64-push-v13.0.30";
    let delegated = "gha_delegator/v1.10.0/binary-linux-amd64-push-v14";
    let slsa = all.join("slsa");
    let lines = [
        format!("{container}.intoto.build.slsa"),
        format!("{delegated}.build.slsa"),
    ]
    .map(|name| std::fs::read_to_string(slsa.join(name)).unwrap());
    let provenance = folder.path().join("two.intoto.jsonl");
    std::fs::write(&provenance, lines.join("\n")).unwrap();
    let builder = |id: &str| {
        json!({
            "id": id, "buildTypes": "any",
            "signer": {
                "issuer": "https://token.actions.githubusercontent.com",
                "sanRegexp": "^https://github.com/slsa-framework/slsa-github-generator/",
            },
        })
    };
    let policy = json!({ "version": 1, "builders": [
        builder("https://github.com/slsa-framework/slsa-github-generator/.github/workflows/builder_container-based_slsa3.yml"),
        builder("https://github.com/slsa-framework/example-trw/.github/workflows/builder_high-perms_slsa3.yml"),
    ]});
    let file = folder.path().join("policy.json");
    std::fs::write(&file, policy.to_string()).unwrap();
    let judged = |artifacts: &[&str]| {
        let mut command = Command::new(sigbox());
        command.args(["verify-artifact", "--source-uri", PACKAGE, "--json"]);
        command.args(artifacts.iter().map(|name| slsa.join(name)));
        command
            .arg("--trusted-root")
            .arg(all.join("public-good/trusted_root.json"));
        command.arg("--provenance-path").arg(&provenance);
        run(command.arg("--policy").arg(&file))
    };
    for artifact in [container, delegated] {
        let alone = judged(&[artifact]);
        assert_eq!(alone.code, Some(0), "{}", alone.text());
    }
    let both = judged(&[container, delegated]);
    assert_eq!(both.code, Some(16), "{}", both.text());
    assert!(both.stderr.contains("different builders"), "{}", both.stderr);
    let verdicts: Vec<Value> = both
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(verdicts.len(), 2, "{}", both.stdout);
    assert_eq!(verdicts[0]["verified"], true);
    assert_eq!(verdicts[1]["verified"], false);
    assert_eq!(verdicts[1]["refused"]["check"], "builder");
    assert_eq!(verdicts[1]["refused"]["exitCode"], 16);
}

/// Its entry is in the public log alone, so without a log, or against another, it is missing, and that is what is said.
/// All the rest of it verifies (`common/bundle/src/verify/tests/recorded.rs`).
#[test]
fn an_envelope_that_a_log_does_not_have_is_not_logged() {
    let Some(all) = vectors() else { return };
    let alone = verify(&all, GENERIC, GENERIC, PACKAGE, &[]);
    assert_eq!(alone.code, Some(13), "{}", alone.text());
    assert!(
        alone.stderr.contains("no log entry: expected one"),
        "{}",
        alone.stderr
    );
    let stack = Stack::ephemeral();
    let ran = verify(
        &all,
        GENERIC,
        GENERIC,
        PACKAGE,
        &["--rekor-url", &stack.ready.url],
    );
    assert_eq!(ran.code, Some(13), "{}", ran.text());
    assert!(ran.stderr.contains("no matching rekor entries"), "{}", ran.stderr);
}
