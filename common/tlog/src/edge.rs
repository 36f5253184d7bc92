//! Growing a tree at its right edge.
//!
//! A writer keeps one [`RightEdge`] in memory: for each tile level the last, partial tile with all
//! nodes inside it. [`RightEdge::grow`] leaves it as it was and gives a [`Grown`]: the next edge, the
//! tiles to store, and every node that the proofs of the new leaves need, so that a batch is
//! proven without one read from storage. If the batch cannot be stored, the old edge still stands.

use std::sync::Arc;

use crate::{
    Hash, MAX_SIZE, NodeReader, TileId, empty_root, node_hash,
    proof::{MakeError, Plan, Range, fold},
    tile::{FULL_WIDTH, HEIGHT, MissingNode},
};

/// Nodes inside a tile over all its eight levels: 256 + 128 + … + 2.
const INNER_NODES: usize = 510;

/// A tile with the nodes above its hashes, kept so that no proof hashes them again.
#[derive(Clone)]
struct WorkTile {
    id: TileId,
    width: u16,
    /// Level by level, see [`slot`].
    nodes: Box<[Hash; INNER_NODES]>,
}

/// Where node `index` of level `level` (0 to 7) is kept: each level follows the one below it.
fn slot(level: u8, index: u16) -> usize {
    let below = 512usize.saturating_sub(512usize.checked_shr(u32::from(level)).unwrap_or(0));
    below.saturating_add(usize::from(index))
}

impl WorkTile {
    fn new(id: TileId) -> Self {
        Self {
            id,
            width: 0,
            nodes: Box::new([Hash::default(); INNER_NODES]),
        }
    }

    /// Adds a hash on the right; the tile's root when that made it full.
    fn push(&mut self, hash: Hash) -> Option<Hash> {
        let (mut node, mut index) = (hash, self.width);
        self.width = self.width.saturating_add(1);
        for level in 0..HEIGHT {
            if let Some(place) = self.nodes.get_mut(slot(level, index)) {
                *place = node;
            }
            if index & 1 == 0 {
                return None;
            }
            node = node_hash(&self.get(level, index & !1)?, &node);
            index >>= 1;
        }
        Some(node)
    }

    fn get(&self, level: u8, index: u16) -> Option<Hash> {
        let exists = index < self.width.checked_shr(u32::from(level))?;
        if exists {
            self.nodes.get(slot(level, index)).copied()
        } else {
            None
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let hashes = self.nodes.iter().take(usize::from(self.width));
        let mut bytes = Vec::with_capacity(hashes.len().saturating_mul(32));
        for hash in hashes {
            bytes.extend_from_slice(&hash.0);
        }
        bytes
    }
}

/// The right edge of a tree: what appending to it takes. Cloning shares the tiles.
#[derive(Clone, Default)]
pub struct RightEdge {
    size: u64,
    /// By level; a level without a partial tile has an empty one.
    tiles: Vec<Arc<WorkTile>>,
    /// Roots over the leaves from each perfect subtree's first to the last leaf of the tree.
    suffixes: Vec<(u64, Hash)>,
}

/// A right edge could not be put together from stored tiles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EdgeError {
    /// The size exceeds [`MAX_SIZE`].
    #[error("tree size {0} is larger than 2^63-1")]
    SizeTooLarge(u64),
    /// A partial tile of the edge was not given.
    #[error("tile {}/{} of the right edge is missing", .0.level, .0.index)]
    MissingTile(TileId),
    /// A tile has fewer bytes than its nodes take.
    #[error("tile {}/{} of the right edge has {got} bytes, expected {expected}", .tile.level, .tile.index)]
    ShortTile {
        /// The tile.
        tile: TileId,
        /// Bytes its width in this tree takes.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
}

impl RightEdge {
    /// The edge of the empty tree.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Restores the edge of a tree of `size` leaves from its partial tiles, as
    /// [`crate::tile::right_edge`] lists them. A tile may be wider than it is at that size: nodes never
    /// change, so the rest is ignored. The caller compares [`RightEdge::root`] with the signed one.
    pub fn load<B: AsRef<[u8]>>(
        size: u64,
        tiles: impl IntoIterator<Item = (TileId, B)>,
    ) -> Result<Self, EdgeError> {
        Self::empty().load_grown(size, tiles)
    }

