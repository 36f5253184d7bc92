//! The library clients: small programs under `tests/clients`, one for each language, that speak the command line of
//! sigstore-conformance.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Content, Rekor, isolated};
use crate::ok;
use crate::stack::Stack;

/// The password of a store that holds one public certificate: keytool insists on one.
const STORE_PASSWORD: &str = "changeit";

/// A program made of a client library.
#[derive(Clone)]
pub struct Program<'a> {
    stack: &'a Stack,
    path: String,
    /// sigstore-java speaks to a certificate authority by gRPC over TLS alone.
    tls: bool,
}

impl<'a> Program<'a> {
    /// The one in `tests/clients/{language}`.
    pub fn new(stack: &'a Stack, language: &str) -> Self {
        let program = Self {
            stack,
            path: format!("client-{language}/client"),
            tls: language == "java",
        };
        if program.tls {
            program.trust_authority();
        }
        program
    }

    fn command(&self) -> Command {
        let mut command = isolated(self.stack, &self.path);
        if self.tls {
            let store = self.store();
            command.env(
                "JAVA_TOOL_OPTIONS",
                format!(
                    "-Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStorePassword={STORE_PASSWORD}",
                    store.display()
                ),
            );
        }
        command
    }

    fn store(&self) -> PathBuf {
        self.stack.path("authority.p12")
    }

    /// Lets a JVM trust the local TLS authority.
    fn trust_authority(&self) {
        let mut keytool = Command::new("keytool");
        keytool.args([
            "-importcert",
            "-noprompt",
            "-alias",
            "sigbox",
            "-storetype",
            "PKCS12",
        ]);
        keytool.args(["-storepass", STORE_PASSWORD, "-keystore"]);
        keytool.arg(self.store()).arg("-file");
        ok(keytool.arg(self.stack.ready.data_dir.join("tls/ca.pem")));
    }

    /// The signing configuration for `rekor`, with an https URL where the client needs one.
    fn signing_config(&self, rekor: Rekor) -> PathBuf {
        let published = rekor.signing_config(self.stack);
        if !self.tls {
            return published;
        }
        let mut config: Value = serde_json::from_slice(&std::fs::read(published).unwrap()).unwrap();
        for authority in config["caUrls"].as_array_mut().unwrap() {
            authority["url"] = self.stack.ready.tls_url.clone().into();
        }
        self.stack.file(
            &format!("signing-config.tls.{}.json", rekor.name()),
            config.to_string(),
        )
    }

    /// `sign-bundle`, of a file or of the statement in it, into `bundle`.
    pub fn sign(&self, rekor: Rekor, content: Content, email: &str, file: &Path, bundle: &Path) {
        let mut command = self.command();
        command.arg("sign-bundle");
        if content == Content::Statement {
            command.arg("--in-toto");
        }
        command.args(["--identity-token", &self.stack.token(email), "--bundle"]);
        command.arg(bundle).arg("--trusted-root").arg(self.trusted_root());
        command.arg("--signing-config").arg(self.signing_config(rekor));
        ok(command.arg(file));
    }

    /// `verify-bundle`, to be run by the caller.
    pub fn verify(&self, bundle: &Path, email: &str, artifact: &Path) -> Command {
        let mut command = self.command();
        command.arg("verify-bundle").arg("--bundle").arg(bundle);
        command.args(["--certificate-identity", email]);
        command.args(["--certificate-oidc-issuer", &self.stack.ready.issuer]);
        command
            .arg("--trusted-root")
            .arg(self.trusted_root())
            .arg(artifact);
        command
    }

    /// `verify-bundles`: many in one process. A line of `list` is a bundle, an identity, an issuer and a file; the answers are
    /// lines too.
    pub fn verify_list(&self, list: &Path) -> Command {
        let mut command = self.command();
        command.arg("verify-bundles").arg("--trusted-root");
        command.arg(self.trusted_root()).arg(list);
        command
    }

    /// `log-over-grpc`, which the Go program has: the entry that Rekor v2 made of `file`, verified, and how it answered the same again.
    pub fn log_over_grpc(&self, file: &Path) -> Value {
        let mut command = self.command();
        command.args(["log-over-grpc", "--rekor-url", &self.stack.ready.url]);
        command.arg("--trusted-root").arg(self.trusted_root());
        serde_json::from_str(&ok(command.arg(file)).stdout).unwrap()
    }

    fn trusted_root(&self) -> PathBuf {
        self.stack.ready.trust_dir.join("trusted_root.json")
    }
}
