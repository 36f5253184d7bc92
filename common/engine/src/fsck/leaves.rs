//! The pass over the leaves of one log: each is hashed into the tree, checked by its kind, and adds its rows to the
//! sums of the index.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use common_tlog::audit::{self, Audit, Chunk};
use common_tlog::tile::{FULL_WIDTH, node_of_tree};
use common_tlog::{Hash, TileId, leaf_hash};
use rayon::prelude::*;

use super::index::IndexSums;
use super::report::{At, Findings};
use super::source::Source;
use super::{Flaw, LeafRows, Progress, Rows};
use crate::storage::Place;
use crate::types::{Head, LogId, StoredLeaf};

/// Attachments kept at hand: the issuers of a certificate log are the same for all its leaves.
const CACHED: usize = 64;

pub(super) struct Pass<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) rows: &'a Arc<Rows>,
    pub(super) head: &'a Head,
    pub(super) progress: &'a (dyn Fn(Progress) + Sync),
}

/// What a leaf says by itself.
struct Read {
    leaf: StoredLeaf,
    hash: Hash,
    rows: LeafRows,
    attachments: Vec<String>,
    flaw: Option<Flaw>,
}

fn read(rows: &Rows, leaf: StoredLeaf) -> Read {
    let hash = leaf_hash(&leaf.data);
    let understood = rows
        .of(&leaf, &hash)
        .and_then(|of_leaf| Ok((of_leaf, rows.kind.attachments(&leaf)?)));
    match understood {
        Ok((rows, attachments)) => Read {
            leaf,
            hash,
            rows,
            attachments,
            flaw: None,
        },
        // Its rows in the index are not known either.
        Err(flaw) => Read {
            rows: rows.at_least(&leaf, &hash),
            leaf,
            hash,
            attachments: Vec::new(),
            flaw: Some(flaw),
        },
    }
}

impl Pass<'_> {
    /// Checks the log; gives the root over its leaves, and how many were walked: a damaged head may say any size, so
    /// the walk ends where a whole chunk is not there.
    pub(super) async fn run(&self, findings: &mut Findings, sums: &mut IndexSums) -> (Hash, u64) {
        let log = self.source.log;
        let mut tree = Audit::new(self.head.size, self.head.root, findings.limit());
        let mut cache = HashMap::new();
        let mut last_time = 0;
        while let Some(chunk) = tree.next() {
            let wanted: Vec<TileId> = chunk.tiles.iter().map(|(tile, _)| *tile).collect();
            if self.is_empty(&chunk).await {
                let expected = format!("leaves up to size {}", self.head.size);
                findings.add(
                    At::Head(log),
                    "size",
                    expected,
                    format!("none from {} on", chunk.start),
                );
                return (self.head.root, chunk.start);
            }
            let tiles = self.source.tiles(&wanted, findings).await;
            let hashes = self
                .chunk(&chunk, &tiles, &mut cache, &mut last_time, findings, sums)
                .await;
            if let Err(miscounted) = tree.check(&hashes, &tiles) {
                findings.add(At::Log(log), "leaves", miscounted.expected, miscounted.got);
                return (self.head.root, chunk.start);
            }
        }
        if self.head.size > 0 && last_time != self.head.time {
            // Leaves and head of a batch have one time.
            let expected = format!("{last_time}, the time of the last leaf");
            findings.add(At::Head(log), "time", expected, self.head.time);
        }
        let audited = tree.finish();
        for finding in audited.findings {
            add(log, finding, findings);
        }
        findings.skip(audited.more);
        (audited.root, self.head.size)
    }

    /// Whether nothing is stored of a chunk: neither of its first leaves nor the last one.
    async fn is_empty(&self, chunk: &Chunk) -> bool {
        // What cannot be read is there, and is told when all of the chunk is read.
        let mut told = Findings::new(0);
        let count = u32::try_from(chunk.count).unwrap_or(u32::MAX);
        let count = count.min(self.source.batch());
        let last = chunk.start.saturating_add(chunk.count).saturating_sub(1);
        for (start, count) in [(chunk.start, count), (last, 1)] {
            let found = self.source.leaves(start, count, &mut told).await;
            if found.iter().any(Option::is_some) {
                return false;
            }
        }
        told.finish().more == 0
    }

    /// Checks the leaves of a chunk; gives their hashes.
    async fn chunk(
        &self,
        chunk: &Chunk,
        tiles: &HashMap<TileId, Bytes>,
        cache: &mut HashMap<String, Bytes>,
        last_time: &mut u64,
        findings: &mut Findings,
        sums: &mut IndexSums,
    ) -> Vec<Hash> {
        let log = self.source.log;
        let end = chunk.start.saturating_add(chunk.count);
        let mut hashes = Vec::with_capacity(usize::try_from(chunk.count).unwrap_or_default());
        let mut at = chunk.start;
        while at < end {
            let count = u32::try_from(end.saturating_sub(at))
                .unwrap_or(u32::MAX)
                .min(self.source.batch());
            let leaves = self.source.leaves(at, count, findings).await;
            let rows = Arc::clone(self.rows);
            let reads: Vec<Option<Read>> = on_all_cores(move || {
                let each = leaves.into_par_iter();
                each.map(|leaf| Some(read(&rows, leaf?))).collect()
            })
            .await;
            let mut whole = Vec::with_capacity(reads.len());
            for (index, read) in (at..end).zip(reads) {
                let Some(read) = read else {
                    findings.add(At::Leaf(log, index), "leaf", "a leaf", "none");
                    // Only this is wrong: the tile says what the leaf was.
                    hashes.push(in_tile(tiles, index).unwrap_or_default());
                    continue;
                };
                hashes.push(read.hash);
                let time = read.leaf.time;
                if time < *last_time || time > self.head.time {
                    let expected = format!("{last_time} to {}", self.head.time);
                    findings.add(At::Leaf(log, index), "time", expected, time);
                }
                *last_time = time;
                sums.expect(&read.rows, Place { log, index });
                if let Some(flaw) = read.flaw {
                    findings.flaw(At::Leaf(log, index), Err(flaw));
                } else if let Some(attached) = self.attached(&read, cache, findings).await {
                    whole.push((read.leaf, attached));
                }
            }
            let kind = Arc::clone(&self.rows.kind);
            let flaws: Vec<(u64, Flaw)> = on_all_cores(move || {
                let each = whole.par_iter();
                each.filter_map(|(leaf, attached)| Some((leaf.index, kind.leaf(leaf, attached).err()?)))
                    .collect()
            })
            .await;
            for (index, flaw) in flaws {
                findings.flaw(At::Leaf(log, index), Err(flaw));
            }
            at = at.saturating_add(u64::from(count));
            (self.progress)(Progress::Leaves(at));
        }
        hashes
    }

    /// The attachments of a leaf; `None`, and findings, if not all are there.
    async fn attached(
        &self,
        read: &Read,
        cache: &mut HashMap<String, Bytes>,
        findings: &mut Findings,
    ) -> Option<Vec<Bytes>> {
        let mut attached = Vec::with_capacity(read.attachments.len());
        for key in &read.attachments {
            if let Some(data) = cache.get(key) {
                attached.push(data.clone());
                continue;
            }
            match self.source.storage.attachment(key).await {
                Ok(Some(data)) => {
                    if cache.len() >= CACHED {
                        cache.clear();
                    }
                    cache.insert(key.clone(), data.clone());
                    attached.push(data);
                }
                Ok(None) => {
                    let at = At::Leaf(self.source.log, read.leaf.index);
                    findings.add(at, "attachment", key, "none of this name");
                }
                Err(error) => findings.add(At::Attachment(key.clone()), "attachment", "readable data", error),
            }
        }
        (attached.len() == read.attachments.len()).then_some(attached)
    }
}

