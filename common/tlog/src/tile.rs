//! Tile addresses and contents (C2SP tlog-tiles, "Merkle Tree" and "Partial Tiles").
//!
//! A tile at level `l` holds up to 256 nodes of tree level `8·l`; the seven levels above them are
//! computed from these. A tile with fewer nodes is partial and is named with its width.

use std::{collections::HashMap, fmt, str::FromStr};

use crate::{Hash, NodeReader, node_hash};

/// Tree levels that one tile spans.
pub const HEIGHT: u8 = 8;
/// Nodes in a full tile, and leaves in a full entry bundle.
pub const FULL_WIDTH: u16 = 256;
/// Bytes of a full tile.
pub const FULL_BYTES: usize = 256 * 32;
/// C2SP tlog-tiles: a level is at most 63; trees of 64-bit size reach level 7.
pub const MAX_LEVEL: u8 = 63;

/// A tile's place: its level, counted from the leaves, and its number in that level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// Tile level: 0 holds leaf hashes.
    pub level: u8,
    /// Number within the level, from the left.
    pub index: u64,
}

impl TileId {
    /// The tile that holds, or computes, the tree node `index` of tree level `level`.
    #[must_use]
    pub fn of_node(level: u8, index: u64) -> Self {
        let inside = u32::from(level % HEIGHT);
        let up = u32::from(HEIGHT).saturating_sub(inside);
        Self {
            level: level / HEIGHT,
            index: index.checked_shr(up).unwrap_or(0),
        }
    }

    /// How many nodes this tile has in a tree of `size` leaves: 0 where it does not exist yet, 256
    /// once it is full.
    #[must_use]
    pub fn width(self, size: u64) -> u16 {
        let nodes = nodes_at(self.level, size);
        let before = self.index.saturating_mul(u64::from(FULL_WIDTH));
        u16::try_from(nodes.saturating_sub(before))
            .unwrap_or(FULL_WIDTH)
            .min(FULL_WIDTH)
    }

    /// The tile's path at `width` nodes below the log's prefix: `tile/0/x001/067` or, partial,
    /// `tile/0/x001/067.p/5`.
    #[must_use]
    pub fn path(self, width: u16) -> String {
        TilePath {
            kind: TileKind::Hashes { level: self.level },
            index: self.index,
            width,
        }
        .to_string()
    }
}

/// How many nodes of tile level `level` a tree of `size` leaves has: `floor(size / 256^level)`.
fn nodes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level).saturating_mul(u32::from(HEIGHT)))
        .unwrap_or(0)
}

/// The partial tiles of a tree of `size` leaves, level by level: what a writer must have to append.
/// Levels whose last tile is full, or that are empty, have none.
#[must_use]
pub fn right_edge(size: u64) -> Vec<(TileId, u16)> {
    (0..HEIGHT)
        .map(|level| {
            let id = TileId {
                level,
                index: nodes_at(level.saturating_add(1), size),
            };
            (id, id.width(size))
        })
        .filter(|(_, width)| *width > 0)
        .collect()
}

/// Every tile of a tree of `size` leaves with its width: each level from the left, the leaves' level
/// first.
pub fn tiles_for(size: u64) -> impl Iterator<Item = (TileId, u16)> {
    (0..HEIGHT).flat_map(move |level| {
        let count = nodes_at(level, size).div_ceil(u64::from(FULL_WIDTH));
        (0..count).map(move |index| {
            let id = TileId { level, index };
            (id, id.width(size))
        })
    })
}

/// What a tile path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TileKind {
    /// Node hashes of a tile level.
    Hashes {
        /// The tile level, at most [`MAX_LEVEL`].
        level: u8,
    },
    /// The leaves themselves (`tile/entries/…`).
    Entries,
}

/// A parsed tile or entry bundle path. `Display` gives the path, `FromStr` accepts exactly the paths
/// `Display` gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TilePath {
    /// Hash tile or entry bundle.
    pub kind: TileKind,
    /// Number within its level.
    pub index: u64,
    /// 1 to 255 for a partial tile, 256 for a full one.
    pub width: u16,
}

