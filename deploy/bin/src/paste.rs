//! The lines a person pastes: setting up a client and its first signature. Pure text, so that the terminal, the landing
//! page and `client-setup` say the same.
//!
//! They are pasted anywhere, so they overwrite nothing that somebody else may have written: files that they write have `sigbox`
//! or `hello` in their paths, and what has to have another name is made only where it is not there ([`unless_there`]).

mod commands;
mod libraries;
mod platforms;

use std::path::Path;

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use crate::cli::{Client, DEFAULT_EMAIL, DEFAULT_URL};

impl Client {
    /// As it is written on the command line and in `/setup/NAME`.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

/// Where clients and CI systems leave a token.
const TOKEN: &str = "\"$SIGSTORE_ID_TOKEN\"";

/// What the lines depend on.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    /// Public URL, without trailing slash.
    pub(crate) url: String,
    /// The same over TLS, for clients that take nothing else.
    pub(crate) tls_url: String,
    /// Hex SHA-256 of `trust/root.json`: cosign warns without it.
    pub(crate) root_sha256: String,
    /// How this program is called.
    pub(crate) sigbox: String,
    /// Whose tokens are taken; none where the development issuer gives them.
    pub(crate) issuer: Option<String>,
    /// Where services are that are not at `url`.
    pub(crate) elsewhere: Elsewhere,
}

/// Base URLs of services, without trailing slash, where they are not that of the instance.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Elsewhere {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fulcio: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rekor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tsa: Option<String>,
}

impl Instance {
    fn fulcio(&self) -> &str {
        self.elsewhere.fulcio.as_deref().unwrap_or(&self.url)
    }

    fn rekor(&self) -> &str {
        self.elsewhere.rekor.as_deref().unwrap_or(&self.url)
    }

    fn tsa(&self) -> &str {
        self.elsewhere.tsa.as_deref().unwrap_or(&self.url)
    }

    /// Who certifies the signer.
    fn issuer(&self) -> String {
        self.issuer
            .clone()
            .unwrap_or_else(|| format!("{}/oidc", self.url))
    }

    /// A token, as a word: of the development issuer, or where a user of another one has put it.
    fn token(&self) -> String {
        if self.issuer.is_some() {
            return TOKEN.to_owned();
        }
        format!("\"$({} token{})\"", self.sigbox, self.at())
    }

    /// The option that names this instance to a command of this program, unless it is the one that is found without.
    pub(crate) fn at(&self) -> String {
        match self.url == DEFAULT_URL {
            true => String::new(),
            false => format!(" --url {}", self.url),
        }
    }

    /// The lines for `client`, for a POSIX shell: one command each, or the lines of a here-document.
    #[must_use]
    pub(crate) fn lines(&self, client: Client) -> Vec<String> {
        let mut lines = self.all(client);
        if let Some(issuer) = &self.issuer
            && lines.iter().any(|line| line.contains(TOKEN))
        {
            // The shell says so, and stops, where there is none.
            lines.insert(
                0,
                format!(
                    ": \"${{SIGSTORE_ID_TOKEN:?expected a token of {issuer} for the audience sigstore, and its name in place of {DEFAULT_EMAIL}}}\""
                ),
            );
        }
        lines
    }

    fn all(&self, client: Client) -> Vec<String> {
        match client {
            Client::Cosign => self.cosign(),
            Client::Python => self.python(),
            Client::Js => self.js(),
            Client::Go => self.go(),
            Client::Java => self.java(),
            Client::Rust => self.rust(),
            Client::Gitsign => self.gitsign(),
            Client::RekorCli => self.rekor_cli(),
            Client::PolicyController => self.policy_controller(),
            Client::Kyverno => self.kyverno(),
            Client::Flux => self.flux(),
            Client::Podman => self.podman(),
            Client::GithubActions => self.github_actions(),
            Client::GitlabCi => self.gitlab_ci(),
        }
    }
}

fn hello() -> String {
    "[ -e hello.txt ] || echo hello > hello.txt".to_owned()
}

/// Runs `make`, which writes `file`; where that is there, says what it should have.
fn unless_there(file: &str, make: &str, should_have: &str) -> String {
    let said = quoted(&format!("{file} is there and stays as it is: {should_have}"));
    format!("if [ -e {file} ]; then echo {said} >&2; else {make}; fi")
}

/// Fetches a file of the instance into the working directory.
fn fetch(url: &str, path: &str, file: &str) -> String {
    format!("curl -fsS -o {file} {url}{path}")
}

/// Lines as they are written here, without the indentation that all share.
fn dedent(text: &str) -> Vec<String> {
    let lines = || text.trim_matches('\n').trim_end().lines();
    let indent = |line: &str| line.len().saturating_sub(line.trim_start().len());
    let shared = lines()
        .filter(|l| !l.trim().is_empty())
        .map(indent)
        .min()
        .unwrap_or_default();
    lines()
        .map(|line| line.get(shared..).unwrap_or_default().to_owned())
        .collect()
}

/// How a shell calls the program at `executable`: by name when the search path finds the same file, else by its quoted
/// path (the program is often run from a build folder).
#[must_use]
pub(crate) fn shell_name(executable: &Path, search_path: &[std::path::PathBuf]) -> String {
    let first = search_path
        .iter()
        .map(|dir| dir.join("sigbox"))
        .find(|candidate| candidate.is_file());
    let same = first.and_then(|found| found.canonicalize().ok()) == executable.canonicalize().ok();
    if same {
        "sigbox".to_owned()
    } else {
        quoted(&executable.to_string_lossy())
    }
}

/// `text` as one word of a POSIX shell (XCU §2.2.2).
#[must_use]
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests;
