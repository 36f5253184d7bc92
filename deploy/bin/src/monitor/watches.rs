//! What is watched: the flags, as one watch, and those of a file.

use std::collections::BTreeMap;
use std::path::Path;

use rekor_entry::facts::{Condition, Field};
use rekor_monitor::Watch;
use serde::Deserialize;

use crate::conditions::ConditionArgs;
use crate::exit::Failure;
use crate::trust_source::read as read_file;

/// The name of the watch that the flags are.
const FLAGS: &str = "command line";

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    watch: Vec<WatchFile>,
}

#[derive(Deserialize)]
struct WatchFile {
    name: String,
    #[serde(default)]
    expect: Vec<BTreeMap<String, Vec<String>>>,
    #[serde(flatten)]
    of: BTreeMap<String, Vec<String>>,
}

/// All watches.
///
/// # Errors
/// [`Failure`] names the value that cannot be looked for.
pub(super) fn read(flags: &ConditionArgs, file: Option<&Path>) -> Result<Vec<Watch>, Failure> {
    let mut watches = Vec::new();
    let pairs = flags.pairs()?;
    if !pairs.is_empty() {
        let of = pairs.iter().map(|(name, value)| condition(name, value));
        watches.push(Watch {
            name: FLAGS.to_owned(),
            of: of.collect::<Result<_, _>>().map_err(Failure::usage)?,
            expected: Vec::new(),
        });
    }
    if let Some(path) = file {
        let wrong =
            |problem: &dyn std::fmt::Display| Failure::usage(format!("{}: {problem}", path.display()));
        let text = String::from_utf8(read_file(path)?).map_err(|error| wrong(&error))?;
        let file: File = toml::from_str(&text).map_err(|error| wrong(&error))?;
        for watch in file.watch {
            let name = watch.name.clone();
            let watch = watch
                .read()
                .map_err(|problem| wrong(&format!("watch {name:?}: {problem}")))?;
            // Events of two watches of one name could not be told apart.
            if watches.iter().any(|known: &Watch| known.name == watch.name) {
                return Err(wrong(&format!(
                    "expected names that differ, got {:?} twice",
                    watch.name
                )));
            }
            watches.push(watch);
        }
    }
    Ok(watches)
}

impl WatchFile {
    fn read(self) -> Result<Watch, String> {
        Ok(Watch {
            of: conditions(&self.of)?,
            expected: self.expect.iter().map(conditions).collect::<Result<_, _>>()?,
            name: self.name,
        })
    }
}

fn conditions(values: &BTreeMap<String, Vec<String>>) -> Result<Vec<Condition>, String> {
    let pairs = values
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| condition(name, value)));
    let conditions: Vec<Condition> = pairs.collect::<Result<_, _>>()?;
    match conditions.is_empty() {
        true => Err(format!("expected one of {} with a value, got none", names())),
        false => Ok(conditions),
    }
}

/// Names are those of the flags: `predicate-type`.
fn condition(name: &str, value: &str) -> Result<Condition, String> {
    let field = Field::ALL
        .into_iter()
        .find(|field| flag(*field) == name || field.name() == name);
    let field = field.ok_or_else(|| format!("expected one of {}, got {name:?}", names()))?;
    Condition::new(field, value).map_err(|error| error.to_string())
}

fn flag(field: Field) -> &'static str {
    match field {
        Field::PredicateType => "predicate-type",
        other => other.name(),
    }
}

fn names() -> String {
    Field::ALL.map(flag).join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    fn of(text: &str) -> Result<Vec<Watch>, Failure> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(&ConditionArgs::default(), Some(file.path()))
    }

    #[test]
    fn the_example_of_the_help_can_be_read() {
        let (_, example) = super::super::EXAMPLES.split_once("watches.toml:\n").unwrap();
        let watches = of(example).unwrap();
        assert_eq!(watches.len(), 1);
        assert_eq!(watches[0].name, "releases of app");
        assert_eq!(watches[0].of.len(), 1);
        assert_eq!(watches[0].expected[0].len(), 2);
    }

    #[test]
    fn what_cannot_be_watched_for_is_named() {
        for (text, problem) in [
            ("[[watch]]\nname = 'a'", "watch \"a\": expected one of email, "),
            (
                "[[watch]]\nname = 'a'\nemail = ['x']",
                "watch \"a\": email: expected an e-mail address",
            ),
            ("[[watch]]\nname = 'a'\nmail = ['x@y.z']", "got \"mail\""),
            (
                "[[watch]]\nname = 'a'\nemail = ['x@y.z']\n[[watch.expect]]",
                "watch \"a\": expected one of email, ",
            ),
            (
                "[[watch]]\nname = 'a'\nemail = ['x@y.z']\n[[watch]]\nname = 'a'\nemail = ['x@y.z']",
                "got \"a\" twice",
            ),
            ("[[watched]]", "unknown field"),
            ("[[watch]]\nemail = ['x@y.z']", "name"),
        ] {
            let said = of(text).map(|_| ()).unwrap_err().message;
            assert!(said.contains(problem), "{text}: {said}");
        }
    }
}
