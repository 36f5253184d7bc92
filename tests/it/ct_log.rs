//! The certificate log by an official client of RFC 6962, and both dialects over the same leaves.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_tlog::leaf_hash;
use serde_json::Value;
use tests::clients::{Cosign, Rekor, ct_fsck, ctclient};
use tests::stack::Stack;
use tests::{ok, refused, run, sigbox};

const WHO: &str = "dev@example.com";

/// The public key of a log, as the trusted root has it, in base64.
fn spki(stack: &Stack, logs: &str) -> String {
    let root: Value =
        serde_json::from_slice(&std::fs::read(stack.ready.trust_dir.join("trusted_root.json")).unwrap())
            .unwrap();
    root[logs][0]["publicKey"]["rawBytes"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// The log's public key in a file.
fn log_key(stack: &Stack) -> PathBuf {
    let spki = spki(stack, "ctlogs");
    stack.file(
        "ct.pub",
        format!("-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n"),
    )
}

async fn json(stack: &Stack, path: &str) -> Value {
    let answer = stack.http.get(stack.url(path)).send().await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ctclient_reads_and_verifies_the_log_and_tiles_show_the_same_leaves() {
    let stack = Stack::ephemeral();
    let key = log_key(&stack);
    let client = |arguments: &[&str]| {
        let (subcommand, flags) = arguments.split_first().unwrap();
        ok(ctclient(&stack, subcommand)
            .arg("--pub_key")
            .arg(&key)
            .args(flags))
        .text()
    };
    let before = json(&stack, "/ct/v1/get-sth").await;
    let cosign = Cosign::initialize(&stack);
    for number in 0..3 {
        let artifact = stack.file(&format!("artifact-{number}"), format!("{number}"));
        cosign.sign_blob(Rekor::V1, WHO, &artifact);
    }
    let head = json(&stack, "/ct/v1/get-sth").await;
    let size = head["tree_size"].as_u64().unwrap();
    assert_eq!(size, before["tree_size"].as_u64().unwrap() + 3);
    // It verifies the signature of the tree head with the key.
    let said = client(&["get-sth"]);
    assert!(said.contains(&format!("size={size}")), "{said}");
    let said = client(&["get-entries", "--first", "0", "--last", &(size - 1).to_string()]);
    assert_eq!(said.matches("Index=").count() as u64, size, "{said}");
    assert!(
        said.contains("1.3.6.1.4.1.57264.1.8") || said.contains("Code Signing"),
        "{said}"
    );
    client(&["get-roots"]);

    let entries = json(&stack, &format!("/ct/v1/get-entries?start=0&end={}", size - 1)).await;
    let tile = stack.http.get(stack.url(&format!("/ct/tile/data/000.p/{size}")));
    let tile = tile.send().await.unwrap().bytes().await.unwrap();
    for entry in entries["entries"].as_array().unwrap() {
        let leaf = STANDARD.decode(entry["leaf_input"].as_str().unwrap()).unwrap();
        // A TileLeaf begins with the TimestampedEntry, which is the MerkleTreeLeaf without version and type
        // (RFC 6962 §3.4, C2SP static-ct-api "Log entries").
        assert!(tile.windows(leaf.len() - 2).any(|window| window == &leaf[2..]));
        let hash = leaf_hash(&leaf).to_base64();
        client(&[
            "get-inclusion-proof",
            "--leaf_hash",
            &hash,
            "--size",
            &size.to_string(),
        ]);
    }
    let hash = |head: &Value| head["sha256_root_hash"].as_str().unwrap().to_owned();
    client(&[
        "get-consistency-proof",
        "--prev_size",
        &before["tree_size"].to_string(),
        "--prev_hash",
        &hash(&before),
        "--size",
        &size.to_string(),
        "--tree_hash",
        &hash(&head),
    ]);
    let checkpoint = stack
        .http
        .get(stack.url("/ct/checkpoint"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let mut lines = checkpoint.lines().skip(1);
    assert_eq!(lines.next().unwrap(), size.to_string());
    assert_eq!(lines.next().unwrap(), hash(&head));
}

/// C2SP static-ct-api by a reader of another project: checkpoint, full and partial tiles, and every issuer.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_static_ct_api_verifies_every_tile() {
    let stack = Stack::ephemeral();
    let size = async || {
        json(&stack, "/ct/v1/get-sth").await["tree_size"]
            .as_u64()
            .unwrap()
    };
    // More than one full tile.
    for _ in 0..40 {
        if size().await > 300 {
            break;
        }
        let mut bench = Command::new(sigbox());
        bench.args(["bench", "--url", &stack.ready.url, "--work", "certificate"]);
        ok(bench.args(["--clients", "16", "--seconds", "2", "--status-only"]));
    }
    assert!(size().await > 300, "{}", size().await);
    let checkpoint = stack.http.get(stack.url("/ct/checkpoint")).send().await.unwrap();
    let checkpoint = checkpoint.text().await.unwrap();
    let origin = checkpoint.lines().next().unwrap();
    // Its end may cut off its own last question about an issuer, which it then calls a fault.
    let passed = (0..5).any(|_| run(&mut ct_fsck(&stack, origin, &spki(&stack, "ctlogs"))).code == Some(0));
    assert!(
        passed,
        "{}",
        run(&mut ct_fsck(&stack, origin, &spki(&stack, "ctlogs"))).text()
    );
    // It can refuse: with another log's key, and under another name.
    let other = refused(&mut ct_fsck(&stack, origin, &spki(&stack, "tlogs")));
    assert!(
        other.text().contains("no verifiable signatures"),
        "{}",
        other.text()
    );
    refused(&mut ct_fsck(&stack, "other.example/ct", &spki(&stack, "ctlogs")));
}
