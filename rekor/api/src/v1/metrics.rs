//! Figures under upstream's names (rekor `pkg/api/metrics.go`; `pkg/generated/restapi/configure_rekor_server.go`, wrapMetrics), all
//! in nanoseconds, as there.

use std::time::Duration;

use http::{Method, StatusCode};

const BY_STATUS: &str = "rekor_api_latency";
const BY_STATUS_SUMMARY: &str = "rekor_api_latency_summary";
const BY_METHOD: &str = "rekor_latency_by_api";
const REQUESTS: &str = "rekor_qps_by_api";

/// The histograms; whoever installs the recorder gives them [`BUCKETS`]. Without, they would be summaries.
pub const HISTOGRAMS: [&str; 2] = [BY_STATUS, BY_METHOD];
/// From a millisecond to a minute, each 3.4 times the one before, as upstream's `rekor_latency_by_api` has them. Its other histogram has
/// the default ones, which are for seconds.
pub const BUCKETS: [f64; 10] = [
    1_000_000.0,
    3_395_515.0,
    11_529_524.0,
    39_148_676.0,
    132_929_931.0,
    451_365_616.0,
    1_532_618_865.0,
    5_204_030_838.0,
    17_670_366_444.0,
    60_000_000_000.0,
];

/// One answer left, of the route `path`. Only known methods become labels: a client must not be able to invent time series.
pub(super) fn answered(path: &str, method: &Method, status: StatusCode, took: Duration) {
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        _ => return,
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "a latency of more than 2^53 ns takes months"
    )]
    let took = took.as_nanos() as f64;
    let (path, code) = (path.to_owned(), status.as_str().to_owned());
    let labels = [("path", path.clone()), ("code", code.clone())];
    metrics::histogram!(BY_STATUS, &labels).record(took);
    metrics::histogram!(BY_STATUS_SUMMARY, &labels).record(took);
    metrics::histogram!(BY_METHOD, "path" => path.clone(), "method" => method).record(took);
    metrics::counter!(REQUESTS, "path" => path, "method" => method, "code" => code).increment(1);
}
