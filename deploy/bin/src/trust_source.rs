//! Where a client's trust comes from: a file, a TUF repository, an instance, or what is built in of the public one.
//!
//! Nothing falls back: what was asked for is used or the command fails. Only an instance and a TUF repository need the
//! network.

use std::path::{Path, PathBuf};

use clap::Args;
use common_bundle::trust::{SIGNING_CONFIG, SIGNING_CONFIG_V2, SigningConfig, TrustedRoot};
use common_pki::key::sha256;
use http::StatusCode;

use crate::cli::DEFAULT_URL;
use crate::clock;
use crate::exit::Failure;
use crate::http::Client;
use crate::tuf_fetch::{FetchError, Repository};
use crate::tuf_seen::{self, Kept};

/// Options of every command that verifies.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Trust")]
pub(crate) struct TrustArgs {
    /// Trust what this trusted_root.json says. Needs no network.
    #[arg(long, value_name = "FILE", group = "trust")]
    pub(crate) trusted_root: Option<PathBuf>,
    /// Trust what this TUF repository distributes; with --root.
    #[arg(long, value_name = "URL", group = "trust", requires = "root")]
    pub(crate) tuf: Option<String>,
    /// The root.json that trust in the repository begins with; of --tuf, or of the instance's.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trusted_root", "public_good"])]
    pub(crate) root: Option<PathBuf>,
    /// Where to remember what was seen of a repository that trust began in with --root, so that an older state of it is refused
    /// [default: $XDG_DATA_HOME/sigbox/tuf, else ~/.local/share/sigbox/tuf; nowhere without a home].
    #[arg(long, value_name = "DIR", env = "SIGBOX_TUF_SEEN")]
    pub(crate) tuf_seen: Option<PathBuf>,
    /// Trust the public instance of sigstore.dev, as it was when this program was built. Needs no network.
    #[arg(long, group = "trust")]
    pub(crate) public_good: bool,
    /// Trust this instance, by the root.json it serves unless --root is given.
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL, env = "SIGBOX_URL")]
    pub(crate) url: String,
}

/// Trust, and how it was come by.
pub(crate) struct Trusted {
    /// What to verify with.
    pub(crate) root: TrustedRoot,
    /// Where it is from, for people.
    pub(crate) source: String,
    /// Hex SHA-256 of the file.
    pub(crate) sha256: String,
    configs: Configs,
}

/// Where signing configurations are that belong to the trust.
enum Configs {
    /// Nowhere.
    None,
    /// Targets of a repository.
    Targets(Box<Repository>),
    /// Built in.
    Text(&'static str),
}

impl TrustArgs {
    /// The instance, where that is what is trusted.
    pub(crate) fn instance(&self) -> Option<&str> {
        let another = self.trusted_root.is_some() || self.tuf.is_some() || self.public_good;
        (!another).then_some(self.url.as_str())
    }

    /// Fetches or reads what is trusted.
    ///
    /// # Errors
    /// [`Failure`] names what could not be had.
    pub(crate) async fn resolve(&self) -> Result<Trusted, Failure> {
        if let Some(file) = &self.trusted_root {
            return Trusted::from_file(file);
        }
        if self.public_good {
            return Trusted::public_good();
        }
        let (tuf, root, source) = match (&self.tuf, &self.root) {
            (Some(url), Some(root)) => (url.clone(), read(root)?, format!("the TUF repository {url}")),
            (Some(_), None) => return Err(Failure::failed("--tuf needs --root")),
            (None, Some(root)) => {
                let source = format!("the instance {} and {}", self.url, root.display());
                (self.instance_repository(), read(root)?, source)
            }
            (None, None) => {
                let answer = Client::instance(&self.url)
                    .map_err(Failure::failed)?
                    .get("/trust/root.json")
                    .await
                    .and_then(|answer| answer.expect(StatusCode::OK));
                let root = answer.map_err(|error| {
                    Failure::failed(format!(
                        "no trust: {error}\nOther sources of trust: --trusted-root FILE, --tuf URL --root FILE, --public-good."
                    ))
                })?;
                let source = format!("the instance {}, by the root.json it serves now", self.url);
                (self.instance_repository(), root.to_vec(), source)
            }
        };
        // A root.json that comes with each run is no beginning to hold later ones against.
        let kept = match (&self.root, self.tuf_seen.clone().or_else(tuf_seen::folder)) {
            (Some(_), Some(folder)) => Some(Kept::new(&folder, &tuf, &root)),
            _ => None,
        };
        let client = match self.tuf {
            Some(_) => Client::new(&tuf),
            None => Client::instance(&tuf),
        };
        let client = client.map_err(Failure::failed)?;
        let untrusted = |error: FetchError| Failure::failed(format!("{source}: {error}"));
        let repository = Repository::update(client, &root, kept.as_ref(), clock::system()())
            .await
            .map_err(untrusted)?;
        let text = repository.target("trusted_root.json").await.map_err(untrusted)?;
        Trusted::new(&text, source, Configs::Targets(Box::new(repository)))
    }

