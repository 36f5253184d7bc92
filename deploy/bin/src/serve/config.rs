//! The file of `serve`, and the environment over it: one structure, unknown keys refused.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common_backend::postgres::{PostgresConfig, PostgresError};
use common_bundle::trust::Role;
use common_pki::cert::Certificate;
use common_server::admission::Bounds;
use common_server::listen::ListenAddr;
use serde::Deserialize;
use toml::{Table, Value};

use crate::keys::Places;
use crate::keys::places::{BadPlace, Place};
use crate::public_url::PublicUrl;
use crate::rotate::command::parse_time;
use crate::services::handover::Intake;
use crate::site::{Part, Roles, Site};
use crate::up::limits::LimitArgs;
use crate::up::rekor::{self, RekorArgs};

/// Variables that replace keys of the file: `SIGBOX_SERVE_LIMITS__WRITES_AT_ONCE` is `writes-at-once` in `[limits]`.
const PREFIX: &str = "SIGBOX_SERVE_";
/// The variable that names the file.
pub(crate) const FILE: &str = "SIGBOX_SERVE_CONFIG";
/// The name of keys that have no place of their own, in `[keys]`.
const ALL: &str = "all";

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// It is not TOML, or holds what it should not.
    #[error("{at}: {problem}")]
    Content {
        /// The file, or the variable.
        at: String,
        /// What is wrong.
        problem: String,
    },
    /// A value is not what it should be.
    #[error("{key}: {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The places of keys.
    #[error("[keys]: {0}")]
    Keys(#[from] BadPlace),
    /// The database.
    #[error("storage: {0}")]
    Storage(#[from] PostgresError),
}

/// As the file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    url: String,
    data: PathBuf,
    #[serde(default = "sqlite")]
    storage: String,
    #[serde(default = "schema")]
    schema: String,
    fulcio_config: Option<PathBuf>,
    #[serde(default)]
    urls: UrlsFile,
    #[serde(default)]
    trust: TrustFile,
    #[serde(default)]
    oidc_url: String,
    #[serde(default = "metrics")]
    metrics: String,
    #[serde(default = "canary_every")]
    canary_every: String,
    listen: Vec<ListenFile>,
    #[serde(default)]
    keys: BTreeMap<String, String>,
    #[serde(default)]
    ct: CtFile,
    #[serde(default, rename = "rekor-v1")]
    rekor_v1: RekorV1File,
    #[serde(default)]
    limits: LimitsFile,
    #[serde(default)]
    scorecard_issuers: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ListenFile {
    address: String,
    #[serde(default)]
    services: Vec<Part>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct UrlsFile {
    fulcio: Option<String>,
    ct: Option<String>,
    #[serde(rename = "rekor-v1")]
    rekor_v1: Option<String>,
    #[serde(rename = "rekor-v2")]
    rekor_v2: Option<String>,
    tsa: Option<String>,
    trust: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct TrustFile {
    keys: Vec<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct LimitsFile {
    per_client: Option<String>,
    loopback: bool,
    trust_proxy: Vec<String>,
    writes_at_once: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct CtFile {
    submission: bool,
    roots: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct RekorV1File {
    kinds: String,
    algorithms: Option<String>,
    max_attestation_size: Option<u32>,
    dsse_attestations: bool,
    webhook: Option<String>,
}

impl Default for RekorV1File {
    fn default() -> Self {
        RekorV1File {
            // The others parse whole packages.
            kinds: rekor::PUBLIC.to_owned(),
            algorithms: None,
            max_attestation_size: None,
            dsse_attestations: false,
            webhook: None,
        }
    }
}

fn sqlite() -> String {
    "sqlite".to_owned()
}

fn writes(most: Option<u16>) -> Bounds {
    most.map_or(Bounds::WRITES, |most| Bounds::WRITES.at_most(most.into()))
}

fn schema() -> String {
    "sigbox".to_owned()
}

fn metrics() -> String {
    "localhost:2112".to_owned()
}

fn canary_every() -> String {
    "1h".to_owned()
}

/// What `serve` runs with.
pub(crate) struct Config {
    pub(crate) site: Site,
    /// Files in which other processes tell of their keys.
    pub(crate) others: Vec<PathBuf>,
    pub(crate) data: PathBuf,
    pub(crate) storage: Storage,
    /// There is one where certificates are issued.
    pub(crate) fulcio_config: Option<PathBuf>,
    pub(crate) metrics: ListenAddr,
    /// How often the canary is sent once it has passed; zero is never again.
    pub(crate) canary_every: Duration,
    pub(crate) listen: Vec<Listen>,
    pub(crate) places: Places,
    pub(crate) intake: Intake,
    pub(crate) rekor: RekorArgs,
    pub(crate) limits: LimitArgs,
    pub(crate) scorecard_issuers: Vec<String>,
}

/// Where the logs are.
pub(crate) enum Storage {
    /// In the data folder.
    Sqlite,
    /// In a schema of a database, for several replicas.
    Postgres(Box<PostgresConfig>),
}

/// One listener.
#[derive(Debug)]
pub(crate) struct Listen {
    pub(crate) address: ListenAddr,
    /// What it serves; all of it where empty.
    pub(crate) services: Vec<Part>,
    pub(crate) tls: Option<TlsFiles>,
}

/// A certificate chain and its key, in PEM.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Config {
    /// Reads the file, and the variables of the environment that replace parts of it.
    ///
    /// # Errors
    /// [`ConfigError`] says where, what was expected and what is there.
    pub(crate) fn read(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Config::parse(&path.display().to_string(), &text, std::env::vars_os())
    }

    fn parse(
        at: &str,
        text: &str,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Config, ConfigError> {
        let wrong = |at: &str, error: &toml::de::Error| ConfigError::Content {
            at: at.to_owned(),
            problem: with_nearest(error.message()),
        };
        // As text first: an error then tells its line.
        let _: File = match toml::from_str::<File>(text) {
            Ok(file) => file,
            Err(error) if error.message().starts_with("missing field") => {
                // A variable may have it.
                return Config::overlaid(at, text, variables);
            }
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start));
                let line = before.map(|before| before.matches('\n').count().saturating_add(1));
                let at = line.map_or_else(|| at.to_owned(), |line| format!("{at}, line {line}"));
                return Err(wrong(&at, &error));
            }
        };
        Config::overlaid(at, text, variables)
    }

    fn overlaid(
        at: &str,
        text: &str,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Config, ConfigError> {
        let wrong = |at: &str, error: &toml::de::Error| ConfigError::Content {
            at: at.to_owned(),
            problem: with_nearest(error.message()),
        };
        let mut table: Table = text.parse().map_err(|error| wrong(at, &error))?;
        let mut used = Vec::new();
        for (name, value) in variables {
            // Those of others may hold anything, and so may the name of a file.
            if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) || name == FILE {
                continue;
            }
            let shown = name.to_string_lossy().into_owned();
            let wrong = |problem: &str| ConfigError::Content {
                at: shown.clone(),
                problem: problem.to_owned(),
            };
            let key = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            let (key, value) = key
                .zip(value.to_str())
                .ok_or_else(|| wrong("expected UTF-8, got other octets"))?;
            set(&mut table, key, value).ok_or_else(|| wrong("it names no place of one value in the file"))?;
            used.push(shown);
        }
        let at = match used.as_slice() {
            [] => at.to_owned(),
            used => format!("{at} with {}", used.join(", ")),
        };
        let file: File = Value::Table(table)
            .try_into()
            .map_err(|error| wrong(&at, &error))?;
        file.check()
    }
}

/// Sets the key that a variable names.
fn set(table: &mut Table, key: &str, value: &str) -> Option<()> {
    let name = |part: &str| part.to_ascii_lowercase().replace('_', "-");
    // What reads as a number, a flag or a list is one.
    let parsed = format!("v = {value}").parse::<Table>().ok();
    let parsed = parsed.and_then(|mut table| table.remove("v"));
    let value = match parsed {
        Some(value @ (Value::Integer(_) | Value::Boolean(_) | Value::Array(_))) => value,
        _ => Value::String(value.to_owned()),
    };
    match key.split_once("__") {
        None => drop(table.insert(name(key), value)),
        Some((outer, inner)) => {
            let inside = table
                .entry(name(outer))
                .or_insert_with(|| Value::Table(Table::new()));
            drop(inside.as_table_mut()?.insert(name(inner), value));
        }
    }
    Some(())
}

/// Adds the key that was probably meant to serde's list of those there are.
fn with_nearest(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let known = match quoted.next() {
        Some(got) if message.starts_with("unknown ") => quoted.max_by(|a, b| {
            let near = |name: &str| strsim::jaro_winkler(got, name);
            near(a).total_cmp(&near(b))
        }),
        _ => None,
    };
    match known {
        Some(known) => format!("{message}; did you mean `{known}`?"),
        None => message.to_owned(),
    }
}

fn value<T>(key: &'static str, parsed: Result<T, impl ToString>) -> Result<T, ConfigError> {
    parsed.map_err(|error| ConfigError::Value {
        key,
        problem: error.to_string(),
    })
}

fn public_url(key: &'static str, text: &str) -> Result<PublicUrl, ConfigError> {
    let url: PublicUrl = value(key, text.parse())?;
    if url.is_https() || url.is_loopback() {
        return Ok(url);
    }
    Err(ConfigError::Value {
        key,
        problem: format!(
            "expected https:// for another host than this one, where tokens would be read on the way, got {}",
            url.as_str()
        ),
    })
}

/// Whether two listeners want the same port of the same interface.
fn meet(one: &ListenAddr, other: &ListenAddr) -> bool {
    // `localhost` is both families.
    let hosts = |address: &ListenAddr| match address.url_host().trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(host) => vec![host],
        Err(_) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
    };
    let others = hosts(other);
    let same = |a: &IpAddr, b: &IpAddr| {
        a.is_ipv4() == b.is_ipv4() && (a == b || a.is_unspecified() || b.is_unspecified())
    };
    one.port() == other.port()
        && one.port() != 0
        && hosts(one).iter().any(|a| others.iter().any(|b| same(a, b)))
}

/// That every listener can be had beside the others.
fn apart(listen: &[Listen], metrics: &ListenAddr) -> Result<(), ConfigError> {
    let mut before: Vec<&ListenAddr> = Vec::new();
    let all = listen.iter().map(|one| ("listen.address", &one.address));
    for (key, address) in all.chain([("metrics", metrics)]) {
        if let Some(taken) = before.iter().find(|taken| meet(taken, address)) {
            let shown = |address: &ListenAddr| format!("{}:{}", address.url_host(), address.port());
            return Err(ConfigError::Value {
                key,
                problem: format!(
                    "{} is listened at already, as {}: expected another address or port",
                    shown(address),
                    shown(taken)
                ),
            });
        }
        before.push(address);
    }
    Ok(())
}

impl UrlsFile {
    fn check(self) -> Result<BTreeMap<Part, PublicUrl>, ConfigError> {
        let all = [
            (Part::Fulcio, "urls.fulcio", self.fulcio),
            (Part::Ct, "urls.ct", self.ct),
            (Part::RekorV1, "urls.rekor-v1", self.rekor_v1),
            (Part::RekorV2, "urls.rekor-v2", self.rekor_v2),
            (Part::Tsa, "urls.tsa", self.tsa),
            (Part::Trust, "urls.trust", self.trust),
        ];
        let given = all
            .into_iter()
            .filter_map(|(part, key, text)| Some((part, key, text?)));
        given
            .map(|(part, key, text)| Ok((part, public_url(key, &text)?)))
            .collect()
    }
}

impl RekorV1File {
    fn check(self) -> Result<RekorArgs, ConfigError> {
        let size = self.max_attestation_size.map(rekor::attestation_size);
        let algorithms = self.algorithms.map(|names| names.parse());
        let webhook = self.webhook.map(|url| rekor::webhook(&url));
        Ok(RekorArgs {
            rekor_kinds: Some(value("rekor-v1.kinds", self.kinds.parse())?),
            rekor_algorithms: value("rekor-v1.algorithms", algorithms.transpose())?,
            rekor_max_attestation_size: value("rekor-v1.max-attestation-size", size.transpose())?,
            rekor_webhook: value("rekor-v1.webhook", webhook.transpose())?,
            rekor_dsse_attestations: self.dsse_attestations,
        })
    }
}

impl File {
    fn check(self) -> Result<Config, ConfigError> {
        let url = public_url("url", &self.url)?.with_issuer(self.oidc_url.clone());
        let urls = self.urls.check()?;
        let storage = match self.storage.as_str() {
            "sqlite" => Storage::Sqlite,
            other => Storage::Postgres(Box::new(PostgresConfig::new(other, &self.schema)?)),
        };
        let mut listen = Vec::new();
        for one in self.listen {
            let tls = match (one.tls_certificate, one.tls_key) {
                (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
                (None, None) => None,
                _ => {
                    return Err(ConfigError::Value {
                        key: "listen",
                        problem: format!(
                            "{}: expected tls-certificate and tls-key, or neither",
                            one.address
                        ),
                    });
                }
            };
            listen.push(Listen {
                address: value("listen.address", one.address.parse())?,
                services: one.services,
                tls,
            });
        }
        if listen.is_empty() {
            return Err(ConfigError::Value {
                key: "listen",
                problem: "expected at least one [[listen]]".to_owned(),
            });
        }
        let all = listen.iter().any(|one| one.services.is_empty());
        let served: Vec<Part> = listen.iter().flat_map(|one| one.services.clone()).collect();
        let roles = if all { Roles::all() } else { Roles::of(&served) };
        if roles.has(Role::FulcioCa) && self.fulcio_config.is_none() {
            return Err(ConfigError::Value {
                key: "fulcio-config",
                problem: "expected the file of issuers, because a listener serves fulcio".to_owned(),
            });
        }
        if !roles.has(Role::TufOnline) && !self.trust.keys.is_empty() {
            return Err(ConfigError::Value {
                key: "trust.keys",
                problem: "expected nothing, because no listener serves trust".to_owned(),
            });
        }
        let metrics: ListenAddr = value("metrics", self.metrics.parse())?;
        apart(&listen, &metrics)?;
        let site = Site::new(url, urls, roles);
        // By that place the registry of `up` is known (see `crate::keys::runner`).
        let development = site.url_of(Part::Fulcio).development_issuer();
        if self.oidc_url == development {
            return Err(ConfigError::Value {
                key: "oidc-url",
                problem: format!(
                    "expected another place than {development}, where `up` has its development issuer"
                ),
            });
        }
        let places = self.keys.iter().map(|(name, uri)| {
            let name = Some(name.as_str()).filter(|name| *name != ALL);
            Place::new(name, uri)
        });
        let mut roots = Vec::new();
        for path in &self.ct.roots {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
                path: path.clone(),
                source,
            })?;
            roots.push(value("ct.roots", Certificate::from_pem(&text))?);
        }
        let per_client = self.limits.per_client.map(|rate| rate.parse());
        let proxies = self.limits.trust_proxy.iter().map(|network| network.parse());
        Ok(Config {
            site,
            others: self.trust.keys,
            data: self.data,
            storage,
            fulcio_config: self.fulcio_config,
            metrics,
            canary_every: Duration::from_secs(value("canary-every", parse_time(&self.canary_every))?.into()),
            listen,
            places: Places::new(places.collect::<Result<Vec<_>, _>>()?)?,
            intake: Intake {
                submission: self.ct.submission.then(|| writes(self.limits.writes_at_once)),
                roots,
            },
            rekor: self.rekor_v1.check()?,
            limits: LimitArgs {
                limit_per_client: value("limits.per-client", per_client.transpose())?,
                limit_loopback: self.limits.loopback,
                trust_proxy: value("limits.trust-proxy", proxies.collect::<Result<_, _>>())?,
                writes_at_once: self.limits.writes_at_once,
            },
            scorecard_issuers: self.scorecard_issuers,
        })
    }
}

#[cfg(test)]
mod tests;
