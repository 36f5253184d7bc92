//! What is asked for: values of fields, combined, within a time.
//!
//! Several values of one field are alternatives. Different fields must all be met (`match=all`, the default) or any of
//! them (`match=any`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common_engine::LogId;
use common_pki::key::sha256;
use rekor_entry::facts::{Condition, Field};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Error;

/// Entries on a page unless fewer or more are asked for.
const PAGE: usize = 20;
/// Most entries on a page.
const MOST_PAGE: usize = 100;
/// Most values of a query, all fields together.
const MOST_VALUES: usize = 16;
/// Most logs that can be named.
const MOST_LOGS: usize = 64;
/// How much of a wrong value an error shows.
const SHOWN: usize = 120;

/// How fields are combined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Match {
    /// All of them are met.
    #[default]
    All,
    /// One is enough.
    Any,
}

impl Match {
    const NAMES: [(Match, &'static str); 2] = [(Match::All, "all"), (Match::Any, "any")];

    fn name(self) -> &'static str {
        match self {
            Match::All => "all",
            Match::Any => "any",
        }
    }
}

/// A search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// What `q` may mean: one is enough, besides all that the fields ask for.
    pub(super) guesses: Vec<Condition>,
    /// Values, in the order given.
    pub(super) conditions: Vec<Condition>,
    pub(super) matching: Match,
    /// Unix milliseconds: not before, and before.
    pub(super) since: Option<u64>,
    pub(super) until: Option<u64>,
    /// The logs to search; all if none is named.
    pub(super) logs: Vec<LogId>,
    /// Entries on a page.
    pub(super) limit: Option<usize>,
    pub(super) cursor: Option<String>,
}

/// A parameter beside the fields.
#[derive(Clone, Copy)]
enum Parameter {
    Anything,
    Match,
    Since,
    Until,
    Log,
    Limit,
    Cursor,
}

impl Parameter {
    const NAMES: [(Parameter, &'static str); 7] = [
        (Parameter::Anything, "q"),
        (Parameter::Match, "match"),
        (Parameter::Since, "since"),
        (Parameter::Until, "until"),
        (Parameter::Log, "log"),
        (Parameter::Limit, "limit"),
        (Parameter::Cursor, "cursor"),
    ];
}

/// A value of a member in JSON: one, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    Text(String),
    Number(u64),
    Many(Vec<Value>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(u64),
}

impl Query {
    /// Reads the pairs of a URL's query or of a form. Empty values count as absent, as forms send them.
    ///
    /// # Errors
    /// What is wrong with the first wrong one.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let mut query = Self::default();
        for (name, value) in pairs {
            if !value.trim().is_empty() {
                query.set(name, value)?;
            }
        }
        query.check()?;
        Ok(query)
    }

