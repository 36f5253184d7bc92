//! Tracing to standard error and Prometheus metrics on a listener of their own, away from the public port.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Latency buckets in seconds: from a cached read to a client's own time-out.
const LATENCY_BUCKETS: [f64; 14] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// All crates have one version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Sends events to standard error, filtered by the environment variable `SIGBOX_LOG` (`tracing` directives such as
/// `info` or `fulcio_ca=debug`), `default` when it is unset. A second call changes nothing.
pub fn init_tracing(default: &str) {
    let filter = EnvFilter::try_from_env("SIGBOX_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let stderr = std::io::stderr;
    // Tests start several servers in one process; the first subscriber stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        .try_init();
}

/// Metrics could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up metrics: {0}")]
pub struct MetricsError(String);

/// The process-wide recorder, installed at the first call. `histograms` are those that measure in nanoseconds and have `buckets`.
///
/// # Errors
/// [`MetricsError`] when another recorder is installed already.
pub fn init_metrics(histograms: &[&str], buckets: &[f64]) -> Result<PrometheusHandle, MetricsError> {
    static HANDLE: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS);
            let named = |builder: PrometheusBuilder, name: &&str| {
                builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
            };
            builder
                .and_then(|builder| histograms.iter().try_fold(builder, named))
                .and_then(PrometheusBuilder::install_recorder)
                .inspect(|_| metrics::gauge!("sigbox_build_info", "version" => VERSION).set(1))
                .map_err(|error| error.to_string())
        })
        .clone()
        .map_err(MetricsError)
}

/// `GET /metrics` in the Prometheus text format.
pub fn metrics_router(handle: PrometheusHandle) -> Router {
    Router::new().route("/metrics", get(render)).with_state(handle)
}

async fn render(State(handle): State<PrometheusHandle>) -> impl IntoResponse {
    record_process();
    handle.run_upkeep();
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        handle.render(),
    )
}

/// Histograms keep every sample until they are drained: do it though nobody scrapes.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut every = tokio::time::interval(Duration::from_secs(15));
    loop {
        every.tick().await;
        handle.run_upkeep();
    }
}

/// A count as a metric has it.
#[expect(
    clippy::cast_precision_loss,
    reason = "requests, connections and bytes in memory are far below 2^52"
)]
pub(crate) fn as_figure(count: usize) -> f64 {
    count as f64
}

/// The two process figures every operator plots first, under the names the Prometheus client libraries use.
fn record_process() {
    if let Some(process) = Process::read() {
        metrics::gauge!("process_resident_memory_bytes").set(process.resident_bytes as f64);
        metrics::gauge!("process_cpu_seconds_total").set(process.cpu_seconds);
    }
}

/// Memory and processor time of this process, from `/proc` (`None` elsewhere).
struct Process {
    resident_bytes: u64,
    cpu_seconds: f64,
}

impl Process {
    fn read() -> Option<Process> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?
            .split_whitespace()
            .next()?
            .parse()
            .ok()?;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // proc_pid_stat(5): after the command in parentheses, fields 14 and 15 are utime and stime in clock ticks,
        // which the kernel reports to user space at 100 a second (USER_HZ).
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(Process {
            resident_bytes: kib.checked_mul(1024)?,
            cpu_seconds: user.checked_add(system)? as f64 / 100.0,
        })
    }
}
