//! A configuration as a tree of named values, whichever notation it is written in.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::identity::ConfigError;

/// Longest file, in bytes. Upstream's public one has 10 KiB.
const MAX_FILE: usize = 1 << 20;
/// How many letters may be wrong in what is taken for a slip of the pen.
const SLIP: usize = 2;

/// JSON is tried before YAML, as upstream does; both give the same tree.
pub(crate) fn tree(text: &[u8]) -> Result<Value, ConfigError> {
    if text.len() > MAX_FILE {
        let cause = format!("expected at most {MAX_FILE} bytes, got {}", text.len());
        return Err(ConfigError::Document(cause));
    }
    if let Ok(tree) = serde_json::from_slice(text) {
        return Ok(tree);
    }
    let text = std::str::from_utf8(text)
        .map_err(|_| ConfigError::Document("expected text, got bytes that are no UTF-8".to_owned()))?;
    // Aliases are expanded within a budget: a file that unfolds without end is an error (the "billion laughs").
    serde_saphyr::from_str(text)
        .or_else(|cause| serde_saphyr::from_str(&apart(text)).map_err(|_| cause))
        .map_err(|cause| {
            let cause = cause.to_string();
            let line = cause.lines().next().unwrap_or_default();
            ConfigError::Document(format!("expected JSON or YAML: {line}"))
        })
}

/// The text with a space between an alias that is a key and its colon: `*name:` becomes `*name :`.
///
/// To YAML 1.2 (§6.9.2) the colon belongs to the alias's name, to go-yaml it does not, and upstream's public file
/// (`config/identity/config.yaml`) is written for the latter.
fn apart(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let named = line.trim_start_matches(' ').strip_prefix('*').and_then(|rest| {
            let colon = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')?;
            let value = rest.get(colon..)?.strip_prefix(':')?;
            value
                .starts_with([' ', '\n', '\r'])
                .then_some(rest.get(colon..)?.len())
        });
        match named.and_then(|behind| line.split_at_checked(line.len().saturating_sub(behind))) {
            Some((alias, value)) => out.extend([alias, " ", value]),
            None => out.push_str(line),
        }
    }
    out
}

/// The members of one object, and where it is.
#[derive(Debug)]
pub(crate) struct Fields {
    place: String,
    members: Map<String, Value>,
}

/// `IssuerURL`, `issuer-url` and `issuer_url` are one name: JSON has the first in any case, YAML the second.
fn squashed(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// A scalar as text, as yaml.v3 reads one into a string.
fn scalar(value: Value) -> Result<String, Value> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Ok(String::new()),
        other => Err(other),
    }
}

impl Fields {
    pub(crate) fn new(place: &str, value: Value) -> Result<Self, ConfigError> {
        let members = match value {
            Value::Object(members) => members,
            Value::Null => Map::new(),
            other => {
                let what = if place.is_empty() { "the file" } else { place };
                return Err(ConfigError::Document(format!(
                    "{what}: expected a table, got {}",
                    kind(&other)
                )));
            }
        };
        Ok(Self {
            place: place.to_owned(),
            members,
        })
    }

    fn at(&self, key: &str) -> String {
        if self.place.is_empty() {
            key.to_owned()
        } else {
            format!("{}: {key}", self.place)
        }
    }

    /// An error about the member `key`.
    pub(crate) fn wrong(&self, key: &str, expected: &str, got: &str) -> ConfigError {
        ConfigError::Document(format!("{}: expected {expected}, got {got}", self.at(key)))
    }

    /// Takes the member `key` out, under either notation.
    fn take(&mut self, key: &str) -> Result<Option<Value>, ConfigError> {
        let wanted = squashed(key);
        let mut names = self
            .members
            .keys()
            .filter(|name| squashed(name) == wanted)
            .cloned();
        let found = names.next();
        if names.next().is_some() {
            return Err(self.wrong(key, "it once", "it twice"));
        }
        drop(names);
        Ok(found
            .and_then(|name| self.members.remove(&name))
            .filter(|value| !value.is_null()))
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        let Some(value) = self.take(key)? else {
            return Ok(None);
        };
        scalar(value)
            .map(Some)
            .map_err(|other| self.wrong(key, "a text", kind(&other)))
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, ConfigError> {
        match self.take(key)? {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.wrong(key, "true or false", kind(&other))),
        }
    }

