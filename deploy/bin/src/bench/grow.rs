//! `bench grow`: a log of any size, and how fast it took its entries while it grew.

mod entries;

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use common_engine::{Engine, LogId, SubmitError};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use self::entries::{EntryError, Maker};
use super::process;
use crate::cli::{DEFAULT_URL, UpArgs};
use crate::clock;
use crate::console::{self, Console};
use crate::exit::Failure;
use crate::public_url::PublicUrl;
use crate::services::{REKOR_V1, REKOR_V2};
use crate::up::folder::Folder;
use crate::up::limits::LimitArgs;
use crate::up::rekor::RekorArgs;
use crate::up::signal::Stop;
use crate::up::{self, Instance};

/// Entries made to learn what the making costs.
const TRIAL: u64 = 8_192;
/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How often progress is told where there is no terminal.
const TELL: Duration = Duration::from_secs(15);
/// Pause of a submitter whose entry was not taken for now, and how often it tries again.
const PAUSE: Duration = Duration::from_millis(200);
const ATTEMPTS: u32 = 100;

#[derive(Debug, Args)]
pub(crate) struct GrowArgs {
    /// Folder of keys, logs and trust; created when missing, as `up` does.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Size that the log will have.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    entries: u64,
    /// The log to fill.
    #[arg(long, value_name = "LOG", default_value = "v2")]
    log: GrownLog,
    /// Entries under way at the same time.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..=2_048))]
    submitters: u16,
    /// How clients will reach the instance; as for `up`.
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL)]
    public_url: PublicUrl,
    /// Print one line of JSON instead of the table.
    #[arg(long)]
    json: bool,
}

/// A log that can be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GrownLog {
    /// `hashedrekord` 0.0.1 into Rekor v1, with its search terms.
    V1,
    /// `hashedrekord` 0.0.2 into Rekor v2.
    V2,
}

impl GrownLog {
    fn id(self) -> LogId {
        match self {
            Self::V1 => REKOR_V1,
            Self::V2 => REKOR_V2,
        }
    }
}

/// A stretch of the way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Stretch {
    from: u64,
    to: u64,
    per_second: f64,
    /// Processor time of the engine for each entry; the making of entries is taken off.
    cpu_ms: Option<f64>,
    /// Memory of this process in MiB.
    rss_mib: Option<f64>,
}

/// Runs the command: returns when the log has its size, or after a signal.
///
/// # Errors
/// [`Failure`] when the folder cannot be used or an entry was refused.
pub(crate) async fn run(args: GrowArgs, console: Console) -> Result<(), Failure> {
    let stop = Stop::listen().map_err(Failure::cannot_start)?;
    let maker = Arc::new(Maker::new(args.log).map_err(Failure::failed)?);
    let making = making_cpu(&maker).await?;
    let up = UpArgs {
        data: args.data.clone(),
        listen: None,
        tls_listen: None,
        metrics_listen: None,
        public_url: None,
        ephemeral: false,
        json: false,
        expose_development_issuer_to_the_network: false,
        scorecard_issuers: Vec::new(),
        fulcio_config: None,
        limits: LimitArgs::default(),
        rekor: RekorArgs::default(),
    };
    let folder = Folder::open(&up).map_err(Failure::cannot_start)?;
    let clock = clock::system();
    let Instance {
        storage, services, ..
    } = up::assemble(&up, &clock, &args.public_url, &folder, Vec::new()).await?;
    let none = || Failure::cannot_start("the instance has no logs");
    let engine = services.engine.clone().ok_or_else(none)?;
    let before = (size(&engine, args.log.id()), bytes_in(folder.layout().root()));
    let filled = fill(&args, &engine, maker, making, &stop, console).await;
    let after = size(&engine, args.log.id());
    engine.shutdown().await;
    drop((engine, services));
    up::close(storage).await;
    let bytes = bytes_in(folder.layout().root());
    let stretches = filled?;
    let added = after.saturating_sub(before.0);
    let each = bytes.saturating_sub(before.1).checked_div(added);
    let text = if args.json {
        json!({ "log": args.log, "size": after, "added": added, "bytes": bytes, "bytes_per_entry": each,
            "stretches": stretches })
        .to_string()
    } else {
        table(&stretches, after, bytes, each)
    };
    console::result(&text).map_err(|error| Failure::failed(format!("cannot write the figures: {error}")))?;
    folder.close().map_err(Failure::failed)
}

fn size(engine: &Engine, log: LogId) -> u64 {
    engine.head(log).map_or(0, |head| head.size)
}

/// What a folder's own files occupy: the database and its log.
pub(crate) fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| file.metadata().ok())
        .filter(fs::Metadata::is_file)
        .fold(0, |sum, file| sum.saturating_add(file.len()))
}

/// Processor time that making one entry takes.
async fn making_cpu(maker: &Arc<Maker>) -> Result<Option<Duration>, Failure> {
    let maker = Arc::clone(maker);
    let work = move || {
        let before = process::cpu_time(std::process::id());
        let mut key = None;
        for number in 0..TRIAL {
            maker.entry(u64::MAX.wrapping_sub(number), &mut key)?;
        }
        let after = process::cpu_time(std::process::id());
        Ok::<_, EntryError>(
            after
                .zip(before)
                .and_then(|(after, before)| after.checked_sub(before)),
        )
    };
    let spent = tokio::task::spawn_blocking(work).await.map_err(Failure::failed)?;
    Ok(spent
        .map_err(Failure::failed)?
        .map(|spent| spent.div_f64(TRIAL as f64)))
}

/// What the submitters share.
struct Shared {
    engine: Engine,
    log: LogId,
    maker: Arc<Maker>,
    /// Number of the next entry to make.
    next: AtomicU64,
    end: u64,
    stopped: AtomicBool,
}

