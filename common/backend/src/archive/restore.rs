//! Restoring a backup: every tile is built anew from the leaves, and what comes out must be what the log signed.
//!
//! Until the last commit every head in the new store has a checkpoint that is none, so a start refuses what an
//! interrupted restore leaves. The last commit moves all heads at once to the ones that were signed.

use std::collections::BTreeMap;
use std::path::Path;

use common_engine::{
    Batch, Commit, Head, HeadChange, IndexSecret, LogBatch, LogId, LogInfo, LogState, Place, Storage,
    StorageError, StoredLeaf, StoredLog,
};
use common_tlog::{Hash, RightEdge, empty_root, leaf_hash};
use rayon::prelude::*;

use super::evidence::{Seen, Verdict};
use super::expected::{Expected, Missing, Why};
use super::save::{check_root, check_run};
use super::schema::{Chunk, Part};
use super::{Archive, ArchiveError, Progress, Watch, io_error};

/// Leaves and bytes of them in one commit.
const BATCH_LEAVES: usize = 4_096;
const BATCH_BYTES: usize = 8 << 20;
/// Index rows in one commit.
const BATCH_ROWS: usize = 32_768;
/// In place of a checkpoint: no signed note, so no start accepts it.
const UNFINISHED: &str = "a restore was not finished\n";

/// What becomes of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlan {
    /// Whether it goes on.
    pub verdict: Verdict,
    /// Published heads of at most its size: the rebuilt tree must have had each of them.
    pub seen: Vec<Seen>,
}

/// The identity of a leaf, as its log's `common_engine::Personality` gives it.
pub type Identity<'a> = &'a (dyn Fn(&LogInfo, &StoredLeaf, &Hash) -> Hash + Send + Sync);

/// How to restore.
pub struct Restore<'a> {
    /// An empty store with the secret of the backup.
    pub storage: &'a dyn Storage,
    /// By log; one that is not listed is frozen.
    pub plans: &'a BTreeMap<LogId, LogPlan>,
    /// Identities of leaves.
    pub identity: Identity<'a>,
    /// Folder for temporary files of up to 42 bytes for each leaf.
    pub scratch: &'a Path,
    /// Where progress is shown.
    pub watch: Watch<'a>,
}

/// Writes the backup into the store and verifies all of it on the way.
///
/// # Errors
/// [`ArchiveError`]; the store is then one that no engine starts on.
pub async fn restore(archive: &mut Archive, how: &Restore<'_>) -> Result<(), ArchiveError> {
    let logs = archive.about().logs.clone();
    let secret = archive.about().secret;
    if let Some(log) = how.storage.logs().await?.first() {
        return Err(ArchiveError::NotEmpty(log.info.spec.origin.clone()));
    }
    if how.storage.secret().await? != secret {
        return Err(StorageError::new("it was not created with the secret of the backup").into());
    }
    let mut expected = Expected::new(how.scratch);
    let mut last = Vec::new();
    for log in &logs {
        create(how.storage, log).await?;
        last.extend(restore_leaves(archive, how, log, &secret, &mut expected).await?);
    }
    restore_index(archive, how, &logs, expected).await?;
    restore_attachments(archive, how).await?;
    last.sort_unstable_by_key(|part: &LogBatch| part.log);
    if !last.is_empty() {
        commit(how.storage, logs_only(last)).await?;
    }
    for log in &logs {
        let frozen = how
            .plans
            .get(&log.info.id)
            .is_none_or(|plan| plan.verdict == Verdict::Frozen);
        let state = if frozen { LogState::Frozen } else { log.info.state };
        if state != LogState::Active {
            applied(how.storage.set_state(log.info.id, state).await?)?;
        }
    }
    Ok(())
}

/// The log with nothing in it.
async fn create(storage: &dyn Storage, log: &StoredLog) -> Result<(), ArchiveError> {
    let mut empty = log.clone();
    empty.info.state = LogState::Active;
    if log.head.size > 0 {
        empty.head = Head {
            size: 0,
            root: empty_root(),
            checkpoint: UNFINISHED.to_owned(),
            time: log.head.time,
        };
    }
    applied(storage.create_log(&empty).await?)
}

