//! The findings, link by link.

use std::fmt;
use std::time::SystemTime;

use common_bundle::trust::Timestamp;
use serde_json::{Value, json};

use crate::console::Console;

/// A link of the chain from identity to verified bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// The trust repository.
    Tuf,
    /// The token issuer.
    Oidc,
    /// The canary's own key.
    Key,
    /// The certificate authority.
    Fulcio,
    /// The certificate log.
    Ct,
    /// The timestamp authority.
    Tsa,
    /// The first log.
    RekorV1,
    /// The second log.
    RekorV2,
}

impl Link {
    /// As a label of metrics.
    pub(crate) fn label(self) -> String {
        self.to_string().to_lowercase().replace(' ', "-")
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Link::Tuf => "TUF",
            Link::Oidc => "OIDC",
            Link::Key => "key",
            Link::Fulcio => "Fulcio",
            Link::Ct => "CT",
            Link::Tsa => "TSA",
            Link::RekorV1 => "Rekor v1",
            Link::RekorV2 => "Rekor v2",
        })
    }
}

/// A link that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    /// What was expected and what came.
    pub(crate) found: String,
    /// What to do.
    pub(crate) advice: &'static str,
}

/// A [`Broken`] from an error.
pub(crate) fn broken(found: impl fmt::Display, advice: &'static str) -> Broken {
    Broken {
        found: found.to_string(),
        advice,
    }
}

#[derive(Debug)]
enum Outcome {
    Good(String),
    Broken(Broken),
    Skipped(Link),
    /// Its log takes no entries ever again.
    Frozen,
}

/// What was found at each link, in the order of looking.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<(Link, Outcome)>);

impl Report {
    /// Notes the outcome of a link and gives on what it yielded.
    pub(crate) fn record<T>(&mut self, link: Link, outcome: Result<(T, String), Broken>) -> Option<T> {
        let (value, outcome) = match outcome {
            Ok((value, evidence)) => (Some(value), Outcome::Good(evidence)),
            Err(broken) => (None, Outcome::Broken(broken)),
        };
        self.0.push((link, outcome));
        value
    }

    /// Notes that a link was not looked at, because of another.
    pub(crate) fn skip<T>(&mut self, link: Link, because: Link) -> Option<T> {
        self.0.push((link, Outcome::Skipped(because)));
        None
    }

    /// Notes that a link takes no canary, because its log is frozen.
    pub(crate) fn frozen<T>(&mut self, link: Link) -> Option<T> {
        self.0.push((link, Outcome::Frozen));
        None
    }

    /// The first link that does not hold.
    pub(crate) fn broken(&self) -> Option<(Link, &Broken)> {
        self.0.iter().find_map(|(link, outcome)| match outcome {
            Outcome::Broken(broken) => Some((*link, broken)),
            Outcome::Good(_) | Outcome::Skipped(_) | Outcome::Frozen => None,
        })
    }

    /// Each link that takes a canary, and whether it was found sound.
    pub(crate) fn sound(&self) -> impl Iterator<Item = (Link, bool)> {
        self.0.iter().filter_map(|(link, outcome)| match outcome {
            Outcome::Good(_) => Some((*link, true)),
            Outcome::Broken(_) | Outcome::Skipped(_) => Some((*link, false)),
            Outcome::Frozen => None,
        })
    }

    /// What was found at `url`, for programs: the links in the order of looking, by their labels.
    pub(crate) fn json(&self, url: &str, now: SystemTime) -> Value {
        let links = self.0.iter().map(|(link, outcome)| {
            let link = link.label();
            match outcome {
                Outcome::Good(evidence) => json!({ "link": link, "state": "sound", "evidence": evidence }),
                Outcome::Broken(Broken { found, advice }) => {
                    json!({ "link": link, "state": "broken", "found": found, "advice": advice })
                }
                Outcome::Skipped(because) => {
                    json!({ "link": link, "state": "skipped", "needs": because.label() })
                }
                Outcome::Frozen => json!({ "link": link, "state": "frozen" }),
            }
        });
        json!({
            "ok": self.broken().is_none(),
            "url": url,
            "time": Timestamp::from_system_time(now),
            "links": links.collect::<Vec<_>>(),
        })
    }

    /// Shows every link.
    pub(crate) fn print(&self, console: Console) {
        for (link, outcome) in &self.0 {
            match outcome {
                Outcome::Good(evidence) => console.good(&link.to_string(), evidence),
                Outcome::Broken(broken) => console.bad(&link.to_string(), &broken.found),
                Outcome::Skipped(because) => {
                    console.skipped(&link.to_string(), &format!("not examined, it needs {because}"));
                }
                Outcome::Frozen => {
                    console.skipped(
                        &link.to_string(),
                        "frozen: its log is read and never written again",
                    );
                }
            }
        }
    }
}

/// Unix seconds for a person.
pub(crate) fn time(unix: u64) -> String {
    let time = i64::try_from(unix).ok().and_then(Timestamp::from_unix);
    time.map_or_else(|| unix.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "tests"
    )]

    use std::time::Duration;

    use super::*;

    #[test]
    fn the_first_broken_link_is_named_and_what_needs_it_is_not_blamed() {
        let mut report = Report::default();
        assert_eq!(report.record(Link::Tuf, Ok((7, "fine".to_owned()))), Some(7));
        assert!(report.broken().is_none());
        let skipped: Option<()> = report.skip(Link::Ct, Link::Fulcio);
        assert!(skipped.is_none() && report.broken().is_none());
        let frozen: Option<()> = report.frozen(Link::RekorV1);
        assert!(frozen.is_none() && report.broken().is_none());
        report.record::<()>(Link::Oidc, Err(broken("expected 200, got 500", "look")));
        report.record::<()>(Link::Tsa, Err(broken("later", "look")));
        assert_eq!(report.broken().map(|(link, _)| link), Some(Link::Oidc));
    }

    #[test]
    fn programs_read_of_each_link_what_people_do() {
        let mut report = Report::default();
        report.record(Link::Tuf, Ok(((), "fine".to_owned())));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let found = |report: &Report| report.json("http://localhost:3000", now);
        assert_eq!(
            found(&report),
            json!({
                "ok": true, "url": "http://localhost:3000", "time": "2027-01-15T08:00:00Z",
                "links": [{ "link": "tuf", "state": "sound", "evidence": "fine" }],
            })
        );
        report.record::<()>(Link::Fulcio, Err(broken("got 500", "look")));
        report.skip::<()>(Link::Ct, Link::Fulcio);
        report.frozen::<()>(Link::RekorV1);
        let found = found(&report);
        assert_eq!(found["ok"], false);
        assert_eq!(
            found["links"].as_array().unwrap()[1..],
            [
                json!({ "link": "fulcio", "state": "broken", "found": "got 500", "advice": "look" }),
                json!({ "link": "ct", "state": "skipped", "needs": "fulcio" }),
                json!({ "link": "rekor-v1", "state": "frozen" }),
            ]
        );
    }

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(time(1_800_000_000), "2027-01-15T08:00:00Z");
        assert_eq!(time(u64::MAX), u64::MAX.to_string());
    }
}
