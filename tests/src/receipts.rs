//! Every receipt a client was ever given, kept until each is shown to hold.
//!
//! A receipt is kept as the hash of its leaf at its index, a tree head as its root at its size. Two different ones for
//! one index or one size are a fork, found as soon as the second one comes. What needs the whole answer, the signature
//! of a log, is verified when it comes.

use std::collections::BTreeMap;
use std::fmt;

use common_pki::cert::Certificate;
use common_pki::sct;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::compact::CompactRange;
use common_tlog::note::Note;
use common_tlog::{Hash, leaf_hash, proof};
use serde_json::Value;

use crate::entries::Key;
use crate::reads::{Broken, Entries, Log, Trust, V1Entry, View, base64, number, page, text};
use crate::stack::Stack;

/// Whose token the requests for certificates carry.
pub const EMAIL: &str = "torture@example.com";

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
    let mut tree = CompactRange::default();
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
