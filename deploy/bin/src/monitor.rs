//! `monitor`: watches logs from the outside, an instance's own or anybody's.
//!
//! Every log that is trusted is followed leaf by leaf (`rekor-monitor`): what it shows must extend what it showed. What is new is
//! held against the watches. Both make events, which are told to whoever is to know, each at least once: the place in a log is
//! written down only after the events of what was read are.

mod deliver;
mod event;
mod examine;
mod pass;
mod state;
mod subject;
mod unused;
mod watches;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use common_pki::key::sha256;
use common_server::listen::{Bound, ListenAddr};
use common_server::serve::{Limits, serve};
use common_server::{layers, telemetry};

use crate::conditions::ConditionArgs;
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::monitor::deliver::Delivery;
use crate::monitor::examine::Examiner;
use crate::monitor::pass::{Monitor, Pass};
use crate::monitor::state::State;
use crate::rotate::command::parse_time;
use crate::trust_source::TrustArgs;
use crate::up::signal::Stop;
use crate::xdg;

/// Time for one request for metrics.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Options of the command.
#[derive(Debug, Args)]
pub(crate) struct MonitorArgs {
    #[command(flatten)]
    conditions: ConditionArgs,
    /// What to watch for, one [[watch]] each, with the same names as the flags, and what of it is expected.
    #[arg(long, value_name = "FILE")]
    watch: Option<PathBuf>,
    /// Look once and exit, for cron and pipelines: 5 if a log is inconsistent, 6 if something unexpected was found.
    #[arg(long)]
    once: bool,
    /// Between two looks: a number and s, m, h or d.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_time, conflicts_with = "once")]
    every: u32,
    /// Where logs are entered at the first look. One that appears later, as a new shard does, is read from its first entry.
    #[arg(long, value_name = "WHERE", value_enum, default_value_t = Begin::Now)]
    from: Begin,
    /// Tell of expected entries too.
    #[arg(long)]
    all: bool,
    /// Tell of a certificate that is watched for and signed no entry within so long after its issuance: 30m, say. Who signs without a
    /// log, with a timestamp alone, is told of too.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    unused_after: Option<u32>,
    /// A log that cannot be read for so long is told of.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_time)]
    silent_after: u32,
    /// Tell that all is well so often; 0s is never.
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = parse_time)]
    alive: u32,
    /// Watch this log instead of those that are trusted; where its `checkpoint` and `tile/` are, or a Rekor v1.
    #[arg(long, value_name = "URL", requires = "log_key", conflicts_with = "trust")]
    log: Option<String>,
    /// That log's key: a verifier key (name+hint+base64), or a file with it or with a public key in PEM.
    #[arg(long, value_name = "VKEY|FILE", requires = "log")]
    log_key: Option<String>,
    /// Send each event to this URL as a CloudEvent, again until it is taken. The environment keeps a secret URL out of sight.
    #[arg(
        long,
        value_name = "URL",
        env = "SIGBOX_MONITOR_WEBHOOK",
        hide_env_values = true
    )]
    webhook: Option<String>,
    /// Run this program for each event, again until it succeeds; the event is its standard input, as JSON.
    #[arg(long, value_name = "PROGRAM")]
    exec: Option<PathBuf>,
    /// Where Prometheus metrics are [default: nowhere].
    #[arg(long, value_name = "ADDR")]
    metrics_listen: Option<ListenAddr>,
    /// Where the places in the logs are kept, and events that nobody has taken yet
    /// [default: one for each instance, repository or log in $XDG_STATE_HOME/sigbox/monitor, else ~/.local/state/sigbox/monitor].
    #[arg(long, value_name = "DIR", env = "SIGBOX_MONITOR_STATE")]
    state: Option<PathBuf>,
    /// Print each event as a line of JSON on standard output.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trust: TrustArgs,
}