    /// A list of texts, or one.
    pub(super) fn list(&mut self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        let values = match self.take(key)? {
            None => return Ok(None),
            Some(Value::Array(values)) => values,
            Some(other) => vec![other],
        };
        let texts: Result<_, _> = values.into_iter().map(scalar).collect();
        texts
            .map(Some)
            .map_err(|other| self.wrong(key, "a list of texts", kind(&other)))
    }

    /// A table of texts. Its names are data and stay as they are.
    pub(super) fn texts(&mut self, key: &str) -> Result<BTreeMap<String, String>, ConfigError> {
        let Some(table) = self.fields(key)? else {
            return Ok(BTreeMap::new());
        };
        let read = |(name, value)| match scalar(value) {
            Ok(text) => Ok((name, text)),
            Err(other) => Err(self.wrong(key, "a table of texts", &format!("{} for {name:?}", kind(&other)))),
        };
        table.members.into_iter().map(read).collect()
    }

    /// A table of lists of texts. Its names are data and stay as they are.
    pub(super) fn lists(&mut self, key: &str) -> Result<Vec<(String, Vec<String>)>, ConfigError> {
        let Some(mut table) = self.fields(key)? else {
            return Ok(Vec::new());
        };
        let names: Vec<_> = table.members.keys().cloned().collect();
        let mut lists = Vec::with_capacity(names.len());
        for name in names {
            let values = match table.members.remove(&name) {
                Some(Value::Array(values)) => values,
                other => vec![other.unwrap_or_default()],
            };
            let texts: Result<Vec<_>, _> = values.into_iter().map(scalar).collect();
            let texts =
                texts.map_err(|other| self.wrong(key, "texts", &format!("{} for {name:?}", kind(&other))))?;
            lists.push((name, texts));
        }
        Ok(lists)
    }

    /// A list of tables.
    pub(crate) fn tables(&mut self, key: &str) -> Result<Vec<Self>, ConfigError> {
        let place = self.at(key);
        match self.take(key)? {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values.into_iter().map(|value| Self::new(&place, value)).collect(),
            Some(other) => Err(self.wrong(key, "a list of tables", kind(&other))),
        }
    }

    /// As [`Fields::unknown`], for tables of our own: nothing unknown passes.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), ConfigError> {
        let stranger = self
            .members
            .keys()
            .find(|name| !known.iter().any(|one| squashed(one) == squashed(name)));
        match stranger {
            None => Ok(()),
            Some(name) => Err(self.wrong(name, &format!("one of {}", known.join(", ")), "an unknown key")),
        }
    }

    /// A table whose members are data.
    pub(crate) fn object(&mut self, key: &str) -> Result<Option<Map<String, Value>>, ConfigError> {
        Ok(self.fields(key)?.map(|fields| fields.members))
    }

    /// A table.
    pub(super) fn fields(&mut self, key: &str) -> Result<Option<Self>, ConfigError> {
        let place = self.at(key);
        self.take(key)?.map(|value| Self::new(&place, value)).transpose()
    }

    /// A table of tables, by name.
    pub(super) fn table(&mut self, key: &str) -> Result<Vec<(String, Self)>, ConfigError> {
        let Some(table) = self.fields(key)? else {
            return Ok(Vec::new());
        };
        let rows = table.members.into_iter().map(|(name, value)| {
            let fields = Self::new(&format!("{key} {name:?}"), value)?;
            Ok((name, fields))
        });
        rows.collect()
    }

    /// Members that are not `known`: warnings, or an error if one is nearly a known name.
    pub(super) fn unknown(&self, known: &[&str]) -> Result<Vec<String>, ConfigError> {
        let known: Vec<_> = known.iter().map(|name| (name, squashed(name))).collect();
        let mut warnings = Vec::new();
        for name in self.members.keys() {
            let found = squashed(name);
            let nearest = known
                .iter()
                .map(|(one, text)| (strsim::levenshtein(text, &found), one))
                .min();
            match nearest {
                Some((0, _)) => {}
                Some((1..=SLIP, near)) => {
                    return Err(self.wrong(name, &format!("a known key such as {near}"), "an unknown one"));
                }
                _ => warnings.push(format!("{}: unknown, and ignored", self.at(name))),
            }
        }
        Ok(warnings)
    }
}
