//! Reads at random places of a large log, each checked: proof by index, look-up by hash.

mod search;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::Note;
use common_tlog::proof::{Plan, verify_inclusion};
use common_tlog::{TileId, TileSet, leaf_hash};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::bench::grow::GrownLog;
use crate::bench::report::percentile;
use crate::http::{Client, HttpError};

/// A read failed or its answer is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// No answer, or another status.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An answer that does not hold.
    #[error("{path}: {what}")]
    Wrong {
        /// What was asked.
        path: String,
        /// What is wrong with the answer.
        what: &'static str,
    },
    /// No randomness.
    #[error("no randomness is available")]
    Random,
}

/// One kind of read.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Read {
    /// What was asked for.
    pub(crate) what: &'static str,
    /// How often.
    pub(crate) count: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) longest_ms: f64,
}

#[derive(Default)]
struct Times(Vec<u32>);

impl Times {
    fn add(&mut self, took: Duration) {
        self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    fn read(mut self, what: &'static str) -> Read {
        self.0.sort_unstable();
        Read {
            what,
            count: self.0.len(),
            p50_ms: percentile(&self.0, 50),
            p99_ms: percentile(&self.0, 99),
            longest_ms: percentile(&self.0, 100),
        }
    }
}

/// Number of leaves of the log.
///
/// # Errors
/// [`ReadError`].
pub(crate) async fn size(client: &Client, log: GrownLog) -> Result<u64, ReadError> {
    match log {
        GrownLog::V1 => {
            let path = "/api/v1/log";
            let answer = client.get(path).await?.expect(StatusCode::OK)?;
            let info: Value = serde_json::from_slice(&answer).unwrap_or_default();
            info.get("treeSize")
                .and_then(Value::as_u64)
                .ok_or_else(|| wrong(path, "no treeSize"))
        }
        GrownLog::V2 => Ok(checkpoint(client).await?.size),
    }
}

/// `count` reads of each kind, one after the other.
///
/// # Errors
/// [`ReadError`].
pub(crate) async fn measure(client: &Client, log: GrownLog, count: usize) -> Result<Vec<Read>, ReadError> {
    match log {
        GrownLog::V1 => {
            let size = size(client, log).await?;
            let reads = v1(client, size, count).await?;
            Ok([reads, search::measure(client, log, size, count).await?].concat())
        }
        GrownLog::V2 => {
            let size = size(client, log).await?;
            let reads = v2(client, count).await?;
            Ok([reads, search::measure(client, log, size, count).await?].concat())
        }
    }
}

fn wrong(path: &str, what: &'static str) -> ReadError {
    let path = path.to_owned();
    ReadError::Wrong { path, what }
}

/// A number below `size`.
fn random(size: u64) -> Result<u64, ReadError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ReadError::Random)?;
    Ok(u64::from_be_bytes(bytes).checked_rem(size).unwrap_or(0))
}

async fn get(client: &Client, path: &str) -> Result<Bytes, ReadError> {
    Ok(client.get(path).await?.expect(StatusCode::OK)?)
}

/// The server proves; an entry is found by index, by leaf hash, and by the digest it is about.
async fn v1(client: &Client, size: u64, count: usize) -> Result<Vec<Read>, ReadError> {
    let (mut by_index, mut by_leaf, mut by_digest) = (Times::default(), Times::default(), Times::default());
    for _ in 0..count {
        let path = format!("/api/v1/log/entries?logIndex={}", random(size)?);
        let began = Instant::now();
        let answer = get(client, &path).await?;
        by_index.add(began.elapsed());
        let (uuid, entry) = entry(&answer).ok_or_else(|| wrong(&path, "not one entry with its proof"))?;

        let by_uuid = format!("/api/v1/log/entries/{uuid}");
        let began = Instant::now();
        let answer = get(client, &by_uuid).await?;
        by_leaf.add(began.elapsed());
        if self::entry(&answer).is_none_or(|(_, same)| same.get("body") != entry.get("body")) {
            return Err(wrong(&by_uuid, "another entry than by its index"));
        }

        let digest = digest(&entry).ok_or_else(|| wrong(&path, "not a hashedrekord"))?;
        let search = "/api/v1/index/retrieve";
        let body = json!({ "hash": format!("sha256:{digest}") })
            .to_string()
            .into_bytes();
        let began = Instant::now();
        let answer = client
            .post(search, "application/json", body)
            .await?
            .expect(StatusCode::OK)?;
        by_digest.add(began.elapsed());
        let found: Vec<String> = serde_json::from_slice(&answer).unwrap_or_default();
        if !found.contains(&uuid) {
            return Err(wrong(search, "an entry is not found by its digest"));
        }
    }
    Ok(vec![
        by_index.read("entry and proof by index"),
        by_leaf.read("entry and proof by leaf hash"),
        by_digest.read("search by digest"),
    ])
}

