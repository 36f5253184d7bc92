//! Every receipt a client was ever given, kept until each is shown to hold.
//!
//! A receipt is kept as the hash of its leaf at its index, a tree head as its root at its size. Two different ones for
//! one index or one size are a fork, found as soon as the second one comes. What needs the whole answer, the signature
//! of a log, is verified when it comes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use common_pki::cert::Certificate;
use common_pki::key::PublicKey;
use common_pki::sct;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::Note;
use common_tlog::tile::{TileKind, TilePath};
use common_tlog::{Hash, bundle_codec, leaf_hash, proof, sha256};
use serde_json::Value;

use crate::entries::Key;
use crate::log::hashes;
use crate::stack::Stack;

/// Whose token the requests for certificates carry.
pub const EMAIL: &str = "torture@example.com";

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
    v1: PublicKey,
    ct: PublicKey,
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

/// A client that asks for entries and keeps what it is promised.
#[derive(Clone)]
pub struct Writer {
    http: reqwest::Client,
    url: String,
    token: String,
    trust: Trust,
}

/// What came of a request.
#[derive(Debug)]
pub enum Answer {
    /// The entry is in the log, the server says.
    Promised(Receipt),
    /// Another status.
    Refused,
    /// No complete answer.
    Gone,
}

/// An answer that is a promise.
#[derive(Debug)]
pub struct Receipt {
    log: Log,
    index: u64,
    leaf: Hash,
    /// The tree head that came with it.
    head: Option<(u64, Hash)>,
    /// Of the rest of the promise that must not change: the signed entry timestamp and its time.
    promise: Option<Hash>,
}

impl Writer {
    /// A client of the instance, with a token.
    ///
    /// # Errors
    /// See [`Broken`].
    pub async fn new(stack: &Stack) -> Result<Self, Broken> {
        let trust = Trust::fetch(stack).await?;
        let asked = serde_json::json!({ "email": EMAIL });
        let granted = View::of(stack).post("/oidc/token/dev", &asked).await?;
        let token = granted["id_token"].as_str().ok_or("no id_token")?.to_owned();
        Ok(Self {
            http: stack.http.clone(),
            url: stack.ready.url.clone(),
            token,
            trust,
        })
    }

    /// Asks for one entry.
    ///
    /// # Errors
    /// A complete answer that is a wrong promise.
    pub async fn write(&self, log: Log, key: &Key, message: &str) -> Result<Answer, String> {
        let (path, body) = match log {
            Log::V1 => ("/api/v1/log/entries", key.v1(message.as_bytes())),
            Log::V2 => ("/api/v2/log/entries", key.v2(message.as_bytes())),
            Log::Ct => ("/api/v2/signingCert", key.certificate(&self.token, EMAIL)),
        };
        let request = self.http.post(format!("{}{path}", self.url));
        let request = request.header("content-type", "application/json");
        let Ok(answer) = request.body(body.to_string()).send().await else {
            return Ok(Answer::Gone);
        };
        let status = answer.status().as_u16();
        // Only a complete answer is a promise.
        let Ok(content) = answer.text().await else {
            return Ok(Answer::Gone);
        };
        if !matches!(status, 200 | 201) {
            return Ok(Answer::Refused);
        }
        let receipt = self.read(log, &content);
        let receipt =
            receipt.map_err(|wrong| format!("{log:?} answered {status} with {wrong}: {content}"))?;
        Ok(Answer::Promised(receipt))
    }

    fn read(&self, log: Log, answer: &str) -> Result<Receipt, String> {
        let answer: Value = serde_json::from_str(answer).map_err(text)?;
        match log {
            Log::V1 => {
                let (_, entry) = answer
                    .as_object()
                    .and_then(|o| o.iter().next())
                    .ok_or("no entry")?;
                let read = V1Entry::read(entry)?;
                read.verify(&self.trust.v1)?;
                let shown = read.included(entry)?;
                Ok(Receipt {
                    log,
                    index: read.index,
                    leaf: leaf_hash(&read.body),
                    head: Some(shown),
                    promise: Some(read.promise()),
                })
            }
            Log::V2 => {
                let index = number(&answer["logIndex"])?;
                let leaf = leaf_hash(&base64(&answer["canonicalizedBody"])?);
                let shown = &answer["inclusionProof"];
                let note = shown["checkpoint"]["envelope"].as_str().ok_or("no checkpoint")?;
                let note = Note::parse(note.as_bytes()).map_err(text)?;
                let head = Checkpoint::parse(note.text()).map_err(text)?;
                let path: Result<Vec<Hash>, String> = shown["hashes"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|h| Hash::from_base64(h.as_str().unwrap_or_default()).map_err(text))
                    .collect();
                proof::verify_inclusion(index, head.size, &leaf, &path?, &head.root).map_err(text)?;
                Ok(Receipt {
                    log,
                    index,
                    leaf,
                    head: Some((head.size, head.root)),
                    promise: None,
                })
            }
            Log::Ct => {
                let chain = &answer["signedCertificateEmbeddedSct"]["chain"]["certificates"];
                let certificate =
                    |n: usize| Certificate::from_pem(chain[n].as_str().unwrap_or_default()).map_err(text);
                let (leaf, issuer) = (certificate(0)?, certificate(1)?);
                let issuer = issuer.public_key().map_err(text)?;
                let sct = sct::verify_embedded(&leaf, issuer, &self.trust.ct).map_err(text)?;
                let entry = sct::precert_entry(&leaf, issuer);
                let logged = sct::merkle_tree_leaf(sct.timestamp, &entry, &sct.extensions);
                Ok(Receipt {
                    log,
                    index: sct::leaf_index(&sct.extensions).ok_or("an SCT without an index")?,
                    leaf: leaf_hash(&logged.map_err(text)?),
                    head: None,
                    promise: None,
                })
            }
        }
    }
}

