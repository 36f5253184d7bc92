//! `log search`.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use http::StatusCode;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use crate::cli::DEFAULT_URL;
use crate::console::{self, Console};
use crate::disk;
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
    /// E-mail address of the signer.
    #[arg(long, value_name = "ADDRESS")]
    email: Vec<String>,
    /// URI that names the signer.
    #[arg(long, value_name = "URI")]
    uri: Vec<String>,
    /// Domain of the signer's address or host of its URI; subdomains too.
    #[arg(long, value_name = "DOMAIN")]
    domain: Vec<String>,
    /// Beginning of the signer's URI, or of an address up to its @.
    #[arg(long, value_name = "BEGINNING")]
    prefix: Vec<String>,
    /// Issuer of the identity token.
    #[arg(long, value_name = "URL")]
    issuer: Vec<String>,
    /// Source repository, as a URI or owner/name.
    #[arg(long, value_name = "REPOSITORY")]
    repository: Vec<String>,
    /// Workflow: its name, its URI, or its path in the repository.
    #[arg(long, value_name = "WORKFLOW")]
    workflow: Vec<String>,
    /// Commit.
    #[arg(long, value_name = "HEX")]
    commit: Vec<String>,
    /// Digest of an artifact, payload or in-toto subject.
    #[arg(long, value_name = "[ALGORITHM:]HEX")]
    digest: Vec<String>,
    /// A file whose SHA-256 is looked for.
    #[arg(long, value_name = "FILE")]
    artifact: Vec<String>,
    /// SHA-256 of a key, in either form.
    #[arg(long, value_name = "HEX")]
    key: Vec<String>,
    /// A file with a signature, the signature in base64, or its SHA-256.
    #[arg(long, value_name = "FILE|BASE64|HEX")]
    signature: Vec<String>,
    /// Type of an in-toto predicate.
    #[arg(long, value_name = "URI")]
    predicate_type: Vec<String>,
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
        let lists = [
            ("email", &self.email),
            ("uri", &self.uri),
            ("domain", &self.domain),
            ("prefix", &self.prefix),
            ("issuer", &self.issuer),
            ("repository", &self.repository),
            ("workflow", &self.workflow),
            ("commit", &self.commit),
            ("digest", &self.digest),
            ("key", &self.key),
            ("predicateType", &self.predicate_type),
        ];
        let mut pairs: Vec<(&'static str, String)> = lists
            .into_iter()
            .flat_map(|(name, values)| values.iter().map(move |value| (name, value.clone())))
            .collect();
        for file in &self.artifact {
            let content = disk::read(Path::new(file)).map_err(Failure::failed)?;
            let content = content.ok_or_else(|| Failure::failed(format!("{file} is missing")))?;
            pairs.push(("digest", format!("sha256:{}", common_tlog::sha256(&[&content]))));
        }
        for given in &self.signature {
            let file = disk::read(Path::new(given)).unwrap_or_default();
            let value = file.map_or_else(|| given.clone(), |content| signature(&content));
            pairs.push(("signature", value));
        }
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

/// A signature file holds base64, as cosign writes it, or the octets themselves.
fn signature(content: &[u8]) -> String {
    let text = std::str::from_utf8(content).map(str::trim);
    match text {
        Ok(text) if STANDARD.decode(text).is_ok() => text.to_owned(),
        _ => STANDARD.encode(content),
    }
}

/// Follows the pages until enough was found or all was searched.
///
/// # Errors
/// [`Failure`] if the instance does not answer or refuses the search.
pub(super) async fn run(args: &SearchArgs, console: Console) -> Result<(), Failure> {
    let client = Client::new(&args.url).map_err(Failure::failed)?;
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

/// Up to where the answer is complete.
fn statement(answer: &Value) -> Vec<String> {
    let found = entries(answer).len();
    let more = match answer.get("next") {
        Some(Value::String(_)) => "; there may be more: raise --limit",
        _ => "",
    };
    let mut lines = vec![format!("{found} found{more}")];
    for log in list(answer, "logs") {
        let mut line = format!(
            "log {} ({}): complete for entries {} to {} of {} at root {}",
            number(log, "/log"),
            text(log, "origin"),
            number(log, "/searched/from"),
            number(log, "/searched/to"),
            number(log, "/size"),
            text(log, "root"),
        );
        if log.pointer("/unindexed/pending").is_some_and(Value::is_object) {
            let _ = write!(
                line,
                ", except {} to {}, which are still being indexed",
                number(log, "/unindexed/pending/from"),
                number(log, "/unindexed/pending/to"),
            );
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
    fn nothing_of_a_certificate_controls_the_terminal() {
        let entry = json!({"signers": [{"names": [{"type": "uri", "value": "a\u{1b}[2Jb"}]}]});
        assert!(line(&entry).ends_with("a\\u{1b}[2Jb"));
    }

    #[test]
    fn a_signature_file_holds_base64_or_octets() {
        assert_eq!(signature(b"c2ln\n"), "c2ln");
        assert_eq!(signature(&[0x30, 0xff]), STANDARD.encode([0x30, 0xff]));
    }
}
