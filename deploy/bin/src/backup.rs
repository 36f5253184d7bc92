//! `backup`: the whole instance in one file, while it runs or not.
//!
//! The order makes the copy one moment without stopping anything. `published` first, so that it is never ahead of the
//! heads; then the heads; then what is below them, which does not change any more (see [`common_backend::archive`]); then
//! the files, keys among them, which list every key that signed these heads, because no key is ever taken out of the
//! registry. The trust repository is as new as can be: its versions must never go back.

pub(crate) mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use common_backend::anchor::FileAnchor;
use common_backend::archive::{self, About, Saved, Writer};
use common_backend::sqlite::SqliteStorage;
use common_bundle::trust::Registry;
use common_engine::fsck::LogCheck;
use common_engine::{Anchor, Marks, Published, Storage, StoredLog};
use serde::Serialize;

use crate::clock;
use crate::console::{self, Console};
use crate::exit::Failure;
use crate::layout::Layout;
use crate::log_checks;
use crate::paste::quoted;
use crate::progress::Progress;

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The data folder; the server may be running on it.
    #[arg(long, value_name = "DIR", default_value = "sigbox-data")]
    pub(crate) data: PathBuf,
    /// The file to write; it must not exist.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Leave private keys out. To restore, they are needed from elsewhere.
    #[arg(long)]
    pub(crate) without_keys: bool,
    /// Print one line of JSON on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The line of `--json`. Members are added, never renamed: scripts read it.
#[derive(Debug, Serialize)]
struct Summary {
    file: String,
    bytes: u64,
    seconds: f64,
    created: u64,
    with_keys: bool,
    logs: Vec<LogLine>,
    leaves: u64,
    index_rows: u64,
    attachments: u64,
    files: usize,
}

/// A log as a backup has it, and what became of it.
#[derive(Debug, Serialize)]
pub(crate) struct LogLine {
    kind: &'static str,
    origin: String,
    size: u64,
    root: String,
    state: &'static str,
}

impl LogLine {
    /// Of a stored log.
    pub(crate) fn new(log: &StoredLog) -> LogLine {
        LogLine {
            kind: log.info.spec.kind.name(),
            origin: log.info.spec.origin.clone(),
            size: log.head.size,
            root: log.head.root.to_string(),
            state: log.info.state.name(),
        }
    }

    /// For a person.
    pub(crate) fn print(&self, console: Console) {
        let evidence = format!(
            "{}: {} entries, root {}, {}",
            self.origin, self.size, self.root, self.state
        );
        console.good(self.kind, &evidence);
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]; nothing has the file's name then.
pub(crate) async fn run(args: BackupArgs, console: Console) -> Result<(), Failure> {
    let progress = Progress::new(console);
    let outcome = tokio::select! {
        outcome = back_up(&args, &progress, console) => outcome,
        () = interrupted() => Err(Failure::failed("interrupted: no backup was made")),
    };
    progress.finish();
    let summary = outcome?;
    if args.json {
        let line = serde_json::to_string(&summary).map_err(Failure::failed)?;
        return console::result(&line)
            .map_err(|error| Failure::failed(format!("cannot write the line: {error}")));
    }
    print(&summary, console);
    Ok(())
}

/// Resolves when the operator has had enough, so that what was begun is taken away.
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}

