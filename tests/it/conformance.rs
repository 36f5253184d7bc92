//! Every recorded case of sigstore-conformance through `sigbox conformance`, by path and by digest, as the suite runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::stack::Stack;
use tests::{ok, refused, run, say, sigbox};

const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// Folder of the recorded vectors, where it is beside the repository.
pub(crate) fn vectors() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    if !path.is_dir() {
        say("skipped: the recorded vectors are not beside this repository");
        return None;
    }
    Some(path)
}

fn text(path: &Path, default: &str) -> String {
    std::fs::read_to_string(path).map_or_else(|_| default.to_owned(), |text| text.trim().to_owned())
}

/// The suite gives arguments in the protocol's order, and no trusted root where a case has none.
fn verify(case: &Path, file: &str) -> Command {
    let mut command = Command::new(sigbox());
    command.args(["conformance", "verify-bundle", "--bundle"]);
    command.arg(case.join("bundle.sigstore.json"));
    let key = case.join("key.pub");
    if key.exists() {
        command.arg("--key").arg(key);
    } else {
        command.args(["--certificate-identity", &text(&case.join("identity"), IDENTITY)]);
        command.args(["--certificate-oidc-issuer", &text(&case.join("issuer"), ISSUER)]);
    }
    let root = case.join("trusted_root.json");
    if root.exists() {
        command.arg("--trusted-root").arg(root);
    }
    command.arg(file);
    command
}

#[test]
fn conformance_verdicts_are_those_of_the_suite() {
    let Some(all) = vectors() else { return };
    let all = all.join("conformance");
    let mut wrong = Vec::new();
    let mut cases = 0;
    for entry in std::fs::read_dir(&all).unwrap() {
        let case = entry.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        let own = case.join("artifact");
        let artifact = if own.exists() { own } else { all.join("a.txt") };
        let sum = ok(Command::new("sha256sum").arg(&artifact)).stdout;
        let digest = format!("sha256:{}", sum.split_whitespace().next().unwrap());
        let must_fail = case.to_string_lossy().ends_with("_fail");
        for file in [artifact.to_str().unwrap(), &digest] {
            let ran = run(&mut verify(&case, file));
            // A wrong command line, or a crash, is no verdict.
            let verdict = matches!(ran.code, Some(0 | 1 | 10..=13));
            if !verdict || (ran.code == Some(0)) == must_fail {
                wrong.push(format!("{}\n{}", ran.line, ran.text()));
            }
            cases += 1;
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {cases}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(cases > 80, "only {cases}");
}

#[test]
fn conformance_signs_what_it_verifies() {
    let stack = Stack::ephemeral();
    let trust = &stack.ready.trust_dir;
    let statement = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}}],"predicateType":"https://example.com/p","predicate":{}}"#;
    for (name, in_toto, content) in [("a.txt", false, "a"), ("a.json", true, statement)] {
        for config in ["signing_config.v0.2.json", "signing_config_rekor_v2.v0.2.json"] {
            let file = stack.file(name, content);
            let bundle = stack.path(&format!("{name}.{config}.bundle"));
            let mut sign = Command::new(sigbox());
            sign.args(["conformance", "sign-bundle"]);
            if in_toto {
                sign.arg("--in-toto");
            }
            sign.args(["--identity-token", &stack.token("a@example.com")]);
            sign.arg("--bundle").arg(&bundle);
            sign.arg("--trusted-root").arg(trust.join("trusted_root.json"));
            sign.arg("--signing-config").arg(trust.join(config));
            ok(sign.arg(&file));
            let verify = |who: &str| {
                let mut command = Command::new(sigbox());
                command
                    .args(["conformance", "verify-bundle", "--bundle"])
                    .arg(&bundle);
                command.args(["--certificate-identity", who]);
                command.args(["--certificate-oidc-issuer", &stack.ready.issuer]);
                command.arg("--trusted-root").arg(trust.join("trusted_root.json"));
                command.arg("sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
                command
            };
            ok(&mut verify("a@example.com"));
            refused(&mut verify("b@example.com"));
        }
    }
}