/// Not the canonical path of a tile. Servers answer 404: clients fall back from partial to full
/// tiles on that status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a tile path: expected tile/<level or entries>/<x000/…/000>[.p/<1 to 255>]")]
pub struct TilePathError;

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        // The largest divisor that leaves a digit group; 10^18 is the last power of 1000 in 64 bits.
        let mut divisor = 1_000_000_000_000_000_000u64;
        while divisor > 1 {
            if self.index >= divisor {
                write!(f, "x{:03}/", self.index.checked_div(divisor).unwrap_or(0) % 1000)?;
            }
            divisor /= 1000;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.width < FULL_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        // tile/entries/ and seven groups and .p/255 stay below this.
        if path.len() > 64 {
            return Err(TilePathError);
        }
        let rest = path.strip_prefix("tile/").ok_or(TilePathError)?;
        let (kind, rest) = rest.split_once('/').ok_or(TilePathError)?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes {
                level: decimal(level)
                    .and_then(|level| u8::try_from(level).ok())
                    .filter(|level| *level <= MAX_LEVEL)
                    .ok_or(TilePathError)?,
            },
        };
        let (number, width) = match rest.split_once(".p/") {
            None => (rest, FULL_WIDTH),
            Some((number, width)) => {
                let width = decimal(width)
                    .filter(|width| (1..=255).contains(width))
                    .ok_or(TilePathError)?;
                (number, u16::try_from(width).map_err(|_| TilePathError)?)
            }
        };
        Ok(Self {
            kind,
            index: parse_index(number).ok_or(TilePathError)?,
            width,
        })
    }
}

/// `x001/x234/067` is 1234067: groups of three digits, all but the last marked, no empty leading one.
fn parse_index(text: &str) -> Option<u64> {
    let mut index = 0u64;
    let mut groups = text.split('/').peekable();
    let several = text.contains('/');
    let mut first = true;
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() {
            group.strip_prefix('x')?
        } else {
            group
        };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let value = digits.parse::<u64>().ok()?;
        if first && several && value == 0 {
            return None;
        }
        first = false;
        index = index.checked_mul(1000)?.checked_add(value)?;
    }
    Some(index)
}

/// A decimal number without sign or leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// Computes the node `index` (within the tile) of level `level` above the tile's own hashes, from
/// the tile's bytes: level 0 gives a hash as stored, level 8 the root of a full tile. `None` if the
/// tile is too short to have that node.
#[must_use]
pub fn node_in_tile(tile: &[u8], level: u8, index: u16) -> Option<Hash> {
    if level > HEIGHT {
        return None;
    }
    let width = 1usize.checked_shl(u32::from(level))?;
    let start = usize::from(index).checked_mul(width)?.checked_mul(32)?;
    let end = start.checked_add(width.checked_mul(32)?)?;
    let mut nodes = [Hash::default(); FULL_WIDTH as usize];
    let stored = tile.get(start..end)?.chunks_exact(32);
    for (node, bytes) in nodes.iter_mut().zip(stored) {
        node.0.copy_from_slice(bytes);
    }
    let mut count = width;
    while count > 1 {
        for pair in 0..count / 2 {
            let left = *nodes.get(pair.checked_mul(2)?)?;
            let right = *nodes.get(pair.checked_mul(2)?.checked_add(1)?)?;
            *nodes.get_mut(pair)? = node_hash(&left, &right);
        }
        count /= 2;
    }
    nodes.first().copied()
}

/// The node `index` of tree level `level`, out of the bytes of its tile ([`TileId::of_node`]); `None` where the tile
/// is too narrow for it.
#[must_use]
pub fn node_of_tree(tile: &[u8], level: u8, index: u64) -> Option<Hash> {
    let inside = level % HEIGHT;
    // Nodes of this level per tile; the node's number within its tile is what remains.
    let per_tile = u64::from(FULL_WIDTH).checked_shr(u32::from(inside)).unwrap_or(1);
    let number = u16::try_from(index & per_tile.saturating_sub(1)).ok()?;
    node_in_tile(tile, inside, number)
}

/// Tiles read from storage or from a log, as a source of nodes for [`crate::Plan::evaluate`].
#[derive(Debug, Clone, Default)]
pub struct TileSet {
    tiles: HashMap<TileId, Vec<u8>>,
}

/// A node that the tiles at hand do not have: a tile is missing or too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tile {}/{} does not hold tree node {index} of level {level}", .tile.level, .tile.index)]
pub struct MissingNode {
    /// The tile asked.
    pub tile: TileId,
    /// Tree level of the node.
    pub level: u8,
    /// The node's number in its level.
    pub index: u64,
}

impl TileSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tile's bytes: 32 for each of its nodes. Wider than asked is as good.
    pub fn insert(&mut self, id: TileId, bytes: Vec<u8>) {
        self.tiles.insert(id, bytes);
    }
}

impl NodeReader for TileSet {
    type Error = MissingNode;

    fn node(&self, level: u8, index: u64) -> Result<Hash, MissingNode> {
        let tile = TileId::of_node(level, index);
        self.tiles
            .get(&tile)
            .and_then(|bytes| node_of_tree(bytes, level, index))
            .ok_or(MissingNode { tile, level, index })
    }
}

#[cfg(test)]
mod tests;