async fn back_up(args: &BackupArgs, progress: &Progress, console: Console) -> Result<Summary, Failure> {
    let began = Instant::now();
    let layout = Layout::new(std::path::absolute(&args.data).map_err(Failure::failed)?);
    let target = std::path::absolute(&args.file).map_err(Failure::failed)?;
    let storage = SqliteStorage::open_read_only(layout.root()).await;
    let storage: Arc<dyn Storage> = Arc::new(storage.map_err(Failure::failed)?);
    let mut kept = files::one(&layout, &layout.published()).map_err(Failure::failed)?;
    let logs = storage.logs().await.map_err(Failure::failed)?;
    if logs.is_empty() {
        return Err(Failure::failed(format!(
            "{} holds no logs yet: start its server once, `sigbox up` or `sigbox serve`",
            layout.root().display()
        )));
    }
    let created = clock::unix_millis(clock::system()());
    let published = FileAnchor::new(layout.published())
        .load()
        .await
        .map_err(Failure::failed)?;
    let (logs, checks) = check_heads(&layout, logs, &published, console)?;
    let searched = checks.iter().map(|check| (check.id, check.kind.terms_version()));
    // Before the index: what it says of itself is to be true of what is copied afterwards.
    let marks = Marks::read(storage.as_ref(), searched)
        .await
        .map_err(Failure::failed)?;
    let mut writer = Writer::create(&target).await.map_err(Failure::failed)?;
    let watch = |step| show(progress, step);
    let Saved {
        leaves,
        index_rows,
        attachments,
    } = archive::save(&storage, &logs, &marks, &mut writer, &watch)
        .await
        .map_err(Failure::failed)?;
    let (folder, with_keys) = (layout.clone(), !args.without_keys);
    let collected = tokio::task::spawn_blocking(move || files::collect(&folder, with_keys));
    kept.extend(
        collected
            .await
            .map_err(Failure::failed)?
            .map_err(Failure::failed)?,
    );
    let about = About {
        created,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        with_keys,
        secret: storage.secret().await.map_err(Failure::failed)?,
        logs,
        files: kept,
    };
    let bytes = writer.finish(&about).await.map_err(Failure::failed)?;
    Ok(Summary {
        file: target.display().to_string(),
        bytes,
        seconds: began.elapsed().as_secs_f64(),
        created: about.created,
        with_keys,
        logs: about.logs.iter().map(LogLine::new).collect(),
        leaves,
        index_rows,
        attachments,
        files: about.files.len(),
    })
}

/// The logs that the registry lists, whose heads its keys have signed: a backup of anything else could not be restored. A
/// log that is not listed and was never published is an import that did not come to its end; it is left out.
fn check_heads(
    layout: &Layout,
    stored: Vec<StoredLog>,
    published: &[Published],
    console: Console,
) -> Result<(Vec<StoredLog>, Vec<LogCheck>), Failure> {
    let path = layout.registry();
    let json = std::fs::read(&path)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?;
    let registry =
        Registry::parse(&json).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    let (mut logs, mut checks) = (Vec::new(), Vec::new());
    for log in &stored {
        let (origin, size) = (&log.info.spec.origin, log.head.size);
        let Some(check) = log_checks::of(&registry, &stored, log) else {
            if published.iter().any(|head| head.origin == *origin) {
                return Err(Failure::failed(format!(
                    "{} lists no key of log {origin:?}",
                    path.display()
                )));
            }
            console.warning(&format!(
                "log {origin:?} is not in the backup: its import did not come to its end, with {size} entries"
            ));
            continue;
        };
        check.kind.head(&log.head).map_err(|flaw| {
            Failure::failed(format!(
                "log {origin}: {}: expected {}, got {}; run `sigbox fsck` on the folder",
                flaw.what, flaw.expected, flaw.got
            ))
        })?;
        logs.push(log.clone());
        checks.push(check);
    }
    Ok((logs, checks))
}

/// Shows a step of a backup or of a restore.
pub(crate) fn show(progress: &Progress, step: archive::Progress) {
    match step {
        archive::Progress::Leaves { origin, done, total } => {
            progress.at(&format!("entries of {origin}"), done, Some(total));
        }
        archive::Progress::Index { done, total } => progress.at("index rows", done, total),
        archive::Progress::Attachments(done) => progress.at("attachments", done, None),
    }
}

fn print(summary: &Summary, console: Console) {
    for log in &summary.logs {
        log.print(console);
    }
    console.good(
        "backup",
        &format!(
            "{}: {} entries, {} index rows, {} attachments, {} files; {} MiB in {:.1} s",
            summary.file,
            summary.leaves,
            summary.index_rows,
            summary.attachments,
            summary.files,
            summary.bytes.checked_div(1 << 20).unwrap_or_default(),
            Duration::from_secs_f64(summary.seconds).as_secs_f64(),
        ),
    );
    let file = quoted(&summary.file);
    if summary.with_keys {
        console.warning(
            "the file contains the private keys of this instance: whoever reads it can sign as this instance. Keep it \
             where only you can, or make one --without-keys",
        );
    } else {
        console.warning("the file contains no private keys: keep a copy of the keys folder elsewhere, or nothing can be restored");
    }
    let keys = if summary.with_keys {
        ""
    } else {
        " --keys KEYS_FOLDER"
    };
    console.line(&format!(
        "Restore it with: sigbox restore {file} --data NEW_FOLDER --replaces OLD_FOLDER{keys}"
    ));
}

/// `path` with something appended to its last part.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
