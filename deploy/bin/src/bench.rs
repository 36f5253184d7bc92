//! `bench`: the load behind every figure in `docs/performance.md`.
//!
//! For each kind of work and each number of clients: a short warm-up finds the rate, the requests for the timed window are made
//! beforehand (each with a key and a digest of its own), and then one keep-alive connection per client sends them as fast
//! as answers come. The status of every answer is checked; a sample of the answers is verified in full afterwards.
//! The load runs on a single thread, so that most of a small machine is left to the server, whose processor time and memory
//! are read from `/proc`.

mod check;
mod grow;
mod large;
mod load;
mod overload;
mod prepare;
mod process;
mod report;
mod target;
mod work;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand};

use self::check::Trust;
use self::load::{Outcome, Plan};
use self::prepare::Materials;
use self::report::Row;
use self::target::Target;
use self::work::Work;
use crate::console::{self, Console};
use crate::exit::Failure;

/// Most requests made beforehand for one window: about 1 GiB.
const MOST_PREPARED: usize = 1_000_000;
/// Requests of a warm-up, beside a few for each client.
const WARM_UP: usize = 2_000;
/// How long a warm-up lasts at most.
const WARM_UP_TIME: Duration = Duration::from_secs(1);
/// Descriptors that a process needs besides its connections.
const OTHER_DESCRIPTORS: u64 = 64;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    /// The instance; without it, one is started for the occasion (`up --ephemeral`) and stopped afterwards.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Connections that ask at the same time, one run for each number.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,32,1024",
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) clients: Vec<u16>,
    /// Length of each run.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// What to ask for, one run for each.
    #[arg(
        long,
        value_name = "WORK",
        value_delimiter = ',',
        default_value = "v1,v2,certificate,timestamp"
    )]
    pub(crate) work: Vec<Work>,
    /// The server's processes, whose processor time and memory are shown; found by itself when the server is one on this machine.
    #[arg(long, value_name = "PID", value_delimiter = ',', requires = "url")]
    pub(crate) pid: Vec<u32>,
    /// Who gives the tokens for certificates; without it, the instance.
    #[arg(long, value_name = "URL", requires = "url")]
    pub(crate) tokens_from: Option<String>,
    /// Look at the status of answers and no further: for a server of another make, which publishes no trusted root.
    #[arg(long, requires = "url")]
    pub(crate) status_only: bool,
    /// Offer so many times the capacity, which is measured first, and look at what is refused, what is kept and what is lost.
    #[arg(long, value_name = "TIMES", conflicts_with_all = ["clients", "status_only"],
        value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) overload: Option<u32>,
    /// Print one line of JSON instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Measurements of another kind than writes over HTTP.
#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Fill a log with entries, in process, and show how its speed changes with its size.
    ///
    /// The folder is opened or created as `up` does; the entries are genuine: distinct digests, signed. Their making is
    /// not measured. A log that has some already is filled up.
    Grow(grow::GrowArgs),
    /// Measure what the size of a filled log costs: start, memory, reads at random places, and writes beside those into a
    /// small one.
    ///
    /// An instance is started on the folder, and another on a temporary one. Every answer is checked. The writes stay.
    Large(large::LargeArgs),
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] when the instance cannot be reached, a request failed or an answer did not verify.
pub(crate) async fn run(mut args: BenchArgs, console: Console) -> Result<(), Failure> {
    if let Some(command) = args.command.take() {
        return match command {
            BenchCommand::Grow(args) => grow::run(args, console).await,
            BenchCommand::Large(args) => large::run(args, console).await,
        };
    }
    if let Some(times) = args.overload {
        return overload::run(&args, times, console).await;
    }
    let most = args.clients.iter().max().copied().unwrap_or(1);
    check_descriptors(most)?;
    let target = match &args.url {
        Some(url) => Target::attach(url, &args.pid).await,
        None => Target::start(console).await,
    };
    let target = target.map_err(Failure::failed)?;
    let measured = measure(&args, &target, console).await;
    let url = target.url().to_owned();
    let stopped = target.stop().await.map_err(Failure::failed);
    let rows = measured?;
    let text = if args.json {
        report::json(&url, args.seconds, &rows)?
    } else {
        report::table(&rows)
    };
    console::result(&text).map_err(|error| Failure::failed(format!("cannot write the figures: {error}")))?;
    stopped?;
    match rows.iter().filter(|row| !row.is_good()).count() {
        0 => Ok(()),
        bad => Err(Failure::failed(format!(
            "{bad} of {} runs had refused requests or wrong answers",
            rows.len()
        ))),
    }
}

async fn measure(args: &BenchArgs, target: &Target, console: Console) -> Result<Vec<Row>, Failure> {
    let trust = match args.status_only {
        true => None,
        false => Some(Trust::fetch(target.url()).await.map_err(Failure::failed)?),
    };
    let mut rows = Vec::new();
    for work in &args.work {
        for clients in &args.clients {
            let row = one_run(args, target, trust.as_ref(), *work, *clients, console).await?;
            console.remark(&row.summary());
            rows.push(row);
        }
    }
    Ok(rows)
}

async fn one_run(
    args: &BenchArgs,
    target: &Target,
    trust: Option<&Trust>,
    work: Work,
    clients: u16,
    console: Console,
) -> Result<Row, Failure> {
    let window = Duration::from_secs(args.seconds);
    let materials = Materials::fetch(work, args.tokens_from.as_deref().unwrap_or(target.url()))
        .await
        .map_err(Failure::failed)?;
    let plan = Plan::new(work, target, clients).map_err(Failure::failed)?;
    let few = usize::from(clients).saturating_mul(4).saturating_add(WARM_UP);
    let warm_up = bodies(work, few, &materials, console).await?;
    let warm = load(&plan, &warm_up, window.min(WARM_UP_TIME)).await?;
    // Twice what the warm-up promises: it was cold.
    let expected = warm.rate() * window.as_secs_f64() * 2.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number, and the cast saturates"
    )]
    let enough = (expected as usize).saturating_add(few).min(MOST_PREPARED);
    let prepared = bodies(work, enough, &materials, console).await?;
    let outcome = load(&plan, &prepared, window).await?;
    let memory = target.processes().memory();
    let checked = trust.map(|trust| check::sample(trust, work, &prepared, &outcome.samples));
    Ok(Row::new(work, clients, &outcome, memory, checked))
}

async fn bodies(
    work: Work,
    count: usize,
    materials: &Materials,
    console: Console,
) -> Result<Arc<Vec<Bytes>>, Failure> {
    let materials = materials.clone();
    let made = tokio::task::spawn_blocking(move || prepare::bodies(work, count, &materials, console)).await;
    made.map_err(Failure::failed)?
        .map(Arc::new)
        .map_err(Failure::failed)
}

async fn load(plan: &Plan, bodies: &Arc<Vec<Bytes>>, window: Duration) -> Result<Outcome, Failure> {
    let (plan, bodies) = (plan.clone(), Arc::clone(bodies));
    let ran = tokio::task::spawn_blocking(move || load::run(&plan, &bodies, window)).await;
    ran.map_err(Failure::failed)?.map_err(Failure::failed)
}

/// Each connection is a descriptor, here and in a server that we start and that inherits the limit.
fn check_descriptors(clients: u16) -> Result<(), Failure> {
    let needed = u64::from(clients).saturating_add(OTHER_DESCRIPTORS);
    match process::open_files_limit() {
        Some(limit) if limit < needed => Err(Failure::failed(format!(
            "{clients} clients need {needed} open files, the limit is {limit}: run `ulimit -n {needed}` first"
        ))),
        _ => Ok(()),
    }
}