    /// As [`RightEdge::load`], for a tree that this one has grown into: partial tiles that have not changed need not be
    /// given and are shared.
    pub fn load_grown<B: AsRef<[u8]>>(
        &self,
        size: u64,
        tiles: impl IntoIterator<Item = (TileId, B)>,
    ) -> Result<Self, EdgeError> {
        if size > MAX_SIZE {
            return Err(EdgeError::SizeTooLarge(size));
        }
        let given: std::collections::HashMap<TileId, B> = tiles.into_iter().collect();
        let mut edge = Self {
            size,
            tiles: Vec::new(),
            suffixes: Vec::new(),
        };
        for level in 0..HEIGHT {
            let above = level.saturating_add(1);
            let index = size
                .checked_shr(u32::from(above).saturating_mul(u32::from(HEIGHT)))
                .unwrap_or(0);
            let id = TileId { level, index };
            let width = id.width(size);
            let same = |work: &&Arc<WorkTile>| work.id == id && work.width == width;
            let unchanged = self.tiles.get(usize::from(level)).filter(same);
            if let Some(work) = unchanged.filter(|_| !given.contains_key(&id)) {
                edge.tiles.push(Arc::clone(work));
                continue;
            }
            let mut work = WorkTile::new(id);
            if width > 0 {
                let bytes = given.get(&id).ok_or(EdgeError::MissingTile(id))?.as_ref();
                let expected = usize::from(width).saturating_mul(32);
                let kept = bytes.get(..expected).ok_or(EdgeError::ShortTile {
                    tile: id,
                    expected,
                    got: bytes.len(),
                })?;
                for chunk in kept.chunks_exact(32) {
                    let mut hash = Hash::default();
                    hash.0.copy_from_slice(chunk);
                    // A partial tile has no root to carry up.
                    let _ = work.push(hash);
                }
            } else if index == 0 {
                break;
            }
            edge.tiles.push(Arc::new(work));
        }
        edge.suffixes = edge.fold_suffixes();
        Ok(edge)
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The tree's root.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.suffixes.last().map_or_else(empty_root, |(_, root)| *root)
    }

    /// The partial tiles with their widths and bytes, level by level.
    pub fn tiles(&self) -> impl Iterator<Item = (TileId, u16, Vec<u8>)> {
        self.tiles
            .iter()
            .filter(|work| work.width > 0)
            .map(|work| (work.id, work.width, work.to_bytes()))
    }

    /// Appends leaf hashes, giving a new edge with what came to be on the way.
    pub fn grow(&self, leaves: &[Hash]) -> Result<Grown, EdgeError> {
        let added = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
        let size = self.size.saturating_add(added);
        if size > MAX_SIZE {
            return Err(EdgeError::SizeTooLarge(size));
        }
        let mut edge = self.clone();
        edge.size = size;
        let mut completed = Vec::with_capacity(leaves.len().checked_div(255).unwrap_or(0).saturating_add(1));
        for leaf in leaves {
            let mut node = *leaf;
            for level in 0..HEIGHT {
                let at = usize::from(level);
                if at >= edge.tiles.len() {
                    edge.tiles
                        .push(Arc::new(WorkTile::new(TileId { level, index: 0 })));
                }
                let Some(work) = edge.tiles.get_mut(at) else { break };
                let Some(root) = Arc::make_mut(work).push(node) else {
                    break;
                };
                let next = TileId {
                    level,
                    index: work.id.index.saturating_add(1),
                };
                completed.push(std::mem::replace(work, Arc::new(WorkTile::new(next))));
                node = root;
            }
        }
        completed.sort_unstable_by_key(|work| work.id);
        edge.suffixes = edge.fold_suffixes();
        Ok(Grown {
            before: self.size,
            edge,
            completed,
        })
    }

