//! Checks of the stored tree: at start, after every reload, and against what was published before.

use bytes::Bytes;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::edge::EdgeError;
use common_tlog::note::Note;
use common_tlog::proof::{Plan, verify_inclusion};
use common_tlog::tile::{FULL_WIDTH, right_edge};
use common_tlog::{Hash, MAX_SIZE, RightEdge, TileId, TileSet, leaf_hash};

use crate::error::{Corrupt, StoreError};
use crate::storage::{Storage, StoredLog};
use crate::types::{Head, LogId};

/// Checks that the tiles hash to the stored head, that the signed checkpoint is for that head, and that the leaves
/// of the last tile hash to it. Gives the right edge, ready to be appended to.
pub(crate) async fn verify_log(storage: &dyn Storage, log: &StoredLog) -> Result<RightEdge, StoreError> {
    let (id, head) = (log.info.id, &log.head);
    let edge = load_edge(storage, id, head.size).await?;
    let got = edge.root();
    if got != head.root {
        // The leaves of the last tile may tell which of its hashes is wrong.
        if let Err(StoreError::Corrupt(named @ Corrupt::Leaf { .. })) =
            check_last_leaves(storage, id, head, log.info.spec.leaf_limit).await
        {
            return Err(named.into());
        }
        return Err(Corrupt::Root {
            log: id,
            size: head.size,
            expected: head.root,
            got,
        }
        .into());
    }
    check_checkpoint(id, &log.info.spec.origin, head)?;
    check_last_leaves(storage, id, head, log.info.spec.leaf_limit).await?;
    Ok(edge)
}

/// Checks that the stored tree extends one of `size` and `root` that was published before.
pub(crate) async fn verify_extends(
    storage: &dyn Storage,
    log: LogId,
    head: &Head,
    size: u64,
    root: &Hash,
) -> Result<(), StoreError> {
    if size > head.size {
        return Err(Corrupt::Behind {
            log,
            published: size,
            got: head.size,
        }
        .into());
    }
    let got = root_at(storage, log, head, size).await?;
    if got != *root {
        return Err(Corrupt::Forked {
            log,
            size,
            expected: *root,
            got,
        }
        .into());
    }
    Ok(())
}

/// The root the stored tree had at `size`, which is at most that of its head.
pub(crate) async fn root_at(
    storage: &dyn Storage,
    log: LogId,
    head: &Head,
    size: u64,
) -> Result<Hash, StoreError> {
    if size == head.size {
        Ok(head.root)
    } else {
        Ok(load_edge(storage, log, size).await?.root())
    }
}

async fn load_edge(storage: &dyn Storage, log: LogId, size: u64) -> Result<RightEdge, StoreError> {
    if size > MAX_SIZE {
        return Err(Corrupt::Size(log, size).into());
    }
    let wanted: Vec<TileId> = right_edge(size).into_iter().map(|(tile, _)| tile).collect();
    let tiles = load_tiles(storage, log, &wanted).await?;
    RightEdge::load(size, tiles).map_err(|error| edge_corrupt(log, &error).into())
}

async fn load_tiles(
    storage: &dyn Storage,
    log: LogId,
    wanted: &[TileId],
) -> Result<Vec<(TileId, Bytes)>, StoreError> {
    let stored = storage.tiles(log, wanted).await?;
    let found = wanted.iter().zip(stored);
    let tiles =
        found.map(|(tile, bytes)| Ok((*tile, bytes.ok_or(Corrupt::TileMissing { log, tile: *tile })?)));
    tiles.collect()
}

/// What a failed load of an edge says about the store.
pub(crate) fn edge_corrupt(log: LogId, error: &EdgeError) -> Corrupt {
    match *error {
        EdgeError::SizeTooLarge(size) => Corrupt::Size(log, size),
        EdgeError::MissingTile(tile) => Corrupt::TileMissing { log, tile },
        EdgeError::ShortTile { tile, expected, got } => Corrupt::TileWidth {
            log,
            tile,
            expected,
            got,
        },
    }
}

/// The checkpoint text names the origin, size and root (C2SP tlog-checkpoint "Note text"). Who signed it is the
/// matter of whoever reads it: the engine holds no keys.
pub(crate) fn check_checkpoint(log: LogId, origin: &str, head: &Head) -> Result<(), Corrupt> {
    let note = Note::parse(head.checkpoint.as_bytes()).map_err(|_| Corrupt::CheckpointSyntax(log))?;
    let got = Checkpoint::parse(note.text()).map_err(|_| Corrupt::CheckpointSyntax(log))?;
    if got.origin != origin || got.size != head.size || got.root != head.root {
        let show = |origin: &str, size: u64, root: &Hash| format!("{origin:?} size {size} root {root}");
        return Err(Corrupt::Checkpoint {
            log,
            expected: show(origin, head.size, &head.root),
            got: show(&got.origin, got.size, &got.root),
        });
    }
    Ok(())
}

/// Most bytes of leaves that a check holds at once.
const CHUNK_BYTES: u32 = 8 << 20;

/// Re-hashes the leaves of the last level-0 tile and proves the last one, whose proof hashes every other entry of
/// its tile and every node of the right edge.
async fn check_last_leaves(
    storage: &dyn Storage,
    log: LogId,
    head: &Head,
    leaf_limit: u32,
) -> Result<(), StoreError> {
    let Some(last) = head.size.checked_sub(1) else {
        return Ok(());
    };
    let proof_error = || Corrupt::Proof {
        log,
        index: last,
        size: head.size,
    };
    let plan = Plan::inclusion(last, head.size).map_err(|_| Corrupt::Size(log, head.size))?;
    let last_tile = TileId::of_node(0, last);
    let mut wanted: Vec<TileId> = plan.tiles().into_iter().map(|(tile, _)| tile).collect();
    if !wanted.contains(&last_tile) {
        wanted.push(last_tile);
    }
    let tiles = load_tiles(storage, log, &wanted).await?;
    let hashes = tiles
        .iter()
        .find(|(tile, _)| *tile == last_tile)
        .map(|(_, bytes)| bytes.clone());
    let hashes = hashes.unwrap_or_default();

    let start = last_tile.index.saturating_mul(u64::from(FULL_WIDTH));
    let at_once = CHUNK_BYTES
        .checked_div(leaf_limit)
        .map_or(1, |count| count.clamp(1, u32::from(FULL_WIDTH)));
    let mut leaves = Vec::new().into_iter();
    let mut last_hash = Hash::default();
    for (index, expected) in (start..head.size).zip(hashes.chunks_exact(32)) {
        if leaves.len() == 0 {
            leaves = storage.leaves(log, index, at_once).await?.into_iter();
        }
        let leaf = leaves
            .next()
            .filter(|leaf| leaf.index == index)
            .ok_or(Corrupt::LeafMissing(log, index))?;
        last_hash = leaf_hash(&leaf.data);
        if last_hash.as_ref() != expected {
            let expected = Hash::from_slice(expected).unwrap_or_default();
            return Err(Corrupt::Leaf {
                log,
                index,
                expected,
                got: last_hash,
            }
            .into());
        }
    }
    let mut nodes = TileSet::new();
    for (tile, bytes) in tiles {
        nodes.insert(tile, bytes.to_vec());
    }
    let proof = plan.evaluate(&nodes).map_err(|missing| Corrupt::TileMissing {
        log,
        tile: missing.tile,
    })?;
    verify_inclusion(last, head.size, &last_hash, &proof, &head.root).map_err(|_| proof_error().into())
}
