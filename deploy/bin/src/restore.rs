//! `restore`: a backup becomes a data folder again, verified from the first entry to the last signature, unless that
//! would fork a log.
//!
//! Nothing has the folder's name before everything is in it and durable: it is built as `FOLDER.partial`, whose key
//! registry comes last, so that no start accepts what an interrupted restore leaves under any name.

mod folder;
mod gather;
mod refusal;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use common_backend::archive::evidence::{self, Refusal, Seen, Verdict, Word};
use common_backend::archive::{self, Archive, LogPlan, Restore};
use common_backend::folder::DataFolder;
use common_backend::sqlite::SqliteStorage;
use common_bundle::trust::{Registry, Role, Timestamp};
use common_engine::fsck::LogCheck;
use common_engine::{LogId, LogInfo, LogState, Storage, StoredLeaf, StoredLog};
use common_tlog::Hash;
use serde::Serialize;

use crate::backup::{LogLine, interrupted, show};
use crate::clock;
use crate::console::{self, Console};
use crate::exit::{Exit, Failure};
use crate::keys::runner;
use crate::log_checks;
use crate::progress::Progress;
use crate::restore::folder::Target;
use crate::services::logs;

/// More entries than any log takes between its last backup and its loss: years of them at thousands a second, and far
/// below 2^53, up to which every client counts.
const UNKNOWN_ENTRIES: u64 = 1 << 40;

/// How far ahead the clock of the machine may have been that is lost.
const SECONDS_AHEAD: i64 = 60;

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// A file that `sigbox backup` made.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The data folder to make; it must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The data folder that this one replaces: itself, not a copy, and stopped. Its database shows whether the backup is
    /// the end of its logs.
    #[arg(long, value_name = "DIR")]
    pub(crate) replaces: Option<PathBuf>,
    /// A copy of the old folder's record of published checkpoints (`published`). It can show that more was published
    /// than the backup has, never that nothing was. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub(crate) published: Vec<PathBuf>,
    /// A checkpoint that somebody has: a witness, a monitor, a cache, or a bundle with one in it. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Vec<PathBuf>,
    /// Restore logs that cannot go on for reading alone, for ever.
    #[arg(long)]
    pub(crate) frozen: bool,
    /// Say that no checkpoint was published after the backup was made. If that is wrong, the logs are forked for good.
    #[arg(long)]
    pub(crate) nothing_was_published_since_this_backup: bool,
    /// Folder with the private keys, for a backup made --without-keys.
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// Print one line of JSON on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The line of `--json`. Members are added, never renamed: scripts read it.
#[derive(Debug, Serialize)]
struct Summary {
    data_dir: String,
    seconds: f64,
    backup_created: u64,
    logs: Vec<LogLine>,
    leaves: u64,
}

/// What is there now.
struct Restored {
    summary: Summary,
    logs: Vec<StoredLog>,
    /// Keys that were about to take over from a log that is frozen.
    given_up: Vec<String>,
    /// The command that starts it.
    start: String,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]; the folder is not there then. Exit code 4 where a log would be forked.
pub(crate) async fn run(args: RestoreArgs, console: Console) -> Result<(), Failure> {
    let progress = Progress::new(console);
    let outcome = tokio::select! {
        outcome = bring_back(&args, console, &progress) => outcome,
        () = interrupted() => Err(Failure::failed(format!("interrupted: {} was not made", args.data.display()))),
    };
    progress.finish();
    let Restored {
        summary,
        logs,
        given_up,
        start,
    } = outcome?;
    if args.json {
        let line = serde_json::to_string(&summary).map_err(Failure::failed)?;
        return console::result(&line)
            .map_err(|error| Failure::failed(format!("cannot write the line: {error}")));
    }
    summary.logs.iter().for_each(|log| log.print(console));
    let rate = summary.leaves as f64 / summary.seconds.max(0.001);
    console.good(
        "restored",
        &format!(
            "{}: {} entries verified in {:.1} s, {rate:.0}/s",
            summary.data_dir, summary.leaves, summary.seconds
        ),
    );
    for log in logs.iter().filter(|log| log.info.state == LogState::Frozen) {
        console.warning(&format!(
            "log {} is frozen: it is read and never written again",
            log.info.spec.origin
        ));
    }
    for key in given_up {
        console.warning(&format!(
            "key {key} was to take over from a frozen log and may have, after the backup: what it signed verifies, and no log is \
             opened with it; sigbox rotate makes another"
        ));
    }
    if let Some(old) = &args.replaces {
        console.warning(&format!(
            "never run {} and this folder side by side: there is one history",
            old.display()
        ));
    }
    console.line(&format!("Start it with: {start}"));
    Ok(())
}

