//! `log search`.

use std::fmt::Write as _;

use clap::Args;
use http::StatusCode;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use crate::cli::DEFAULT_URL;
use crate::conditions::ConditionArgs;
use crate::console::{self, Console};
use crate::exit::Failure;
use crate::http::Client;

/// Most entries that are asked for at once.
const PAGE: usize = 100;

#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    /// Anything: an address, a URI, a domain, owner/repository, a digest, a commit, a key.
    anything: Option<String>,
    /// The instance.
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL, env = "SIGBOX_URL")]
    url: String,
    #[command(flatten)]
    conditions: ConditionArgs,
    /// Logged at this time or later: 2026-11-22T08:00:00Z, 2026-11-22, or Unix seconds.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Logged before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Search this log only, by its number; may be given several times.
    #[arg(long, value_name = "N")]
    log: Vec<u32>,
    /// All flags must be met, which is the default.
    #[arg(long, conflicts_with = "any")]
    all: bool,
    /// One of the flags is enough.
    #[arg(long)]
    any: bool,
    /// Most entries to show, the newest first.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print one JSON object on standard output.
    #[arg(long)]
    json: bool,
}

impl SearchArgs {
    /// The pairs of the request, without those of a page.
    fn pairs(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let mut pairs = self.conditions.pairs()?;
        pairs.extend(self.anything.iter().map(|text| ("q", text.clone())));
        pairs.extend(self.since.iter().map(|time| ("since", time.clone())));
        pairs.extend(self.until.iter().map(|time| ("until", time.clone())));
        pairs.extend(self.log.iter().map(|log| ("log", log.to_string())));
        if self.any {
            pairs.push(("match", "any".to_owned()));
        }
        Ok(pairs)
    }
}

/// Follows the pages until enough was found or all was searched.
///
/// # Errors
/// [`Failure`] if the instance does not answer or refuses the search.
pub(super) async fn run(args: &SearchArgs, console: Console) -> Result<(), Failure> {
    let client = Client::instance(&args.url).map_err(Failure::failed)?;
    let pairs = args.pairs()?;
    let wanted = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut whole: Option<Value> = None;
    loop {
        let have = whole.as_ref().map_or(0, |whole| entries(whole).len());
        let next = whole
            .as_ref()
            .map(|whole| whole.get("next").and_then(Value::as_str));
        let cursor = match next {
            None => None,
            Some(Some(cursor)) if have < wanted => Some(cursor.to_owned()),
            Some(_) => break,
        };
        let mut query = Serializer::new(String::new());
        query.extend_pairs(&pairs);
        query.append_pair("limit", &wanted.saturating_sub(have).min(PAGE).to_string());
        if let Some(cursor) = &cursor {
            query.append_pair("cursor", cursor);
        }
        let path = format!("/api/sigbox/v1/search?{}", query.finish());
        let answer = client.get(&path).await.map_err(Failure::failed)?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(Failure::failed(format!(
                "{} has no search: expected an instance of sigbox",
                args.url
            )));
        }
        let body = answer.expect(StatusCode::OK).map_err(Failure::failed)?;
        let page: Value = serde_json::from_slice(&body)
            .map_err(|error| Failure::failed(format!("expected the JSON of a page: {error}")))?;
        whole = Some(match whole {
            None => page,
            Some(whole) => joined(whole, page),
        });
    }
    let whole = whole.unwrap_or_default();
    if args.json {
        return console::result(&whole.to_string()).map_err(Failure::failed);
    }
    let lines: Vec<String> = entries(&whole).iter().map(line).collect();
    if !lines.is_empty() {
        console::result(&lines.join("\n")).map_err(Failure::failed)?;
    }
    for line in statement(&whole) {
        console.remark(&line);
    }
    Ok(())
}