/// The one entry of an answer, if it has a proof.
fn entry(answer: &[u8]) -> Option<(String, Value)> {
    let entries: serde_json::Map<String, Value> = serde_json::from_slice(answer).ok()?;
    let (uuid, entry) = entries.into_iter().next()?;
    let proof = entry.pointer("/verification/inclusionProof/hashes")?.as_array()?;
    (!proof.is_empty()).then_some((uuid, entry))
}

/// rekor `pkg/types/hashedrekord/v0.0.1`.
fn digest(entry: &Value) -> Option<String> {
    let body = STANDARD.decode(entry.get("body")?.as_str()?).ok()?;
    let body: Value = serde_json::from_slice(&body).ok()?;
    Some(body.pointer("/spec/data/hash/value")?.as_str()?.to_owned())
}

async fn checkpoint(client: &Client) -> Result<Checkpoint, ReadError> {
    let path = "/api/v2/checkpoint";
    let note = get(client, path).await?;
    let note = Note::parse(&note).map_err(|_| wrong(path, "not a note"))?;
    Checkpoint::parse(note.text()).map_err(|_| wrong(path, "not a checkpoint"))
}

/// The client proves, from tiles; the server finds an entry by its hash when the same is sent again.
async fn v2(client: &Client, count: usize) -> Result<Vec<Read>, ReadError> {
    let head = checkpoint(client).await?;
    let (mut by_index, mut proofs, mut again) = (Times::default(), Times::default(), Times::default());
    for _ in 0..count {
        let index = random(head.size)?;
        let began = Instant::now();
        let leaf = leaf(client, index, head.size).await?;
        by_index.add(began.elapsed());

        let began = Instant::now();
        prove(client, index, &head, &leaf).await?;
        proofs.add(began.elapsed());

        let path = "/api/v2/log/entries";
        let request = request(&leaf).ok_or_else(|| wrong(path, "a leaf is not a hashedrekord"))?;
        let began = Instant::now();
        let answer = client.post(path, "application/json", request).await?;
        again.add(began.elapsed());
        answer.expect(StatusCode::CONFLICT)?;
    }
    Ok(vec![
        by_index.read("entry by index: a bundle of 256"),
        proofs.read("proof by index: its tiles, at once"),
        again.read("look-up by leaf hash: the same entry again, signature check included"),
    ])
}

/// The leaf of an index, from its bundle (C2SP tlog-tiles "Log Entries").
async fn leaf(client: &Client, index: u64, size: u64) -> Result<Vec<u8>, ReadError> {
    let tile = TileId::of_node(0, index);
    let path = format!("/api/v2/{}", tile.path(tile.width(size))).replacen("tile/0/", "tile/entries/", 1);
    let bundle = get(client, &path).await?;
    let short = || wrong(&path, "a short bundle");
    let mut rest: &[u8] = &bundle;
    let mut leaf: &[u8] = &[];
    for _ in 0..=index % 256 {
        let (length, behind) = rest.split_first_chunk::<2>().ok_or_else(short)?;
        (leaf, rest) = behind
            .split_at_checked(usize::from(u16::from_be_bytes(*length)))
            .ok_or_else(short)?;
    }
    Ok(leaf.to_vec())
}

/// Proves the leaf in a checkpoint as a client does it, from tiles that are asked for together.
async fn prove(client: &Client, index: u64, head: &Checkpoint, leaf: &[u8]) -> Result<(), ReadError> {
    let failed = |what| wrong(&format!("proof of leaf {index}"), what);
    let plan = Plan::inclusion(index, head.size).map_err(|_| failed("no plan"))?;
    let mut asked = JoinSet::new();
    for (tile, width) in plan.tiles() {
        let (client, path) = (client.clone(), format!("/api/v2/{}", tile.path(width)));
        asked.spawn(async move { Ok::<_, ReadError>((tile, get(&client, &path).await?)) });
    }
    let mut nodes = TileSet::new();
    while let Some(tile) = asked.join_next().await {
        let (tile, bytes) = tile.map_err(|_| failed("a request was lost"))??;
        nodes.insert(tile, bytes.to_vec());
    }
    let proof = plan.evaluate(&nodes).map_err(|_| failed("a tile is missing"))?;
    verify_inclusion(index, head.size, &leaf_hash(leaf), &proof, &head.root)
        .map_err(|_| failed("it does not verify"))
}

/// The request that made a leaf: its members are the body's (rekor-tiles `api/proto/rekor/v2/hashedrekord.proto`).
fn request(leaf: &[u8]) -> Option<Vec<u8>> {
    let body: Value = serde_json::from_slice(leaf).ok()?;
    let spec = body.pointer("/spec/hashedRekordV002")?;
    let request = json!({
        "hashedRekordRequestV002": {
            "digest": spec.pointer("/data/digest")?,
            "signature": spec.get("signature")?,
        },
    });
    Some(request.to_string().into_bytes())
}
