//! How fast leaves get into a log on SQLite: `cargo run --release -p common-backend --example raw_leaves -- [ENTRIES]`.
//!
//! 512 submitters, leaves of 1,100 bytes with one leaf hash and three search terms each; every submission waits for
//! its durable, self-checked proof. Prints throughput, latency, and CPU time of the whole process per entry, the
//! submitters included; for a million entries and more, also of each tenth, which shows how speed changes with size.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program with its own clock"
)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a measurement may stop at any surprise"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::signature::Ed25519KeyPair;
use bytes::Bytes;
use common_backend::anchor::FileAnchor;
use common_backend::folder::DataFolder;
use common_backend::sqlite::SqliteStorage;
use common_engine::{
    Clock, Engine, Entry, LogConfig, LogId, LogKind, LogSpec, Options, Personality, SealError, Sealed,
};
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::{KeyHint, Note};
use common_tlog::{Hash, leaf_hash};

const LOG: LogId = LogId(1);
const SUBMITTERS: u64 = 512;
const LEAF: usize = 1_100;

struct Raw(Ed25519KeyPair);

impl Personality for Raw {
    fn seal(&self, entry: &Entry, _index: u64, _time: u64) -> Result<Sealed, SealError> {
        Ok(Sealed {
            leaf: entry.body.clone(),
            extra: Bytes::new(),
        })
    }

    fn checkpoint(&self, size: u64, root: &Hash, _time: u64) -> Result<String, SealError> {
        let text = Checkpoint::new("raw.example", size, *root).to_string();
        let signature = self.0.sign(text.as_bytes()).as_ref().to_vec();
        let mut note = Note::new(text).map_err(SealError::new)?;
        note.push("raw.example", KeyHint([0; 4]), signature)
            .map_err(SealError::new)?;
        Ok(note.to_string())
    }
}

fn entry(number: u64) -> Entry {
    let mut body = format!("{number:016x}").repeat(LEAF.div_ceil(16)).into_bytes();
    body.truncate(LEAF);
    let identity = leaf_hash(&body);
    let terms = ["sha256:", "key:", "email:"].map(|kind| format!("{kind}{identity}"));
    Entry {
        identity,
        body: body.into(),
        aux: Bytes::new(),
        terms: terms.into(),
        attachments: Vec::new(),
    }
}

/// CPU time of this process, from the clock ticks (10 ms) of `/proc/self/stat`, fields 14 and 15.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Prints the rate of each tenth as it passes.
async fn tenths(next: &AtomicU64, total: u64) {
    let (mut from, mut start, mut spent) = (0, Instant::now(), cpu());
    while from < total {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = next.load(Ordering::Relaxed).min(total);
        if now - from >= total / 10 || (now == total && now > from) {
            let (entries, used) = ((now - from) as f64, cpu() - spent);
            println!(
                "{from:>9} to {now:>9}: {:.0} entries/s, {:.4} ms CPU each",
                entries / start.elapsed().as_secs_f64(),
                used.as_secs_f64() * 1e3 / entries
            );
            (from, start, spent) = (now, Instant::now(), cpu());
        }
    }
}

#[tokio::main]
async fn main() {
    let total: u64 = std::env::args()
        .nth(1)
        .map_or(100_000, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let data = Arc::new(DataFolder::open(folder.path().join("data")).unwrap());
    let storage = Arc::new(SqliteStorage::open(Arc::clone(&data)).await.unwrap());
    let spec = LogSpec {
        kind: LogKind::RekorV2,
        origin: "raw.example".to_owned(),
        tree_id: 0,
        key_id: String::new(),
        leaf_limit: 65_535,
        created: 0,
    };
    let log = LogConfig {
        id: LOG,
        spec,
        personality: Arc::new(Raw(Ed25519KeyPair::generate().unwrap())),
    };
    let anchor = Arc::new(FileAnchor::new(data.path().join("published")));
    let clock = Clock::new(SystemTime::now);
    let engine = Engine::open(storage, vec![log], anchor, clock, Options::default())
        .await
        .unwrap();

    let next = Arc::new(AtomicU64::new(0));
    let (start, cpu_before) = (Instant::now(), cpu());
    let submitters: Vec<_> = (0..SUBMITTERS)
        .map(|_| {
            let (engine, next) = (engine.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return latencies;
                    }
                    let begin = Instant::now();
                    engine.submit(LOG, entry(number)).await.unwrap();
                    latencies.push(begin.elapsed());
                }
            })
        })
        .collect();
    let mut latencies = Vec::new();
    if total >= 1_000_000 {
        tenths(&next, total).await;
    }
    for submitter in submitters {
        latencies.extend(submitter.await.unwrap());
    }
    let (elapsed, cpu) = (start.elapsed(), cpu() - cpu_before);
    latencies.sort_unstable();
    let at = |part: usize| {
        latencies
            .get(latencies.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    println!("{total} entries of {LEAF} bytes, {SUBMITTERS} submitters");
    println!(
        "{:.0} entries/s, {:.3} ms CPU each",
        total as f64 / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e3 / total as f64
    );
    println!(
        "p50 {:?}, p99 {:?}, longest {:?}",
        at(50),
        at(99),
        latencies.last().copied().unwrap_or_default()
    );
    engine.shutdown().await;
}