async fn bring_back(args: &RestoreArgs, console: Console, progress: &Progress) -> Result<Restored, Failure> {
    let (began, now) = (Instant::now(), clock::system()());
    let mut archive = Archive::open(&args.file).await.map_err(Failure::failed)?;
    let target = Target::new(&args.data).map_err(Failure::failed)?;
    let registry = registry_of(&archive)?;
    let logs = archive.about().logs.clone();
    let checks = checks_of(&registry, &logs)?;
    // Held until the end: whoever runs the old instance publishes more while this goes on.
    let (seen, _old) = gather::gather(args, &checks, console).await?;
    let plans = decide(args, &archive, &logs, &seen)?;

    let partial = target
        .create(archive.about(), args.keys.as_deref(), &registry)
        .map_err(Failure::failed)?;
    let locked = Arc::new(DataFolder::open(partial.path()).map_err(Failure::failed)?);
    let storage = SqliteStorage::open_with_secret(locked, archive.about().secret).await;
    let storage = storage.map_err(Failure::failed)?;
    let kinds: BTreeMap<LogId, &LogCheck> = checks.iter().map(|check| (check.id, check)).collect();
    let identity = |info: &LogInfo, leaf: &StoredLeaf, hash: &Hash| {
        kinds
            .get(&info.id)
            .map_or(*hash, |check| check.kind.identity(leaf, hash))
    };
    let watch = |step| show(progress, step);
    let how = Restore {
        storage: &storage,
        plans: &plans,
        identity: &identity,
        scratch: partial.path(),
        watch: &watch,
    };
    let written = archive::restore(&mut archive, &how).await;
    let restored = storage.logs().await;
    // Also after an error: nobody writes into a folder that is taken away.
    storage.close().await;
    drop(storage);
    written.map_err(forks)?;
    let restored = restored.map_err(Failure::failed)?;
    let missed = missed(archive.about().created, now);
    let mut registry = reserve(registry, &logs, &plans, &seen);
    let given_up = give_up_successors(&mut registry, &restored, now);
    let start = runner::start_command(&registry, target.path());
    partial
        .finish(&restored, registry, missed, now)
        .await
        .map_err(Failure::failed)?;
    let leaves = restored
        .iter()
        .fold(0u64, |sum, log| sum.saturating_add(log.head.size));
    let summary = Summary {
        data_dir: target.path().display().to_string(),
        seconds: began.elapsed().as_secs_f64(),
        backup_created: archive.about().created,
        logs: restored.iter().map(LogLine::new).collect(),
        leaves,
    };
    Ok(Restored {
        summary,
        logs: restored,
        given_up,
        start,
    })
}

fn registry_of(archive: &Archive) -> Result<Registry, Failure> {
    let file = archive.file("keys/registry.json");
    let file =
        file.ok_or_else(|| Failure::failed("the backup has no keys/registry.json: it cannot be verified"))?;
    Registry::parse(&file.data)
        .map_err(|error| Failure::failed(format!("keys/registry.json of the backup: {error}")))
}

/// The checks of all logs, whose heads are signed by keys of the backup's own registry.
fn checks_of(registry: &Registry, logs: &[StoredLog]) -> Result<Vec<LogCheck>, Failure> {
    let check = |log: &StoredLog| {
        let origin = &log.info.spec.origin;
        let check = log_checks::of(registry, logs, log).ok_or_else(|| {
            Failure::failed(format!(
                "the backup's key registry lists no key of log {origin:?}"
            ))
        })?;
        check.kind.head(&log.head).map_err(|flaw| {
            Failure::failed(format!(
                "the backup is not sound: log {origin}: {}: expected {}, got {}",
                flaw.what, flaw.expected, flaw.got
            ))
        })?;
        Ok(check)
    };
    logs.iter().map(check).collect()
}

