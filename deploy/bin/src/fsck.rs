//! `fsck`: checks every leaf, tile, index row and attachment of a data folder, or every leaf and tile of a log by its
//! URL. Nothing is changed, and a server may go on writing.

mod checks;
mod local;
mod remote;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::console::{self, Console};
use crate::exit::Failure;

pub(crate) use self::remote::read_key;

/// Findings that are listed; the rest is counted.
const LISTED: usize = 200;

#[derive(Debug, Args)]
pub(crate) struct FsckArgs {
    /// The data folder to check, also while a server uses it.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "sigbox-data",
        conflicts_with = "url"
    )]
    pub(crate) data: PathBuf,
    /// A log to check instead: where its `checkpoint` and `tile/` are (C2SP tlog-tiles or static-ct-api).
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The log's key: a verifier key (name+hint+base64), or a file with it or with a public key in PEM.
    #[arg(long, value_name = "VKEY|FILE", requires = "url")]
    pub(crate) key: Option<String>,
    /// What the first line of the log's checkpoint must be.
    #[arg(long, value_name = "O", requires = "url")]
    pub(crate) origin: Option<String>,
    /// Check this log of the folder only, by its kind (ct, rekor-v1, rekor-v2) or origin; may be given several times.
    #[arg(long = "log", value_name = "NAME", conflicts_with = "url")]
    pub(crate) logs: Vec<String>,
    /// Print one JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a check came to, in lines for people and as one object for machines.
struct Outcome {
    /// One for each log, with its JSON.
    logs: Vec<LogLine>,
    /// One for each finding, with its JSON.
    findings: Vec<(String, Value)>,
    /// Findings that are only counted.
    more: u64,
    /// What was checked beside the logs.
    rest: Option<(String, Value)>,
    /// What to do about findings.
    remedy: &'static str,
}

struct LogLine {
    sound: bool,
    text: String,
    json: Value,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] if anything was found, or the check could not be made.
pub(crate) async fn run(args: FsckArgs, console: Console) -> Result<(), Failure> {
    let outcome = match &args.url {
        Some(url) => remote::check(&args, url, console).await?,
        None => local::check(&args, console).await?,
    };
    let found = (outcome.findings.len() as u64).saturating_add(outcome.more);
    let text = if args.json {
        let logs: Vec<&Value> = outcome.logs.iter().map(|log| &log.json).collect();
        let findings: Vec<&Value> = outcome.findings.iter().map(|(_, json)| json).collect();
        let mut object = json!({
            "ok": found == 0,
            "logs": logs,
            "findings": findings,
            "more_findings": outcome.more,
        });
        if let (Some((_, rest)), Some(object)) = (&outcome.rest, object.as_object_mut()) {
            object.extend(rest.as_object().cloned().unwrap_or_default());
        }
        object.to_string()
    } else {
        let mut lines = Vec::new();
        for log in &outcome.logs {
            let verdict = match log.sound {
                true => "ok     ",
                // It agrees with itself: nothing is known to be damaged.
                false if outcome.remedy == remote::WHOSE_KEY => "UNKNOWN",
                false => "DAMAGED",
            };
            lines.push(format!("{verdict} {}", log.text));
        }
        lines.extend(outcome.rest.as_ref().map(|(text, _)| format!("        {text}")));
        lines.extend(outcome.findings.iter().map(|(line, _)| format!("found   {line}")));
        if outcome.more > 0 {
            lines.push(format!("found   {} more of the same kinds", outcome.more));
        }
        lines.join("\n")
    };
    console::result(&text).map_err(Failure::failed)?;
    if found == 0 {
        Ok(())
    } else {
        let found = if found == 1 {
            "1 finding".to_owned()
        } else {
            format!("{found} findings")
        };
        Err(Failure::failed(format!("{found}. {}", outcome.remedy)))
    }
}

/// Leaves a second, as a line has it.
fn rate(leaves: u64, took: Duration) -> u64 {
    let seconds = took.as_secs_f64().max(0.000_001);
    (leaves as f64 / seconds) as u64
}

#[cfg(test)]
mod tests;
