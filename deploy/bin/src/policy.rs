//! `policy`: what the issuance policy decides of recorded tokens, before it is in use, and what it has refused since.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, Subcommand};
use fulcio_ca::{Case, Decision, Rehearsal, Verdict};
use serde::Serialize;

use crate::clock;
use crate::console::{self, Console, plain};
use crate::exit::Failure;
use crate::identities::{IssuersFile, read};
use crate::records::command::{InstanceArgs, each, time};
use crate::records::denials::{self, Denial};
use crate::rotate::command::parse_time;
use crate::serve::config::Config;

/// Shown at the end of the long help.
pub(crate) const EXAMPLES: &str = "\
A file of cases:
  cases:
    - name: a release
      claims: {iss: https://token.actions.githubusercontent.com, repository_owner: acme, ref: refs/tags/v1}
      expect: allow
      rule: releases
    - {token-file: fork.jwt, expect: deny}
    - {claims-file: other.json, expect: deny}";

#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Say what the policies of a configuration decide of tokens, and by which rule. Exit code 1 if it is not what a case
    /// expects.
    ///
    /// Signatures, audiences and times are not looked at, so that recorded tokens serve for ever; quotas are not counted.
    #[command(after_long_help = EXAMPLES)]
    Test(TestArgs),
    /// Show what the policies of an instance have refused, or would have in a dry run; the newest first.
    Denials(DenialsArgs),
}

#[derive(Debug, Args)]
struct DenialsArgs {
    #[command(flatten)]
    instance: InstanceArgs,
    /// Tokens of this issuer alone.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Where this is part of whom the certificate would have named, or of the token's `sub`.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// By this rule alone.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// No longer ago than this: 90s, 30m, 12h, 7d.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<u32>,
    /// What a dry run let pass, alone.
    #[arg(long, conflicts_with = "enforced")]
    dry_run: bool,
    /// What was refused in earnest, alone.
    #[arg(long)]
    enforced: bool,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Print JSON, a line for each.
    #[arg(long)]
    json: bool,
}

impl DenialsArgs {
    fn wants(&self, denial: &Denial) -> bool {
        let same = |wanted: &Option<String>, got: &str| wanted.as_ref().is_none_or(|wanted| wanted == got);
        let part = |wanted: &String| denial.subject.contains(wanted) || denial.token_subject.contains(wanted);
        same(&self.issuer, &denial.issuer)
            && same(&self.rule, &denial.rule)
            && self.subject.as_ref().is_none_or(part)
            && !(self.dry_run && denial.enforced)
            && (!self.enforced || denial.enforced)
    }
}

