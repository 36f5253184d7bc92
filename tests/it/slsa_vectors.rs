//! Recorded public provenance through `sigbox verify-artifact`, against the public instance's trust.

use std::path::Path;
use std::process::Command;

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

/// Its entry is in the public log alone, so against another log it is missing, and that is what is said.
#[test]
fn an_envelope_that_a_log_does_not_have_is_not_logged() {
    let Some(all) = vectors() else { return };
    let stack = Stack::ephemeral();
    let name = "gha_generic/v1.9.0/binary-linux-amd64-workflow_dispatch.intoto.jsonl";
    let ran = verify(&all, name, name, PACKAGE, &["--rekor-url", &stack.ready.url]);
    assert_eq!(ran.code, Some(13), "{}", ran.text());
    assert!(ran.stderr.contains("no matching rekor entries"), "{}", ran.stderr);
}
