//! cosign and sigstore-python sign, attest and verify, each the other's too.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tests::clients::{Attested, Cosign, Python, Rekor};
use tests::stack::Stack;
use tests::{ok, refused};

const WHO: &str = "dev@example.com";

/// A SLSA v1 provenance predicate with the fields both clients insist on.
const PREDICATE: &str = r#"{
  "buildDefinition": {
    "buildType": "https://example.com/build/v1",
    "externalParameters": {"source": "https://example.com/repo"},
    "internalParameters": {},
    "resolvedDependencies": []
  },
  "runDetails": {
    "builder": {"id": "https://example.com/builder"},
    "metadata": {"invocationId": "1"}
  }
}"#;

fn kind(bundle: &Path) -> (String, String) {
    let bundle: Value = serde_json::from_slice(&std::fs::read(bundle).unwrap()).unwrap();
    let kind = &bundle["verificationMaterial"]["tlogEntries"][0]["kindVersion"];
    (
        kind["kind"].as_str().unwrap().to_owned(),
        kind["version"].as_str().unwrap().to_owned(),
    )
}

fn expect_kind(bundle: &Path, kind_: &str, version: &str) {
    assert_eq!(
        kind(bundle),
        (kind_.to_owned(), version.to_owned()),
        "{}",
        bundle.display()
    );
}

#[test]
fn blobs_through_both_logs_verify_with_both_clients() {
    let stack = Stack::ephemeral();
    let (cosign, python) = (Cosign::initialize(&stack), Python::trust_instance(&stack));
    for rekor in Rekor::BOTH {
        let version = if rekor == Rekor::V1 { "0.0.1" } else { "0.0.2" };
        let artifact = stack.file(
            &format!("artifact.{}", rekor.name()),
            format!("signed into {}", rekor.name()),
        );
        let bundles: [PathBuf; 2] = [
            cosign.sign_blob(rekor, WHO, &artifact),
            python.sign(rekor, WHO, &artifact),
        ];
        for bundle in &bundles {
            expect_kind(bundle, "hashedrekord", version);
            ok(&mut cosign.verify_blob(bundle, WHO, &artifact));
            ok(&mut python.verify(bundle, WHO, &artifact));
            // Who signed is part of what is verified.
            refused(&mut cosign.verify_blob(bundle, "other@example.com", &artifact));
            refused(&mut python.verify(bundle, "other@example.com", &artifact));
        }
    }
}

/// The in-toto statement about `artifact` that carries [`PREDICATE`].
fn statement(stack: &Stack, artifact: &Path) -> PathBuf {
    let sum = ok(Command::new("sha256sum").arg(artifact)).stdout;
    let predicate: Value = serde_json::from_str(PREDICATE).unwrap();
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{
            "name": artifact.file_name().unwrap().to_str().unwrap(),
            "digest": {"sha256": sum.split_whitespace().next().unwrap()},
        }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": predicate,
    });
    stack.file("statement.json", statement.to_string())
}

#[test]
fn attestations_through_both_logs_verify_with_both_clients() {
    let stack = Stack::ephemeral();
    let (cosign, python) = (Cosign::initialize(&stack), Python::trust_instance(&stack));
    let predicate = stack.file("predicate.json", PREDICATE);
    for rekor in Rekor::BOTH {
        let artifact = stack.file(
            &format!("attested.{}", rekor.name()),
            format!("attested in {}", rekor.name()),
        );
        let whole = statement(&stack, &artifact);
        for bundle in [
            cosign.attest_blob(rekor, WHO, &artifact, Attested::Statement(&whole)),
            python.attest(rekor, WHO, &artifact, &predicate),
        ] {
            match rekor {
                Rekor::V1 => expect_kind(&bundle, "dsse", "0.0.1"),
                // Released clients log an envelope as the hash of its pre-authentication
                // encoding (rekor-tiles 2.3.0).
                Rekor::V2 => expect_kind(&bundle, "hashedrekord", "0.0.2"),
            }
            ok(&mut cosign.verify_attestation(&bundle, WHO, &artifact));
            ok(&mut python.verify(&bundle, WHO, &artifact));
        }
        let bundle = cosign.attest_blob(rekor, WHO, &artifact, Attested::Predicate(&predicate));
        ok(&mut cosign.verify_attestation(&bundle, WHO, &artifact));
        // Expected: cosign writes statement version 0.1, of which sigstore-python 4.5.1 knows nothing.
        let said = refused(&mut python.verify(&bundle, WHO, &artifact)).text();
        assert!(said.contains("malformed in-toto statement"), "{said}");
    }
}
