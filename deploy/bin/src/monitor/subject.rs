//! What is watched: the logs of whatever is trusted, or one.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use common_bundle::trust::TransparencyLog;
use common_pki::key::PublicKey;
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
pub(super) struct Present {
    /// Certificate logs first.
    pub(super) logs: Vec<Found>,
    /// Hexadecimal SHA-256 of the keys that are trusted now.
    pub(super) keys: HashSet<String>,
    /// What is not there and should be, by a name that stays, with the reason.
    pub(super) silent: HashMap<String, String>,
}

impl Wanted {
    /// Whether it is the log that was found: by its key, for what signs its head is what makes it the one that is trusted.
    fn is_of(&self, found: &Found) -> bool {
        found.key.public_key() == self.key.public_key()
    }
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

    /// All logs as they are now.
    ///
    /// Heads of certificate logs are fetched last and come first: every certificate behind an entry is in the part of its log that is
    /// read before the entry.
    pub(super) async fn find(&self, now: SystemTime) -> Present {
        let mut silent = HashMap::new();
        let wanted = match self.wanted(now).await {
            Ok(wanted) => wanted,
            Err(failure) => {
                silent.insert("the trust".to_owned(), failure.message);
                return Present {
                    logs: Vec::new(),
                    keys: HashSet::new(),
                    silent,
                };
            }
        };
        let (mut logs, mut problems, mut asked) = (Vec::<Found>::new(), Vec::new(), HashSet::new());
        for kind in [LogKind::Signatures, LogKind::Certificates] {
            let of_kind: Vec<&Wanted> = wanted.iter().filter(|log| log.kind == kind).collect();
            let keys: Vec<LogKey> = of_kind.iter().map(|log| log.key.clone()).collect();
            let mut found: Vec<Found> = Vec::new();
            for log in &of_kind {
                let shard = of_kind.iter().find_map(|other| shard_of(&other.url, &log.url));
                for url in [Some(log.url.clone()), shard].into_iter().flatten() {
                    let known = found.iter().any(|known| log.is_of(known));
                    if known || !asked.insert((url.clone(), kind)) {
                        continue;
                    }
                    match discover(&url, kind, &keys, LIMITS).await {
                        Ok(at) => {
                            problems.extend(at.problems);
                            found.extend(at.logs);
                        }
                        Err(error) => problems.push(error.to_string()),
                    }
                }
            }
            logs.splice(0..0, found);
        }
        let mut known = HashSet::new();
        logs.retain(|log| known.insert(log_id(log)));
        let mut keys = HashSet::new();
        for log in wanted.iter().filter(|log| log.is_in_use) {
            let fingerprint = hex::encode(log.key.public_key().fingerprint());
            if !logs.iter().any(|found| log.is_of(found)) {
                let reason = match problems.is_empty() {
                    true => "nothing there is signed by it".to_owned(),
                    false => problems.join("; "),
                };
                silent.insert(format!("the log of key {fingerprint} at {}", log.url), reason);
            }
            keys.insert(fingerprint);
        }
        Present { logs, keys, silent }
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
                        let key = PublicKey::from_spki_der(&log.public_key.raw_bytes).ok()?;
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