/// What of a v1 entry the promise is about.
struct V1Entry {
    index: u64,
    time: u64,
    log_id: String,
    body: Vec<u8>,
    set: Vec<u8>,
}

impl V1Entry {
    fn read(entry: &Value) -> Result<Self, String> {
        Ok(Self {
            index: number(&entry["logIndex"])?,
            time: number(&entry["integratedTime"])?,
            log_id: entry["logID"].as_str().ok_or("no logID")?.to_owned(),
            body: base64(&entry["body"])?,
            set: base64(&entry["verification"]["signedEntryTimestamp"])?,
        })
    }

    /// The signed entry timestamp is over four members in canonical JSON (rekor `pkg/types/entries.go`).
    fn verify(&self, key: &PublicKey) -> Result<(), String> {
        let body = BASE64_STANDARD.encode(&self.body);
        let signed = format!(
            r#"{{"body":"{body}","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
            self.time, self.log_id, self.index
        );
        key.verify(key.default_hash(), signed.as_bytes(), &self.set)
            .map_err(|e| format!("signed entry timestamp of {}: {e}", self.index))
    }

    fn promise(&self) -> Hash {
        sha256(&[
            &self.time.to_be_bytes(),
            self.log_id.as_bytes(),
            &self.body,
            &self.set,
        ])
    }

    /// The head that the proof of the entry leads to.
    fn included(&self, entry: &Value) -> Result<(u64, Hash), String> {
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

/// Everything promised by one log.
#[derive(Debug, Clone, Default)]
struct Promised {
    leaves: BTreeMap<u64, Hash>,
    promises: BTreeMap<u64, Hash>,
    heads: BTreeMap<u64, Hash>,
}

/// Everything promised by an instance.
#[derive(Debug, Clone, Default)]
pub struct Receipts {
    logs: [Promised; 3],
}

/// How much was shown to hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Receipts of each log, as in [`Log::ALL`].
    pub receipts: [usize; 3],
    /// Tree heads ever seen.
    pub heads: usize,
    /// Leaves of all logs together, acknowledged or not.
    pub leaves: usize,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [v1, v2, ct] = self.receipts;
        write!(
            f,
            "{v1} v1 entries, {v2} v2 entries and {ct} certificates acknowledged, each present and proven in the final \
             trees of {} leaves; {} tree heads seen, each consistent",
            self.leaves, self.heads
        )
    }
}

impl Receipts {
    /// Keeps a receipt.
    ///
    /// # Errors
    /// It contradicts an earlier one.
    pub fn keep(&mut self, receipt: &Receipt) -> Result<(), String> {
        let (log, index) = (receipt.log, receipt.index);
        let promised = &mut self.logs[log as usize];
        once(&mut promised.leaves, index, receipt.leaf, log, "leaf")?;
        if let Some(promise) = receipt.promise {
            once(&mut promised.promises, index, promise, log, "promise")?;
        }
        match receipt.head {
            Some((size, root)) => once(&mut promised.heads, size, root, log, "root"),
            None => Ok(()),
        }
    }

    /// Keeps the three tree heads that are published now.
    ///
    /// # Errors
    /// One cannot be had, or contradicts an earlier one.
    pub async fn see(&mut self, stack: &Stack) -> Result<(), Broken> {
        let view = View::of(stack);
        for log in Log::ALL {
            let (size, root) = view.head(log).await?;
            once(&mut self.logs[log as usize].heads, size, root, log, "root")?;
        }
        Ok(())
    }

    /// Number of receipts.
    pub fn len(&self) -> usize {
        self.logs.iter().map(|promised| promised.leaves.len()).sum()
    }

    /// Whether nothing was promised yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `count` receipts of each log, the choice varied by `turn`, are still there.
    ///
    /// # Errors
    /// The first one that is not.
    pub async fn sample(&self, stack: &Stack, count: usize, turn: usize) -> Result<(), Broken> {
        let (view, trust) = (View::of(stack), Trust::fetch(stack).await?);
        for log in Log::ALL {
            let promised = &self.logs[log as usize];
            let (size, _) = view.head(log).await?;
            let stride = (promised.leaves.len() / count).max(1);
            let chosen = promised.leaves.iter().skip(turn % stride).step_by(stride);
            for (index, leaf) in chosen.take(count) {
                let start = index - index % page(log);
                let entries = view.page(&trust, log, start, size).await?;
                let got = usize::try_from(index - start).ok().and_then(|i| entries.get(i));
                let (got, promise) = got.ok_or_else(|| lost(log, *index))?;
                self.compare(log, *index, leaf, got, *promise)?;
            }
        }
        Ok(())
    }

