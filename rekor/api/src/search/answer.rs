//! Answers as they are sent: JSON in camel case, see `openapi.json`.

use common_engine::{Head, LogKind};
use common_pki::cert::{self, SubjectAltName};
use rekor_entry::facts::{self, Facts};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::scan::Hit;
use super::{Log, Service};
use crate::personality::integrated_time;

/// Names and digests of one entry in a list; an entry by itself is shown whole.
const LISTED: usize = 16;

/// A page.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Newest first.
    pub entries: Vec<Found>,
    /// The cursor of the next page; none at the end.
    pub next: Option<String>,
    /// Nothing in the ranges that were searched can have been missed.
    pub complete: bool,
    /// What was searched of each log.
    pub logs: Vec<LogAnswer>,
}

/// A log, and what this page says about it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogAnswer {
    /// Number within this instance.
    pub log: u32,
    /// `rekor-v1` or `rekor-v2`.
    pub kind: &'static str,
    /// First line of its checkpoints.
    pub origin: String,
    /// Whether it takes entries.
    pub state: &'static str,
    /// Leaves of the checkpoint.
    pub size: u64,
    /// Root of the checkpoint, hexadecimal.
    pub root: String,
    /// The signed note.
    pub checkpoint: String,
    /// The leaves that this page speaks of: every one that is meant is on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searched: Option<Range>,
    /// Nothing is left of this log for a further page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exhausted: Option<bool>,
    /// What is not found by all its terms.
    pub unindexed: Unindexed,
}

/// Leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The first.
    pub from: u64,
    /// The one behind the last.
    pub to: u64,
}

/// What is not found by all its terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unindexed {
    /// Older leaves whose terms are being written.
    pub pending: Option<Range>,
    /// Below this leaf there are envelopes, logged before entries were searched, that are not found by subjects and
    /// predicate of their payload.
    pub payloads_below: u64,
}

/// An entry that was found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Number of its log.
    pub log: u32,
    /// `rekor-v1` or `rekor-v2`.
    pub log_kind: &'static str,
    /// First line of the log's checkpoints.
    pub origin: String,
    /// Place in the tree.
    pub index: u64,
    /// The index clients know it by: for Rekor v1 the virtual one, over all shards.
    pub log_index: u64,
    /// Rekor v1: the ID of 80 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_id: Option<String>,
    /// When it was logged, as the log says (RFC 3339). Of Rekor v2 this is not signed.
    pub time: String,
    /// Merkle leaf hash, hexadecimal.
    pub leaf_hash: String,
    /// Entry kind.
    pub kind: &'static str,
    /// Version of the kind.
    pub api_version: &'static str,
    /// The digest it commits to.
    pub digest: String,
    /// All digests it is found by.
    pub digests: Vec<String>,
    /// Types of in-toto predicates, in lower case.
    pub predicate_types: Vec<String>,
    /// Who signed.
    pub signers: Vec<Signer>,
    /// There is more than is listed.
    pub shortened: bool,
    /// The entry itself says that it is meant. False only for the oldest, of which not everything is told.
    pub confirmed: bool,
    /// Where the entry is, with its proof.
    pub url: String,
}

/// Who made one of the signatures. Names are as the certificate has them; whether its issuer is to be trusted, a log does
/// not say.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signer {
    /// Names in the certificate.
    pub names: Vec<Name>,
    /// Issuer of the token that the certificate was given for.
    pub issuer: Option<String>,
    /// The repository.
    pub repository: Option<String>,
    /// The workflow, in the forms it goes by.
    pub workflows: Vec<String>,
    /// Commits.
    pub commits: Vec<String>,
    /// SHA-256 of the key, DER SubjectPublicKeyInfo.
    pub key_sha256: String,
    /// SHA-256 of key or certificate in PEM, by which `index/retrieve` finds it.
    pub key_hash: String,
    /// SHA-256 of the signature.
    pub signature_sha256: Option<String>,
    /// The certificate, if it is one.
    pub certificate: Option<Certificate>,
}

/// A name in a certificate.
#[derive(Debug, Clone, Serialize)]
pub struct Name {
    /// `email`, `uri`, `dns`, `ip` or `username`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The name.
    pub value: String,
}

/// A certificate in short.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// SHA-256 of its DER.
    pub sha256: String,
    /// Beginning of its validity (RFC 3339).
    pub not_before: String,
    /// End of its validity.
    pub not_after: String,
    /// PEM.
    pub pem: String,
}

/// One entry with what proves it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryAnswer {
    /// What it is.
    #[serde(flatten)]
    pub entry: Found,
    /// The leaf, base64.
    pub body: String,
    /// Rekor v1: Unix seconds, signed in the timestamp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrated_time: Option<u64>,
    /// Rekor v1: base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_entry_timestamp: Option<String>,
    /// The proof, verified before it is sent.
    pub inclusion_proof: InclusionProof,
}

/// Inclusion of a leaf in the tree of a checkpoint (RFC 6962 §2.1.1).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InclusionProof {
    /// Place in the tree.
    pub index: u64,
    /// Leaves of the tree.
    pub size: u64,
    /// Its root, hexadecimal.
    pub root: String,
    /// Siblings from the leaf up, hexadecimal.
    pub hashes: Vec<String>,
    /// The signed note.
    pub checkpoint: String,
}

