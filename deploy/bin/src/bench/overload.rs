//! `bench --overload TIMES`: what an instance does with more than it can.
//!
//! First its capacity and its normal latency are measured: a few clients, each asking again as soon as it is answered.
//! Then that many times its capacity is offered for the time given, by clients that come back at once after a refusal. What was
//! taken must have kept its latency, what was not must have been told when to come back, memory must stay flat, and
//! everything that was acknowledged must be in the log.

mod audit;
mod generate;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use self::audit::Audit;
use self::generate::{Acknowledged, Offer, Outcome, Refusals, Requests};
use super::check::{self, Trust};
use super::prepare::{self, Materials};
use super::process::Processes;
use super::report::percentile;
use super::target::Target;
use super::work::Work;
use super::{BenchArgs, check_descriptors};
use crate::console::{self, Console};
use crate::exit::Failure;

/// Clients of the normal load: as many as a service works for at once when it has to choose (`Bounds::WRITES`).
const NORMAL_CLIENTS: u32 = 128;
/// Connections of the overload: more than a service takes in a burst. The rate is what makes it one; still more connections
/// would only add what waits in their buffers.
const OVERLOAD_CLIENTS: u32 = 1_536;
/// How long the warm-up and the normal load last.
const WARM_UP: Duration = Duration::from_secs(1);
const NORMAL: Duration = Duration::from_secs(5);
/// Requests made beforehand for the warm-up.
const FIRST: usize = 4_000;
/// Most requests made beforehand: at most about 1 GiB. Those for timestamps are a tenth of the others in size.
const MOST: usize = 1_000_000;
const MOST_TIMESTAMPS: usize = 4_000_000;
/// Between two looks at the server's memory, and how long it may settle.
const LOOK: Duration = Duration::from_millis(200);
const SETTLE: Duration = Duration::from_secs(2);

/// One kind of work. Members are added, never renamed: scripts read them.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    work: Work,
    times: u32,
    /// The normal load.
    capacity_per_second: f64,
    normal_p50_ms: f64,
    normal_p99_ms: f64,
    /// What was wanted of the generator, and what it reached.
    wanted_per_second: f64,
    offered_per_second: f64,
    seconds: f64,
    admitted_per_second: f64,
    admitted_p50_ms: f64,
    admitted_p99_ms: f64,
    p99_ratio: f64,
    refused_p50_ms: f64,
    refused_p99_ms: f64,
    /// By status or kind of failure: how many, and how many with `Retry-After`.
    refusals: std::collections::BTreeMap<String, (u64, u64)>,
    rss_before_mib: Option<f64>,
    rss_peak_mib: Option<f64>,
    rss_after_mib: Option<f64>,
    /// Requests that were acknowledged in all windows, and how many of them are in the log.
    acknowledged: usize,
    found: usize,
    tree_size: u64,
    /// Answers of a sample that were verified in full.
    verified: usize,
    /// What is wrong, if something is.
    wrong: Vec<String>,
}

/// Runs the measurement for each kind of work.
///
/// # Errors
/// [`Failure`] when the instance cannot be reached, a refusal was no 503 with `Retry-After`, or something was lost.
pub(super) async fn run(args: &BenchArgs, times: u32, console: Console) -> Result<(), Failure> {
    check_descriptors(u16::try_from(OVERLOAD_CLIENTS).unwrap_or(u16::MAX))?;
    let mut rows = Vec::new();
    for work in &args.work {
        // Each kind has an instance of its own, unless there is one.
        let target = match &args.url {
            Some(url) => Target::attach(url, &args.pid).await,
            None => Target::start(console).await,
        };
        let target = target.map_err(Failure::failed)?;
        let row = one(args, &target, *work, times, console).await;
        let stopped = target.stop().await.map_err(Failure::failed);
        let row = row?;
        console.remark(&row.summary());
        rows.push(row);
        stopped?;
    }
    let text = if args.json {
        serde_json::to_string(&json!({ "seconds": args.seconds, "runs": rows })).map_err(Failure::failed)?
    } else {
        rows.iter().map(Row::text).collect::<Vec<_>>().join("\n")
    };
    console::result(&text).map_err(|error| Failure::failed(format!("cannot write the figures: {error}")))?;
    match rows.iter().find_map(|row| row.wrong.first()) {
        None => Ok(()),
        Some(wrong) => Err(Failure::failed(wrong)),
    }
}