async fn fill(
    args: &GrowArgs,
    engine: &Engine,
    maker: Arc<Maker>,
    making: Option<Duration>,
    stop: &Stop,
    console: Console,
) -> Result<Vec<Stretch>, Failure> {
    let log = args.log.id();
    let shared = Arc::new(Shared {
        engine: engine.clone(),
        log,
        maker,
        next: AtomicU64::new(size(engine, log)),
        end: args.entries,
        stopped: AtomicBool::new(false),
    });
    let mut submitters = JoinSet::new();
    for _ in 0..args.submitters {
        submitters.spawn(submit(Arc::clone(&shared)));
    }
    let mut course = Course::start(size(engine, log), making, console);
    let bar = bar(args.entries);
    let (mut told, mut outcome) = (Instant::now(), Ok(()));
    loop {
        tokio::select! {
            ended = submitters.join_next() => match ended {
                None => break,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => outcome = outcome.and(Err(error)),
                Some(Err(error)) => outcome = outcome.and(Err(Failure::failed(error))),
            },
            () = tokio::time::sleep(TICK) => {}
            () = stop.wait(), if !shared.stopped.load(Ordering::Relaxed) => {}
        }
        if outcome.is_err() || stop.is_asked() {
            shared.stopped.store(true, Ordering::Relaxed);
        }
        let now = size(engine, log);
        bar.set_position(now);
        let line = course.passed(now);
        if let Some(line) = line {
            bar.suspend(|| console.remark(&line));
        } else if bar.is_hidden() && told.elapsed() >= TELL {
            told = Instant::now();
            console.remark(&format!("  {now} of {} entries", args.entries));
        }
    }
    bar.finish_and_clear();
    if stop.is_asked() {
        console.remark("stopped; the same command goes on from here");
    }
    outcome?;
    course.finish(size(engine, log));
    Ok(course.stretches)
}

fn bar(entries: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} entries, {per_sec}, {eta} left");
    let bar = ProgressBar::new(entries);
    // The template is a constant; a wrong one would only look plain.
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// One submitter: makes an entry, waits until it is in, makes the next.
async fn submit(shared: Arc<Shared>) -> Result<(), Failure> {
    let mut key = None;
    while !shared.stopped.load(Ordering::Relaxed) {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if number >= shared.end {
            break;
        }
        let entry = shared.maker.entry(number, &mut key).map_err(Failure::failed)?;
        let mut left = ATTEMPTS;
        loop {
            match shared.engine.submit(shared.log, entry.clone()).await {
                Ok(_) => break,
                Err(SubmitError::Overloaded | SubmitError::Unavailable) if left > 0 => {
                    left = left.saturating_sub(1);
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(Failure::failed(format!("entry {number} was refused: {error}"))),
            }
        }
    }
    Ok(())
}

/// The way so far, in stretches that end at 10⁴, 10⁵ and each million.
struct Course {
    making: Option<Duration>,
    console: Console,
    from: u64,
    began: Instant,
    cpu: Option<Duration>,
    stretches: Vec<Stretch>,
}

impl Course {
    fn start(size: u64, making: Option<Duration>, console: Console) -> Course {
        Course {
            making,
            console,
            from: size,
            began: Instant::now(),
            cpu: process::cpu_time(std::process::id()),
            stretches: Vec::new(),
        }
    }

    /// A line about the stretch that ended, if one has.
    fn passed(&mut self, size: u64) -> Option<String> {
        (size >= end_of_stretch(self.from)).then(|| self.end(size))
    }

    fn finish(&mut self, size: u64) {
        if size > self.from {
            let line = self.end(size);
            self.console.remark(&line);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of entries are far below 2^52")]
    fn end(&mut self, size: u64) -> String {
        let (cpu, id) = (process::cpu_time(std::process::id()), std::process::id());
        let entries = size.saturating_sub(self.from).max(1) as f64;
        let spent = cpu.zip(self.cpu).and_then(|(now, then)| now.checked_sub(then));
        let each = spent
            .zip(self.making)
            .map(|(spent, making)| (spent.as_secs_f64() / entries - making.as_secs_f64()).max(0.0) * 1_000.0);
        let stretch = Stretch {
            from: self.from,
            to: size,
            per_second: entries / self.began.elapsed().as_secs_f64().max(1e-9),
            cpu_ms: each,
            rss_mib: process::memory(id).map(|memory| memory.resident as f64 / 1_024.0),
        };
        (self.from, self.began, self.cpu) = (size, Instant::now(), cpu);
        self.stretches.push(stretch);
        stretch.line()
    }
}

impl Stretch {
    fn line(&self) -> String {
        let known = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.digits$}"))
        };
        format!(
            "{:>11} to {:>11}: {:>7.0} entries/s, {} ms CPU each, {} MiB",
            self.from,
            self.to,
            self.per_second,
            known(self.cpu_ms, 4),
            known(self.rss_mib, 0)
        )
    }
}

fn end_of_stretch(from: u64) -> u64 {
    const MILLION: u64 = 1_000_000;
    let next = [10_000, 100_000].into_iter().find(|mark| from < *mark);
    next.unwrap_or_else(|| (from / MILLION).saturating_add(1).saturating_mul(MILLION))
}

fn table(stretches: &[Stretch], size: u64, bytes: u64, each: Option<u64>) -> String {
    let mut lines: Vec<String> = stretches.iter().map(Stretch::line).collect();
    let each = each.map_or_else(String::new, |each| format!(", {each} bytes for each entry added"));
    lines.push(format!(
        "the log has {size} entries, its folder's files {bytes} bytes{each}"
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests;
