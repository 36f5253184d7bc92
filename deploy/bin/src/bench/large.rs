//! `bench large`: what the size of a log costs: the start, memory, reads at random places, and writes beside those into a
//! small log, in turns, so that both meet the same machine.

mod reads;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use self::reads::Read;
use super::Plan;
use super::grow::{GrownLog, bytes_in};
use super::load::Outcome;
use super::prepare::Materials;
use super::target::Target;
use super::work::Work;
use crate::console::{self, Console};
use crate::exit::Failure;
use crate::http::Client;

/// Size of the small log.
const SMALL: usize = 10_000;
/// Requests made for each second of a window: more than are answered.
const A_SECOND: usize = 15_000;

#[derive(Debug, Args)]
pub(crate) struct LargeArgs {
    /// Folder that `bench grow` has filled; no server may use it.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The log to look at.
    #[arg(long, value_name = "LOG", default_value = "v2")]
    log: GrownLog,
    /// Reads of each kind.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    reads: u32,
    /// Connections that write at the same time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    clients: u16,
    /// Length of each window of writes.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Windows of writes into each log; 0 leaves writes out.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=100))]
    turns: u8,
    /// Print one line of JSON instead of the table.
    #[arg(long)]
    json: bool,
}

/// Writes into one of the logs, all windows together.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Writes {
    requests: usize,
    seconds: f64,
    server_cpu_seconds: f64,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Figures {
    log: GrownLog,
    size: u64,
    bytes: u64,
    bytes_per_entry: u64,
    ready_ms: f64,
    reads: Vec<Read>,
    rss_mib: Option<f64>,
    large: Writes,
    small: Writes,
    rss_after_writes_mib: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] when an instance cannot be run or an answer is not as expected.
pub(crate) async fn run(args: LargeArgs, console: Console) -> Result<(), Failure> {
    let bytes = bytes_in(&args.data);
    let data = args.data.to_string_lossy().into_owned();
    let began = Instant::now();
    let up = [
        "up",
        "--json",
        "--data",
        &data,
        "--listen",
        "localhost:0",
        "--tls-listen",
        "localhost:0",
    ];
    let target = Target::start_with(&[&up[..], &["--metrics-listen", "localhost:0"]].concat()).await;
    let ready = began.elapsed();
    let target = target.map_err(Failure::failed)?;
    console.remark(&format!("ready in {:.0} ms", ready.as_secs_f64() * 1_000.0));
    let measured = measure(&args, &target, console).await;
    target.stop().await.map_err(Failure::failed)?;
    let figures = Figures {
        ready_ms: ready.as_secs_f64() * 1_000.0,
        bytes,
        ..measured?
    };
    let figures = Figures {
        bytes_per_entry: bytes.checked_div(figures.size).unwrap_or(0),
        ..figures
    };
    let text = if args.json {
        serde_json::to_string(&figures).map_err(Failure::failed)?
    } else {
        figures.table()
    };
    console::result(&text).map_err(|error| Failure::failed(format!("cannot write the figures: {error}")))
}

async fn measure(args: &LargeArgs, target: &Target, console: Console) -> Result<Figures, Failure> {
    let client = Client::new(target.url()).map_err(Failure::failed)?;
    let size = reads::size(&client, args.log).await.map_err(Failure::failed)?;
    if size == 0 {
        return Err(Failure::failed(
            "the log is empty: fill it with `sigbox bench grow` first",
        ));
    }
    let reads = reads::measure(&client, args.log, args.reads as usize)
        .await
        .map_err(Failure::failed)?;
    for read in &reads {
        console.remark(&read.line());
    }
    let memory = || {
        let memory = target.processes().memory();
        memory.map(|memory| mib(memory.resident))
    };
    let rss_mib = memory();
    let (large, small) = match args.turns {
        0 => (Writes::default(), Writes::default()),
        _ => writes(args, target, console).await?,
    };
    Ok(Figures {
        log: args.log,
        size,
        bytes: 0,
        bytes_per_entry: 0,
        ready_ms: 0.0,
        reads,
        rss_mib,
        large,
        small,
        rss_after_writes_mib: memory(),
    })
}

/// Windows into the large log and into one that has [`SMALL`] entries to begin with, in turns.
async fn writes(args: &LargeArgs, large: &Target, console: Console) -> Result<(Writes, Writes), Failure> {
    let work = match args.log {
        GrownLog::V1 => Work::V1,
        GrownLog::V2 => Work::V2,
    };
    let small = Target::start(console).await.map_err(Failure::failed)?;
    let outcome = async {
        window(args, &small, work, SMALL, Duration::from_secs(600), console).await?;
        // Whatever a first window meets that later ones do not.
        window(args, large, work, SMALL, Duration::from_secs(600), console).await?;
        let mut sums = (Writes::default(), Writes::default());
        for _ in 0..args.turns {
            for (target, sum) in [(large, &mut sums.0), (&small, &mut sums.1)] {
                let length = Duration::from_secs(args.seconds);
                let most = A_SECOND.saturating_mul(usize::try_from(args.seconds).unwrap_or(1));
                sum.add(&window(args, target, work, most, length, console).await?);
            }
        }
        Ok(sums)
    }
    .await;
    small.stop().await.map_err(Failure::failed)?;
    outcome
}

async fn window(
    args: &LargeArgs,
    target: &Target,
    work: Work,
    most: usize,
    length: Duration,
    console: Console,
) -> Result<Outcome, Failure> {
    let plan = Plan::new(work, target, args.clients).map_err(Failure::failed)?;
    let bodies = super::bodies(work, most, &Materials::default(), console).await?;
    let outcome = super::load(&plan, &bodies, length).await?;
    match outcome.errors.iter().next() {
        None => Ok(outcome),
        Some((error, count)) => Err(Failure::failed(format!("{count} writes failed: {error}"))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}

impl Writes {
    fn add(&mut self, outcome: &Outcome) {
        self.requests = self.requests.saturating_add(outcome.latencies.len());
        self.seconds += outcome.elapsed.as_secs_f64();
        self.server_cpu_seconds += outcome.server_cpu.unwrap_or_default().as_secs_f64();
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn line(&self, name: &str) -> String {
        let requests = self.requests.max(1) as f64;
        format!(
            "writes into the {name} log: {:.0}/s, {:.3} ms server CPU each",
            requests / self.seconds,
            self.server_cpu_seconds * 1_000.0 / requests
        )
    }
}

impl Read {
    fn line(&self) -> String {
        format!(
            "{}: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms of {}",
            self.what, self.p50_ms, self.p99_ms, self.longest_ms, self.count
        )
    }
}

impl Figures {
    fn table(&self) -> String {
        let known =
            |value: Option<f64>| value.map_or_else(|| "n/a".to_owned(), |mib| format!("{mib:.0} MiB"));
        let mut text = format!(
            "{} entries, {} bytes in the folder's files, {} for each entry\nready in {:.0} ms",
            self.size, self.bytes, self.bytes_per_entry, self.ready_ms
        );
        for read in &self.reads {
            // Writing to a String does not fail.
            let _ = write!(text, "\n{}", read.line());
        }
        let _ = write!(text, "\nmemory after the reads: {}", known(self.rss_mib));
        if self.large.requests > 0 {
            let (large, small) = (self.large.line("large"), self.small.line("small"));
            let after = known(self.rss_after_writes_mib);
            let _ = write!(text, "\n{large}\n{small}\nmemory after the writes: {after}");
        }
        text
    }
}
