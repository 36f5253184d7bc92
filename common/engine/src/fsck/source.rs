//! Reading one log of a store that may be damaged: what cannot be read is a finding, and the rest goes on.

use std::collections::HashMap;

use bytes::Bytes;
use common_tlog::TileId;
use common_tlog::tile::HEIGHT;

use super::report::{At, Findings};
use crate::storage::Storage;
use crate::types::{LogId, StoredLeaf};

/// Most bytes of leaves read at once.
const BATCH_BYTES: u32 = 32 << 20;
/// Most leaves read at once.
const BATCH: u32 = 1_024;
/// Leaves behind the head that are looked at.
const BEYOND: u32 = u32::MAX;

/// One log.
pub(super) struct Source<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) log: LogId,
    pub(super) leaf_limit: u32,
}

impl Source<'_> {
    /// Leaves to read at once.
    pub(super) fn batch(&self) -> u32 {
        BATCH_BYTES
            .checked_div(self.leaf_limit)
            .map_or(BATCH, |count| count.clamp(1, BATCH))
    }

    /// The leaves of a range, which has at most [`Source::batch`]: one for each index, `None` where there is none.
    pub(super) async fn leaves(
        &self,
        start: u64,
        count: u32,
        findings: &mut Findings,
    ) -> Vec<Option<StoredLeaf>> {
        let found = match self.storage.leaves(self.log, start, count).await {
            Ok(found) => found,
            // One by one, to name those that cannot be read.
            Err(_) => {
                let mut found = Vec::new();
                for index in (start..).take(count as usize) {
                    match self.storage.leaves(self.log, index, 1).await {
                        Ok(leaf) => found.extend(leaf),
                        Err(error) => {
                            findings.add(At::Leaf(self.log, index), "leaf", "a readable leaf", error);
                        }
                    }
                }
                found
            }
        };
        let mut found: HashMap<u64, StoredLeaf> = found.into_iter().map(|leaf| (leaf.index, leaf)).collect();
        (start..)
            .take(count as usize)
            .map(|index| found.remove(&index))
            .collect()
    }

    /// The tiles that are there and can be read. One that cannot is missing to the audit, which says so.
    pub(super) async fn tiles(&self, wanted: &[TileId], findings: &mut Findings) -> HashMap<TileId, Bytes> {
        if let Ok(tiles) = self.storage.tiles(self.log, wanted).await {
            let found = wanted.iter().zip(tiles);
            return found.filter_map(|(tile, bytes)| Some((*tile, bytes?))).collect();
        }
        let mut found = HashMap::new();
        for tile in wanted {
            match self.storage.tiles(self.log, std::slice::from_ref(tile)).await {
                Ok(bytes) => found.extend(bytes.into_iter().flatten().map(|bytes| (*tile, bytes))),
                Err(error) => findings.add(At::Tile(self.log, *tile, 256), "tile", "a readable tile", error),
            }
        }
        found
    }

    /// Indexes of leaves at and behind `size`, and the tiles of the right edge and behind it that have more bytes than
    /// they have in a tree of `size`.
    pub(super) async fn beyond(
        &self,
        size: u64,
        findings: &mut Findings,
    ) -> (Vec<u64>, Vec<(TileId, usize)>) {
        let leaves = match self.storage.leaves(self.log, size, BEYOND).await {
            Ok(leaves) => leaves.into_iter().map(|leaf| leaf.index).collect(),
            Err(error) => {
                findings.add(At::Log(self.log), "leaves behind the head", "none", error);
                Vec::new()
            }
        };
        let right = (0..HEIGHT).flat_map(|level| {
            let bits = u32::from(level.saturating_add(1)).saturating_mul(u32::from(HEIGHT));
            let index = size.checked_shr(bits).unwrap_or(0);
            [index, index.saturating_add(1)].map(|index| TileId { level, index })
        });
        let right: Vec<TileId> = right.collect();
        let tiles = self.tiles(&right, findings).await;
        let wider = tiles.into_iter().filter_map(|(tile, bytes)| {
            let expected = usize::from(tile.width(size)).saturating_mul(32);
            (bytes.len() > expected).then_some((tile, bytes.len()))
        });
        (leaves, wider.collect())
    }
}
