//! `sigbox sign`, `attest` and `verify`: our own client, beside the official ones.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Content, Rekor, isolated_program};
use crate::stack::Stack;
use crate::{ok, sigbox};

/// Our own client, with trust in a file as the library clients have it.
#[derive(Clone)]
pub struct Sigbox<'a> {
    stack: &'a Stack,
    /// Whose tokens it expects signers to have.
    pub issuer: String,
}

impl<'a> Sigbox<'a> {
    /// It needs no set-up.
    pub fn new(stack: &'a Stack) -> Self {
        Self {
            stack,
            issuer: stack.ready.issuer.clone(),
        }
    }

    /// `sigbox VERB`, with its home in the scratch folder.
    pub fn bare(&self, verb: &str) -> Command {
        // It runs in the scratch folder, where a relative path would lead elsewhere.
        let program = sigbox().canonicalize().unwrap();
        let mut command = isolated_program(self.stack, &program, "sigbox");
        command.arg(verb);
        command
    }

    /// `sigbox VERB --url INSTANCE`.
    pub fn command(&self, verb: &str) -> Command {
        let mut command = self.bare(verb);
        command.args(["--url", &self.stack.ready.url]);
        command
    }

    fn trusted_root(&self) -> PathBuf {
        self.stack.ready.trust_dir.join("trusted_root.json")
    }

    /// `sign` of a file, or `attest` of the statement in it, into `bundle`.
    pub fn sign(&self, rekor: Rekor, content: Content, email: &str, file: &Path, bundle: &Path) {
        let mut command = match content {
            Content::Blob => self.bare("sign"),
            Content::Statement => self.bare("attest"),
        };
        command.arg("--trusted-root").arg(self.trusted_root());
        command
            .arg("--signing-config")
            .arg(rekor.signing_config(self.stack));
        command.args(["--identity-token", &self.stack.token(email), "--bundle"]);
        command.arg(bundle);
        if content == Content::Statement {
            command.arg("--statement");
        }
        ok(command.arg(file));
    }

    /// `verify`, to be run by the caller.
    pub fn verify(&self, bundle: &Path, email: &str, artifact: &Path) -> Command {
        let mut command = self.bare("verify");
        command.arg("--trusted-root").arg(self.trusted_root());
        self.expecting(&mut command, bundle, email);
        command.arg(artifact);
        command
    }

    /// Which bundle, and whose it must be.
    pub fn expecting(&self, command: &mut Command, bundle: &Path, email: &str) {
        command.arg("--bundle").arg(bundle);
        command.args(["--certificate-identity", email]);
        command.args(["--certificate-oidc-issuer", &self.issuer]);
    }
}