    fn instance_repository(&self) -> String {
        format!("{}/tuf", self.url.trim_end_matches('/'))
    }
}

impl Trusted {
    fn new(text: &[u8], source: String, configs: Configs) -> Result<Trusted, Failure> {
        let root = TrustedRoot::parse(text).map_err(|error| Failure::failed(format!("{source}: {error}")))?;
        Ok(Trusted {
            root,
            source,
            sha256: hex::encode(sha256(text)),
            configs,
        })
    }

    /// A trusted_root.json.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be read.
    pub(crate) fn from_file(file: &Path) -> Result<Trusted, Failure> {
        Trusted::new(&read(file)?, file.display().to_string(), Configs::None)
    }

    /// The public instance, as the Sigstore project's own crate carries it.
    ///
    /// # Errors
    /// [`Failure`] when what is built in cannot be read.
    pub(crate) fn public_good() -> Result<Trusted, Failure> {
        let source = "the public instance as built in".to_owned();
        let configs = Configs::Text(sigstore_trust_root::SIGSTORE_PRODUCTION_SIGNING_CONFIG);
        let text = sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;
        Trusted::new(text.as_bytes(), source, configs)
    }

    /// The public staging instance.
    ///
    /// # Errors
    /// [`Failure`] when what is built in cannot be read.
    pub(crate) fn staging() -> Result<Trusted, Failure> {
        let source = "the public staging instance as built in".to_owned();
        let configs = Configs::Text(sigstore_trust_root::SIGSTORE_STAGING_SIGNING_CONFIG);
        let text = sigstore_trust_root::SIGSTORE_STAGING_TRUSTED_ROOT;
        Trusted::new(text.as_bytes(), source, configs)
    }

    /// The issuers that an instance sends its clients to; none where the trust came without a signing configuration, as that of
    /// an instance that only verifies does.
    ///
    /// # Errors
    /// [`Failure`] when the configuration cannot be had.
    pub(crate) async fn issuers(&self) -> Result<Vec<String>, Failure> {
        let Configs::Targets(repository) = &self.configs else {
            return Ok(Vec::new());
        };
        if !repository.targets().names().any(|name| name == SIGNING_CONFIG) {
            return Ok(Vec::new());
        }
        let config = self.signing_config(None, None).await?;
        Ok(config.oidc_urls.into_iter().map(|service| service.url).collect())
    }

    /// Another target of the repository that the trust is from.
    ///
    /// # Errors
    /// [`Failure`] when it is from none, or the target is not there or not what the metadata says.
    pub(crate) async fn target(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let Configs::Targets(repository) = &self.configs else {
            return Err(Failure::usage(format!(
                "the target {name} is looked for in a TUF repository, and the trust is from {}: give --tuf URL --root FILE",
                self.source
            )));
        };
        let target = repository.target(name).await;
        target.map_err(|error| Failure::failed(format!("{}: {error}", self.source)))
    }

    /// Where to sign: `file`, else what belongs to the trust. Released clients find Rekor v1 under the first name and v2
    /// under the second (cosign `pkg/cosign/tuf.go`).
    ///
    /// # Errors
    /// [`Failure`] names what could not be had.
    pub(crate) async fn signing_config(
        &self,
        file: Option<&Path>,
        rekor_version: Option<u32>,
    ) -> Result<SigningConfig, Failure> {
        let (text, source) = match (file, &self.configs) {
            (Some(file), _) => (read(file)?, file.display().to_string()),
            (None, Configs::Text(text)) => (text.as_bytes().to_vec(), self.source.clone()),
            (None, Configs::Targets(_)) => {
                let name = match rekor_version {
                    Some(2) => SIGNING_CONFIG_V2,
                    _ => SIGNING_CONFIG,
                };
                (self.target(name).await?, format!("{name} of {}", self.source))
            }
            (None, Configs::None) => {
                return Err(Failure::failed(format!(
                    "{} says what to trust, not where to sign: give --signing-config FILE too",
                    self.source
                )));
            }
        };
        SigningConfig::parse(&text).map_err(|error| Failure::failed(format!("{source}: {error}")))
    }
}

/// Reads a file.
///
/// # Errors
/// [`Failure`] names it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