    /// Reads all three logs to their ends, and shows that every receipt is in them, unchanged, and that every tree head
    /// ever seen is the root over that many of the leaves.
    ///
    /// # Errors
    /// The first receipt or head that does not hold.
    pub async fn verify(&self, stack: &Stack) -> Result<Verified, Broken> {
        let (view, trust) = (View::of(stack), Trust::fetch(stack).await?);
        let mut verified = Verified::default();
        for log in Log::ALL {
            let promised = &self.logs[log as usize];
            let (size, root) = view.head(log).await?;
            let mut heads = promised.heads.clone();
            if *heads.entry(size).or_insert(root) != root {
                return Err(
                    format!("{log:?} shows another root for {size} leaves than before: a fork").into(),
                );
            }
            let entries = view.all(&trust, log, size).await?;
            verified.leaves += entries.len();
            for (index, leaf) in &promised.leaves {
                let got = usize::try_from(*index).ok().and_then(|i| entries.get(i));
                let (got, promise) = got.ok_or_else(|| lost(log, *index))?;
                self.compare(log, *index, leaf, got, *promise)?;
            }
            verified.receipts[log as usize] = promised.leaves.len();
            verified.heads += heads.len();
            roots(log, &entries, &heads)?;
        }
        Ok(verified)
    }

    fn compare(
        &self,
        log: Log,
        index: u64,
        leaf: &Hash,
        got: &Hash,
        promise: Option<Hash>,
    ) -> Result<(), String> {
        if got != leaf {
            return Err(format!(
                "{log:?} leaf {index} is another one than was acknowledged"
            ));
        }
        match self.logs[log as usize].promises.get(&index) {
            Some(kept) if promise != Some(*kept) => {
                Err(format!("the promise of {log:?} for entry {index} has changed"))
            }
            _ => Ok(()),
        }
    }
}

fn lost(log: Log, index: u64) -> String {
    format!("{log:?} entry {index} was acknowledged and is lost")
}

fn once(known: &mut BTreeMap<u64, Hash>, at: u64, hash: Hash, log: Log, what: &str) -> Result<(), String> {
    match known.insert(at, hash) {
        Some(other) if other != hash => Err(format!("{log:?}: a second {what} at {at}: a fork")),
        _ => Ok(()),
    }
}

/// Each head is the root over that many leaves.
fn roots(log: Log, entries: &Entries, heads: &BTreeMap<u64, Hash>) -> Result<(), String> {
    let mut tree = common_tlog::compact::CompactRange::default();
    let mut appended = 0;
    for (size, root) in heads {
        let wanted = usize::try_from(*size).map_err(text)?;
        let more = entries
            .get(appended..wanted)
            .ok_or_else(|| format!("{log:?} showed {size} leaves and has {} now", entries.len()))?;
        for (leaf, _) in more {
            tree.append_hash(*leaf).map_err(text)?;
        }
        appended = wanted;
        if tree.root() != *root {
            return Err(format!(
                "{log:?}: the checkpoint seen at {size} is not a prefix of the log: a fork"
            ));
        }
    }
    Ok(())
}

/// Most entries that one request of each log gives, or as many as make a sensible answer.
const fn page(log: Log) -> u64 {
    match log {
        // rekor `pkg/api/entries.go`, maxSearchQueries.
        Log::V1 => 10,
        // C2SP tlog-tiles: width of an entry bundle.
        Log::V2 => 256,
        Log::Ct => 32,
    }
}

/// The leaf hashes from one index on, with what was promised beside the leaf.
type Entries = Vec<(Hash, Option<Hash>)>;

/// The public reads of an instance.
#[derive(Clone)]
struct View {
    http: reqwest::Client,
    url: String,
}

impl View {
    fn of(stack: &Stack) -> Self {
        Self {
            http: stack.http.clone(),
            url: stack.ready.url.clone(),
        }
    }

    /// The head that a log publishes now.
    async fn head(&self, log: Log) -> Result<(u64, Hash), Broken> {
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
    async fn all(&self, trust: &Trust, log: Log, size: u64) -> Result<Entries, Broken> {
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
    async fn page(&self, trust: &Trust, log: Log, start: u64, size: u64) -> Result<Entries, Broken> {
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

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Broken> {
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

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// A number, or one in text as protobuf's JSON has 64-bit ones.
fn number(value: &Value) -> Result<u64, String> {
    let parsed = || value.as_str().and_then(|text| text.parse().ok());
    value
        .as_u64()
        .or_else(parsed)
        .ok_or_else(|| format!("expected a number, got {value}"))
}

fn base64(value: &Value) -> Result<Vec<u8>, String> {
    let encoded = value
        .as_str()
        .ok_or_else(|| format!("expected base64, got {value}"))?;
    BASE64_STANDARD.decode(encoded).map_err(text)
}