/// Runs `work` where it may block, on the threads of the machine.
pub(super) async fn on_all_cores<T: Send + 'static>(
    work: impl FnOnce() -> Vec<T> + Send + 'static,
) -> Vec<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is being shut down: nobody reads the result.
            Err(_) => Vec::new(),
        },
    }
}

fn in_tile(tiles: &HashMap<TileId, Bytes>, index: u64) -> Option<Hash> {
    node_of_tree(tiles.get(&TileId::of_node(0, index))?, 0, index)
}

fn add(log: LogId, finding: audit::Finding, findings: &mut Findings) {
    use audit::Finding as Audited;
    match finding {
        Audited::Leaf { index, expected, got } => {
            findings.add(At::Leaf(log, index), "hash", expected, got);
        }
        Audited::Tile {
            tile,
            width,
            entry,
            expected,
            got,
        } => {
            let what = format!("hash {entry} of {width}");
            findings.add(At::Tile(log, tile, width), &what, expected, got);
        }
        Audited::Subtree { tile, expected, got } => {
            let at = At::Tile(log, tile, FULL_WIDTH);
            findings.add(
                at,
                "root of the tile, changed together with all below it",
                expected,
                got,
            );
        }
        Audited::Disagreement {
            tile,
            width,
            entry,
            stored,
            computed,
        } => {
            let below = match tile.level.checked_sub(1) {
                None => format!("leaf {}", (tile.index << 8).saturating_add(u64::from(entry))),
                Some(level) => {
                    let index = (tile.index << 8).saturating_add(u64::from(entry));
                    TileId { level, index }.path(FULL_WIDTH)
                }
            };
            let what = format!("hash {entry} of {width}, or {below}: one or both were changed");
            findings.add(At::Tile(log, tile, width), &what, computed, stored);
        }
        Audited::TileMissing { tile, width } => {
            findings.add(At::Tile(log, tile, width), "tile", "a tile", "none");
        }
        Audited::TileLength { tile, width, got } => {
            let expected = format!("{} bytes", usize::from(width).saturating_mul(32));
            findings.add(
                At::Tile(log, tile, width),
                "length",
                expected,
                format!("{got} bytes"),
            );
        }
        Audited::Root { size, expected, got } => {
            let what = format!("root at size {size}");
            // What is signed cannot be expected of the leaves, nor the reverse: both are said.
            findings.add(
                At::Head(log),
                &what,
                format!("{got}, made of all leaves"),
                format!("{expected} in the head"),
            );
        }
    }
}
