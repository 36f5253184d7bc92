//! Every client behind one pair of verbs.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tests::clients::{Attested, Content, Cosign, JsCli, Program, Python, Sigbox, rekor_cli};
use tests::ok;
use tests::stack::Stack;

use super::expected::Bundle;

/// The log's own client: it proves that an entry is in the log, and asks nothing else.
pub(crate) const REKOR_CLI: &str = "rekor-cli";
/// Our own.
pub(crate) const SIGBOX: &str = "sigbox";

/// A SLSA v1 provenance predicate with the fields that clients insist on.
const PREDICATE: &str = r#"{
  "buildDefinition": {
    "buildType": "https://example.com/build/v1",
    "externalParameters": {"source": "https://example.com/repo"},
    "internalParameters": {},
    "resolvedDependencies": []
  },
  "runDetails": {"builder": {"id": "https://example.com/builder"}, "metadata": {"invocationId": "1"}}
}"#;

/// The in-toto statement about `artifact` that carries [`PREDICATE`].
pub(crate) fn statement(stack: &Stack, artifact: &Path) -> PathBuf {
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

/// All clients, each set up for one stack.
#[derive(Clone)]
pub(crate) struct Clients<'a> {
    stack: &'a Stack,
    cosign: Cosign<'a>,
    python: Python<'a>,
    js_cli: JsCli<'a>,
    js: Program<'a>,
    go: Program<'a>,
    java: Program<'a>,
    rust: Program<'a>,
    sigbox: Sigbox<'a>,
}

impl<'a> Clients<'a> {
    /// Sets each up as its users do.
    pub(crate) fn prepare(stack: &'a Stack) -> Self {
        Self {
            stack,
            cosign: Cosign::initialize(stack),
            python: Python::trust_instance(stack),
            js_cli: JsCli::initialize(stack),
            js: Program::new(stack, "js"),
            go: Program::new(stack, "go"),
            java: Program::new(stack, "java"),
            rust: Program::new(stack, "rust"),
            sigbox: Sigbox::new(stack),
        }
    }

    /// The same, of which those that take one bundle at a time expect signers with tokens of `issuer`.
    pub(crate) fn expecting(&self, issuer: &str) -> Self {
        let mut clients = self.clone();
        for expected in [
            &mut clients.cosign.issuer,
            &mut clients.js_cli.issuer,
            &mut clients.sigbox.issuer,
        ] {
            issuer.clone_into(expected);
        }
        clients
    }

    /// The verdicts on a whole list, for those that judge one in a process.
    pub(crate) fn verify_list(&self, verifier: &str, list: &Path) -> Option<Command> {
        match verifier {
            "python" => Some(self.python.verify_list(list)),
            "js" | "go" | "java" | "rust" => Some(self.program(verifier).verify_list(list)),
            _ => None,
        }
    }

    fn program(&self, name: &str) -> &Program<'a> {
        match name {
            "js" => &self.js,
            "go" => &self.go,
            "java" => &self.java,
            "rust" => &self.rust,
            other => panic!("no client is called {other}"),
        }
    }

    /// Makes a row's bundle at `path`. `file` is what is signed, `artifact` what a statement is about.
    pub(crate) fn sign(&self, row: &Bundle, email: &str, file: &Path, artifact: &Path, path: &Path) {
        let (rekor, content) = (row.rekor(), row.content());
        let made = match (row.made_by.as_str(), content) {
            ("cosign", Content::Blob) => self.cosign.sign_blob(rekor, email, file),
            ("cosign", Content::Statement) => {
                self.cosign
                    .attest_blob(rekor, email, artifact, Attested::Statement(file))
            }
            ("python", Content::Blob) => self.python.sign(rekor, email, file),
            ("python", Content::Statement) => {
                let predicate = self
                    .stack
                    .file(&format!("predicate.{}.json", rekor.name()), PREDICATE);
                self.python.attest(rekor, email, artifact, &predicate)
            }
            ("js-cli", Content::Statement) => return self.js_cli.attest_in_ci(email, file, path),
            (SIGBOX, _) => return self.sigbox.sign(rekor, content, email, file, path),
            (program, _) => return self.program(program).sign(rekor, content, email, file, path),
        };
        std::fs::rename(made, path).unwrap();
    }

    /// The verifier's command, to be run by the caller.
    pub(crate) fn verify(
        &self,
        verifier: &str,
        content: Content,
        bundle: &Path,
        email: &str,
        artifact: &Path,
    ) -> Command {
        match (verifier, content) {
            ("cosign", Content::Blob) => self.cosign.verify_blob(bundle, email, artifact),
            ("cosign", Content::Statement) => self.cosign.verify_attestation(bundle, email, artifact),
            ("python", _) => self.python.verify(bundle, email, artifact),
            ("js-cli", _) => self.js_cli.verify(content, bundle, email, artifact),
            (SIGBOX, _) => self.sigbox.verify(bundle, email, artifact),
            (REKOR_CLI, _) => {
                let mut command = rekor_cli(self.stack);
                command.args(["verify", "--uuid", &leaf_hash(bundle)]);
                command
            }
            (program, _) => self.program(program).verify(bundle, email, artifact),
        }
    }
}

/// Under which the entry of a bundle is known to the v1 API.
fn leaf_hash(bundle: &Path) -> String {
    let bundle: Value = serde_json::from_slice(&std::fs::read(bundle).unwrap()).unwrap();
    let body = &bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"];
    let body = BASE64_STANDARD.decode(body.as_str().unwrap()).unwrap();
    hex::encode(common_tlog::leaf_hash(&body))
}
