//! rekor-cli against the v1 API: it verifies whatever it is given.

use std::process::Command;

use serde_json::Value;
use tests::clients::rekor_cli;
use tests::ok;
use tests::stack::Stack;

/// A key and a signature made with OpenSSL; the digest of what was signed.
fn signed(stack: &Stack, name: &str) -> String {
    let artifact = stack.file(name, format!("content of {name}"));
    let openssl = |args: &[&str]| ok(Command::new("openssl").args(args).current_dir(stack.work.path()));
    if !stack.path("key.pem").exists() {
        openssl(&[
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
            "key.pem",
        ]);
        openssl(&["ec", "-in", "key.pem", "-pubout", "-out", "key.pub"]);
    }
    openssl(&[
        "dgst",
        "-sha256",
        "-sign",
        "key.pem",
        "-out",
        &format!("{name}.sig"),
        artifact.to_str().unwrap(),
    ]);
    let digest = ok(Command::new("sha256sum").arg(&artifact)).stdout;
    digest.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn upload_get_verify_search_loginfo_logproof() {
    let stack = Stack::ephemeral();
    ok(rekor_cli(&stack).arg("loginfo"));

    let mut uploaded = Vec::new();
    for name in ["one", "two", "three"] {
        let digest = signed(&stack, name);
        let said = ok(rekor_cli(&stack)
            .args(["upload", "--type", "hashedrekord", "--pki-format", "x509"])
            .args([
                "--signature",
                &format!("{name}.sig"),
                "--public-key",
                "key.pub",
                "--artifact-hash",
                &digest,
            ]))
        .text();
        assert!(said.contains("Created entry at index"), "{said}");
        uploaded.push((name, digest));
    }

    let (name, digest) = &uploaded[1];
    let found = ok(rekor_cli(&stack).args(["search", "--sha", digest])).stdout;
    let uuid = found.trim();
    assert_eq!(uuid.len(), 80, "one entry ID expected, got {found:?}");
    let by_key =
        ok(rekor_cli(&stack).args(["search", "--public-key", "key.pub", "--pki-format", "x509"])).stdout;
    assert_eq!(by_key.lines().count(), uploaded.len(), "{by_key}");

    let got = ok(rekor_cli(&stack).args(["get", "--uuid", uuid, "--format", "json"])).stdout;
    let got: Value = serde_json::from_str(&got).unwrap();
    assert_eq!(got["UUID"].as_str(), Some(uuid));
    let index = got["LogIndex"].as_u64().unwrap().to_string();
    ok(rekor_cli(&stack).args(["get", "--log-index", &index]));
    ok(rekor_cli(&stack).args(["verify", "--log-index", &index]));
    ok(rekor_cli(&stack)
        .args([
            "verify",
            "--signature",
            &format!("{name}.sig"),
            "--public-key",
            "key.pub",
        ])
        .args([
            "--artifact-hash",
            digest,
            "--type",
            "hashedrekord",
            "--pki-format",
            "x509",
        ]));

    // A second upload of the same bytes is told where the first one is.
    let again = ok(rekor_cli(&stack)
        .args(["upload", "--signature", &format!("{name}.sig")])
        .args(["--public-key", "key.pub", "--artifact-hash", digest]))
    .text();
    assert!(
        again.contains("already exists") && again.contains(uuid),
        "{again}"
    );

    ok(rekor_cli(&stack).args(["logproof", "--first-size", "1", "--last-size", "3"]));
    let info = ok(rekor_cli(&stack).args(["loginfo", "--format", "json"])).stdout;
    let info: Value = serde_json::from_str(&info).unwrap();
    assert!(info["ActiveTreeSize"].as_u64().unwrap() >= 3, "{info}");
}