fn rfc3339(millis: u64) -> String {
    let nanos = i128::from(millis).saturating_mul(1_000_000);
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| millis.to_string())
}

impl LogAnswer {
    pub(super) fn new(service: &Service, log: &Log, head: &Head) -> Self {
        let info = service.engine.log(log.id);
        let indexed = service.engine.indexed(log.id).unwrap_or_default();
        Self {
            log: log.id.0,
            kind: log.kind().name(),
            origin: info
                .as_ref()
                .map(|info| info.spec.origin.clone())
                .unwrap_or_default(),
            state: info.map_or("", |info| info.state.name()),
            size: head.size,
            root: head.root.to_string(),
            checkpoint: head.checkpoint.clone(),
            searched: None,
            exhausted: None,
            unindexed: Unindexed {
                pending: indexed.missing().map(|(from, to)| Range { from, to }),
                payloads_below: indexed.partial_below,
            },
        }
    }

    pub(super) fn searched(self, range: Range, exhausted: bool) -> Self {
        Self {
            searched: Some(range),
            exhausted: Some(exhausted),
            ..self
        }
    }

    /// Whether nothing in the range searched can have been missed.
    pub(super) fn is_complete(&self, needs_payload: bool) -> bool {
        let Some(Range { from, to }) = self.searched else {
            return false;
        };
        let pending = self.unindexed.pending;
        let untouched = pending.is_none_or(|pending| from >= pending.to || to <= pending.from);
        untouched && !(needs_payload && from < self.unindexed.payloads_below)
    }
}

impl Found {
    /// As it is in a list: nothing that is left out is kept.
    pub(super) fn new(origin: &str, log: &Log, hit: &Hit) -> Self {
        let shortened = hit.facts.digests().count() > LISTED
            || hit.facts.signers.iter().any(|signer| signer.names.len() > LISTED);
        let mut found = Self::whole(origin, log, hit);
        shorten(&mut found.digests);
        shorten(&mut found.predicate_types);
        for signer in &mut found.signers {
            shorten(&mut signer.names);
            // A page of a hundred would be mostly certificates.
            if let Some(certificate) = &mut signer.certificate {
                certificate.pem = String::new();
            }
        }
        Self { shortened, ..found }
    }

    pub(super) fn whole(origin: &str, log: &Log, hit: &Hit) -> Self {
        let Hit {
            index,
            time,
            leaf_hash,
            facts,
            confirmed,
        } = hit;
        let millis = match log.kind() {
            // What is signed.
            LogKind::RekorV1 => integrated_time(*time).saturating_mul(1_000),
            LogKind::RekorV2 | LogKind::Ct => *time,
        };
        Self {
            log: log.id.0,
            log_kind: log.kind().name(),
            origin: origin.to_owned(),
            index: *index,
            log_index: log
                .v1
                .as_ref()
                .map_or(*index, |shard| shard.virtual_index(*index)),
            entry_id: log.v1.as_ref().map(|shard| shard.entry_id(*leaf_hash)),
            time: rfc3339(millis),
            leaf_hash: leaf_hash.to_string(),
            kind: facts.kind,
            api_version: facts.api_version,
            digest: primary(facts),
            digests: facts.digests().map(str::to_owned).collect(),
            predicate_types: facts.predicate_types().map(str::to_owned).collect(),
            signers: facts.signers.iter().map(Signer::new).collect(),
            shortened: false,
            confirmed: *confirmed,
            url: format!("{}/{}/entries/{index}", super::routes::LOGS, log.id),
        }
    }
}

fn shorten<T>(list: &mut Vec<T>) {
    list.truncate(LISTED);
    list.shrink_to_fit();
}

fn primary(facts: &Facts) -> String {
    let digest = &facts.digest;
    format!("{}:{}", digest.algorithm.name(), hex::encode(&digest.value))
}

impl Signer {
    fn new(signer: &facts::Signer) -> Self {
        let [key_sha256, key_hash] = signer.key_hashes.clone();
        Self {
            names: signer.names.iter().map(Name::new).collect(),
            issuer: signer.issuer.clone(),
            repository: signer.repositories.first().cloned(),
            workflows: signer.workflows.clone(),
            commits: signer.commits.clone(),
            key_sha256,
            key_hash,
            signature_sha256: signer.signature_hash.clone(),
            certificate: signer.certificate.as_ref().map(Certificate::new),
        }
    }
}

impl Name {
    fn new(name: &SubjectAltName) -> Self {
        let kind = match name {
            SubjectAltName::Dns(_) => "dns",
            SubjectAltName::Email(_) => "email",
            SubjectAltName::Ip(_) => "ip",
            SubjectAltName::Uri(_) => "uri",
            SubjectAltName::Username(_) => "username",
        };
        Self {
            kind,
            value: name.text(),
        }
    }
}

impl Certificate {
    fn new(certificate: &cert::Certificate) -> Self {
        let time = |seconds: u64| rfc3339(seconds.saturating_mul(1_000));
        Self {
            sha256: hex::encode(certificate.fingerprint()),
            not_before: time(certificate.not_before()),
            not_after: time(certificate.not_after()),
            pem: certificate.to_pem(),
        }
    }
}
