//! What is watched: the logs of whatever is trusted, or one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use common_bundle::trust::TransparencyLog;
use rekor_monitor::{Found, Limits, LogKey, LogKind, discover};
use url::Url;

use super::MonitorArgs;
use super::state::log_id;
use crate::exit::Failure;
use crate::fsck::read_key;
use crate::trust_source::TrustArgs;

/// How hard a log is asked; what fails now is asked again at the next look.
const LIMITS: Limits = Limits {
    parallel: 8,
    timeout: Duration::from_secs(30),
    attempts: 3,
    first_delay: Duration::from_millis(250),
    longest_delay: Duration::from_secs(10),
};

/// Where logs are looked for.
pub(super) enum Subject {
    /// Wherever the trust says.
    Trusted(Box<TrustArgs>),
    /// One log.
    Log { url: String, key: String },
}

/// A log that is trusted.
struct Wanted {
    url: String,
    kind: LogKind,
    key: LogKey,
    /// Whether it must be there: the key's time is not over.
    is_in_use: bool,
}

/// What there is at one time.
#[derive(Default)]
pub(super) struct Present {
    /// Certificate logs first.
    pub(super) logs: Vec<Found>,
    /// Hexadecimal SHA-256 of the keys that are trusted now.
    pub(super) keys: BTreeSet<String>,
    /// What is not there and should be, by a name that stays, with the reason.
    pub(super) silent: HashMap<String, String>,
}

impl Wanted {
    /// Hexadecimal SHA-256 of its key.
    fn fingerprint(&self) -> String {
        hex::encode(self.key.public_key().fingerprint())
    }
}

/// The logs at a URL, or else at the place of a shard. What must be there and is not is silent.
async fn at(
    url: &str,
    shard: Option<String>,
    kind: LogKind,
    logs: &[&Wanted],
    silent: &mut HashMap<String, String>,
) -> Vec<Found> {
    let keys: Vec<LogKey> = logs.iter().map(|log| log.key.clone()).collect();
    let (mut found, mut problems) = (Vec::<Found>::new(), Vec::new());
    for place in [Some(url), shard.as_deref()].into_iter().flatten() {
        match discover(place, kind, &keys, LIMITS).await {
            Ok(there) => {
                problems.extend(there.problems);
                found.extend(there.logs);
            }
            Err(error) => problems.push(error.to_string()),
        }
        if !found.is_empty() {
            break;
        }
    }
    let is_there = |log: &Wanted| {
        let mut keys = found.iter().map(|found| found.key.public_key());
        keys.any(|key| key == log.key.public_key())
    };
    for log in logs.iter().filter(|log| log.is_in_use && !is_there(log)) {
        let reason = match problems.is_empty() {
            true => "nothing there is signed by it".to_owned(),
            false => problems.join("; "),
        };
        silent.insert(format!("the log of key {} at {url}", log.fingerprint()), reason);
    }
    found
}

/// Where a shard of Rekor v2 is that `url` names by a host of its own, if its instance is at `instance`: that host need not
/// resolve (`docs/operations.md`, "A new key, a new shard").
fn shard_of(instance: &str, url: &str) -> Option<String> {
    let (mut instance, url) = (Url::parse(instance).ok()?, Url::parse(url).ok()?);
    let (name, host) = url.host_str()?.split_once('.')?;
    let same =
        instance.host_str() == Some(host) && instance.port_or_known_default() == url.port_or_known_default();
    instance.set_path(&format!("/shards/{name}"));
    same.then(|| instance.into())
}

impl Subject {
    /// As the options say.
    pub(super) fn new(args: &MonitorArgs) -> Subject {
        match (&args.log, &args.log_key) {
            (Some(url), Some(key)) => Subject::Log {
                url: url.clone(),
                key: key.clone(),
            },
            _ => Subject::Trusted(Box::new(args.trust.clone())),
        }
    }

    /// Whether it is one log by itself.
    pub(super) fn is_one_log(&self) -> bool {
        matches!(self, Subject::Log { .. })
    }

    /// All logs as they are now.
    ///
    /// At each URL only heads of keys count that the trust has for that URL: another log's operator does not say how a log looks.
    /// Heads of certificate logs are fetched last and come first: every certificate behind an entry is in the part of its log that is
    /// read before the entry.
    pub(super) async fn find(&self, now: SystemTime) -> Present {
        let mut present = Present::default();
        let wanted = match self.wanted(now).await {
            Ok(wanted) => wanted,
            Err(failure) => {
                present.silent.insert("the trust".to_owned(), failure.message);
                return present;
            }
        };
        if wanted.is_empty() {
            let reason = "expected logs in it, got none".to_owned();
            present.silent.insert("the trust".to_owned(), reason);
        }
        for kind in [LogKind::Signatures, LogKind::Certificates] {
            let mut places: Vec<(&str, Vec<&Wanted>)> = Vec::new();
            for log in wanted.iter().filter(|log| log.kind == kind) {
                match places.iter_mut().find(|(url, _)| *url == log.url) {
                    Some((_, logs)) => logs.push(log),
                    None => places.push((&log.url, vec![log])),
                }
            }
            let mut found = Vec::new();
            for (url, logs) in &places {
                let shard = places.iter().find_map(|(instance, _)| shard_of(instance, url));
                found.extend(at(url, shard, kind, logs, &mut present.silent).await);
            }
            present.logs.splice(0..0, found);
        }
        let mut known = HashSet::new();
        let logs = &mut present.logs;
        logs.retain(|log| known.insert((log_id(log), log.head.size, log.head.root)));
        present.keys = wanted.iter().map(Wanted::fingerprint).collect();
        // It is looked for as either kind.
        if self.is_one_log() && !present.logs.is_empty() {
            present.silent.clear();
        }
        present
    }

    async fn wanted(&self, now: SystemTime) -> Result<Vec<Wanted>, Failure> {
        match self {
            Subject::Log { url, key } => {
                let key = read_key(key)?;
                let of = |kind| Wanted {
                    url: url.clone(),
                    kind,
                    key: key.clone(),
                    is_in_use: true,
                };
                Ok(vec![of(LogKind::Signatures), of(LogKind::Certificates)])
            }
            Subject::Trusted(trust) => {
                let root = trust.resolve().await?.root;
                let wanted = |kind| {
                    move |log: &TransparencyLog| {
                        let key = log.public_key.public_key().ok()?;
                        Some(Wanted {
                            url: log.base_url.clone(),
                            kind,
                            key: LogKey::from_public_key(key),
                            is_in_use: log.public_key.valid_for.contains(now),
                        })
                    }
                };
                let tlogs = root.tlogs.iter().filter_map(wanted(LogKind::Signatures));
                let ctlogs = root.ctlogs.iter().filter_map(wanted(LogKind::Certificates));
                Ok(tlogs.chain(ctlogs).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_with_a_host_of_its_own_is_below_its_instance() {
        let at = |instance: &str| shard_of(instance, "http://rekor-v2-2.localhost:3000");
        assert_eq!(
            at("http://localhost:3000").as_deref(),
            Some("http://localhost:3000/shards/rekor-v2-2")
        );
        for other in [
            "http://localhost:3001",
            "http://rekor-v2-2.localhost:3000",
            "http://example.com:3000",
        ] {
            assert_eq!(at(other), None, "{other}");
        }
        let public = shard_of(
            "https://sigstore.example.com",
            "https://rekor-v2-3.sigstore.example.com",
        );
        assert_eq!(
            public.as_deref(),
            Some("https://sigstore.example.com/shards/rekor-v2-3")
        );
    }
}
