//! Hash tiles kept in memory, and the tree nodes in them.

use std::collections::HashMap;

use bytes::Bytes;
use common_tlog::tile::{node_of_tree, right_edge};
use common_tlog::{Hash, NodeReader, RightEdge, TileId};

use crate::error::Corrupt;
use crate::types::LogId;
use crate::verify::edge_corrupt;

/// Full hash tiles in two generations: a hit in the older one moves up, and when the younger one is full it becomes
/// the older. That keeps what is used within `capacity` tiles, in constant time.
#[derive(Default)]
pub(crate) struct TileCache {
    young: HashMap<(LogId, TileId), Bytes>,
    old: HashMap<(LogId, TileId), Bytes>,
}

impl TileCache {
    pub(crate) fn get(&mut self, key: &(LogId, TileId), capacity: usize) -> Option<Bytes> {
        if let Some(bytes) = self.young.get(key) {
            return Some(bytes.clone());
        }
        let bytes = self.old.remove(key)?;
        self.put(*key, bytes.clone(), capacity);
        Some(bytes)
    }

    pub(crate) fn put(&mut self, key: (LogId, TileId), bytes: Bytes, capacity: usize) {
        if self.young.len() >= capacity.div_ceil(2) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, bytes);
    }
}

/// Tiles of one log as a source of nodes.
pub(crate) struct Nodes {
    pub(crate) log: LogId,
    pub(crate) tiles: HashMap<TileId, Bytes>,
}

impl NodeReader for Nodes {
    type Error = Corrupt;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Corrupt> {
        let tile = TileId::of_node(level, index);
        self.tiles
            .get(&tile)
            .and_then(|bytes| node_of_tree(bytes, level, index))
            .ok_or(Corrupt::TileMissing { log: self.log, tile })
    }
}

impl Nodes {
    /// The root at `size`, from the tiles of its right edge.
    pub(crate) fn root(&self, size: u64) -> Result<Hash, Corrupt> {
        let edge = right_edge(size).into_iter();
        let tiles = edge.filter_map(|(tile, _)| Some((tile, self.tiles.get(&tile)?)));
        let edge = RightEdge::load(size, tiles).map_err(|error| edge_corrupt(self.log, &error))?;
        Ok(edge.root())
    }
}
