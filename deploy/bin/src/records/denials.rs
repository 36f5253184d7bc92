//! Refusals of the issuance policy, kept for who operates it. A request never waits for one to be written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use common_engine::{Record, Shelf};
use fulcio_ca::{AuditLog, Denied};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{RecordsError, Shelves};
use crate::clock::unix_millis;

/// Where they are.
pub(crate) const SHELF: Shelf = Shelf("denials");
/// The newest that are kept, so that whoever is refused all the time fills no disk.
const MOST: u32 = 10_000;
/// How long: they say who wanted what.
const KEPT: Duration = Duration::from_secs(90 * 86_400);
/// That wait to be written.
const QUEUE: usize = 4_096;
/// Between two writes. What is refused in the same words meanwhile is one record with a count.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks for what is too old or too much.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// Longest text of a record, in bytes: most of it comes out of tokens.
const TEXT: usize = 1_024;

const LOST: &str = "sigbox_policy_denials_lost_total";

/// What is kept of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Denial {
    /// Whose token.
    pub(crate) issuer: String,
    /// Who would have stood in the certificate.
    pub(crate) subject: String,
    /// The token's `sub`.
    pub(crate) token_subject: String,
    /// The rule, as the policy names it.
    pub(crate) rule: String,
    /// The claim that decided, what was expected and what came.
    pub(crate) reason: String,
    /// Whether no certificate was issued; not so in a dry run.
    pub(crate) enforced: bool,
    /// How often, within a second or so.
    #[serde(default)]
    pub(crate) count: u64,
}

/// The door for the authority.
struct Queue(mpsc::Sender<Denied>);

impl AuditLog for Queue {
    fn denied(&self, denied: Denied) {
        if self.0.try_send(denied).is_err() {
            metrics::counter!(LOST).increment(1);
        }
    }
}

/// What the authority tells refusals to, and the task that keeps them until nobody tells any more.
pub(crate) fn keep(shelves: Arc<Shelves>) -> (Arc<dyn AuditLog>, JoinHandle<()>) {
    metrics::describe_counter!(
        LOST,
        "Refusals by policy that were not kept: too many at once, or no store"
    );
    let (sender, queue) = mpsc::channel(QUEUE);
    (Arc::new(Queue(sender)), tokio::spawn(write(shelves, queue)))
}

async fn write(shelves: Arc<Shelves>, mut queue: mpsc::Receiver<Denied>) {
    let mut pruned = None;
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, QUEUE).await > 0 {
        let now = batch.last().map_or(UNIX_EPOCH, |denied| denied.time);
        let records = merged(std::mem::take(&mut batch));
        let count = records.len();
        let due = pruned.is_none_or(|last: Instant| last.elapsed() >= PRUNE_EVERY);
        let outcome = async {
            let store = shelves.records().await?;
            store.add(SHELF, &records).await?;
            if due {
                let oldest = now.checked_sub(KEPT).map_or(0, unix_millis);
                store.prune(SHELF, oldest, MOST).await?;
            }
            Ok::<_, RecordsError>(())
        };
        match outcome.await {
            Ok(()) if due => pruned = Some(Instant::now()),
            Ok(()) => {}
            Err(error) => {
                tracing::error!(%error, count, "refusals of the policy could not be kept");
                metrics::counter!(LOST).increment(u64::try_from(count).unwrap_or(u64::MAX));
            }
        }
        sleep(PAUSE).await;
    }
}

/// One record for all that say the same.
fn merged(denied: Vec<Denied>) -> Vec<Record> {
    let mut counted: BTreeMap<Denial, (u64, u64)> = BTreeMap::new();
    for one in denied {
        let denial = Denial {
            issuer: short(one.issuer),
            subject: short(one.subject),
            token_subject: short(one.token_subject),
            rule: short(one.denial.rule),
            reason: short(one.denial.reason),
            enforced: one.enforced,
            count: 0,
        };
        let (_, count) = counted.entry(denial).or_insert((unix_millis(one.time), 0));
        *count = count.saturating_add(1);
    }
    let record = |(denial, (time, count)): (Denial, (u64, u64))| {
        let mut random = [0; 8];
        // Without random numbers two of one millisecond could be taken for one.
        let _ = aws_lc_rs::rand::fill(&mut random);
        let data = serde_json::to_vec(&Denial { count, ..denial }).unwrap_or_default();
        Record {
            key: format!("{time:012x}-{}", hex::encode(random)),
            alias: None,
            time,
            data: Bytes::from(data),
        }
    };
    counted.into_iter().map(record).collect()
}

fn short(mut text: String) -> String {
    let mut end = TEXT.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests;
