//! The official clients, each with a home of its own inside the story's scratch folder.

mod javascript;
mod programs;
mod sigbox;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use self::javascript::JsCli;
pub use self::programs::Program;
pub use self::sigbox::Sigbox;
use crate::stack::Stack;
use crate::{ok, tool};

/// Which Rekor a client writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rekor {
    /// `/api/v1/log/entries`, the default of every signing configuration we publish.
    V1,
    /// `/api/v2/log/entries`, through the second signing configuration.
    V2,
}

impl Rekor {
    /// Both, for stories that go through each.
    pub const BOTH: [Self; 2] = [Self::V1, Self::V2];

    /// For file names and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// The published signing configuration that names this Rekor alone.
    pub fn signing_config(self, stack: &Stack) -> PathBuf {
        stack.ready.trust_dir.join(match self {
            Self::V1 => "signing_config.v0.2.json",
            Self::V2 => "signing_config_rekor_v2.v0.2.json",
        })
    }
}

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A file.
    Blob,
    /// An in-toto statement about a file, in an envelope.
    Statement,
}

/// What `cosign attest-blob` is given.
#[derive(Debug, Clone, Copy)]
pub enum Attested<'a> {
    /// A predicate, which cosign puts into an in-toto statement of version 0.1.
    Predicate(&'a Path),
    /// A whole in-toto statement.
    Statement(&'a Path),
}

/// cosign, as released.
#[derive(Clone)]
pub struct Cosign<'a> {
    stack: &'a Stack,
    /// Whose tokens it expects signers to have.
    pub issuer: String,
}

impl<'a> Cosign<'a> {
    /// Bootstraps trust from the stack's TUF repository, as a user does once.
    pub fn initialize(stack: &'a Stack) -> Self {
        let cosign = Self {
            stack,
            issuer: stack.ready.issuer.clone(),
        };
        let root = stack.ready.trust_dir.join("root.json");
        ok(cosign
            .command()
            .args(["initialize", "--mirror", &stack.ready.tuf_url, "--root"])
            .arg(root));
        cosign
    }

    /// `cosign` with its home in the scratch folder.
    pub fn command(&self) -> Command {
        isolated(self.stack, "cosign")
    }

    /// Arguments that choose the Rekor.
    fn rekor(&self, command: &mut Command, rekor: Rekor) {
        if rekor == Rekor::V2 {
            let trust = &self.stack.ready.trust_dir;
            command
                .arg("--signing-config")
                .arg(rekor.signing_config(self.stack));
            command.arg("--trusted-root").arg(trust.join("trusted_root.json"));
        }
    }

    /// `cosign VERB`, with a token and the Rekor asked for, to be completed by the caller.
    pub fn writing(&self, verb: &str, rekor: Rekor, email: &str) -> Command {
        let mut command = self.command();
        command.args([verb, "--yes", "--identity-token", &self.stack.token(email)]);
        self.rekor(&mut command, rekor);
        command
    }

    /// `cosign sign-blob`; the bundle's path.
    pub fn sign_blob(&self, rekor: Rekor, email: &str, artifact: &Path) -> PathBuf {
        let bundle = with_suffix(artifact, &format!("cosign.{}.json", rekor.name()));
        let mut command = self.writing("sign-blob", rekor, email);
        command.arg("--bundle").arg(&bundle);
        ok(command.arg(artifact));
        bundle
    }

    /// `cosign attest-blob`, of a predicate or of a whole statement; the bundle's path.
    pub fn attest_blob(&self, rekor: Rekor, email: &str, artifact: &Path, what: Attested<'_>) -> PathBuf {
        let bundle = with_suffix(artifact, &format!("cosign-attest.{}.json", rekor.name()));
        let mut command = self.writing("attest-blob", rekor, email);
        command.arg("--bundle").arg(&bundle);
        match what {
            Attested::Predicate(file) => ok(command
                .args(["--type", "slsaprovenance1", "--predicate"])
                .arg(file)
                .arg(artifact)),
            Attested::Statement(file) => ok(command.arg("--statement").arg(file)),
        };
        bundle
    }

    /// `cosign verify-blob`, to be run by the caller.
    pub fn verify_blob(&self, bundle: &Path, email: &str, artifact: &Path) -> Command {
        self.verify("verify-blob", bundle, email, artifact)
    }

    /// `cosign verify-blob-attestation`, to be run by the caller.
    pub fn verify_attestation(&self, bundle: &Path, email: &str, artifact: &Path) -> Command {
        let mut command = self.verify("verify-blob-attestation", bundle, email, artifact);
        command.args(["--type", "slsaprovenance1"]);
        command
    }

    fn verify(&self, verb: &str, bundle: &Path, email: &str, artifact: &Path) -> Command {
        let mut command = self.command();
        command.arg(verb).arg("--bundle").arg(bundle);
        command.args(["--certificate-identity", email]);
        command.args(["--certificate-oidc-issuer", &self.issuer]);
        command.arg(artifact);
        command
    }
}

/// sigstore-python, as released.
#[derive(Clone)]
pub struct Python<'a> {
    stack: &'a Stack,
}

