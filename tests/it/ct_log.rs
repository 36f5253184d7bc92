//! The certificate log by an official client of RFC 6962, and both dialects over the same leaves.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_tlog::leaf_hash;
use serde_json::Value;
use tests::clients::{Cosign, Rekor, ctclient};
use tests::ok;
use tests::stack::Stack;

const WHO: &str = "dev@example.com";

/// The log's public key, as the trusted root has it.
fn log_key(stack: &Stack) -> PathBuf {
    let root: Value =
        serde_json::from_slice(&std::fs::read(stack.ready.trust_dir.join("trusted_root.json")).unwrap())
            .unwrap();
    let spki = root["ctlogs"][0]["publicKey"]["rawBytes"].as_str().unwrap();
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