/// Writes the leaves of a log and its tiles, but for the last batch, which is given back.
async fn restore_leaves(
    archive: &mut Archive,
    how: &Restore<'_>,
    log: &StoredLog,
    secret: &IndexSecret,
    expected: &mut Expected,
) -> Result<Option<LogBatch>, ArchiveError> {
    let mut chunks = archive.chunks(Part::Leaves, log.info.id).into_iter();
    let mut growth = Growth {
        how,
        log,
        secret,
        edge: RightEdge::empty(),
    };
    let mut ready: Option<LogBatch> = None;
    loop {
        // The next leaves are read while the last ones are written.
        let written = async {
            match ready.take() {
                Some(part) => commit(how.storage, logs_only(vec![part])).await,
                None => Ok(()),
            }
        };
        let (leaves, written) = tokio::join!(take_leaves(archive, &mut chunks), written);
        written?;
        let leaves = leaves?;
        if leaves.is_empty() {
            check_root(log, &growth.edge)?;
            return Ok(None);
        }
        let part = growth.add(leaves, expected)?;
        (how.watch)(Progress::Leaves {
            origin: log.info.spec.origin.clone(),
            done: growth.edge.size(),
            total: log.head.size,
        });
        if chunks.len() == 0 {
            check_root(log, &growth.edge)?;
            let mut part = part;
            part.head.to = log.head.clone();
            return Ok(Some(part));
        }
        ready = Some(part);
    }
}

async fn take_leaves(
    archive: &mut Archive,
    chunks: &mut impl Iterator<Item = Chunk>,
) -> Result<Vec<StoredLeaf>, ArchiveError> {
    let (mut leaves, mut bytes) = (Vec::new(), 0usize);
    while leaves.len() < BATCH_LEAVES && bytes < BATCH_BYTES {
        let Some(chunk) = chunks.next() else { break };
        let more = archive.leaves(&chunk).await?;
        bytes = more.iter().fold(bytes, |sum, leaf| {
            sum.saturating_add(leaf.data.len())
                .saturating_add(leaf.extra.len())
        });
        leaves.extend(more);
    }
    Ok(leaves)
}

/// A log that is being rebuilt.
struct Growth<'a> {
    how: &'a Restore<'a>,
    log: &'a StoredLog,
    secret: &'a IndexSecret,
    edge: RightEdge,
}

impl Growth<'_> {
    /// Adds leaves: what has to be stored for them.
    fn add(&mut self, leaves: Vec<StoredLeaf>, expected: &mut Expected) -> Result<LogBatch, ArchiveError> {
        let info = &self.log.info;
        check_run(&info.spec.origin, self.edge.size(), &leaves)?;
        let hashed = leaves.par_iter().map(|leaf| {
            let hash = leaf_hash(&leaf.data);
            let identity = (self.how.identity)(info, leaf, &hash);
            (
                hash,
                self.secret.leaf(info.id, &hash),
                self.secret.leaf(info.id, &identity),
            )
        });
        let hashed: Vec<_> = hashed.collect();
        for (leaf, (_, by_hash, by_identity)) in leaves.iter().zip(&hashed) {
            let place = Place {
                log: info.id,
                index: leaf.index,
            };
            let mut asked = expected.ask(*by_hash, place, Why::LeafHash);
            if by_identity != by_hash {
                asked = asked.and(expected.ask(*by_identity, place, Why::Identity));
            }
            asked.map_err(io_error(self.how.scratch))?;
        }
        let hashes: Vec<Hash> = hashed.into_iter().map(|(hash, ..)| hash).collect();
        self.check_seen(&hashes)?;
        let grown = self.edge.grow(&hashes).map_err(StorageError::new)?;
        let tiles = grown.tiles().map(|(tile, bytes)| (tile, bytes.into())).collect();
        let edge = grown.into_edge();
        let head = HeadChange {
            from_size: self.edge.size(),
            from_root: self.edge.root(),
            to: Head {
                size: edge.size(),
                root: edge.root(),
                checkpoint: UNFINISHED.to_owned(),
                time: self.log.head.time,
            },
        };
        self.edge = edge;
        Ok(LogBatch {
            log: info.id,
            head,
            leaves,
            tiles,
        })
    }

    /// Published heads that these leaves reach were heads of this tree.
    fn check_seen(&self, hashes: &[Hash]) -> Result<(), ArchiveError> {
        let seen = self
            .how
            .plans
            .get(&self.log.info.id)
            .map(|plan| plan.seen.as_slice());
        for seen in seen.unwrap_or_default() {
            let beyond = seen.published.size.checked_sub(self.edge.size());
            let Some(some) = beyond
                .and_then(|count| usize::try_from(count).ok())
                .filter(|count| *count > 0)
                .and_then(|count| hashes.get(..count))
            else {
                continue;
            };
            let got = self.edge.grow(some).map_err(StorageError::new)?.edge().root();
            if got != seen.published.root {
                return Err(ArchiveError::Fork {
                    origin: self.log.info.spec.origin.clone(),
                    size: seen.published.size,
                    root: seen.published.root,
                    got,
                    seen_in: seen.source.clone(),
                });
            }
        }
        Ok(())
    }
}

