//! The lines a person pastes: setting up a client and its first signature. Pure text, so that the terminal, the landing
//! page and `client-setup` say the same.

use std::path::Path;

use crate::cli::{Client, DEFAULT_EMAIL, DEFAULT_URL};

/// What the lines depend on.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    /// Public URL, without trailing slash.
    pub(crate) url: String,
    /// Hex SHA-256 of `trust/root.json`: cosign warns without it.
    pub(crate) root_sha256: String,
    /// How this program is called.
    pub(crate) sigbox: String,
}

impl Instance {
    fn token(&self) -> String {
        let url = if self.url == DEFAULT_URL {
            String::new()
        } else {
            format!(" --url {}", self.url)
        };
        format!("\"$({} token{url})\"", self.sigbox)
    }

    /// The lines for `client`, one command each, for a POSIX shell.
    #[must_use]
    pub(crate) fn lines(&self, client: Client) -> Vec<String> {
        match client {
            Client::Cosign => self.cosign(),
            Client::Python => self.python(),
            Client::RekorCli => self.rekor_cli(),
        }
    }

    fn cosign(&self) -> Vec<String> {
        let Instance { url, root_sha256, .. } = self;
        let token = self.token();
        vec![
            format!(
                "cosign initialize --mirror {url}/tuf --root {url}/trust/root.json --root-checksum {root_sha256}"
            ),
            hello(),
            format!("cosign sign-blob --yes --identity-token {token} --bundle hello.sigstore.json hello.txt"),
            format!(
                "cosign verify-blob --bundle hello.sigstore.json --certificate-identity {DEFAULT_EMAIL} \
                 --certificate-oidc-issuer {url}/oidc hello.txt"
            ),
        ]
    }

    fn python(&self) -> Vec<String> {
        let Instance { url, .. } = self;
        let token = self.token();
        vec![
            format!("curl -fsS -o sigbox-root.json {url}/trust/root.json"),
            format!("sigstore --instance {url}/tuf trust-instance sigbox-root.json"),
            hello(),
            format!(
                "sigstore --instance {url}/tuf sign --identity-token {token} --overwrite \
                 --bundle hello.python.sigstore.json hello.txt"
            ),
            format!(
                "sigstore --instance {url}/tuf verify identity --bundle hello.python.sigstore.json \
                 --cert-identity {DEFAULT_EMAIL} --cert-oidc-issuer {url}/oidc hello.txt"
            ),
        ]
    }

    fn rekor_cli(&self) -> Vec<String> {
        let Instance { url, .. } = self;
        let digest = "\"$(openssl dgst -sha256 -r hello.txt | cut -c 1-64)\"";
        let entry = format!(
            "--type hashedrekord --pki-format x509 --artifact-hash {digest} --signature hello.sig --public-key hello.pub"
        );
        vec![
            hello(),
            "openssl ecparam -name prime256v1 -genkey -noout -out hello.key".to_owned(),
            "openssl pkey -in hello.key -pubout -out hello.pub".to_owned(),
            "openssl dgst -sha256 -sign hello.key -out hello.sig hello.txt".to_owned(),
            format!("rekor-cli upload --rekor_server {url} {entry}"),
            format!("rekor-cli search --rekor_server {url} --sha {digest}"),
            format!("rekor-cli verify --rekor_server {url} {entry}"),
            format!("rekor-cli loginfo --rekor_server {url}"),
        ]
    }
}

fn hello() -> String {
    "echo hello > hello.txt".to_owned()
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