#[derive(Debug, Args)]
struct TestArgs {
    #[command(flatten)]
    issuers: IssuersArgs,
    /// Files: a token, the claims of one as a JSON object, or cases (YAML or JSON).
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Where issuers are configured.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct IssuersArgs {
    /// Issuers and their policies, in Fulcio's own format.
    #[arg(long, value_name = "FILE")]
    fulcio_config: Option<PathBuf>,
    /// A configuration of `serve`, which names that file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl IssuersArgs {
    /// The file of issuers, unless none is named.
    ///
    /// # Errors
    /// [`Failure`] when the configuration cannot be read.
    pub(crate) fn file(
        fulcio_config: Option<&Path>,
        config: Option<&Path>,
    ) -> Result<Option<PathBuf>, Failure> {
        match (fulcio_config, config) {
            (Some(file), _) => Ok(Some(file.to_owned())),
            (None, Some(config)) => {
                let read = Config::read(config).map_err(Failure::failed)?;
                let none = || Failure::failed(format!("{}: no fulcio-config is named", config.display()));
                read.fulcio_config.map(Some).ok_or_else(none)
            }
            (None, None) => Ok(None),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] when an expectation is not met, or a file cannot be used.
pub(crate) async fn run(args: PolicyArgs, console: Console) -> Result<(), Failure> {
    match args.command {
        PolicyCommand::Test(args) => test(&args, console),
        PolicyCommand::Denials(args) => denials(&args, console).await,
    }
}

async fn denials(args: &DenialsArgs, console: Console) -> Result<(), Failure> {
    let Some(shelves) = args.instance.shelves().await? else {
        console.remark("nothing was ever refused here");
        return Ok(());
    };
    let oldest = args.since.map(|seconds| {
        let ago = Duration::from_secs(seconds.into());
        let since = clock::system()().checked_sub(ago).unwrap_or(UNIX_EPOCH);
        clock::unix_millis(since)
    });
    let mut lines = Vec::new();
    let outcome = each(&shelves, denials::SHELF, |record| {
        if oldest.is_some_and(|oldest| record.time < oldest) || lines.len() >= args.limit {
            return Ok(false);
        }
        let denial: Denial = serde_json::from_slice(&record.data)?;
        if args.wants(&denial) {
            lines.push(shown(&denial, &time(record.time), args.json)?);
        }
        Ok(true)
    });
    let outcome = outcome.await;
    shelves.close().await;
    outcome.map_err(Failure::failed)?;
    if lines.is_empty() {
        console.remark("nothing of that kind was refused");
        return Ok(());
    }
    console::result(&lines.join("\n")).map_err(|error| Failure::failed(format!("cannot write: {error}")))
}

/// A refusal, for people or as JSON.
fn shown(denial: &Denial, time: &str, json: bool) -> Result<String, serde_json::Error> {
    if json {
        let mut value = serde_json::to_value(denial)?;
        if let Some(members) = value.as_object_mut() {
            members.insert("time".to_owned(), time.into());
        }
        return serde_json::to_string(&value);
    }
    let kind = if denial.enforced { "refused" } else { "dry run" };
    let often = if denial.count > 1 {
        format!(" {} times", denial.count)
    } else {
        String::new()
    };
    let Denial {
        issuer,
        subject,
        rule,
        reason,
        ..
    } = denial;
    Ok(plain(&format!(
        "{time} {kind}{often}: {subject} of {issuer}: rule {rule:?}: {reason}"
    )))
}

/// One line of the answer.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    expected: Option<Verdict>,
    expected_rule: Option<String>,
    met: Option<bool>,
    #[serde(flatten)]
    decision: Decision,
}

fn test(args: &TestArgs, console: Console) -> Result<(), Failure> {
    let file = IssuersArgs::file(
        args.issuers.fulcio_config.as_deref(),
        args.issuers.config.as_deref(),
    )?;
    let file = file.ok_or_else(|| Failure::usage("expected --fulcio-config or --config"))?;
    let configuration = IssuersFile::new(file).read().map_err(Failure::failed)?;
    for warning in &configuration.warnings {
        console.warning(warning);
    }
    let rehearsal = Rehearsal::new(configuration.issuers).map_err(Failure::failed)?;
    let mut lines = Vec::new();
    for path in &args.files {
        let beside = |other: &Path| read(&path.parent().unwrap_or(Path::new("")).join(other));
        let name = path.display().to_string();
        let text = read(path).map_err(|error| Failure::failed(format!("{name}: {error}")))?;
        for case in Case::read(&name, &text, &beside).map_err(Failure::failed)? {
            let decision = rehearsal.decide(&case);
            lines.push(Line {
                met: case.met(&decision),
                name: case.name,
                expected: case.expected,
                expected_rule: case.rule,
                decision,
            });
        }
    }
    let text = if args.json {
        serde_json::to_string_pretty(&lines).map_err(Failure::failed)?
    } else {
        lines.iter().map(told).collect::<Vec<_>>().join("\n")
    };
    console::result(&text).map_err(|error| Failure::failed(format!("cannot write: {error}")))?;
    let unmet = lines.iter().filter(|line| line.met == Some(false)).count();
    if unmet > 0 {
        return Err(Failure::failed(format!(
            "{unmet} of {} decisions are not what was expected",
            lines.len()
        )));
    }
    Ok(())
}

/// A decision for people.
fn told(line: &Line) -> String {
    let decision = &line.decision;
    let mark = match line.met {
        Some(true) => "✓",
        Some(false) => "✗",
        None => " ",
    };
    let mut parts = Vec::new();
    parts.extend(decision.rule.as_ref().map(|rule| format!("rule {rule:?}")));
    parts.extend(decision.reason.clone());
    if decision.verdict == Verdict::Allow && decision.rule.is_none() {
        parts.push("no rule refuses".to_owned());
    }
    if decision.dry_run && decision.verdict == Verdict::Deny {
        parts.push("a dry run: issued all the same".to_owned());
    }
    if decision.verdict == Verdict::Allow
        && let Some(cause) = &decision.no_identity
    {
        parts.push(format!("there would be no certificate: {cause}"));
    }
    if line.met == Some(false) {
        let rule = line
            .expected_rule
            .as_ref()
            .map(|rule| format!(" by rule {rule:?}"));
        let expected = line.expected.map_or("", word);
        parts.push(format!("expected {expected}{}", rule.unwrap_or_default()));
    }
    let verdict = word(decision.verdict);
    plain(&format!(
        "{mark} {verdict:<9} {}: {}",
        line.name,
        parts.join("; ")
    ))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::NoIssuer => "no issuer",
    }
}
