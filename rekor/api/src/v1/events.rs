//! One event for each new entry (rekor `pkg/events`; CloudEvents 1.0 §3, JSON Event Format §3).
//!
//! The queue is bounded and a write never waits for it: an event that finds it full is counted and lost, as upstream loses
//! those it cannot publish. Whoever must know every entry reads the log.

use common_engine::Receipt;
use metrics::counter;
use rekor_entry::committed;
use tokio::sync::mpsc;

use super::entry_id::EntryId;
use super::read::extra;
use super::shards::Shard;
use crate::json;
use crate::personality::integrated_time;

/// Type of the events, and the label of the metric.
const NEW_ENTRY: &str = "dev.sigstore.rekor.events.v1.NewEntry";

/// Makes a queue of events; who has the receiver sends them on, and [`count`]s.
#[must_use]
pub fn queue(capacity: usize) -> (Events, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel(capacity);
    (Events(sender), receiver)
}

/// A CloudEvent as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The entry ID, by which a receiver knows an event that comes again.
    pub id: String,
    /// The event, of media type `application/cloudevents+json`.
    pub json: String,
}

/// The end of a queue that new entries are announced to.
#[derive(Debug, Clone)]
pub struct Events(mpsc::Sender<Event>);

impl Events {
    pub(super) fn announce(&self, shard: &Shard, id: EntryId, receipt: &Receipt) {
        match self.0.try_reserve() {
            Ok(permit) => match event(shard, id, receipt) {
                Some(event) => permit.send(event),
                None => count(false),
            },
            Err(_) => count(false),
        }
    }
}

/// Counts an event that was delivered or lost.
pub fn count(delivered: bool) {
    let status = if delivered { "SUCCESS" } else { "ERROR" };
    let labels = [
        ("event", NEW_ENTRY),
        ("content_type", "application/json"),
        ("status", status),
    ];
    counter!("rekor_publish_events", &labels).increment(1);
}

/// Nothing for an entry that cannot be read back, which none is.
fn event(shard: &Shard, id: EntryId, receipt: &Receipt) -> Option<Event> {
    let entry = committed::read(&receipt.leaf.data).ok()?;
    let set = extra(&receipt.leaf).ok()?.set;
    let signatures = entry.signatures.iter();
    let mut subjects: Vec<&str> = signatures
        .flat_map(|signature| signature.verifier.subjects())
        .map(String::as_str)
        .collect();
    subjects.sort_unstable();
    let mut text = String::with_capacity(80);
    id.write(&mut text);
    let time = integrated_time(receipt.leaf.time);
    let mut out = String::with_capacity(4_096);
    out.push_str("{\"data\":");
    // Upstream has the entry as a text, not as an object.
    json::string(
        &mut out,
        &log_entry(shard, receipt, set, entry.kind, entry.api_version),
    );
    out.push_str(",\"datacontenttype\":\"application/json\",\"id\":\"");
    out.push_str(&text);
    out.push_str("\",\"rekor_entry_kind\":\"");
    out.push_str(entry.kind);
    out.push_str("\",\"rekor_signing_subjects\":");
    json::string(&mut out, &subjects.join(","));
    out.push_str(",\"source\":\"/createLogEntry\",\"specversion\":\"1.0\",\"time\":\"");
    out.push_str(&rfc3339(time));
    out.push_str("\",\"type\":\"");
    out.push_str(NEW_ENTRY);
    out.push_str("\"}");
    Some(Event { id: text, json: out })
}

/// The entry as JSON of protobuf-specs `sigstore_rekor.proto TransparencyLogEntry`: 64-bit numbers are text there.
fn log_entry(shard: &Shard, receipt: &Receipt, set: &[u8], kind: &str, version: &str) -> String {
    let Receipt {
        leaf, proof, head, ..
    } = receipt;
    let mut out = String::with_capacity(4_096);
    out.push_str("{\"logIndex\":\"");
    json::number(&mut out, shard.virtual_index(leaf.index));
    out.push_str("\",\"logId\":{\"keyId\":");
    json::base64(&mut out, shard.key_digest());
    out.push_str("},\"kindVersion\":{\"kind\":\"");
    out.push_str(kind);
    out.push_str("\",\"version\":\"");
    out.push_str(version);
    out.push_str("\"},\"integratedTime\":\"");
    json::number(&mut out, integrated_time(leaf.time));
    out.push_str("\",\"inclusionPromise\":{\"signedEntryTimestamp\":");
    json::base64(&mut out, set);
    out.push_str("},\"inclusionProof\":{\"logIndex\":\"");
    json::number(&mut out, leaf.index);
    out.push_str("\",\"rootHash\":");
    json::base64(&mut out, head.root.as_bytes());
    out.push_str(",\"treeSize\":\"");
    json::number(&mut out, head.size);
    out.push_str("\",\"hashes\":");
    json::hashes(&mut out, proof, |out, hash| json::base64(out, hash.as_bytes()));
    out.push_str(",\"checkpoint\":{\"envelope\":");
    json::string(&mut out, &head.checkpoint);
    out.push_str("}},\"canonicalizedBody\":");
    json::base64(&mut out, &leaf.data);
    out.push('}');
    out
}

/// Unix seconds as RFC 3339 §5.6 in UTC.
fn rfc3339(seconds: u64) -> String {
    let time = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    time.format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
