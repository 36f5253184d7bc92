//! Figures under upstream's names (fulcio `pkg/server/metrics.go`, `cmd/app/http.go`).

use std::time::Duration;

const NEW_CERTS: &str = "fulcio_new_certs";
const LATENCY: &str = "fulcio_api_latency";
const REQUESTS: &str = "http_requests_total";
const GRPC_HANDLED: &str = "grpc_server_handled_total";

const DENIED: &str = "sigbox_policy_denied_total";

/// Says what each figure means.
pub(crate) fn describe() {
    metrics::describe_counter!(DENIED, "Certificates that a policy refused, by mode");
    metrics::describe_counter!(NEW_CERTS, "Certificates issued");
    metrics::describe_histogram!(
        LATENCY,
        metrics::Unit::Milliseconds,
        "Time to answer, by code and method"
    );
    metrics::describe_counter!(REQUESTS, "HTTP requests answered, by code and method");
    metrics::describe_counter!(GRPC_HANDLED, "gRPC calls answered, by service, method and code");
}

/// A policy refused; in a dry run the certificate left all the same.
pub(crate) fn denied(enforced: bool) {
    metrics::counter!(DENIED, "mode" => if enforced { "enforce" } else { "dry-run" }).increment(1);
}

/// One certificate left.
pub(crate) fn issued() {
    metrics::counter!(NEW_CERTS).increment(1);
}

/// One HTTP answer left. Methods are lower case, as upstream labels them.
pub(crate) fn answered(status: http::StatusCode, method: &http::Method, took: Duration) {
    // Only known methods become labels: a client must not be able to invent time series.
    let method = match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "OPTIONS" => "options",
        "POST" => "post",
        _ => "unknown",
    };
    let labels = [
        ("code", status.as_str().to_owned()),
        ("method", method.to_owned()),
    ];
    metrics::histogram!(LATENCY, &labels).record(took.as_secs_f64() * 1_000.0);
    metrics::counter!(REQUESTS, &labels).increment(1);
}

/// One gRPC call was answered.
pub(crate) fn called(service: &'static str, method: &'static str, code: tonic::Code) {
    let labels = [
        ("grpc_service", service.to_owned()),
        ("grpc_method", method.to_owned()),
        ("grpc_code", format!("{code:?}")),
        ("grpc_type", "unary".to_owned()),
    ];
    metrics::counter!(GRPC_HANDLED, &labels).increment(1);
}