async fn one(
    args: &BenchArgs,
    target: &Target,
    work: Work,
    times: u32,
    console: Console,
) -> Result<Row, Failure> {
    let trust = Trust::fetch(target.url()).await.map_err(Failure::failed)?;
    let tokens = args.tokens_from.as_deref().unwrap_or(target.url());
    let materials = Materials::fetch(work, tokens).await.map_err(Failure::failed)?;
    let normal = Offer {
        clients: NORMAL_CLIENTS,
        rate: None,
        window: NORMAL,
    };
    let requests = Requests::new(work, target, make(work, FIRST, &materials, console).await?);
    let (mut requests, warm) = offer(
        requests,
        Offer {
            window: WARM_UP,
            ..normal
        },
    )
    .await?;

    let window = Duration::from_secs(args.seconds);
    let enough = warm.admitted_rate() * 1.6 * window.saturating_add(NORMAL).as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number, and the cast saturates"
    )]
    let enough = (enough as usize).saturating_add(FIRST).min(match work {
        Work::Timestamp => MOST_TIMESTAMPS,
        _ => MOST,
    });
    requests
        .bodies
        .extend(make(work, enough, &materials, console).await?);
    let (requests, usual) = offer(requests, normal).await?;
    let capacity = usual.admitted_rate();
    console.remark(&format!(
        "{}: capacity {capacity:.0}/s with {NORMAL_CLIENTS} clients; now {times} times that for {} s",
        work.name(),
        args.seconds
    ));

    let watch = Watch::start(target.processes().clone());
    let much = Offer {
        clients: OVERLOAD_CLIENTS,
        rate: Some(capacity * f64::from(times)),
        window,
    };
    let (requests, over) = offer(requests, much).await?;
    tokio::time::sleep(SETTLE).await;
    let memory = watch.end();

    let last = requests.next.min(requests.bodies.len().saturating_sub(1));
    let bodies = Arc::new(requests.bodies);
    let windows = [&warm, &usual, &over];
    let acknowledged: Vec<Acknowledged> = windows
        .iter()
        .flat_map(|outcome| outcome.acknowledged.iter().copied())
        .collect();
    console.remark(&format!(
        "{}: looking for {} acknowledged entries",
        work.name(),
        acknowledged.len()
    ));
    let audited = audit::run(target.url(), &trust, work, &bodies, &acknowledged, last, console).await;
    let samples: Vec<_> = windows
        .iter()
        .flat_map(|outcome| outcome.samples.iter().cloned())
        .collect();
    let checked = check::sample(&trust, work, &bodies, &samples);
    Ok(Row::new(
        work,
        times,
        much,
        (&usual, &over),
        memory,
        acknowledged.len(),
        audited,
        checked,
    ))
}

async fn make(
    work: Work,
    count: usize,
    materials: &Materials,
    console: Console,
) -> Result<Vec<bytes::Bytes>, Failure> {
    let materials = materials.clone();
    let made = tokio::task::spawn_blocking(move || prepare::bodies(work, count, &materials, console)).await;
    made.map_err(Failure::failed)?.map_err(Failure::failed)
}

async fn offer(requests: Requests, offer: Offer) -> Result<(Requests, Outcome), Failure> {
    let ran = tokio::task::spawn_blocking(move || generate::run(requests, offer)).await;
    ran.map_err(Failure::failed)?.map_err(Failure::failed)
}

/// What the server's memory does meanwhile, in KiB.
struct Watch {
    processes: Processes,
    before: Option<u64>,
    peak: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy)]
struct Memory {
    before: Option<u64>,
    peak: Option<u64>,
    after: Option<u64>,
}

impl Watch {
    fn start(processes: Processes) -> Watch {
        let watched = processes.clone();
        let resident = move || watched.memory().map(|memory| memory.resident);
        let before = resident();
        let (peak, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, over) = (Arc::clone(&peak), Arc::clone(&ended));
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                seen.fetch_max(resident().unwrap_or_default(), Ordering::Relaxed);
                tokio::time::sleep(LOOK).await;
            }
        });
        Watch {
            processes,
            before,
            peak,
            ended,
        }
    }

    fn end(self) -> Memory {
        self.ended.store(true, Ordering::Relaxed);
        let after = self.processes.memory().map(|memory| memory.resident);
        let peak = self.peak.load(Ordering::Relaxed);
        Memory {
            before: self.before,
            peak: Some(peak).filter(|peak| *peak > 0),
            after,
        }
    }
}