impl MonitorArgs {
    /// Where the state is. Each subject has a folder of its own by default: what is new to one is not new to another.
    fn folder(&self) -> Option<PathBuf> {
        if self.state.is_some() {
            return self.state.clone();
        }
        let trust = &self.trust;
        let subject = match (&self.log, &trust.trusted_root, &trust.tuf) {
            (Some(log), _, _) => format!("log {log}"),
            (_, Some(file), _) => format!("trusted root {}", file.display()),
            (_, _, Some(tuf)) => format!("repository {tuf}"),
            _ if trust.public_good => "public".to_owned(),
            _ => format!("instance {}", trust.url),
        };
        let name = sha256(subject.trim_end_matches('/').as_bytes());
        let name = hex::encode(name.first_chunk::<8>()?);
        let folder = xdg::folder("XDG_STATE_HOME", ".local/state")?;
        Some(folder.join("sigbox/monitor").join(name))
    }
}

/// Where a log is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Begin {
    /// At its end: of what was logged before, nothing is looked at.
    Now,
    /// At its first entry.
    Start,
}

/// Shown at the end of the long help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  sigbox monitor --domain example.com                       whoever signs as somebody of example.com, from now on
  sigbox monitor --once --from start --email dev@example.com --json
  sigbox monitor --watch watches.toml --webhook https://hooks.example.com/sigstore --metrics-listen localhost:2113
  sigbox monitor --public-good --repository ORG/APP         the public instance

watches.toml:
  [[watch]]
  name = \"releases of app\"
  repository = [\"https://github.com/org/app\"]      # as the flags: values of one field are alternatives,
                                                  # and each field that is named must be met
  [[watch.expect]]                                # what one of these describes is expected, and not told of
  workflow = [\".github/workflows/release.yml\"]
  issuer = [\"https://token.actions.githubusercontent.com\"]";

/// Runs the command.
///
/// # Errors
/// [`Failure`]: with `--once` also what was found.
pub(crate) async fn run(args: MonitorArgs, console: Console) -> Result<(), Failure> {
    let watches = watches::read(&args.conditions, args.watch.as_deref())?;
    let folder = args
        .folder()
        .ok_or_else(|| Failure::usage("without a home, --state DIR must say where to keep places in logs"))?;
    let delivery =
        Delivery::new(args.json, args.webhook.as_deref(), args.exec.clone()).map_err(Failure::usage)?;
    let state = State::open(&folder).map_err(Failure::failed)?;
    let stop = Stop::listen().map_err(Failure::failed)?;
    let metrics = match &args.metrics_listen {
        Some(address) => Some(serve_metrics(address, &stop)?),
        None => None,
    };
    if watches.is_empty() {
        console.remark("Nothing is watched for: only that logs are consistent. --email, --domain and others name what to look for");
    }
    let examiner = Examiner::new(&args, watches, &state).map_err(Failure::failed)?;
    let mut monitor = Monitor::new(&args, examiner, state, delivery, console)?;
    let outcome = monitor.run(&stop).await;
    if let Some(metrics) = metrics {
        stop.now();
        let _ = metrics.await;
    }
    let pass = outcome.map_err(Failure::failed)?;
    match args.once {
        true => verdict(&pass),
        false => Ok(()),
    }
}

/// What one look comes to.
fn verdict(pass: &Pass) -> Result<(), Failure> {
    let failure = |exit, message: String| Err(Failure { exit, message });
    if let Some(first) = pass.inconsistent.first() {
        return failure(Exit::Inconsistent, first.clone());
    }
    if pass.unexpected > 0 {
        let message = format!("{} found that nobody expects", pass.unexpected);
        return failure(Exit::Sighted, message);
    }
    match pass.troubles.first() {
        Some(first) => Err(Failure::failed(first)),
        None => Ok(()),
    }
}

/// Serves metrics until it is time to stop.
fn serve_metrics(address: &ListenAddr, stop: &Stop) -> Result<tokio::task::JoinHandle<()>, Failure> {
    let handle = telemetry::init_metrics(&[], &[]).map_err(Failure::cannot_start)?;
    let bound = Bound::bind(address)
        .map_err(|error| Failure::cannot_start(format!("cannot listen for metrics: {error}")))?;
    let router = layers::wrap(telemetry::metrics_router(handle.clone()), REQUEST_LIMIT);
    let wait = stop.wait();
    Ok(tokio::spawn(async move {
        let upkeep = tokio::spawn(telemetry::upkeep(handle));
        serve(vec![bound], router, Limits::default(), wait).await;
        upkeep.abort();
    }))
}