    /// Reads a JSON object with the same names; a value may be an array of several.
    ///
    /// # Errors
    /// What is wrong with the first wrong one.
    pub fn from_json(body: &[u8]) -> Result<Self, Error> {
        let members: BTreeMap<String, Values> = serde_json::from_slice(body).map_err(Error::Json)?;
        let mut pairs = Vec::new();
        for (name, values) in &members {
            match values {
                Values::Text(text) => pairs.push((name.as_str(), text.clone())),
                Values::Number(number) => pairs.push((name.as_str(), number.to_string())),
                Values::Many(values) => pairs.extend(values.iter().map(|value| match value {
                    Value::Text(text) => (name.as_str(), text.clone()),
                    Value::Number(number) => (name.as_str(), number.to_string()),
                })),
            }
        }
        Self::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        if let Some(field) = Field::from_name(name) {
            let condition = Condition::new(field, value)?;
            if !self.conditions.contains(&condition) {
                self.conditions.push(condition);
            }
            return match self.conditions.len() > MOST_VALUES {
                true => Err(Error::TooMany(MOST_VALUES)),
                false => Ok(()),
            };
        }
        let found = Parameter::NAMES.into_iter().find(|(_, known)| *known == name);
        let (parameter, name) = found.ok_or_else(|| Error::Unknown {
            expected: names(),
            got: name.chars().take(SHOWN).collect(),
        })?;
        let wrong = |expected: &str| Error::Parameter {
            name,
            expected: expected.to_owned(),
            got: value.chars().take(SHOWN).collect(),
        };
        match parameter {
            Parameter::Anything => {
                self.guesses = guess(value);
                if self.guesses.is_empty() {
                    return Err(wrong(ANYTHING));
                }
            }
            Parameter::Match => {
                let found = Match::NAMES.into_iter().find(|(_, name)| *name == value);
                self.matching = found.ok_or_else(|| wrong("all or any"))?.0;
            }
            Parameter::Since => self.since = Some(instant(value).ok_or_else(|| wrong(INSTANT))?),
            Parameter::Until => self.until = Some(instant(value).ok_or_else(|| wrong(INSTANT))?),
            Parameter::Log => {
                let log = LogId(value.parse().map_err(|_| wrong("the number of a log"))?);
                if !self.logs.contains(&log) {
                    self.logs.push(log);
                }
                if self.logs.len() > MOST_LOGS {
                    return Err(wrong("64 logs at most"));
                }
            }
            Parameter::Limit => {
                let limit = value.parse().ok().filter(|limit| (1..=MOST_PAGE).contains(limit));
                self.limit = Some(limit.ok_or_else(|| wrong("1 to 100"))?);
            }
            Parameter::Cursor => self.cursor = Some(value.to_owned()),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        match (self.since, self.until) {
            (Some(since), Some(until)) if since >= until => Err(Error::Parameter {
                name: "until",
                expected: "a time after \"since\"".to_owned(),
                got: until.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Entries on a page.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(PAGE)
    }

    /// Groups of alternatives, each of which must be met. None if every entry is meant.
    pub(super) fn clauses(&self) -> Vec<Vec<Condition>> {
        let mut clauses = vec![self.guesses.clone()];
        match self.matching {
            Match::Any => clauses.push(self.conditions.clone()),
            Match::All => clauses.extend(Field::ALL.into_iter().map(|field| {
                let of_field = self.conditions.iter().filter(|c| c.field() == field);
                of_field.cloned().collect::<Vec<_>>()
            })),
        }
        clauses.retain(|clause| !clause.is_empty());
        clauses
    }

    /// Whether digests or predicates are asked for, which the payload of an envelope may name.
    pub(super) fn needs_payloads(&self) -> bool {
        let mut all = self.conditions.iter().chain(&self.guesses);
        all.any(|condition| matches!(condition.field(), Field::Digest | Field::PredicateType))
    }

    /// Tells searches apart, whatever page of them is asked for: a cursor goes with the search it came from.
    pub(super) fn fingerprint(&self) -> [u8; 8] {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = write!(text, "{} {:?} {:?}", self.matching.name(), self.since, self.until);
        let mut parts: Vec<String> = self
            .conditions
            .iter()
            .map(|c| format!("\n{}={}", c.field().name(), c.value()))
            .chain(
                self.guesses
                    .iter()
                    .map(|c| format!("\nq {}={}", c.field().name(), c.value())),
            )
            .chain(self.logs.iter().map(|log| format!("\nlog={log}")))
            .collect();
        parts.sort_unstable();
        text.extend(parts);
        sha256(text.as_bytes()).first_chunk().copied().unwrap_or_default()
    }
}

/// All names of parameters.
fn names() -> String {
    let fields = Field::ALL.iter().map(|field| field.name());
    let others = Parameter::NAMES.iter().map(|(_, name)| *name);
    fields.chain(others).collect::<Vec<_>>().join(", ")
}

const ANYTHING: &str =
    "an address, a URI, a domain, owner/repository, or a digest, commit or key in hexadecimal digits";

/// What somebody may mean who types one thing into one box.
fn guess(text: &str) -> Vec<Condition> {
    let text = text.trim();
    let hexadecimal = text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let fields: &[Field] = if text.contains("://") {
        &[
            Field::Uri,
            Field::Prefix,
            Field::Issuer,
            Field::Repository,
            Field::Workflow,
            Field::PredicateType,
        ]
    } else if hexadecimal {
        &[Field::Digest, Field::Key, Field::Signature, Field::Commit]
    } else if text.contains(':') {
        // Not every URI has slashes: a pseudonym is urn:uuid:….
        &[Field::Digest, Field::Key, Field::Uri]
    } else if text.starts_with(['@', '*']) {
        &[Field::Domain]
    } else if text.contains('@') {
        &[Field::Email, Field::Prefix]
    } else if text.contains('/') {
        &[Field::Repository, Field::Workflow]
    } else {
        &[Field::Domain, Field::Workflow]
    };
    let conditions = fields
        .iter()
        .filter_map(|field| Condition::new(*field, text).ok());
    conditions.collect()
}

const INSTANT: &str = "a time such as 2026-11-22T08:00:00Z, a date such as 2026-11-22 (UTC), or Unix seconds";

/// A time in Unix milliseconds.
fn instant(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return seconds.checked_mul(1_000);
    }
    // What a date field of a form sends.
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        _ => text.to_owned(),
    };
    let at = OffsetDateTime::parse(&whole, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}