    /// Folds the perfect subtrees from the right; the last one is the root.
    fn fold_suffixes(&self) -> Vec<(u64, Hash)> {
        let mut suffixes: Vec<(u64, Hash)> = Vec::new();
        for (level, index) in (Range {
            start: 0,
            end: self.size,
        })
        .perfect_nodes()
        {
            let Some(node) = self.lookup(level, index) else {
                break;
            };
            let root = suffixes.last().map_or(node, |(_, right)| node_hash(&node, right));
            suffixes.push((index.checked_shl(u32::from(level)).unwrap_or(0), root));
        }
        suffixes
    }

    fn lookup(&self, level: u8, index: u64) -> Option<Hash> {
        let id = TileId::of_node(level, index);
        self.tiles
            .get(usize::from(id.level))
            .filter(|work| work.id == id)?
            .get(level % HEIGHT, inside(level, index))
    }
}

/// A node's number within its tile.
fn inside(level: u8, index: u64) -> u16 {
    let per_tile = FULL_WIDTH.checked_shr(u32::from(level % HEIGHT)).unwrap_or(1);
    u16::try_from(index & u64::from(per_tile.saturating_sub(1))).unwrap_or(0)
}

/// A tree after [`RightEdge::grow`].
///
/// As a [`NodeReader`] it has every node that proofs need from leaves of this growth at the new
/// size, and that a consistency proof from the size before needs.
#[derive(Clone)]
pub struct Grown {
    before: u64,
    edge: RightEdge,
    /// Tiles that became full, by level and index.
    completed: Vec<Arc<WorkTile>>,
}

impl Grown {
    /// The new edge, to append to next.
    #[must_use]
    pub const fn edge(&self) -> &RightEdge {
        &self.edge
    }

    /// Keeps the new edge only.
    #[must_use]
    pub fn into_edge(self) -> RightEdge {
        self.edge
    }

    /// The size before the growth: the index of its first leaf.
    #[must_use]
    pub const fn before(&self) -> u64 {
        self.before
    }

    /// Tiles that became full: never to change again.
    pub fn full_tiles(&self) -> impl Iterator<Item = (TileId, Vec<u8>)> {
        self.completed.iter().map(|work| (work.id, work.to_bytes()))
    }

    /// Partial tiles that are new or wider than before, with their widths.
    pub fn partial_tiles(&self) -> impl Iterator<Item = (TileId, u16, Vec<u8>)> {
        self.edge
            .tiles
            .iter()
            .filter(|work| work.width > 0 && work.width > work.id.width(self.before))
            .map(|work| (work.id, work.width, work.to_bytes()))
    }

    /// All tiles that are to be stored: the full ones, and the partial ones.
    pub fn tiles(&self) -> impl Iterator<Item = (TileId, Vec<u8>)> {
        let partial = self.partial_tiles();
        self.full_tiles()
            .chain(partial.map(|(tile, _, bytes)| (tile, bytes)))
    }

    /// The inclusion proof, at the new size, of a leaf of this growth.
    pub fn inclusion(&self, index: u64) -> Result<Vec<Hash>, MakeError<MissingNode>> {
        Plan::inclusion(index, self.edge.size)?
            .evaluate(self)
            .map_err(MakeError::Read)
    }
}

impl NodeReader for Grown {
    type Error = MissingNode;

    fn node(&self, level: u8, index: u64) -> Result<Hash, MissingNode> {
        let id = TileId::of_node(level, index);
        self.edge
            .lookup(level, index)
            .or_else(|| {
                let at = self.completed.binary_search_by_key(&id, |work| work.id).ok()?;
                self.completed.get(at)?.get(level % HEIGHT, inside(level, index))
            })
            .ok_or(MissingNode {
                tile: id,
                level,
                index,
            })
    }

    fn range(&self, range: Range) -> Result<Hash, MissingNode> {
        if range.end == self.edge.size
            && let Some((_, root)) = self.edge.suffixes.iter().find(|(start, _)| *start == range.start)
        {
            return Ok(*root);
        }
        fold(self, range)
    }
}

#[cfg(test)]
mod tests;
