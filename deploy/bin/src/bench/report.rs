//! The figures, for people and for scripts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::check::Checked;
use super::load::Outcome;
use super::process::Memory;
use super::work::Work;
use crate::exit::Failure;

/// One run. Members are added, never renamed: scripts read them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    work: Work,
    clients: u16,
    requests: usize,
    seconds: f64,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Processor time of the server for each successful request.
    server_cpu_ms: Option<f64>,
    /// The same of the load generator.
    client_cpu_ms: Option<f64>,
    server_rss_mib: Option<f64>,
    server_peak_mib: Option<f64>,
    /// Answers that were verified in full; nothing where only the status was looked at.
    verified: Option<usize>,
    errors: BTreeMap<String, u64>,
    /// Why the first answer of the sample that did not verify did not.
    wrong: Option<String>,
    /// The prepared requests ended before the time: the run was shorter.
    ran_out: bool,
}

impl Row {
    /// From what was measured.
    pub(crate) fn new(
        work: Work,
        clients: u16,
        outcome: &Outcome,
        memory: Option<Memory>,
        checked: Option<Checked>,
    ) -> Row {
        let requests = outcome.latencies.len();
        let each = |cpu: Option<Duration>| {
            cpu.filter(|_| requests > 0)
                .map(|cpu| milliseconds(cpu) / count(requests))
        };
        let mib = |kib: u64| f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0;
        Row {
            work,
            clients,
            requests,
            seconds: outcome.elapsed.as_secs_f64(),
            per_second: outcome.rate(),
            p50_ms: percentile(&outcome.latencies, 50),
            p99_ms: percentile(&outcome.latencies, 99),
            server_cpu_ms: each(outcome.server_cpu),
            client_cpu_ms: each(outcome.client_cpu),
            server_rss_mib: memory.map(|memory| mib(memory.resident)),
            server_peak_mib: memory.map(|memory| mib(memory.peak)),
            verified: checked.as_ref().map(|checked| checked.verified),
            errors: outcome.errors.clone(),
            wrong: checked.and_then(|checked| checked.wrong),
            ran_out: outcome.ran_out,
        }
    }

    /// Every request succeeded, there were some, and the sample, if one was to be taken, verified.
    pub(crate) fn is_good(&self) -> bool {
        self.requests > 0 && self.verified != Some(0) && self.errors.is_empty() && self.wrong.is_none()
    }

    /// A line while the others still run.
    pub(crate) fn summary(&self) -> String {
        let mut line = format!(
            "{} with {} clients: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms",
            self.work.name(),
            self.clients,
            self.per_second,
            self.p50_ms,
            self.p99_ms,
        );
        // Writing to a String does not fail.
        if let Some(verified) = self.verified {
            let _ = write!(line, ", {verified} answers verified");
        }
        for (error, number) in &self.errors {
            let _ = write!(line, "; {error}: {number}");
        }
        if let Some(wrong) = &self.wrong {
            let _ = write!(line, "; an answer is wrong: {wrong}");
        }
        if self.ran_out {
            let _ = write!(
                line,
                "; the prepared requests ran out after {:.1} s",
                self.seconds
            );
        }
        line
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn count(requests: usize) -> f64 {
    requests as f64
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Nearest rank, of sorted microseconds, in milliseconds; 0 of nothing.
pub(super) fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
}

/// A table for people.
pub(crate) fn table(rows: &[Row]) -> String {
    const HEAD: [&str; 11] = [
        "work", "clients", "requests", "per s", "p50 ms", "p99 ms", "cpu ms", "rss MiB", "peak MiB",
        "verified", "errors",
    ];
    let number = |value: f64, digits: usize| format!("{value:.digits$}");
    let known =
        |value: Option<f64>, digits: usize| value.map_or("n/a".to_owned(), |value| number(value, digits));
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            row.work.name().to_owned(),
            row.clients.to_string(),
            row.requests.to_string(),
            number(row.per_second, 0),
            number(row.p50_ms, 2),
            number(row.p99_ms, 2),
            known(row.server_cpu_ms, 3),
            known(row.server_rss_mib, 0),
            known(row.server_peak_mib, 0),
            row.verified
                .map_or("n/a".to_owned(), |verified| verified.to_string()),
            row.errors
                .values()
                .fold(0u64, |sum, number| sum.saturating_add(*number))
                .to_string(),
        ]
    }));
    let mut widths = [0; HEAD.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for (position, line) in lines.iter().enumerate() {
        if position > 0 {
            text.push('\n');
        }
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
    }
    text
}

/// One line for scripts.
///
/// # Errors
/// [`Failure`] if a figure is not a number.
pub(crate) fn json(url: &str, seconds: u64, rows: &[Row]) -> Result<String, Failure> {
    serde_json::to_string(&json!({ "url": url, "seconds": seconds, "runs": rows })).map_err(Failure::failed)
}

#[cfg(test)]
mod tests;
