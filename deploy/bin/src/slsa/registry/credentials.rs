//! Who we are at a registry: what the command line says, else what docker's configuration says for its host (docker/cli
//! `cli/config`, docker-credential-helpers). Looked up once a registry asks, so that public images run no program.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::RegistryError;

/// Time for a credential helper, which may ask a keychain that somebody has to unlock.
const HELPER_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer of one.
const HELPER_LIMIT: u64 = 64 * 1024;
/// What helpers say where they have nothing (docker-credential-helpers `credentials/error.go`).
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user name beside an identity token.
const IDENTITY: &str = "<token>";
/// What Docker Hub is called in the configuration, whatever an image says.
const HUB: &str = "https://index.docker.io/v1/";

/// Options with cosign's names, and where ours go further.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct RegistryArgs {
    /// Who asks the registry [default: what docker's configuration says].
    #[arg(
        long,
        value_name = "NAME",
        requires = "registry_password",
        conflicts_with = "registry_token"
    )]
    registry_username: Option<String>,
    /// The password of --registry-username. Other users of the machine can see what is on a command line.
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "SIGBOX_REGISTRY_PASSWORD",
        hide_env_values = true
    )]
    registry_password: Option<Secret>,
    /// A bearer token of the registry, as it is.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SIGBOX_REGISTRY_TOKEN",
        hide_env_values = true
    )]
    registry_token: Option<Secret>,
    /// A host beside the registry's own that may have its credentials, where the registry sends its clients there for tokens.
    #[arg(long, value_name = "HOST")]
    registry_token_host: Vec<String>,
}

/// A text that is not printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(Zeroizing<String>);

