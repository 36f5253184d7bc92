//! Checking a data folder.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common_backend::anchor::FileAnchor;
use common_backend::sqlite::SqliteStorage;
use common_bundle::trust::Registry;
use common_engine::fsck::{At, Finding, Fsck, LogCheck, Progress as Step, Report};
use common_engine::{Anchor, LogId, LogKind, Storage};
use serde_json::{Value, json};

use super::{FsckArgs, LISTED, LogLine, Outcome, checks, rate};
use crate::console::Console;
use crate::disk;
use crate::exit::Failure;
use crate::layout::Layout;
use crate::progress::Progress;

const REMEDY: &str = "Nothing was changed. Stop the server if it runs and keep the folder as it is, for evidence. If a disk or \
     its memory failed, move to another machine first. Then restore the newest backup that `sigbox fsck` finds clean \
     (docs/operations.md, \"Checking the logs\")";

/// Checks the folder of the arguments.
pub(super) async fn check(args: &FsckArgs, console: Console) -> Result<Outcome, Failure> {
    let layout = Layout::new(args.data.clone());
    let path = layout.registry();
    let registry = disk::read(&path).map_err(Failure::failed)?.ok_or_else(|| {
        let here = args.data.display();
        Failure::failed(format!(
            "{} is missing: expected the data folder of an instance at {here}",
            path.display()
        ))
    })?;
    let registry = Registry::parse(&registry)
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    // Before the heads, which may be ahead of it and never behind.
    let published = FileAnchor::new(layout.published())
        .load()
        .await
        .map_err(Failure::failed)?;
    let opened = SqliteStorage::open_read_only(&args.data).await;
    let storage = opened.map_err(|error| match error.may_be_damage() {
        true => Failure::failed(format!("{error}. {REMEDY}")),
        // The folder, or another user, is in the way: nothing is known of the logs.
        false => Failure::failed(format!("nothing was checked: {error}")),
    })?;
    let stored = storage.logs().await.map_err(|error| {
        Failure::failed(format!("the rows of the logs cannot be read: {error}. {REMEDY}"))
    })?;
    let checks::Logs { checks: all, wrong } = checks::logs(&registry, &stored);
    let logs = choose(&all, &args.logs)?;

    let progress = Progress::new(console);
    progress.at("database pages (SQLite's own check)", 0, None);
    let pages = storage.integrity().await;
    let clocks = Clocks::default();
    let told = |step: Step| clocks.tell(step, &logs, &progress);
    let fsck = Fsck {
        storage: &storage,
        logs: &logs,
        published: if args.logs.is_empty() { &published } else { &[] },
        limit: LISTED,
        progress: &told,
    };
    let report = fsck.run().await;
    progress.finish();
    let report = report.map_err(|error| {
        Failure::failed(format!("the rows of the logs cannot be read: {error}. {REMEDY}"))
    })?;
    let origins: BTreeMap<LogId, &str> = all.iter().map(|log| (log.id, log.spec.origin.as_str())).collect();
    let mut findings: Vec<(String, Value)> = match pages {
        Ok(complaints) => complaints,
        Err(error) => vec![format!("the check could not be carried out: {error}")],
    }
    .into_iter()
    .map(|line| {
        let json = json!({"at": {"store": "sqlite"}, "what": "database pages", "got": line});
        (format!("SQLite: {line}"), json)
    })
    .collect();
    findings.extend(wrong.into_iter().map(|(at, expected, got)| {
        let json = json!({"at": at, "what": "log", "expected": expected, "got": got});
        (format!("{at}: log: expected {expected}, got {got}"), json)
    }));
    findings.extend(report.findings.iter().map(|finding| described(finding, &origins)));
    let rest = (
        format!(
            "{} index rows, {} attachments, database pages, {} published checkpoints",
            report.index_rows,
            report.attachments,
            published.len()
        ),
        json!({"index_rows": report.index_rows, "attachments": report.attachments}),
    );
    storage.close().await;
    Ok(Outcome {
        logs: lines(&report, &clocks),
        more: report.more,
        findings,
        rest: Some(rest),
        remedy: REMEDY,
    })
}

