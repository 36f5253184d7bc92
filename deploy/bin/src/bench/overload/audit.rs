//! Whether everything that was acknowledged is there, told from the instance's public reads.
//!
//! One more request is made when the load has gone: its answer is verified in full, and so is the signed head in it. All
//! acknowledged entries must be under that head: for Rekor v2 and the certificate log every leaf is read and the root
//! made from all of them; for Rekor v1, which publishes no tiles, every entry is read with its own proof. A
//! timestamp leaves nothing behind that could be lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use common_tlog::compact::CompactRange;
use common_tlog::tile::{FULL_WIDTH, TileKind, TilePath};
use common_tlog::{Hash, ProofError, bundle_codec, leaf_hash, proof};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::super::check::{self, Trust};
use super::super::work::Work;
use super::generate::Acknowledged;
use crate::console::Console;
use crate::http::{Client, HttpError};
use crate::log_entry::{self, LogEntryError};

/// How often, a second apart, an instance is asked that still recovers from the load.
const ATTEMPTS: u32 = 30;
/// Entries of one look-up (rekor `pkg/api/entries.go`, maxSearchQueries).
const LOOK_UP: usize = 10;
/// Look-ups at once.
const AT_ONCE: usize = 4;
/// Entries between two lines of progress.
const PROGRESS: usize = 50_000;
/// DER of a P-256 SubjectPublicKeyInfo up to the point (RFC 5480 §2), and the length of the whole.
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const SPKI_LENGTH: usize = 91;

