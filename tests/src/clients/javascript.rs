//! `@sigstore/cli`, as released.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Content, isolated};
use crate::ok;
use crate::stack::Stack;

/// `@sigstore/cli`: attests, into Rekor v1 alone, and verifies by trust from TUF alone.
#[derive(Clone)]
pub struct JsCli<'a> {
    stack: &'a Stack,
    /// Whose tokens it expects signers to have.
    pub issuer: String,
}

impl<'a> JsCli<'a> {
    /// `initialize`, as a user does once.
    pub fn initialize(stack: &'a Stack) -> Self {
        let cli = Self {
            stack,
            issuer: stack.ready.issuer.clone(),
        };
        std::fs::create_dir_all(cli.cache()).unwrap();
        let mut command = cli.command();
        command.args([
            "initialize",
            "--force",
            "--mirror",
            &stack.ready.tuf_url,
            "--root",
        ]);
        command.arg(cli.root()).arg("--cache-path").arg(cli.cache());
        ok(&mut command);
        cli
    }

    /// `sigstore` with its home in the scratch folder.
    pub fn command(&self) -> Command {
        isolated(self.stack, "client-js/node_modules/.bin/sigstore")
    }

    fn cache(&self) -> PathBuf {
        self.stack.path("js-tuf")
    }

    fn root(&self) -> PathBuf {
        self.stack.ready.trust_dir.join("root.json")
    }

    /// `attest`, without how to obtain a token.
    pub fn attest(&self, statement: &Path, bundle: &Path) -> Command {
        let url = &self.stack.ready.url;
        let mut command = self.command();
        command.args(["attest", "--fulcio-url", url, "--rekor-url", url]);
        command.args(["--tsa-server-url", url, "--timeout", "30", "--output-file"]);
        command.arg(bundle).arg(statement);
        command
    }

    /// `attest` as in CI, where the token is in the environment.
    pub fn attest_in_ci(&self, email: &str, statement: &Path, bundle: &Path) {
        let mut command = self.attest(statement, bundle);
        ok(command
            .env("CI", "true")
            .env("SIGSTORE_ID_TOKEN", self.stack.token(email)));
    }

    /// `verify`, to be run by the caller. Of an envelope it verifies the signature; it has no option to compare the
    /// subjects with a file.
    pub fn verify(&self, content: Content, bundle: &Path, email: &str, artifact: &Path) -> Command {
        let mut command = self.command();
        command.args([
            "verify",
            "--tuf-mirror-url",
            &self.stack.ready.tuf_url,
            "--tuf-root-path",
        ]);
        command.arg(self.root()).arg("--tuf-cache-path").arg(self.cache());
        command.args(["--certificate-issuer", &self.issuer]);
        command.args(["--certificate-identity-email", email]);
        if content == Content::Blob {
            command.arg("--blob-file").arg(artifact);
        }
        command.arg(bundle);
        command
    }
}