fn entries(answer: &Value) -> &[Value] {
    let entries = answer.get("entries").and_then(Value::as_array);
    entries.map(Vec::as_slice).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Two pages as one: what the second one searched adjoins what the first one did.
fn joined(first: Value, second: Value) -> Value {
    let entries: Vec<&Value> = entries(&first).iter().chain(entries(&second)).collect();
    let complete = [&first, &second]
        .iter()
        .all(|page| page.get("complete") == Some(&Value::Bool(true)));
    let logs: Vec<Value> = list(&second, "logs")
        .iter()
        .map(|log| {
            let same = |other: &&Value| other.get("log") == log.get("log");
            let before = list(&first, "logs").iter().find(same);
            let to = before.and_then(|log| log.pointer("/searched/to"));
            let mut log = log.clone();
            if let (Some(to), Some(slot)) = (to, log.pointer_mut("/searched/to")) {
                *slot = to.clone();
            }
            log
        })
        .collect();
    json!({
        "entries": entries,
        "next": second.get("next"),
        "complete": complete,
        "logs": logs,
    })
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// Time, place, kind, digest, and who signed.
fn line(entry: &Value) -> String {
    let mut line = format!(
        "{}  {} {}/{}  {} {}  {}",
        text(entry, "time"),
        text(entry, "logKind"),
        number(entry, "/log"),
        number(entry, "/index"),
        text(entry, "kind"),
        text(entry, "apiVersion"),
        text(entry, "digest"),
    );
    for signer in list(entry, "signers") {
        let names: Vec<&str> = list(signer, "names")
            .iter()
            .map(|name| text(name, "value"))
            .collect();
        // Writing into a String cannot fail.
        let _ = match names.as_slice() {
            [] => write!(line, "  key {}", text(signer, "keySha256")),
            names => write!(line, "  {}", names.join(" ")),
        };
    }
    // A name in a certificate may hold anything, and this goes to a terminal.
    console::plain(&line)
}

/// The first and the last leaf of a range, which an answer gives by its first leaf and the one behind its last.
fn range(log: &Value, pointer: &str) -> Option<(u64, u64)> {
    let range = log.pointer(pointer)?;
    let (from, to) = (number(range, "/from"), number(range, "/to"));
    Some((from, to.checked_sub(1)?)).filter(|(first, last)| first <= last)
}

/// Up to where the answer is complete.
fn statement(answer: &Value) -> Vec<String> {
    let found = entries(answer).len();
    let more = match answer.get("next") {
        Some(Value::String(_)) => "; there may be more: raise --limit",
        _ => "",
    };
    let mut lines = vec![format!("{found} found{more}")];
    for log in list(answer, "logs") {
        let size = number(log, "/size");
        let searched = match range(log, "/searched") {
            Some((0, last)) if last.checked_add(1) == Some(size) => format!("all {size} entries"),
            Some((first, last)) => format!("entries {first} to {last}, of {size},"),
            None => format!("none of {size} entries"),
        };
        let mut line = format!(
            "log {} ({}): complete for {searched} at root {}",
            number(log, "/log"),
            text(log, "origin"),
            text(log, "root"),
        );
        if let Some((first, last)) = range(log, "/unindexed/pending") {
            let _ = write!(line, ", except {first} to {last}, which are still being indexed");
        }
        let below = number(log, "/unindexed/payloadsBelow");
        if below > 0 {
            let _ = write!(
                line,
                "; subjects and predicates of envelopes below {below} are not all known"
            );
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn pages_become_one_answer() {
        let log =
            |from, to| json!({"log": 3, "size": 9, "searched": {"from": from, "to": to}, "unindexed": {}});
        let first = json!({"entries": [1, 2], "next": "x", "complete": true, "logs": [log(5, 9)]});
        let second = json!({"entries": [3], "next": null, "complete": true, "logs": [log(0, 5)]});
        let whole = joined(first, second);
        assert_eq!(whole["entries"], json!([1, 2, 3]));
        assert_eq!(whole["logs"][0]["searched"], json!({"from": 0, "to": 9}));
        assert_eq!((&whole["next"], &whole["complete"]), (&Value::Null, &json!(true)));
    }

    #[test]
    fn what_was_searched_is_told_by_its_last_entry() {
        let said = |searched: Value, pending: Value| {
            let log = json!({"log": 3, "origin": "log.example", "size": 13, "root": "ab", "searched": searched,
                "unindexed": {"pending": pending, "payloadsBelow": 0}});
            statement(&json!({"entries": [], "logs": [log]}))[1].clone()
        };
        for (searched, expected) in [
            (
                json!({"from": 0, "to": 13}),
                "complete for all 13 entries at root ab",
            ),
            (
                json!({"from": 4, "to": 13}),
                "complete for entries 4 to 12, of 13, at root ab",
            ),
            (
                json!({"from": 0, "to": 12}),
                "complete for entries 0 to 11, of 13, at root ab",
            ),
            (
                json!({"from": 13, "to": 13}),
                "complete for none of 13 entries at root ab",
            ),
            (
                json!({"from": 0, "to": 0}),
                "complete for none of 13 entries at root ab",
            ),
        ] {
            let expected = format!("log 3 (log.example): {expected}");
            assert_eq!(said(searched, Value::Null), expected);
        }
        let pending = said(json!({"from": 0, "to": 13}), json!({"from": 2, "to": 5}));
        assert!(
            pending.ends_with(", except 2 to 4, which are still being indexed"),
            "{pending}"
        );
    }

    #[test]
    fn nothing_of_a_certificate_controls_the_terminal() {
        let entry = json!({"signers": [{"names": [{"type": "uri", "value": "a\u{1b}[2Jb"}]}]});
        assert!(line(&entry).ends_with("a\\u{1b}[2Jb"));
    }
}