impl Secret {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(Zeroizing::new(text.to_owned()))
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Secret, Self::Err> {
        Ok(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What we can show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// Nothing.
    Anonymous,
    /// A name and a password.
    Password(String, Secret),
    /// A token that a token service changes into others.
    Identity(Secret),
    /// A token that the registry takes as it is.
    Bearer(Secret),
}

/// `config.json`, as far as it is about registries.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Auth>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
struct Auth {
    /// Base64 of `NAME:PASSWORD`.
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

impl RegistryArgs {
    /// Whether the credentials of the registry may go to this host, which is another than the registry's own.
    pub(super) fn lets_have(&self, host: &str) -> bool {
        self.registry_token_host
            .iter()
            .any(|listed| listed.eq_ignore_ascii_case(host))
    }

    /// What there is for `host`.
    ///
    /// # Errors
    /// A configuration that cannot be read, a helper that fails.
    pub(super) async fn credentials(&self, host: &str) -> Result<Credentials, RegistryError> {
        match (
            &self.registry_username,
            &self.registry_password,
            &self.registry_token,
        ) {
            (Some(name), Some(password), _) => {
                return Ok(Credentials::Password(name.clone(), password.clone()));
            }
            (None, Some(_), _) => {
                return Err(RegistryError::Credentials {
                    from: "--registry-password".to_owned(),
                    why: "expected --registry-username beside it".to_owned(),
                });
            }
            (_, _, Some(token)) => return Ok(Credentials::Bearer(token.clone())),
            _ => {}
        }
        let Some(file) = configuration() else {
            return Ok(Credentials::Anonymous);
        };
        let config = match tokio::fs::read(&file).await {
            Ok(text) => parse(&text).map_err(|why| RegistryError::Credentials {
                from: file.display().to_string(),
                why,
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Config::default(),
            Err(error) => {
                return Err(RegistryError::Credentials {
                    from: file.display().to_string(),
                    why: error.to_string(),
                });
            }
        };
        config.credentials(host).await
    }
}

/// Where docker has its configuration.
fn configuration() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    variable("DOCKER_CONFIG")
        .filter(|folder| !folder.as_os_str().is_empty())
        .or_else(|| variable("HOME").map(|home| home.join(".docker")))
        .map(|folder| folder.join("config.json"))
}

fn parse(text: &[u8]) -> Result<Config, String> {
    // What the parser says may quote the file, and with it a password.
    serde_json::from_slice(text)
        .map_err(|error| format!("expected docker's configuration, line {} is none", error.line()))
}

/// Whether a key of the configuration is this host: bare, or a URL of it (docker/cli `cli/config/credentials/file_store.go`).
fn is_of(key: &str, host: &str) -> bool {
    let bare = key.trim_start_matches("https://").trim_start_matches("http://");
    bare.split('/').next() == Some(host)
}

impl Config {
    async fn credentials(&self, host: &str) -> Result<Credentials, RegistryError> {
        let hub = matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io");
        let matches = |key: &str| {
            if hub {
                key == HUB || key == "docker.io" || key == "index.docker.io"
            } else {
                is_of(key, host)
            }
        };
        let helper = self.cred_helpers.iter().find(|(key, _)| matches(key));
        let helper = helper.map_or(self.creds_store.as_str(), |(_, name)| name.as_str());
        if !helper.is_empty() {
            return ask(helper, if hub { HUB } else { host }).await;
        }
        let auth = self.auths.iter().find(|(key, _)| matches(key));
        auth.map_or(Ok(Credentials::Anonymous), |(key, auth)| {
            auth.read().ok_or_else(|| RegistryError::Credentials {
                from: format!("docker's configuration for {key:?}"),
                why: "expected base64 of NAME:PASSWORD in auth".to_owned(),
            })
        })
    }
}

impl Auth {
    fn read(&self) -> Option<Credentials> {
        if !self.registrytoken.is_empty() {
            return Some(Credentials::Bearer(self.registrytoken.as_str().into()));
        }
        if !self.identitytoken.is_empty() {
            return Some(Credentials::Identity(self.identitytoken.as_str().into()));
        }
        if self.auth.is_empty() {
            return Some(match self.username.as_str() {
                "" => Credentials::Anonymous,
                name => Credentials::Password(name.to_owned(), self.password.as_str().into()),
            });
        }
        let pair = Zeroizing::new(STANDARD.decode(&self.auth).ok()?);
        let (name, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
        // Docker pads with NUL.
        let password = password.trim_end_matches('\0');
        Some(Credentials::Password(name.to_owned(), password.into()))
    }
}

/// Asks `docker-credential-NAME get`.
async fn ask(name: &str, server: &str) -> Result<Credentials, RegistryError> {
    let program = format!("docker-credential-{name}");
    let failed = |why: String| RegistryError::Credentials {
        from: program.clone(),
        why,
    };
    // A program by its name in PATH, never one by a path.
    let named = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.chars().all(named) {
        return Err(failed(
            "expected letters, digits, dots, dashes in its name".to_owned(),
        ));
    }
    let asked = tokio::time::timeout(HELPER_TIMEOUT, answer(&program, server)).await;
    let (ended, said) = asked
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| failed(error.to_string()))?;
    let text = std::str::from_utf8(&said).unwrap_or_default().trim();
    if !ended {
        if text.contains(NOT_FOUND) {
            return Ok(Credentials::Anonymous);
        }
        // On failure it says why in place of a secret.
        let why = text.chars().filter(|c| !c.is_control()).take(200);
        return Err(failed(why.collect()));
    }
    let Helped { username, secret } = serde_json::from_str(text)
        .map_err(|_| failed("expected JSON with Username and Secret".to_owned()))?;
    let secret = Secret(Zeroizing::new(secret));
    Ok(match username.as_str() {
        IDENTITY => Credentials::Identity(secret),
        "" if secret.reveal().is_empty() => Credentials::Anonymous,
        _ => Credentials::Password(username, secret),
    })
}

/// Whether the program ended well, and what it said.
async fn answer(program: &str, server: &str) -> io::Result<(bool, Zeroizing<Vec<u8>>)> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(server.as_bytes()).await?;
    }
    let mut said = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        stdout.take(HELPER_LIMIT).read_to_end(&mut said).await?;
    }
    Ok((child.wait().await?.success(), said))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    async fn of(config: &str, host: &str) -> Result<Credentials, RegistryError> {
        parse(config.as_bytes()).unwrap().credentials(host).await
    }

    fn password(name: &str, password: &str) -> Credentials {
        Credentials::Password(name.to_owned(), password.into())
    }

    #[tokio::test]
    async fn the_configuration_is_read_as_docker_does() {
        let both = STANDARD.encode("ann:se:cret");
        let config = format!(
            r#"{{"auths": {{
                "registry.example.com": {{"auth": "{both}"}},
                "https://old.example.com/v1/": {{"auth": "{both}"}},
                "{HUB}": {{"username": "hub", "password": "p"}},
                "ghcr.example": {{"auth": "", "identitytoken": "refresh"}},
                "broken.example": {{"auth": "%"}}
            }}, "HttpHeaders": {{"x": "y"}}}}"#
        );
        for (host, expected) in [
            ("registry.example.com", password("ann", "se:cret")),
            ("old.example.com", password("ann", "se:cret")),
            ("docker.io", password("hub", "p")),
            ("ghcr.example", Credentials::Identity("refresh".into())),
            ("registry.example.com:5000", Credentials::Anonymous),
            ("example.com", Credentials::Anonymous),
        ] {
            assert_eq!(of(&config, host).await.unwrap(), expected, "{host}");
        }
        let broken = of(&config, "broken.example").await.unwrap_err().to_string();
        assert!(broken.contains("expected base64"), "{broken}");
        let text = parse(br#"{"auths": {"a": {"auth": "c2VjcmV0"}}, "credsStore": 1}"#).unwrap_err();
        assert!(!text.contains("c2VjcmV0") && text.contains("line 1"), "{text}");
    }

    #[tokio::test]
    async fn a_helper_is_a_name_and_nothing_else() {
        for name in ["../evil", "a/b", "a b", "a;b"] {
            let config = format!(r#"{{"credsStore": "{name}"}}"#);
            let refused = of(&config, "registry.example.com").await.unwrap_err().to_string();
            assert!(refused.contains("in its name"), "{name}: {refused}");
        }
        let absent = r#"{"credHelpers": {"registry.example.com": "nobody-has-this"}}"#;
        assert!(of(absent, "registry.example.com").await.is_err());
        assert_eq!(
            of(absent, "other.example.com").await.unwrap(),
            Credentials::Anonymous
        );
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", password("ann", "word")), "Password(\"ann\", …)");
    }
}
