//! Rekor v1, which serves no tiles: entries ten at a time, under indexes that run over all its shards.

use std::collections::HashMap;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::Note;
use common_tlog::{Hash, leaf_hash};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::{Content, HEAD_LIMIT, Head, Leaf, PROOF_LIMIT, SourceError, get_json, parse, signed_by};
use crate::client::{Client, FetchError};
use crate::entry::EntryError;
use crate::key::LogKey;

/// Entries of one request (rekor `pkg/api/entries.go`, maxSearchQueries).
const PAGE: usize = 10;
/// Longest answer to one; where it is longer, entries are asked for one by one.
const PAGE_LIMIT: usize = 8 << 20;
/// Longest answer about one entry: the largest that upstream takes, with its attestation.
const ENTRY_LIMIT: usize = 64 << 20;
/// Sixteen requests, eight of them at once.
pub(super) const AT_ONCE: u64 = 160;
/// Most shards of one Rekor: more are not worth a place each. The public instance has three.
const MOST_SHARDS: usize = 64;
const INFO: &str = "api/v1/log";

/// A shard of a Rekor v1.
#[derive(Clone, Debug)]
pub struct RekorV1 {
    client: Client,
    tree_id: String,
    /// The index of its first entry over all shards.
    first_index: u64,
}

/// `GET /api/v1/log`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    #[serde(flatten)]
    active: ShardInfo,
    inactive_shards: Option<Vec<ShardInfo>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShardInfo {
    #[serde(rename = "treeID")]
    tree_id: String,
    signed_tree_head: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    body: String,
    integrated_time: u64,
    log_index: u64,
}

#[derive(Deserialize)]
struct Proof {
    hashes: Vec<String>,
}

/// A shard as its Rekor describes it.
pub(crate) struct Shard<'a> {
    pub(crate) log: RekorV1,
    /// With the key that signed it; without one, the origin that it claims.
    pub(crate) head: Result<(Head, &'a LogKey), String>,
}

impl RekorV1 {
    /// Every shard, oldest first; `None` where there is no Rekor v1.
    pub(crate) async fn shards<'a>(
        client: &Client,
        keys: &'a [LogKey],
    ) -> Result<Option<Vec<Shard<'a>>>, SourceError> {
        let Some(body) = client.get(INFO, HEAD_LIMIT).await? else {
            return Ok(None);
        };
        // Whoever answers everything with a page is none either.
        let Ok(info) = serde_json::from_slice::<Info>(&body) else {
            return Ok(None);
        };
        let mut first_index = 0u64;
        let mut shards = Vec::new();
        let inactive = info.inactive_shards.unwrap_or_default();
        if inactive.len() >= MOST_SHARDS {
            let place = format!("{}{INFO}", client.base());
            let got = inactive.len().to_string();
            return Err(SourceError::Shape(place, "fewer than 64 inactive shards", got));
        }
        let all = inactive.into_iter();
        for ShardInfo {
            tree_id,
            signed_tree_head,
        } in all.chain([info.active])
        {
            let what = || format!("{}{INFO}: tree {tree_id}", client.base());
            let unread = |got: String| SourceError::Shape(what(), "a signed checkpoint", got);
            let note = Note::parse(signed_tree_head.as_bytes()).map_err(|error| unread(error.to_string()))?;
            let checkpoint = Checkpoint::parse(note.text()).map_err(|error| unread(error.to_string()))?;
            let (origin, size) = (checkpoint.origin.clone(), checkpoint.size);
            shards.push(Shard {
                head: match signed_by(&note, checkpoint, keys) {
                    Some((head, key, _)) => Ok((head, key)),
                    None => Err(origin),
                },
                log: RekorV1 {
                    client: client.clone(),
                    tree_id,
                    first_index,
                },
            });
            first_index = first_index.saturating_add(size);
        }
        Ok(Some(shards))
    }

    pub(super) async fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, SourceError> {
        let path = format!(
            "{INFO}/proof?firstSize={from}&lastSize={to}&treeID={}",
            self.tree_id
        );
        let proof: Proof = get_json(&self.client, &path, PROOF_LIMIT).await?;
        let hashes = proof.hashes.iter().map(|hash| hash.parse());
        hashes
            .collect::<Result<_, _>>()
            .map_err(|error| SourceError::Shape(path, "hashes in hexadecimal", format!("{error}")))
    }

    pub(super) async fn leaves(&self, range: Range<u64>) -> Result<Vec<Leaf>, SourceError> {
        let indexes: Vec<u64> = range
            .map(|index| index.saturating_add(self.first_index))
            .collect();
        let mut fetching = JoinSet::new();
        for page in indexes.chunks(PAGE) {
            let (log, page) = (self.clone(), page.to_vec());
            fetching.spawn(async move { log.page(&page).await });
        }
        let mut entries = HashMap::new();
        while let Some(done) = fetching.join_next().await {
            entries.extend(done.map_err(|error| EntryError::Interrupted(error.to_string()))??);
        }
        let leaves = indexes.iter().map(|index| {
            entries
                .remove(index)
                .ok_or_else(|| SourceError::Missing(format!("{}{INFO}/entries: {index}", self.client.base())))
        });
        leaves.collect()
    }

    /// The entries at these indexes over all shards.
    async fn page(&self, indexes: &[u64]) -> Result<Vec<(u64, Leaf)>, SourceError> {
        match self.ask(indexes, PAGE_LIMIT).await {
            Err(SourceError::Fetch(FetchError::TooLarge { .. })) => {
                let mut leaves = Vec::new();
                for index in indexes {
                    leaves.extend(self.ask(&[*index], ENTRY_LIMIT).await?);
                }
                Ok(leaves)
            }
            answer => answer,
        }
    }

    async fn ask(&self, indexes: &[u64], limit: usize) -> Result<Vec<(u64, Leaf)>, SourceError> {
        let path = "api/v1/log/entries/retrieve";
        let asked = serde_json::json!({ "logIndexes": indexes }).to_string();
        let answer = self.client.post(path, asked, limit).await?;
        let found: Vec<HashMap<String, Entry>> = parse(&self.client, path, answer)?;
        let entries = found.into_iter().flatten();
        let wanted = entries.filter(|(_, entry)| indexes.contains(&entry.log_index));
        let leaves = wanted.map(|(_, entry)| {
            let body = STANDARD.decode(&entry.body).map_err(|error| {
                let place = format!("{path}: entry {}", entry.log_index);
                SourceError::Shape(place, "a body in base64", error.to_string())
            })?;
            let leaf = Leaf {
                hash: leaf_hash(&body),
                content: Content::Entry(body.into()),
                time: entry.integrated_time.checked_mul(1_000),
            };
            Ok((entry.log_index, leaf))
        });
        leaves.collect()
    }
}