/// The logs asked for, by kind or origin; all of them if none is named.
fn choose(all: &[LogCheck], names: &[String]) -> Result<Vec<LogCheck>, Failure> {
    let named = |log: &LogCheck, name: &str| log.spec.kind.name() == name || log.spec.origin == name;
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|log| named(log, name))) {
        let known: Vec<String> = all
            .iter()
            .map(|log| format!("{} ({:?})", log.spec.kind.name(), log.spec.origin))
            .collect();
        return Err(Failure::failed(format!(
            "there is no log {unknown:?}, expected one of {}",
            known.join(", ")
        )));
    }
    let chosen = all
        .iter()
        .filter(|log| names.is_empty() || names.iter().any(|name| named(log, name)));
    Ok(chosen.cloned().collect())
}

/// When each log was begun and last heard of.
#[derive(Default)]
struct Clocks(Mutex<Times>);

#[derive(Default)]
struct Times {
    logs: Vec<(LogId, u64, Instant, Duration)>,
}

impl Clocks {
    fn tell(&self, step: Step, logs: &[LogCheck], progress: &Progress) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            Step::Log { log, size } => times.logs.push((log, size, Instant::now(), Duration::ZERO)),
            Step::Leaves(done) => {
                if let Some((log, size, began, took)) = times.logs.last_mut() {
                    *took = began.elapsed();
                    let name = logs.iter().find(|check| check.id == *log);
                    let name = name.map_or("leaves", |check| check.spec.kind.name());
                    progress.at(&format!("{name} leaves"), done, Some(*size));
                }
            }
            Step::Index(done) => progress.at("index rows", done, None),
            Step::Attachments(done) => progress.at("attachments", done, None),
        }
    }

    fn took(&self, log: LogId) -> Duration {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = times.logs.iter().find(|(id, ..)| *id == log);
        found.map_or(Duration::ZERO, |(.., took)| *took)
    }
}

/// What the kind's own check looks at.
fn beside(kind: LogKind) -> &'static str {
    match kind {
        LogKind::RekorV1 => "entry timestamps, attestations",
        LogKind::RekorV2 => "entries",
        LogKind::Ct => "precertificates, issuers",
    }
}

fn lines(report: &Report, clocks: &Clocks) -> Vec<LogLine> {
    let line = |log: &common_engine::fsck::LogReport| {
        let sound = !report
            .findings
            .iter()
            .any(|finding| log_of(&finding.at) == Some(log.log));
        let rate = rate(log.size, clocks.took(log.log));
        LogLine {
            sound,
            text: format!(
                "{} {:?}: {} leaves, root {}, {rate} leaves/s (leaves, tiles, checkpoint signature, index, {})",
                log.kind.name(),
                log.origin,
                log.size,
                log.root,
                beside(log.kind)
            ),
            json: json!({
                "log": log.kind.name(),
                "origin": log.origin,
                "size": log.size,
                "root": log.root.to_string(),
                "leaves_per_second": rate,
                "ok": sound,
            }),
        }
    };
    report.logs.iter().map(line).collect()
}

fn log_of(at: &At) -> Option<LogId> {
    match at {
        At::Log(log) | At::Head(log) | At::Leaf(log, _) | At::Tile(log, ..) => Some(*log),
        At::Index(_, place) => Some(place.log),
        At::Store | At::Attachment(_) => None,
    }
}

fn described(finding: &Finding, origins: &BTreeMap<LogId, &str>) -> (String, Value) {
    let log = log_of(&finding.at);
    let origin = log.and_then(|log| origins.get(&log)).copied();
    let line = match origin {
        Some(origin) => format!("{finding} ({origin})"),
        None => finding.to_string(),
    };
    let mut at = match &finding.at {
        At::Store => json!({"store": "contents"}),
        At::Log(_) => json!({}),
        At::Head(_) => json!({"head": true}),
        At::Leaf(_, index) => json!({"leaf": index}),
        At::Tile(_, tile, width) => json!({"tile": tile.path(*width)}),
        At::Index(key, place) => json!({"index_key": format!("{:016x}", key.0), "leaf": place.index}),
        At::Attachment(key) => json!({"attachment": key}),
    };
    if let (Some(log), Some(at)) = (log, at.as_object_mut()) {
        at.insert("log".to_owned(), log.0.into());
        at.insert("origin".to_owned(), origin.into());
    }
    let json = json!({
        "at": at,
        "what": finding.what,
        "expected": finding.expected,
        "got": finding.got,
    });
    (line, json)
}
