//! A Rekor v1, read through its API.

use std::num::NonZeroU64;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_bundle::trust::{KeyRecord, Role, Timestamp};
use common_engine::fsck::KindCheck;
use common_engine::{Head, ImportTarget, ImportedLeaf, LogKind, Storage};
use common_pki::key::PublicKey;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::Note;
use http::StatusCode;
use rekor_api::{RekorV1Check, v1};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Destination, Foreign, ImportArgs, TakeOverError, read_key, source};
use crate::console::Console;
use crate::http::Client;
use crate::services::{IMPORTED_V1_LEAF_LIMIT, REKOR_V1};

/// Entries of one request (rekor `pkg/api/entries.go`, maxSearchQueries).
const AT_ONCE: NonZeroU64 = NonZeroU64::new(10).unwrap();

/// One shard, as `/api/v1/log` describes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShardInfo {
    #[serde(rename = "treeID")]
    tree_id: String,
    signed_tree_head: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogInfo {
    #[serde(flatten)]
    active: ShardInfo,
    inactive_shards: Option<Vec<ShardInfo>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    body: String,
    integrated_time: u64,
    log_index: u64,
    attestation: Option<Attestation>,
    verification: Verification,
}

#[derive(Deserialize)]
struct Attestation {
    data: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    signed_entry_timestamp: String,
}

/// Every shard of a Rekor v1, oldest first, and the index that each begins at.
pub(super) struct Shards {
    client: Client,
    logs: Vec<(v1::Shard, Foreign, u64)>,
}

impl Shards {
    /// What it says of itself.
    pub(super) async fn ask(args: &ImportArgs) -> Result<Shards, TakeOverError> {
        let client = Client::new(&args.url)?;
        let info: LogInfo = parse(
            "/api/v1/log",
            &client.get("/api/v1/log").await?.expect(StatusCode::OK)?,
        )?;
        let shards = info.inactive_shards.unwrap_or_default();
        let mut first_index = 0;
        let mut logs = Vec::new();
        for info in shards.into_iter().chain([info.active]) {
            let (shard, log) = describe(&client, args, info, first_index).await?;
            let size = log.target.size;
            logs.push((shard, log, first_index));
            first_index = size.saturating_add(first_index);
        }
        let full = logs.iter().filter(|(_, log, _)| log.target.size > 0);
        let keys: Vec<(u64, &PublicKey)> = full.map(|(_, log, _)| (log.tree_id, &log.key)).collect();
        one_key_each(&keys)?;
        Ok(Shards { client, logs })
    }

    /// That the indexes of its entries are free.
    pub(super) async fn check(&self, storage: &dyn Storage) -> Result<(), TakeOverError> {
        let stored = storage.logs().await?;
        let own = stored.iter().find(|log| log.info.id == REKOR_V1);
        if let Some(own) = own.filter(|own| own.head.size > 0) {
            return Err(TakeOverError::IndexesTaken(own.head.size));
        }
        // So has another Rekor v1 that was imported.
        for log in &stored {
            let spec = &log.info.spec;
            let ours = self.logs.iter().any(|(_, log, _)| log.tree_id == spec.tree_id);
            if spec.kind == LogKind::RekorV1 && log.head.size > 0 && !ours {
                return Err(TakeOverError::OtherImported(spec.tree_id));
            }
        }
        Ok(())
    }

    /// Takes all of them over.
    pub(super) async fn take(&self, to: &mut Destination, console: Console) -> Result<(), TakeOverError> {
        for (shard, log, first_index) in &self.logs {
            if log.target.size > 0 {
                take(&self.client, to, shard, log, *first_index).await?;
                console.line(&format!(
                    "tree {}: {} entries from index {first_index} on, every timestamp and the root verified",
                    log.tree_id, log.target.size
                ));
            }
        }
        console.line(&format!(
            "Imported. {} serves it as an old shard; new entries go into a shard of its own behind it.",
            to.server
        ));
        Ok(())
    }
}