/// Why it cannot be said, or what is missing.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuditError {
    /// The instance does not answer as it should.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Not the JSON it should be.
    #[error("JSON of another shape: {0}")]
    Json(#[from] serde_json::Error),
    /// Not an entry.
    #[error(transparent)]
    Entry(#[from] LogEntryError),
    /// A member is not what it should be.
    #[error("expected {0}")]
    Shape(&'static str),
    /// The last answer, or a proof, does not hold.
    #[error("{0}")]
    Wrong(String),
    /// A proof does not hold.
    #[error("{0}")]
    Proof(#[from] ProofError),
    /// Something acknowledged is not there.
    #[error("LOST: {0}")]
    Lost(String),
    /// A task of ours ended early.
    #[error("a task of the audit failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// What was looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Audit {
    /// Acknowledged entries that are there.
    pub(super) found: usize,
    /// Size of the tree they are in; 0 where there is none.
    pub(super) size: u64,
}

/// Size and root of a head whose signature was checked.
#[derive(Debug, Clone, Copy)]
struct Head {
    size: u64,
    root: Hash,
}

/// Looks for all that was acknowledged. `last` is a request that was not sent yet.
///
/// # Errors
/// [`AuditError::Lost`] when something is missing, and the others when that cannot be told.
pub(super) async fn run(
    url: &str,
    trust: &Trust,
    work: Work,
    bodies: &Arc<Vec<Bytes>>,
    acknowledged: &[Acknowledged],
    last: usize,
    console: Console,
) -> Result<Audit, AuditError> {
    let client = Client::new(url)?;
    let request = bodies.get(last).ok_or(AuditError::Shape("one more request"))?;
    let answer = ask_again(&client, work, request).await?;
    let checked = check::sample(trust, work, bodies, &[(last, answer.clone())]);
    if let Some(wrong) = checked.wrong {
        return Err(AuditError::Wrong(format!("the answer after the load: {wrong}")));
    }
    match work {
        Work::V2 => v2(&client, &head_of_v2(&answer)?, bodies, acknowledged, console).await,
        Work::V1 => v1(&client, head_of_v1(&answer)?, bodies, acknowledged, console).await,
        Work::Certificate => certificates(&client, bodies, acknowledged, console).await,
        Work::Timestamp => Ok(Audit::default()),
    }
}

async fn ask_again(client: &Client, work: Work, request: &Bytes) -> Result<Bytes, AuditError> {
    let mut attempt = 0;
    loop {
        let answer = client
            .post(work.path(), work.media_type(), request.to_vec())
            .await?;
        attempt = u32::saturating_add(attempt, 1);
        if answer.status == StatusCode::SERVICE_UNAVAILABLE && attempt < ATTEMPTS {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        let expected = if answer.status.is_success() {
            answer.status
        } else {
            StatusCode::CREATED
        };
        return Ok(answer.expect(expected)?);
    }
}

fn head_of_v2(answer: &[u8]) -> Result<Head, AuditError> {
    let answer: Value = serde_json::from_slice(answer)?;
    let text = |name: &str| {
        answer
            .pointer(&format!("/inclusionProof/{name}"))
            .and_then(Value::as_str)
    };
    let size = text("treeSize").and_then(|size| size.parse().ok());
    let root = text("rootHash").and_then(|root| Hash::from_base64(root).ok());
    let (size, root) = size.zip(root).ok_or(AuditError::Shape("an inclusion proof"))?;
    Ok(Head { size, root })
}

fn head_of_v1(answer: &[u8]) -> Result<Head, AuditError> {
    let entry = log_entry::parse(answer)?;
    let proof = entry
        .inclusion_proof
        .ok_or(AuditError::Shape("an inclusion proof"))?;
    Ok(Head {
        size: proof.tree_size,
        root: hash(&proof.root_hash)?,
    })
}

fn hash(bytes: &[u8]) -> Result<Hash, AuditError> {
    bytes
        .try_into()
        .map(Hash)
        .map_err(|_| AuditError::Shape("a hash of 32 bytes"))
}

/// Every leaf under the head, whose root they make; at each acknowledged index the digest that was asked for.
async fn v2(
    client: &Client,
    head: &Head,
    bodies: &[Bytes],
    acknowledged: &[Acknowledged],
    console: Console,
) -> Result<Audit, AuditError> {
    let mut expected = HashMap::with_capacity(acknowledged.len());
    for one in acknowledged {
        let index = one.index.ok_or(AuditError::Shape("an index in every answer"))?;
        if expected.insert(index, one.body).is_some() {
            return Err(AuditError::Lost(format!("index {index} was given twice")));
        }
    }
    let (mut tree, mut found) = (CompactRange::default(), 0usize);
    let full = u64::from(FULL_WIDTH);
    for tile in 0..head.size.div_ceil(full) {
        let start = tile.saturating_mul(full);
        let width = u16::try_from(head.size.saturating_sub(start).min(full)).unwrap_or(FULL_WIDTH);
        let path = TilePath {
            kind: TileKind::Entries,
            index: tile,
            width,
        };
        let bundle = client
            .get(&format!("/api/v2/{path}"))
            .await?
            .expect(StatusCode::OK)?;
        let leaves = bundle_codec::decode(&bundle).map_err(|_| AuditError::Shape("an entry bundle"))?;
        if leaves.len() != usize::from(width) {
            return Err(AuditError::Shape(
                "an entry bundle of the width that was asked for",
            ));
        }
        for (index, leaf) in (start..).zip(leaves) {
            tree.append(leaf)?;
            if let Some(body) = expected.remove(&index) {
                let asked = request_digest(bodies.get(body))?;
                if logged_digest(leaf)? != asked {
                    return Err(AuditError::Lost(format!("index {index} holds another entry")));
                }
                found = found.saturating_add(1);
                report(console, found, acknowledged.len());
            }
        }
    }
    if tree.root() != head.root {
        return Err(AuditError::Wrong(
            "the leaves do not make the signed root".to_owned(),
        ));
    }
    if let Some(index) = expected.keys().next() {
        return Err(AuditError::Lost(format!(
            "{} entries, among them index {index}",
            expected.len()
        )));
    }
    Ok(Audit {
        found,
        size: head.size,
    })
}

fn request_digest(body: Option<&Bytes>) -> Result<String, AuditError> {
    let request: Value = serde_json::from_slice(body.map(Bytes::as_ref).unwrap_or_default())?;
    let digest = request.pointer("/hashedRekordRequestV002/digest");
    let digest = digest.and_then(Value::as_str);
    digest.map(str::to_owned).ok_or(AuditError::Shape("a digest"))
}

fn logged_digest(leaf: &[u8]) -> Result<String, AuditError> {
    let entry: Value = serde_json::from_slice(leaf)?;
    let digest = entry.pointer("/spec/hashedRekordV002/data/digest");
    let digest = digest.and_then(Value::as_str);
    digest.map(str::to_owned).ok_or(AuditError::Shape("a digest"))
}

/// Every acknowledged entry by its index, each with a proof for the head.
async fn v1(
    client: &Client,
    head: Head,
    bodies: &Arc<Vec<Bytes>>,
    acknowledged: &[Acknowledged],
    console: Console,
) -> Result<Audit, AuditError> {
    let mut found = 0usize;
    let mut running = JoinSet::new();
    let mut groups = acknowledged.chunks(LOOK_UP);
    loop {
        while running.len() < AT_ONCE
            && let Some(group) = groups.next()
        {
            let (client, bodies, group) = (client.clone(), Arc::clone(bodies), group.to_vec());
            running.spawn(async move { look_up(&client, head, &bodies, &group).await });
        }
        let Some(done) = running.join_next().await else {
            return Ok(Audit {
                found,
                size: head.size,
            });
        };
        for _ in 0..done?? {
            found = found.saturating_add(1);
            report(console, found, acknowledged.len());
        }
    }
}

async fn look_up(
    client: &Client,
    head: Head,
    bodies: &[Bytes],
    group: &[Acknowledged],
) -> Result<usize, AuditError> {
    let indexes: Vec<u64> = group.iter().filter_map(|one| one.index).collect();
    if indexes.len() != group.len() {
        return Err(AuditError::Shape("an index in every answer"));
    }
    let query = serde_json::json!({ "logIndexes": indexes })
        .to_string()
        .into_bytes();
    let mut attempt = 0;
    let answer = loop {
        let answer = client
            .post("/api/v1/log/entries/retrieve", "application/json", query.clone())
            .await?;
        attempt = u32::saturating_add(attempt, 1);
        if answer.status != StatusCode::SERVICE_UNAVAILABLE || attempt >= ATTEMPTS {
            break answer.expect(StatusCode::OK)?;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let entries: Vec<&RawValue> = serde_json::from_slice(&answer)?;
    if entries.len() != group.len() {
        return Err(AuditError::Lost(format!("some of the entries {indexes:?}")));
    }
    for (one, entry) in group.iter().zip(entries) {
        let entry = log_entry::parse(entry.get().as_bytes())?;
        let request: Value =
            serde_json::from_slice(bodies.get(one.body).map(Bytes::as_ref).unwrap_or_default())?;
        let logged: Value = serde_json::from_slice(&entry.canonicalized_body)?;
        let digest = |entry: &Value| entry.pointer("/spec/data/hash/value").cloned();
        if Some(entry.log_index) != one.index
            || digest(&logged).is_none()
            || digest(&logged) != digest(&request)
        {
            return Err(AuditError::Lost(format!(
                "index {} holds another entry",
                entry.log_index
            )));
        }
        let given = entry
            .inclusion_proof
            .ok_or(AuditError::Shape("an inclusion proof"))?;
        let hashes = given
            .hashes
            .iter()
            .map(|bytes| hash(bytes))
            .collect::<Result<Vec<_>, _>>()?;
        // Somebody else may write meanwhile; the head of the answer is then a later one.
        let root = if given.tree_size == head.size {
            head.root
        } else {
            hash(&given.root_hash)?
        };
        let leaf = leaf_hash(&entry.canonicalized_body);
        proof::verify_inclusion(given.log_index, given.tree_size, &leaf, &hashes, &root)?;
    }
    Ok(group.len())
}

#[derive(Deserialize)]
struct TreeHead {
    tree_size: u64,
    sha256_root_hash: String,
}

#[derive(Deserialize)]
struct Entries {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    leaf_input: String,
}

/// Every leaf of the certificate log; the key of every acknowledged certificate is in one.
async fn certificates(
    client: &Client,
    bodies: &[Bytes],
    acknowledged: &[Acknowledged],
    console: Console,
) -> Result<Audit, AuditError> {
    let answer = client.get("/ct/ct/v1/get-sth").await?.expect(StatusCode::OK)?;
    let head: TreeHead = serde_json::from_slice(&answer)?;
    let mut expected = HashMap::with_capacity(acknowledged.len());
    for one in acknowledged {
        expected.insert(key_of(bodies.get(one.body))?, one.body);
    }
    let (mut tree, mut start, mut found) = (CompactRange::default(), 0u64, 0usize);
    while start < head.tree_size {
        let end = head.tree_size.saturating_sub(1);
        let path = format!("/ct/ct/v1/get-entries?start={start}&end={end}");
        let answer = client.get(&path).await?.expect(StatusCode::OK)?;
        let Entries { entries } = serde_json::from_slice(&answer)?;
        if entries.is_empty() {
            return Err(AuditError::Lost(format!("the leaves from {start} on")));
        }
        for entry in entries {
            let leaf = STANDARD
                .decode(&entry.leaf_input)
                .map_err(|_| AuditError::Shape("base64"))?;
            tree.append(&leaf)?;
            start = start.saturating_add(1);
            let keys = leaf
                .windows(SPKI_LENGTH)
                .filter(|window| window.starts_with(&P256_SPKI));
            for key in keys {
                if expected.remove(key).is_some() {
                    found = found.saturating_add(1);
                    report(console, found, acknowledged.len());
                }
            }
        }
    }
    let root = Hash::from_base64(&head.sha256_root_hash).map_err(|_| AuditError::Shape("a hash"))?;
    if tree.root() != root {
        return Err(AuditError::Wrong(
            "the leaves do not make the published root".to_owned(),
        ));
    }
    if !expected.is_empty() {
        return Err(AuditError::Lost(format!(
            "{} certificates are not in the log",
            expected.len()
        )));
    }
    Ok(Audit {
        found,
        size: head.tree_size,
    })
}

/// The key of a request for a certificate, DER.
fn key_of(body: Option<&Bytes>) -> Result<Vec<u8>, AuditError> {
    let request: Value = serde_json::from_slice(body.map(Bytes::as_ref).unwrap_or_default())?;
    let pem = request
        .pointer("/publicKeyRequest/publicKey/content")
        .and_then(Value::as_str);
    let base64: String = pem
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    STANDARD
        .decode(base64)
        .map_err(|_| AuditError::Shape("a key in PEM"))
}

fn report(console: Console, found: usize, all: usize) {
    if found.is_multiple_of(PROGRESS) {
        console.remark(&format!("  found {found} of {all} acknowledged entries"));
    }
}
