//! What there is to tell.

use common_bundle::trust::Timestamp;
use common_pki::key::sha256;
use common_tlog::Hash;
use rekor_entry::facts::{Facts, Signer};
use rekor_monitor::{Found, Watch};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::state::log_id;
use crate::console;

/// Longest text, longest value of others in what is told, and most of them: an event is some KiB, and every receiver takes it.
const TEXT: usize = 2_000;
const VALUE: usize = 300;
const VALUES: usize = 8;

/// Of what kind. The names are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// An entry that is watched for and not expected.
    Found,
    /// An entry that is watched for and expected.
    Expected,
    /// A certificate that is watched for, and that signed no entry.
    Unused,
    /// Entries that cannot be looked into.
    Unreadable,
    /// A log with two histories, or with other leaves than it signs.
    Inconsistent,
    /// A log that cannot be read, or is not where the trust says.
    Silent,
    /// It can be read again.
    Back,
    /// A log that was never followed before.
    NewLog,
    /// All is well.
    Alive,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Found => "found",
            Kind::Expected => "expected",
            Kind::Unused => "unused",
            Kind::Unreadable => "unreadable",
            Kind::Inconsistent => "inconsistent",
            Kind::Silent => "silent",
            Kind::Back => "back",
            Kind::NewLog => "new-log",
            Kind::Alive => "alive",
        }
    }
}

/// How an event is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Channel {
    /// A line on standard output.
    Output,
    /// The webhook.
    Webhook,
    /// The program.
    Program,
}

/// Something to tell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Event {
    /// The same when it is told again.
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) time: Timestamp,
    /// For people, without control characters.
    pub(super) text: String,
    data: Value,
    /// Where it was told already.
    #[serde(default)]
    pub(super) told: Vec<Channel>,
}

/// An entry that a watch saw.
pub(super) struct Entry<'a> {
    pub(super) index: u64,
    /// Hash of the leaf.
    pub(super) leaf: Hash,
    pub(super) facts: &'a Facts,
    /// When it was logged, in Unix milliseconds, as far as the log says so.
    pub(super) logged: Option<u64>,
}

impl Event {
    /// `subject` tells events of one kind apart.
    pub(super) fn new(kind: Kind, time: Timestamp, subject: &str, text: &str, data: Value) -> Event {
        Event {
            id: id(&format!("{}\n{subject}", kind.name())),
            kind,
            time,
            text: cut(&console::plain(text), TEXT),
            data,
            told: Vec::new(),
        }
    }

    /// An entry was seen.
    pub(super) fn seen(
        kind: Kind,
        found: &Found,
        watch: &Watch,
        entry: &Entry<'_>,
        time: Timestamp,
    ) -> Event {
        let Entry {
            index, facts, logged, ..
        } = entry;
        let digest = format!(
            "{}:{}",
            facts.digest.algorithm.name(),
            hex::encode(&facts.digest.value)
        );
        let what = [facts.kind, facts.api_version].join(" ");
        let by: Vec<String> = facts.signers.iter().take(VALUES).map(signer_text).collect();
        let text = format!(
            "watch {:?}: entry {index} of {}: {} {digest} {} {}",
            watch.name,
            log_text(found),
            what.trim_end(),
            if facts.api_version.is_empty() {
                "for"
            } else {
                "signed by"
            },
            by.join(" and "),
        );
        let text = match kind {
            Kind::Unused => format!("{text}: nothing that it signed is in a log"),
            _ => text,
        };
        let logged = logged.and_then(|millis| Timestamp::from_unix(i64::try_from(millis / 1_000).ok()?));
        let data = json!({
            "watch": watch.name,
            "log": log_json(found),
            "index": index,
            "logged": logged,
            "entry": {
                "kind": facts.kind,
                "apiVersion": facts.api_version,
                "digest": digest,
                "signers": facts.signers.iter().take(VALUES).map(signer_json).collect::<Vec<_>>(),
                "signersInAll": facts.signers.len(),
            },
        });
        // The leaf is part of it: another history may have another one in its place.
        let subject = format!("{}\n{index}\n{}\n{}", log_id(found), entry.leaf, watch.name);
        Event::new(kind, time, &subject, &text, data)
    }

    /// As one object, its members beside those of its kind.
    pub(super) fn json(&self) -> Value {
        let mut object = json!({ "event": self.kind, "id": self.id, "time": self.time, "text": self.text });
        if let (Some(object), Value::Object(data)) = (object.as_object_mut(), &self.data) {
            object.extend(data.clone());
        }
        object
    }

    /// As a CloudEvent (CloudEvents 1.0, JSON Event Format §3).
    pub(super) fn cloud_event(&self) -> Value {
        let source = self.data.pointer("/log/url").and_then(Value::as_str);
        json!({
            "specversion": "1.0",
            "id": self.id,
            "source": source.unwrap_or("sigbox monitor"),
            "type": format!("dev.sigbox.monitor.{}", self.kind.name()),
            "time": self.time,
            "datacontenttype": "application/json",
            "data": self.json(),
        })
    }
}

/// A name for whatever a text tells from all else: half of its SHA-256.
pub(super) fn id(text: &str) -> String {
    let hash = sha256(text.as_bytes());
    hex::encode(hash.first_chunk::<16>().unwrap_or(&[0; 16]))
}

/// A log, for people.
pub(super) fn log_text(found: &Found) -> String {
    format!("{} {:?}", found.log.name(), found.head.origin)
}

pub(super) fn log_json(found: &Found) -> Value {
    json!({
        "origin": found.head.origin,
        "url": found.url,
        "interface": found.log.name(),
        "keySha256": hex::encode(found.key.public_key().fingerprint()),
        "size": found.head.size,
    })
}

fn signer_text(signer: &Signer) -> String {
    let names = names(signer).join(" ");
    match (signer.names.is_empty(), &signer.issuer) {
        (true, _) => format!("key {}", signer.key_hashes[0]),
        (false, Some(issuer)) => format!("{names} of {}", cut(issuer, VALUE)),
        (false, None) => names,
    }
}

fn signer_json(signer: &Signer) -> Value {
    let value = |text: Option<&String>| text.map(|text| cut(text, VALUE));
    json!({
        "names": names(signer),
        "namesInAll": signer.names.len(),
        "issuer": value(signer.issuer.as_ref()),
        "repository": value(signer.repositories.first()),
        "workflow": value(signer.workflows.first()),
        "keySha256": signer.key_hashes[0],
    })
}

fn names(signer: &Signer) -> Vec<String> {
    let names = signer.names.iter().take(VALUES);
    names.map(|name| cut(&name.text(), VALUE)).collect()
}

/// The beginning of a text of others.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