/// Registry and store find a log by its key ([`crate::services::logs`]), so of two with one key only the first could be
/// taken over. Upstream signs all shards with one key unless it is told otherwise (rekor `pkg/sharding/ranges.go`).
fn one_key_each(shards: &[(u64, &PublicKey)]) -> Result<(), TakeOverError> {
    for (_, key) in shards {
        let same = shards.iter().filter(|(_, other)| other == key);
        let trees: Vec<String> = same.map(|(tree, _)| tree.to_string()).collect();
        if trees.len() > 1 {
            return Err(TakeOverError::SharedKey {
                trees: trees.join(", "),
                key: hex::encode(key.fingerprint()),
            });
        }
    }
    Ok(())
}

/// A shard's key and its signed head, verified.
async fn describe(
    client: &Client,
    args: &ImportArgs,
    info: ShardInfo,
    first_index: u64,
) -> Result<(v1::Shard, Foreign), TakeOverError> {
    let what = format!("tree {}", info.tree_id);
    let number = info.tree_id.parse().ok().and_then(v1::TreeId::new);
    let tree = number.ok_or_else(|| source(&what, "expected a positive 63-bit number"))?;
    let path = format!("/api/v1/log/publicKey?treeID={tree}");
    let pem = client.get(&path).await?.expect(StatusCode::OK)?;
    let given = PublicKey::from_pem(&String::from_utf8_lossy(&pem)).map_err(|error| source(&path, error))?;
    if let Some(expected) = &args.key {
        let expected = read_key(expected)?.1;
        if expected != given {
            return Err(source(&what, "its key is another one than --key"));
        }
    }
    let note = Note::parse(info.signed_tree_head.as_bytes()).map_err(|error| source(&what, error))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| source(&what, error))?;
    let host = checkpoint.origin.strip_suffix(&format!(" - {tree}"));
    let host = host.ok_or_else(|| {
        let got = format!(
            "expected the origin of a checkpoint to end in \" - {tree}\", got {:?}",
            checkpoint.origin
        );
        source(&what, got)
    })?;
    let shard = v1::Shard::new(tree, first_index, given.clone());
    let head = Head {
        size: checkpoint.size,
        root: checkpoint.root,
        checkpoint: info.signed_tree_head.clone(),
        time: 0,
    };
    let check = RekorV1Check::new(shard.clone(), host);
    check.head(&head).map_err(|flaw| {
        let problem = format!("{}: expected {}, got {}", flaw.what, flaw.expected, flaw.got);
        source(&what, problem)
    })?;
    let log = Foreign {
        kind: LogKind::RekorV1,
        origin: checkpoint.origin.clone(),
        tree_id: tree.get(),
        key: given,
        target: ImportTarget {
            size: checkpoint.size,
            root: checkpoint.root,
            checkpoint: info.signed_tree_head,
        },
        terms_version: check.terms_version(),
    };
    Ok((shard, log))
}

async fn take(
    client: &Client,
    to: &mut Destination,
    shard: &v1::Shard,
    log: &Foreign,
    first_index: u64,
) -> Result<(), TakeOverError> {
    let host = log.origin.rsplit_once(" - ").map_or("", |(host, _)| host);
    let id = format!("rekor-v1-tree-{}", log.tree_id);
    let first = entries(client, first_index..first_index.saturating_add(1)).await?;
    let last_index = first_index.saturating_add(log.target.size).saturating_sub(1);
    let last = entries(client, last_index..last_index.saturating_add(1)).await?;
    let time = |entries: &[Entry]| {
        let seconds = entries
            .first()
            .and_then(|entry| i64::try_from(entry.integrated_time).ok());
        seconds.and_then(Timestamp::from_unix).ok_or(TakeOverError::Clock)
    };
    let (first, end) = (time(&first)?, time(&last)?);
    // Shards are in order of their keys' age, and ours come behind, also where our key is older than their first entry.
    let ours = to.keys.registry().in_use(Role::RekorV1);
    let start = ours.map_or(first, |ours| first.min(ours.valid_from.plus_seconds(-1)));
    let mut record = KeyRecord::new(Role::RekorV1, id, &log.key, client.base(), host, start)?;
    record.valid_to = Some(end.max(start));
    let mut import = to.begin(&record, log, IMPORTED_V1_LEAF_LIMIT).await?;
    let read = |range| leaves(client.clone(), shard.clone(), range);
    to.fill(&mut import, log, AT_ONCE, read).await?;
    to.end(import, log, record).await
}

