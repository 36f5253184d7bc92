//! Reading all three logs of an instance through its public interfaces, and verifying what they sign.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use common_pki::key::PublicKey;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::Note;
use common_tlog::tile::{TileKind, TilePath};
use common_tlog::{Hash, bundle_codec, leaf_hash, proof, sha256};
use serde_json::Value;

use crate::log::hashes;
use crate::stack::Stack;

/// What was looked at does not hold, or could not be looked at.
#[derive(Debug)]
pub enum Broken {
    /// The server was gone before it had answered.
    Gone(String),
    /// It answered, and wrongly.
    Wrong(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(what) => write!(f, "no answer: {what}"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

impl From<String> for Broken {
    fn from(what: String) -> Self {
        Self::Wrong(what)
    }
}

impl From<&str> for Broken {
    fn from(what: &str) -> Self {
        Self::Wrong(what.to_owned())
    }
}

/// A log, and the request that adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Log {
    /// Rekor v1.
    V1,
    /// Rekor v2.
    V2,
    /// The certificate log, through the certificate authority.
    Ct,
}

impl Log {
    /// All three.
    pub const ALL: [Self; 3] = [Self::V1, Self::V2, Self::Ct];
}

/// What the signatures of an instance are verified with, and what a request for a certificate needs.
#[derive(Debug, Clone)]
pub struct Trust {
    pub(crate) v1: PublicKey,
    pub(crate) ct: PublicKey,
}

impl Trust {
    /// The keys that the instance publishes now.
    ///
    /// # Errors
    /// See [`Broken`].
    pub async fn fetch(stack: &Stack) -> Result<Self, Broken> {
        let root = View::of(stack).json("/trust/trusted_root.json").await?;
        let key = |pointer: &str| {
            let der = base64(root.pointer(pointer).unwrap_or(&Value::Null))?;
            PublicKey::from_spki_der(&der).map_err(text)
        };
        Ok(Self {
            v1: key("/tlogs/0/publicKey/rawBytes")?,
            ct: key("/ctlogs/0/publicKey/rawBytes")?,
        })
    }
}

/// What of a v1 entry the promise is about.
pub(crate) struct V1Entry {
    pub(crate) index: u64,
    time: u64,
    log_id: String,
    pub(crate) body: Vec<u8>,
    set: Vec<u8>,
}

impl V1Entry {
    pub(crate) fn read(entry: &Value) -> Result<Self, String> {
        Ok(Self {
            index: number(&entry["logIndex"])?,
            time: number(&entry["integratedTime"])?,
            log_id: entry["logID"].as_str().ok_or("no logID")?.to_owned(),
            body: base64(&entry["body"])?,
            set: base64(&entry["verification"]["signedEntryTimestamp"])?,
        })
    }

    /// The signed entry timestamp is over four members in canonical JSON (rekor `pkg/types/entries.go`).
    pub(crate) fn verify(&self, key: &PublicKey) -> Result<(), String> {
        let body = BASE64_STANDARD.encode(&self.body);
        let signed = format!(
            r#"{{"body":"{body}","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
            self.time, self.log_id, self.index
        );
        key.verify(key.default_hash(), signed.as_bytes(), &self.set)
            .map_err(|e| format!("signed entry timestamp of {}: {e}", self.index))
    }

    pub(crate) fn promise(&self) -> Hash {
        sha256(&[
            &self.time.to_be_bytes(),
            self.log_id.as_bytes(),
            &self.body,
            &self.set,
        ])
    }

    /// The head that the proof of the entry leads to.
    pub(crate) fn included(&self, entry: &Value) -> Result<(u64, Hash), String> {
        let shown = &entry["verification"]["inclusionProof"];
        let size = number(&shown["treeSize"])?;
        let root: Hash = shown["rootHash"]
            .as_str()
            .and_then(|h| h.parse().ok())
            .ok_or("no rootHash")?;
        let index = number(&shown["logIndex"])?;
        proof::verify_inclusion(
            index,
            size,
            &leaf_hash(&self.body),
            &hashes(&shown["hashes"]),
            &root,
        )
        .map_err(|e| format!("proof of {index}: {e}"))?;
        Ok((size, root))
    }
}

/// Most entries that one request of each log gives, or as many as make a sensible answer.
pub(crate) const fn page(log: Log) -> u64 {
    match log {
        // rekor `pkg/api/entries.go`, maxSearchQueries.
        Log::V1 => 10,
        // C2SP tlog-tiles: width of an entry bundle.
        Log::V2 => 256,
        Log::Ct => 32,
    }
}

/// The leaf hashes from one index on, with what was promised beside the leaf.
pub(crate) type Entries = Vec<(Hash, Option<Hash>)>;

/// The public reads of an instance.
#[derive(Clone)]
pub(crate) struct View {
    http: reqwest::Client,
    url: String,
}

impl View {
    pub(crate) fn of(stack: &Stack) -> Self {
        Self {
            http: stack.http.clone(),
            url: stack.ready.url.clone(),
        }
    }

    /// The head that a log publishes now.
    pub(crate) async fn head(&self, log: Log) -> Result<(u64, Hash), Broken> {
        match log {
            Log::V1 => {
                let info = self.json("/api/v1/log").await?;
                let root = info["rootHash"].as_str().and_then(|h| h.parse().ok());
                Ok((number(&info["treeSize"])?, root.ok_or("no rootHash")?))
            }
            Log::V2 => {
                let note = self.get("/api/v2/checkpoint").await?;
                let note = Note::parse(&note).map_err(text)?;
                let head = Checkpoint::parse(note.text()).map_err(text)?;
                Ok((head.size, head.root))
            }
            Log::Ct => {
                let sth = self.json("/ct/v1/get-sth").await?;
                let root = Hash::from_base64(sth["sha256_root_hash"].as_str().unwrap_or_default());
                Ok((number(&sth["tree_size"])?, root.map_err(text)?))
            }
        }
    }

    /// All leaves of a log of `size`, some requests at a time.
    pub(crate) async fn all(&self, trust: &Trust, log: Log, size: u64) -> Result<Entries, Broken> {
        const LANES: usize = 8;
        let starts: Vec<u64> = (0..size.div_ceil(page(log))).map(|n| n * page(log)).collect();
        let mut entries = Vec::new();
        for some in starts.chunks(LANES) {
            let tasks: Vec<_> = some
                .iter()
                .map(|start| {
                    let (view, trust, start) = (self.clone(), trust.clone(), *start);
                    tokio::spawn(async move { view.page(&trust, log, start, size).await })
                })
                .collect();
            for task in tasks {
                entries.extend(task.await.map_err(text)??);
            }
        }
        if entries.len() as u64 != size {
            return Err(format!("{log:?} gave {} of its {size} leaves", entries.len()).into());
        }
        Ok(entries)
    }

    /// The leaves of one page of a log of `size`. What each log signs for its entries is verified.
    pub(crate) async fn page(
        &self,
        trust: &Trust,
        log: Log,
        start: u64,
        size: u64,
    ) -> Result<Entries, Broken> {
        let end = start.saturating_add(page(log)).min(size);
        match log {
            Log::V1 => {
                let indexes: Vec<u64> = (start..end).collect();
                let asked = serde_json::json!({ "logIndexes": indexes });
                let found = self.post("/api/v1/log/entries/retrieve", &asked).await?;
                let mut read = BTreeMap::new();
                for entry in found
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_object)
                {
                    for entry in entry.values() {
                        let (v1, (tree, _)) = (V1Entry::read(entry)?, V1Entry::read(entry)?.included(entry)?);
                        v1.verify(&trust.v1)?;
                        if tree < size {
                            return Err(format!("the proof of {} is of an older tree", v1.index).into());
                        }
                        read.insert(v1.index, (leaf_hash(&v1.body), Some(v1.promise())));
                    }
                }
                Ok(read.into_values().collect())
            }
            Log::V2 => {
                let path = TilePath {
                    kind: TileKind::Entries,
                    index: start / page(log),
                    width: u16::try_from(end - start).map_err(text)?,
                };
                let bundle = self.get(&format!("/api/v2/{path}")).await?;
                let leaves = bundle_codec::decode(&bundle).map_err(text)?;
                Ok(leaves.into_iter().map(|leaf| (leaf_hash(leaf), None)).collect())
            }
            Log::Ct => {
                let last = end.saturating_sub(1);
                let found = self
                    .json(&format!("/ct/v1/get-entries?start={start}&end={last}"))
                    .await?;
                let leaves = found["entries"].as_array().into_iter().flatten();
                leaves
                    .map(|entry| Ok((leaf_hash(&base64(&entry["leaf_input"])?), None)))
                    .collect::<Result<_, Broken>>()
            }
        }
    }

    async fn json(&self, path: &str) -> Result<Value, Broken> {
        Ok(serde_json::from_slice(&self.get(path).await?).map_err(text)?)
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>, Broken> {
        self.answer(|| self.http.get(format!("{}{path}", self.url)), path)
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Broken> {
        let request = || {
            let post = self.http.post(format!("{}{path}", self.url));
            post.header("content-type", "application/json")
                .body(body.to_string())
        };
        Ok(serde_json::from_slice(&self.answer(request, path).await?).map_err(text)?)
    }

    /// The body of a 200. A log that is busy is asked again, for a while.
    async fn answer(
        &self,
        request: impl Fn() -> reqwest::RequestBuilder,
        path: &str,
    ) -> Result<Vec<u8>, Broken> {
        let gone = |error: reqwest::Error| Broken::Gone(format!("{path}: {error}"));
        for _ in 0..100 {
            let answer = request().send().await.map_err(gone)?;
            let status = answer.status().as_u16();
            let body = answer.bytes().await.map_err(gone)?;
            match status {
                200 => return Ok(body.to_vec()),
                429 | 503 => tokio::time::sleep(Duration::from_millis(50)).await,
                _ => return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&body)).into()),
            }
        }
        Err(format!("{path}: busy for too long").into())
    }
}

pub(crate) fn text(error: impl ToString) -> String {
    error.to_string()
}

/// A number, or one in text as protobuf's JSON has 64-bit ones.
pub(crate) fn number(value: &Value) -> Result<u64, String> {
    let parsed = || value.as_str().and_then(|text| text.parse().ok());
    value
        .as_u64()
        .or_else(parsed)
        .ok_or_else(|| format!("expected a number, got {value}"))
}

pub(crate) fn base64(value: &Value) -> Result<Vec<u8>, String> {
    let encoded = value
        .as_str()
        .ok_or_else(|| format!("expected base64, got {value}"))?;
    BASE64_STANDARD.decode(encoded).map_err(text)
}