    use std::time::{Duration, SystemTime};

    use common_bundle::tuf::{self, KeySet, Lifetimes, RootKeys, Signers, Target};
    use common_pki::key::{KeyAlgorithm, LocalSigner, Signer};

    use super::*;
    use crate::files::{FileSet, Freshness, StaticFile};

    /// What a repository of these targets distributes.
    async fn distributed(targets: &[(&str, &str)]) -> Trusted {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let key = KeySet::single(signer.public_key());
        let keys = RootKeys {
            root: key.clone(),
            targets: key.clone(),
            snapshot: key.clone(),
            timestamp: key,
        };
        let all: [&dyn Signer; 1] = [&signer];
        let signers = Signers {
            root: &all,
            targets: &all,
            snapshot: &all,
            timestamp: &all,
        };
        let targets: Vec<Target> = targets
            .iter()
            .map(|(name, text)| Target {
                name: (*name).to_owned(),
                bytes: text.as_bytes().to_vec(),
                custom: None,
            })
            .collect();
        let (_, files) =
            tuf::Repository::create(&keys, &targets, Lifetimes::default(), now, signers).unwrap();
        let served = FileSet::default();
        for (path, content) in files {
            let file = StaticFile {
                content: content.into(),
                freshness: Freshness::Immutable,
            };
            served.put(&path, file);
        }
        let root = served.get("1.root.json").unwrap().content;
        let client = Client::within(served.router(), "http://repository.example");
        let repository = Repository::update(client, &root, None, now).await.unwrap();
        let text = repository.target("trusted_root.json").await.unwrap();
        Trusted::new(&text, "a test".to_owned(), Configs::Targets(Box::new(repository))).unwrap()
    }

    /// As root-signing repositories of those who only verify are.
    #[tokio::test]
    async fn trust_without_a_signing_configuration_names_no_issuers() {
        let root = (
            "trusted_root.json",
            sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT,
        );
        let config = sigstore_trust_root::SIGSTORE_PRODUCTION_SIGNING_CONFIG;
        let alone = distributed(&[root]).await;
        assert!(alone.issuers().await.unwrap().is_empty());
        let both = distributed(&[root, (SIGNING_CONFIG, config)]).await;
        assert!(!both.issuers().await.unwrap().is_empty());
        let broken = distributed(&[root, (SIGNING_CONFIG, "{}")]).await;
        broken.issuers().await.unwrap_err();
    }

    #[test]
    fn only_without_another_source_of_trust_is_an_instance_trusted() {
        let url = "http://localhost:3000".to_owned();
        let instance = TrustArgs {
            url: url.clone(),
            ..TrustArgs::default()
        };
        assert_eq!(instance.instance(), Some(url.as_str()));
        let with_root = TrustArgs {
            root: Some("root.json".into()),
            ..instance.clone()
        };
        assert_eq!(with_root.instance(), Some(url.as_str()));
        for other in [
            TrustArgs {
                tuf: Some(url.clone()),
                ..with_root
            },
            TrustArgs {
                trusted_root: Some("trusted_root.json".into()),
                ..instance.clone()
            },
            TrustArgs {
                public_good: true,
                ..instance.clone()
            },
        ] {
            assert_eq!(other.instance(), None);
        }
    }

    /// An update of the crate that brought something else would be noticed here, not by a user.
    #[test]
    fn what_is_built_in_can_be_read() {
        for trusted in [Trusted::public_good(), Trusted::staging()] {
            let trusted = trusted.unwrap();
            assert!(!trusted.root.tlogs.is_empty() && !trusted.root.certificate_authorities.is_empty());
            let Configs::Text(config) = trusted.configs else {
                unreachable!("built in")
            };
            assert!(
                !SigningConfig::parse(config.as_bytes())
                    .unwrap()
                    .ca_urls
                    .is_empty()
            );
        }
    }
}