impl<'a> Python<'a> {
    /// `trust-instance`, as a user does once.
    pub fn trust_instance(stack: &'a Stack) -> Self {
        let python = Self { stack };
        ok(python
            .command()
            .arg("trust-instance")
            .arg(stack.ready.trust_dir.join("root.json")));
        python
    }

    /// `sigstore --instance …`: trust from the TUF repository.
    pub fn command(&self) -> Command {
        let mut command = self.bare();
        command.args(["--instance", &self.stack.ready.tuf_url]);
        command
    }

    /// `sigstore --trust-config …`: no TUF, and a configuration that lists both Rekors.
    fn with_config(&self) -> Command {
        let mut command = self.bare();
        command
            .arg("--trust-config")
            .arg(self.stack.ready.trust_dir.join("client_trust_config.json"));
        command
    }

    /// `sigstore` with its home in the scratch folder.
    fn bare(&self) -> Command {
        isolated(self.stack, "sigstore")
    }

    /// The command that writes to the Rekor asked for.
    fn writing(&self, rekor: Rekor, verb: &str, email: &str) -> Command {
        let mut command = match rekor {
            Rekor::V1 => self.command(),
            Rekor::V2 => self.with_config(),
        };
        command.args([verb, "--identity-token", &self.stack.token(email)]);
        command.args(["--rekor-version", if rekor == Rekor::V1 { "1" } else { "2" }]);
        command
    }

    /// `sigstore sign`; the bundle's path.
    pub fn sign(&self, rekor: Rekor, email: &str, artifact: &Path) -> PathBuf {
        let bundle = with_suffix(artifact, &format!("python.{}.json", rekor.name()));
        ok(self
            .writing(rekor, "sign", email)
            .arg("--bundle")
            .arg(&bundle)
            .arg(artifact));
        bundle
    }

    /// `sigstore attest` with a SLSA v1 predicate; the bundle's path.
    pub fn attest(&self, rekor: Rekor, email: &str, artifact: &Path, predicate: &Path) -> PathBuf {
        let bundle = with_suffix(artifact, &format!("python-attest.{}.json", rekor.name()));
        let mut command = self.writing(rekor, "attest", email);
        command.arg("--predicate").arg(predicate);
        command.args(["--predicate-type", "https://slsa.dev/provenance/v1"]);
        ok(command.arg("--bundle").arg(&bundle).arg(artifact));
        bundle
    }

    /// `sigstore verify identity`, to be run by the caller.
    pub fn verify(&self, bundle: &Path, email: &str, artifact: &Path) -> Command {
        self.verifying(self.command(), bundle, email, artifact)
    }

    /// The same with the trust of a file.
    pub fn verify_trusting(&self, config: &Path, bundle: &Path, email: &str, artifact: &Path) -> Command {
        let mut command = self.bare();
        command.arg("--trust-config").arg(config);
        self.verifying(command, bundle, email, artifact)
    }

    fn verifying(&self, mut command: Command, bundle: &Path, email: &str, artifact: &Path) -> Command {
        command.args(["verify", "identity", "--bundle"]).arg(bundle);
        command.args([
            "--cert-identity",
            email,
            "--cert-oidc-issuer",
            &self.stack.ready.issuer,
        ]);
        command.arg(artifact);
        command
    }

    /// Many bundles in one process: each by the function behind `sigstore verify`. A line of `list` is a bundle, an identity,
    /// an issuer and a file; the answers are lines too.
    pub fn verify_list(&self, list: &Path) -> Command {
        // Beside the script lies the interpreter that it is for.
        let python = std::fs::canonicalize(tool("sigstore")).unwrap();
        let mut command = isolated_program(self.stack, &python.with_file_name("python3"), "sigstore");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python_client.py"));
        command.arg(self.stack.ready.trust_dir.join("trusted_root.json"));
        command.arg(list);
        command
    }
}

/// `rekor-cli`, as released, pointed at the stack.
pub fn rekor_cli(stack: &Stack) -> Command {
    let mut command = isolated(stack, "rekor-cli");
    command.args(["--rekor_server", &stack.ready.url]);
    command
}

/// `ctclient`, as released, pointed at the stack's certificate log.
pub fn ctclient(stack: &Stack, subcommand: &str) -> Command {
    let mut command = isolated(stack, "ctclient");
    // Before the subcommand it knows the flags of its logger alone.
    command.args([subcommand, "--log_uri", &stack.ready.url]);
    command
}

/// TesseraCT's `fsck`, as released: it reads a log of static-ct-api, every tile and every issuer, and verifies all of it. On a
/// terminal of its own, since its exit code means nothing without one.
pub fn ct_fsck(stack: &Stack, origin: &str, key: &str) -> Command {
    let program = tool("ct-fsck");
    let line = format!(
        "{} --monitoring_url={}/ct --origin={origin} --public_key={key}",
        program.display(),
        stack.ready.url
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command
}

/// A client that sees neither our environment nor our home.
fn isolated(stack: &Stack, name: &str) -> Command {
    isolated_program(stack, &tool(name), name)
}

/// The same for a program that is not among the tools.
fn isolated_program(stack: &Stack, program: &Path, name: &str) -> Command {
    let home = stack.path(&format!("{}-home", name.replace('/', "-")));
    std::fs::create_dir_all(&home).unwrap();
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", &home)
        .current_dir(stack.work.path());
    command
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}
