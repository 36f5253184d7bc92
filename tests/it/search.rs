//! Searching: what was signed with cosign is found by everything it says, in both logs, by command, interface and page;
//! entries are proven; the index is what the leaves say.

use std::process::Command;

use common_pki::key::PublicKey;
use common_tlog::notekey::{NoteKey, VerifierKey};
use serde_json::Value;
use tests::clients::{Cosign, Rekor};
use tests::entries::Key;
use tests::log::json;
use tests::stack::{Ports, Stack};
use tests::{fsck, ok, refused, sigbox};

const WHO: &str = "dev@example.com";

fn log(stack: &Stack, args: &[&str]) -> Command {
    let mut command = Command::new(sigbox());
    command.arg("log").args(args).args(["--url", &stack.ready.url]);
    command
}

/// Kinds of logs of the entries found, newest first.
fn found(stack: &Stack, args: &[&str]) -> Vec<String> {
    let ran = ok(&mut log(stack, &[&["search", "--json"], args].concat()));
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(answer["complete"], true, "{answer:#}");
    for log in answer["logs"].as_array().unwrap() {
        assert_eq!(log["searched"]["to"], log["size"], "up to the checkpoint");
    }
    let entries = answer["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["logKind"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn signatures_are_found_in_both_logs_by_all_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut stack = Stack::at(&data, &Ports::free());
    let cosign = Cosign::initialize(&stack);
    let artifact = stack.file("artifact", "searched for");
    cosign.sign_blob(Rekor::V1, WHO, &artifact);
    cosign.sign_blob(Rekor::V2, WHO, &artifact);
    let both = ["rekor-v2", "rekor-v1"];
    let path = artifact.to_str().unwrap();
    let issuer = stack.ready.issuer.as_str();
    assert_eq!(found(&stack, &["--artifact", path]), both);
    assert_eq!(found(&stack, &["--email", WHO, "--issuer", issuer]), both);
    assert_eq!(found(&stack, &["--domain", "example.com"]), both);
    assert_eq!(found(&stack, &["--prefix", "dev@", "--artifact", path]), both);
    assert_eq!(found(&stack, &[WHO]), both);
    assert_eq!(
        found(&stack, &["--email", "nobody@example.com", "--artifact", path]),
        [""; 0]
    );
    assert_eq!(
        found(
            &stack,
            &["--any", "--email", "nobody@example.com", "--artifact", path]
        ),
        both
    );
    // The canaries of the start are there too.
    assert_eq!(found(&stack, &["--domain", "sigbox.invalid"]).len(), 2);
    let text = ok(&mut log(&stack, &["search", "--email", WHO]));
    assert_eq!(
        text.stdout.lines().filter(|line| line.ends_with(WHO)).count(),
        2,
        "{}",
        text.stdout
    );
    assert!(text.stderr.contains("complete for all "), "{}", text.stderr);
    let wrong = refused(&mut log(&stack, &["search", "--email", "nobody"]));
    assert!(
        wrong
            .stderr
            .contains("expected an e-mail address, got \"nobody\""),
        "{}",
        wrong.stderr
    );

    // What was found is read and proven, by this instance and, as any log of tiles, from its tiles alone.
    let v2 = json(&stack, "/api/sigbox/v1/logs").await;
    let logs = v2["logs"].as_array().unwrap();
    let number = |kind: &str| logs.iter().find(|log| log["kind"] == kind).unwrap()["log"].to_string();
    for kind in both {
        let proof = ok(&mut log(&stack, &["proof", "1", "--log", &number(kind)]));
        assert!(
            proof.stdout.starts_with("c2sp.org/tlog-proof@v1\nindex 1\n"),
            "{}",
            proof.stdout
        );
        let body = ok(&mut log(&stack, &["get", "1", "--log", &number(kind)]));
        let body: Value = serde_json::from_str(&body.stdout).unwrap();
        assert_eq!(body["kind"], "hashedrekord");
    }
    // The keys are those that the instance publishes, or of a trusted root that one has.
    let key = "with a key of the instance";
    let info = ok(&mut log(&stack, &["info"]));
    assert!(info.stderr.contains(key), "{}", info.stderr);
    assert_eq!(
        info.stdout.matches("  signed by localhost").count(),
        2,
        "{}",
        info.stdout
    );
    let info = ok(&mut log(&stack, &["info", "--json"]));
    let info: Value = serde_json::from_str(&info.stdout).unwrap();
    for log in info["logs"].as_array().unwrap() {
        assert_eq!(log["signature_verified"], true, "{info:#}");
    }
    let v1 = number("rekor-v1");
    let entry = ok(&mut log(&stack, &["get", "1", "--json", "--log", &v1]));
    assert!(entry.stderr.contains(key), "{}", entry.stderr);
    let entry: Value = serde_json::from_str(&entry.stdout).unwrap();
    assert_eq!(entry["signatureVerified"], true, "{entry:#}");
    assert_eq!(entry["kind"], "hashedrekord", "{entry:#}");
    let elsewhere = refused(&mut log(&stack, &["info", "--public-good"]));
    assert!(
        elsewhere.stdout.contains("signature WRONG")
            && elsewhere.stderr.contains("verifies with a key of the public"),
        "{}",
        elsewhere.text()
    );
    let several = refused(&mut log(&stack, &["get", "1"]));
    assert!(
        several.stderr.contains("choose one with --log"),
        "{}",
        several.stderr
    );
    let root = json(&stack, "/trust/trusted_root.json").await;
    let tlogs = root["tlogs"].as_array().unwrap();
    let record = tlogs
        .iter()
        .find(|log| log["publicKey"]["keyDetails"] == "PKIX_ED25519")
        .unwrap();
    let der = base64::Engine::decode(
        &base64::prelude::BASE64_STANDARD,
        record["publicKey"]["rawBytes"].as_str().unwrap(),
    );
    let key = PublicKey::from_spki_der(&der.unwrap()).unwrap();
    let raw = key.subject_public_key().try_into().unwrap();
    let vkey = VerifierKey {
        name: "localhost".to_owned(),
        key: NoteKey::Ed25519(raw),
    }
    .to_string();
    let tiles = format!("{}/api/v2", stack.ready.url);
    let by_tiles = |key: &str| {
        let mut command = Command::new(sigbox());
        command.args(["log", "proof", "1", "--url", &tiles, "--key", key]);
        command
    };
    let mut without = Command::new(sigbox());
    let without = ok(without.args(["log", "info", "--url", &tiles]));
    assert!(
        without.stdout.contains("signature NOT verified"),
        "{}",
        without.stdout
    );
    assert!(without.stderr.contains("no --key"), "{}", without.stderr);
    let proof = ok(&mut by_tiles(&vkey));
    assert!(proof.stderr.contains("signed by localhost"), "{}", proof.stderr);
    let other = Key::generate().pem();
    let other = stack.file("other.pem", other);
    let refused = refused(&mut by_tiles(other.to_str().unwrap()));
    assert!(
        refused.stderr.contains("verifies with --key"),
        "{}",
        refused.stderr
    );

    // The page says the same.
    let page = stack
        .http
        .get(stack.url("/search?q=dev%40example.com"))
        .send()
        .await
        .unwrap();
    let page = page.text().await.unwrap();
    assert_eq!(page.matches("href=\"/entry/").count(), 2, "{page}");
    assert!(page.contains("This page is complete"));
    stack.stop();
    fsck(&data).unwrap();
}