impl Row {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one measurement, each used once"
    )]
    fn new(
        work: Work,
        times: u32,
        offer: Offer,
        (usual, over): (&Outcome, &Outcome),
        memory: Memory,
        acknowledged: usize,
        audited: Result<Audit, audit::AuditError>,
        checked: check::Checked,
    ) -> Row {
        let mut wrong = Vec::new();
        let mut refusals = std::collections::BTreeMap::new();
        for (
            kind,
            Refusals {
                count,
                with_retry_after,
            },
        ) in usual.others.iter().chain(&over.others)
        {
            if kind != "503" || with_retry_after != count {
                wrong.push(format!(
                    "{}: {count} answers {kind}, {with_retry_after} of them with Retry-After",
                    work.name()
                ));
            }
        }
        for (kind, one) in &over.others {
            refusals.insert(kind.clone(), (one.count, one.with_retry_after));
        }
        if over.admitted.is_empty() {
            wrong.push(format!("{}: nothing was admitted", work.name()));
        }
        if usual.ran_out || over.ran_out {
            wrong.push(format!("{}: the prepared requests ran out", work.name()));
        }
        wrong.extend(
            checked
                .wrong
                .map(|wrong| format!("{}: an answer is wrong: {wrong}", work.name())),
        );
        let audit = audited.unwrap_or_else(|error| {
            wrong.push(format!("{}: {error}", work.name()));
            Audit::default()
        });
        let mib = |kib: u64| f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0;
        let (normal_p99_ms, admitted_p99_ms) =
            (percentile(&usual.admitted, 99), percentile(&over.admitted, 99));
        Row {
            work,
            times,
            capacity_per_second: usual.admitted_rate(),
            normal_p50_ms: percentile(&usual.admitted, 50),
            normal_p99_ms,
            wanted_per_second: offer.rate.unwrap_or_default(),
            offered_per_second: over.rate(over.sent),
            seconds: over.elapsed.as_secs_f64(),
            admitted_per_second: over.admitted_rate(),
            admitted_p50_ms: percentile(&over.admitted, 50),
            admitted_p99_ms,
            p99_ratio: if normal_p99_ms > 0.0 {
                admitted_p99_ms / normal_p99_ms
            } else {
                0.0
            },
            refused_p50_ms: percentile(&over.refused, 50),
            refused_p99_ms: percentile(&over.refused, 99),
            refusals,
            rss_before_mib: memory.before.map(mib),
            rss_peak_mib: memory.peak.map(mib),
            rss_after_mib: memory.after.map(mib),
            acknowledged,
            found: audit.found,
            tree_size: audit.size,
            verified: checked.verified,
            wrong,
        }
    }

    /// A line while the others still run.
    fn summary(&self) -> String {
        format!(
            "{}: admitted {:.0}/s of {:.0}/s offered, p99 {:.1} ms against {:.1} ms normally",
            self.work.name(),
            self.admitted_per_second,
            self.offered_per_second,
            self.admitted_p99_ms,
            self.normal_p99_ms
        )
    }

    /// For people.
    fn text(&self) -> String {
        let mib = |value: Option<f64>| value.map_or("n/a".to_owned(), |value| format!("{value:.0}"));
        let refusals = match self.refusals.is_empty() {
            true => "none".to_owned(),
            false => self
                .refusals
                .iter()
                .map(|(kind, (count, with))| format!("{count} × {kind}, {with} with Retry-After"))
                .collect::<Vec<_>>()
                .join("; "),
        };
        let kept = match self.work {
            Work::Timestamp => format!("{} timestamps, nothing is stored", self.acknowledged),
            _ => format!(
                "{} acknowledged, {} found in the tree of {}",
                self.acknowledged, self.found, self.tree_size
            ),
        };
        let mut text = format!(
            "{} at {} times capacity\n  \
             normal    {:.0}/s, p50 {:.1} ms, p99 {:.1} ms\n  \
             offered   {:.0}/s for {:.0} s (wanted {:.0}/s)\n  \
             admitted  {:.0}/s, p50 {:.1} ms, p99 {:.1} ms: {:.2} × normal\n  \
             refused   {refusals}; p50 {:.1} ms, p99 {:.1} ms\n  \
             memory    {} MiB before, {} at most, {} after\n  \
             kept      {kept}; {} answers verified in full",
            self.work.name(),
            self.times,
            self.capacity_per_second,
            self.normal_p50_ms,
            self.normal_p99_ms,
            self.offered_per_second,
            self.seconds,
            self.wanted_per_second,
            self.admitted_per_second,
            self.admitted_p50_ms,
            self.admitted_p99_ms,
            self.p99_ratio,
            self.refused_p50_ms,
            self.refused_p99_ms,
            mib(self.rss_before_mib),
            mib(self.rss_peak_mib),
            mib(self.rss_after_mib),
            self.verified,
        );
        for wrong in &self.wrong {
            text.push_str("\n  WRONG     ");
            text.push_str(wrong);
        }
        text
    }
}