fn decide(
    args: &RestoreArgs,
    archive: &Archive,
    logs: &[StoredLog],
    seen: &[Seen],
) -> Result<BTreeMap<LogId, LogPlan>, Failure> {
    let word = Word {
        freeze: args.frozen,
        nothing_since: args.nothing_was_published_since_this_backup,
    };
    let mut refusals: Vec<Refusal> = evidence::missing(logs, seen);
    let mut plans = BTreeMap::new();
    for log in logs {
        match evidence::decide(log, seen, word) {
            Ok(verdict) => plans.insert(log.info.id, plan(log, verdict, seen)),
            Err(refusal) => {
                refusals.push(refusal);
                None
            }
        };
    }
    if refusals.is_empty() {
        return Ok(plans);
    }
    Err(Failure {
        exit: Exit::WouldFork,
        message: refusal::message(&refusals, archive.about().created),
    })
}

/// What was published at smaller sizes is checked while the tree is rebuilt.
fn plan(log: &StoredLog, verdict: Verdict, seen: &[Seen]) -> LogPlan {
    let of_log = |s: &&Seen| {
        let size = s.published.size;
        s.published.origin == log.info.spec.origin && (1..=log.head.size).contains(&size)
    };
    LogPlan {
        verdict,
        seen: seen.iter().filter(of_log).cloned().collect(),
    }
}

/// The indexes that a v1 shard keeps which is frozen here: it may have gone on after the backup, nobody here knows how
/// far, and what it gave out then must not be given to another entry by the shard that follows it.
fn reserve(
    mut registry: Registry,
    logs: &[StoredLog],
    plans: &BTreeMap<LogId, LogPlan>,
    seen: &[Seen],
) -> Registry {
    for record in registry.keys.iter_mut().filter(|key| key.role == Role::RekorV1) {
        let key = logs::key_id(record);
        let cut = |log: &&StoredLog| {
            let plan = plans.get(&log.info.id);
            log.info.spec.key_id == key
                && log.info.state == LogState::Active
                && plan.is_some_and(|plan| plan.verdict == Verdict::Frozen)
        };
        if let Some(log) = logs.iter().find(cut) {
            let of_log = seen.iter().filter(|s| s.published.origin == log.info.spec.origin);
            let known = of_log.map(|s| s.published.size).fold(log.head.size, u64::max);
            record.indexes = Some(known.saturating_add(UNKNOWN_ENTRIES));
        }
    }
    registry
}

/// Gives up the successors of logs that are frozen here. The old instance may have opened their logs after the backup, and
/// to open them again, empty and with the same keys, would be a second history of each.
fn give_up_successors(registry: &mut Registry, restored: &[StoredLog], now: SystemTime) -> Vec<String> {
    let mut given_up = Vec::new();
    let end = Timestamp::from_system_time(now).map(|now| now.plus_seconds(SECONDS_AHEAD));
    for role in Role::ALL.into_iter().filter(|role| role.is_log()) {
        let frozen = registry.in_use(role).map(logs::key_id).is_some_and(|key| {
            let log = restored.iter().find(|log| log.info.spec.key_id == key);
            log.is_some_and(|log| log.info.state == LogState::Frozen)
        });
        if let Some(end) = end.filter(|_| frozen) {
            given_up.extend(registry.give_up_log(role, end));
        }
    }
    given_up
}

/// A fork that only the rebuilt tree shows.
fn forks(error: archive::ArchiveError) -> Failure {
    match error {
        archive::ArchiveError::Fork { .. } => Failure {
            exit: Exit::WouldFork,
            message: error.to_string(),
        },
        error => Failure::failed(error),
    }
}

/// More timestamps than the old instance can have signed since: one a day, some at starts, and a margin.
fn missed(created: u64, now: SystemTime) -> u64 {
    let created = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(created));
    let since = created
        .and_then(|created| now.duration_since(created).ok())
        .unwrap_or_default();
    let days = since.as_secs().checked_div(86_400).unwrap_or_default();
    // A clock that was wrong when the backup was made must not keep this busy for ever.
    days.min(20_000).saturating_mul(2).saturating_add(100)
}