async fn restore_index(
    archive: &mut Archive,
    how: &Restore<'_>,
    logs: &[StoredLog],
    mut expected: Expected,
) -> Result<(), ArchiveError> {
    let missing = |missing: Missing| {
        let log = logs.iter().find(|log| log.info.id == missing.place.log);
        ArchiveError::IndexMissing {
            origin: log.map_or_else(String::new, |log| log.info.spec.origin.clone()),
            index: missing.place.index,
            what: missing.why.name(),
        }
    };
    let total = archive.rows(Part::Index);
    let (mut done, mut before, mut rows) = (0u64, None, Vec::new());
    for chunk in archive.chunks(Part::Index, LogId(0)) {
        for row in archive.index(&chunk).await? {
            let below = |log: &StoredLog| log.info.id == row.1.log && row.1.index < log.head.size;
            if !logs.iter().any(below) || before.is_some_and(|before| before >= row) {
                return Err(
                    archive.damaged("table index_rows: a row is out of order or of a leaf that is not there")
                );
            }
            before = Some(row);
            let there = expected.there_is(row).map_err(io_error(how.scratch))?;
            there.map_err(missing)?;
            rows.push(row);
        }
        if rows.len() >= BATCH_ROWS {
            done = done.saturating_add(rows.len() as u64);
            commit(how.storage, index_only(std::mem::take(&mut rows))).await?;
            (how.watch)(Progress::Index {
                done,
                total: Some(total),
            });
        }
    }
    expected
        .finish()
        .map_err(io_error(how.scratch))?
        .map_err(missing)?;
    if rows.is_empty() {
        Ok(())
    } else {
        commit(how.storage, index_only(rows)).await
    }
}

async fn restore_attachments(archive: &mut Archive, how: &Restore<'_>) -> Result<(), ArchiveError> {
    let mut done = 0u64;
    for chunk in archive.chunks(Part::Attachments, LogId(0)) {
        let attachments = archive.attachments(&chunk).await?;
        done = done.saturating_add(attachments.len() as u64);
        let batch = Batch {
            logs: Vec::new(),
            index: Vec::new(),
            attachments,
        };
        commit(how.storage, batch).await?;
        (how.watch)(Progress::Attachments(done));
    }
    Ok(())
}

fn logs_only(logs: Vec<LogBatch>) -> Batch {
    Batch {
        logs,
        index: Vec::new(),
        attachments: Vec::new(),
    }
}

fn index_only(index: Vec<(common_engine::IndexKey, Place)>) -> Batch {
    Batch {
        logs: Vec::new(),
        index,
        attachments: Vec::new(),
    }
}

async fn commit(storage: &dyn Storage, batch: Batch) -> Result<(), ArchiveError> {
    applied(storage.commit(&batch).await?)
}

/// Nobody else writes to a store that is being restored.
fn applied(outcome: Commit) -> Result<(), ArchiveError> {
    match outcome {
        Commit::Committed => Ok(()),
        Commit::Conflict => Err(StorageError::new("another process writes to it").into()),
    }
}