/// The leaves of a shard at these indexes in it, each verified.
async fn leaves(
    client: Client,
    shard: v1::Shard,
    range: Range<u64>,
) -> Result<Vec<ImportedLeaf>, TakeOverError> {
    let indexes = shard.virtual_index(range.start)..shard.virtual_index(range.end);
    let entries = entries(&client, indexes).await?;
    let leaves = range.zip(entries);
    leaves.map(|(index, entry)| leaf(&shard, index, entry)).collect()
}

/// The entries at these virtual indexes.
async fn entries(client: &Client, range: Range<u64>) -> Result<Vec<Entry>, TakeOverError> {
    let what = format!("entries from index {} on", range.start);
    let indexes: Vec<u64> = range.collect();
    let asked = json!({ "logIndexes": indexes }).to_string().into_bytes();
    let answer = client
        .post("/api/v1/log/entries/retrieve", "application/json", asked)
        .await?
        .expect(StatusCode::OK)?;
    let found: Vec<Value> = parse(&what, &answer)?;
    let mut entries = Vec::with_capacity(found.len());
    for one in found {
        let Value::Object(members) = one else {
            return Err(source(&what, "expected objects"));
        };
        for (_, entry) in members {
            entries.push(serde_json::from_value::<Entry>(entry).map_err(|error| source(&what, error))?);
        }
    }
    entries.sort_by_key(|entry| entry.log_index);
    if entries
        .iter()
        .map(|entry| entry.log_index)
        .ne(indexes.iter().copied())
    {
        let (expected, got) = (indexes.len(), entries.len());
        return Err(source(
            &what,
            format!("expected {expected} entries, one at each index, got {got}"),
        ));
    }
    Ok(entries)
}

fn leaf(shard: &v1::Shard, index: u64, entry: Entry) -> Result<ImportedLeaf, TakeOverError> {
    let what = || format!("entry {}", shard.virtual_index(index));
    let decode = |text: &str| STANDARD.decode(text).map_err(|error| source(what(), error));
    let attestation = entry.attestation.and_then(|attestation| attestation.data);
    let attestation = attestation.as_deref().map(decode).transpose()?;
    let entry = v1::ImportedEntry {
        body: decode(&entry.body)?.into(),
        integrated_time: entry.integrated_time,
        set: decode(&entry.verification.signed_entry_timestamp)?,
        attestation: attestation.map(Into::into),
    };
    v1::imported_leaf(shard, index, entry).map_err(|refusal| source(what(), refusal))
}

fn parse<T: serde::de::DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, TakeOverError> {
    serde_json::from_slice(body).map_err(|error| source(what, error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use common_pki::key::{KeyAlgorithm, LocalSigner, Signer};

    use super::*;

    #[test]
    fn shards_that_repeat_a_key_are_named_before_anything_is_taken() {
        let key = || {
            let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
            signer.public_key().clone()
        };
        let (one, other) = (key(), key());
        assert!(one_key_each(&[(11, &one), (22, &other)]).is_ok());
        let refused = one_key_each(&[(11, &other), (22, &one), (33, &one)]);
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("trees 22, 33"), "{said}");
        assert!(said.contains(&hex::encode(one.fingerprint())), "{said}");
        assert!(said.contains("not supported"), "{said}");
    }
}
