//! Checking a stored tree against its leaves.
//!
//! The hashes of all leaves are given in order, in [`Chunk`]s, each with the stored tiles above it. The tree is built
//! anew from the leaves and every stored tile compared with it. Where a tile differs from what is below it, one of the
//! two is damaged, and the entry of the tile above, which was made of the true one, tells which; at the right edge,
//! where no tile is above, the root of the checkpoint does. What the one above confirms is carried on upwards, so one
//! damaged byte leads to one finding and not to one at every level (DigiCert Yeti2022 lost a log to a single bit and
//! had to find it: entry 65562066, June 2021).
//!
//! Reading and hashing leaves is the caller's work, on as many threads as it likes.

use std::collections::HashMap;

use crate::hash::{empty_root, node_hash};
use crate::tile::{FULL_WIDTH, HEIGHT, TileId, node_in_tile};
use crate::{Hash, MAX_SIZE};

/// Leaves in a chunk: those below one full tile of level 1.
pub const CHUNK: u64 = 65_536;
/// Bytes of a hash in a tile.
const HASH: usize = 32;

/// Something is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A leaf was changed: its tile holds another hash, and the tree above was made of that one.
    Leaf {
        /// Index of the leaf.
        index: u64,
        /// Hash in the tile.
        expected: Hash,
        /// Hash of the leaf that was given.
        got: Hash,
    },
    /// A tile was changed: what is below it, and above it, agree on another hash.
    Tile {
        /// The tile.
        tile: TileId,
        /// Its width in the tree.
        width: u16,
        /// Number of the entry within the tile.
        entry: u16,
        /// Hash of what is below the entry.
        expected: Hash,
        /// The entry.
        got: Hash,
    },
    /// A tile and all that is below it agree with each other, and not with the tree above: changed together.
    Subtree {
        /// The full tile at the top of the part.
        tile: TileId,
        /// Its root, as the tree above has it.
        expected: Hash,
        /// Its root.
        got: Hash,
    },
    /// A tile and what is below it differ, and nothing tells which of them was changed (perhaps both).
    Disagreement {
        /// The tile.
        tile: TileId,
        /// Its width in the tree.
        width: u16,
        /// Number of the entry within the tile; in a tile of level 0, the leaf `256·index + entry`.
        entry: u16,
        /// The entry.
        stored: Hash,
        /// Hash of what is below it.
        computed: Hash,
    },
    /// A tile is not there.
    TileMissing {
        /// The tile.
        tile: TileId,
        /// Its width in the tree.
        width: u16,
    },
    /// A tile has too few bytes, too many, or not a whole number of hashes.
    TileLength {
        /// The tile.
        tile: TileId,
        /// Its width in the tree.
        width: u16,
        /// Its bytes.
        got: usize,
    },
    /// The root is another than the signed one: where all tiles agree with the leaves, the signed one is wrong.
    Root {
        /// Size of the tree.
        size: u64,
        /// The signed root.
        expected: Hash,
        /// The root over the leaves.
        got: Hash,
    },
}

/// The next leaves to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Index of the first leaf.
    pub start: u64,
    /// How many; at most [`CHUNK`].
    pub count: u64,
    /// The tiles to give with them, and their widths.
    pub tiles: Vec<(TileId, u16)>,
}

/// What the audit says at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// The root over the leaves and whatever was confirmed to be right in their stead.
    pub root: Hash,
    /// The findings, at most as many as asked for.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub more: u64,
}

/// More or fewer hashes than the chunk has leaves: the caller's mistake, or a tree larger than [`MAX_SIZE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the hashes of {expected} leaves, got {got}")]
pub struct Miscounted {
    /// Leaves of the chunk.
    pub expected: u64,
    /// Hashes given.
    pub got: u64,
}

/// Entries of the tile that is being filled on one level.
#[derive(Debug, Default)]
struct Level {
    /// Number of the tile within the level.
    index: u64,
    computed: Vec<Hash>,
}

/// A tile of the right edge, to be judged by the root.
#[derive(Debug)]
struct Edge {
    tile: TileId,
    width: u16,
    computed: Vec<Hash>,
    /// As stored; the computed entries where nothing usable is stored.
    stored: Vec<Hash>,
}

/// Which of two versions of a tile the tree above was made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Computed,
    Stored,
    Unknown,
}

/// A tree being checked.
#[derive(Debug)]
pub struct Audit {
    size: u64,
    root: Hash,
    next: u64,
    levels: Vec<Level>,
    edge: Vec<Edge>,
    findings: Vec<Finding>,
    limit: usize,
    more: u64,
}

impl Audit {
    /// The audit of a tree of `size` leaves whose signed root is `root`; of the findings, `limit` are kept.
    #[must_use]
    pub fn new(size: u64, root: Hash, limit: usize) -> Self {
        let levels = (0..HEIGHT).map(|_| Level::default()).collect();
        Self {
            size: size.min(MAX_SIZE),
            root,
            next: 0,
            levels,
            edge: Vec::new(),
            findings: Vec::new(),
            limit,
            more: 0,
        }
    }

    /// The leaves and tiles wanted next; `None` once all were given.
    #[must_use]
    pub fn next(&self) -> Option<Chunk> {
        let count = self.size.saturating_sub(self.next).min(CHUNK);
        if count == 0 {
            return None;
        }
        let first = self.next >> HEIGHT;
        let last = self.next.saturating_add(count.saturating_sub(1)) >> HEIGHT;
        let bottom = (first..=last).map(|index| TileId { level: 0, index });
        let above = (1..HEIGHT).map(|level| TileId {
            level,
            index: ancestor(level, self.next),
        });
        let tiles = bottom
            .chain(above)
            .map(|tile| (tile, tile.width(self.size)))
            .filter(|(_, width)| *width > 0);
        Some(Chunk {
            start: self.next,
            count,
            tiles: tiles.collect(),
        })
    }

    /// Takes the hashes of the next chunk's leaves, and of its tiles those that are stored.
    ///
    /// # Errors
    /// [`Miscounted`]; nothing was taken then.
    pub fn check<B: AsRef<[u8]>>(
        &mut self,
        hashes: &[Hash],
        tiles: &HashMap<TileId, B>,
    ) -> Result<(), Miscounted> {
        let expected = self.size.saturating_sub(self.next).min(CHUNK);
        let got = u64::try_from(hashes.len()).unwrap_or(u64::MAX);
        if expected != got {
            return Err(Miscounted { expected, got });
        }
        for tile in hashes.chunks(usize::from(FULL_WIDTH)) {
            if let Some(level) = self.levels.first_mut() {
                level.computed.extend_from_slice(tile);
            }
            self.rise(tiles);
        }
        self.next = self.next.saturating_add(expected);
        if self.next == self.size {
            self.finish_edge(tiles);
        }
        Ok(())
    }

    /// The findings, once every chunk was given.
    #[must_use]
    pub fn finish(mut self) -> Audited {
        let root = self.judge_edge();
        if root != self.root {
            self.found(Finding::Root {
                size: self.size,
                expected: self.root,
                got: root,
            });
        }
        Audited {
            root,
            findings: self.findings,
            more: self.more,
        }
    }

    fn found(&mut self, finding: Finding) {
        if self.findings.len() < self.limit {
            self.findings.push(finding);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Compares every tile that has become full, from the bottom, and carries its root up.
    fn rise<B: AsRef<[u8]>>(&mut self, tiles: &HashMap<TileId, B>) {
        for level in 0..HEIGHT {
            let Some(filled) = self
                .levels
                .get_mut(usize::from(level))
                .filter(|work| work.computed.len() >= usize::from(FULL_WIDTH))
            else {
                return;
            };
            let tile = TileId {
                level,
                index: filled.index,
            };
            let computed = std::mem::take(&mut filled.computed);
            filled.index = filled.index.saturating_add(1);
            let root = self.judge_full(tile, &computed, tiles);
            if let Some(above) = self.levels.get_mut(usize::from(level).saturating_add(1)) {
                above.computed.push(root);
            }
        }
    }

    /// Compares a full tile; the root to carry up.
    fn judge_full<B: AsRef<[u8]>>(
        &mut self,
        tile: TileId,
        computed: &[Hash],
        tiles: &HashMap<TileId, B>,
    ) -> Hash {
        let root = perfect_root(computed);
        let Some(stored) = self.stored(tile, FULL_WIDTH, tiles) else {
            return root;
        };
        if stored == computed {
            return root;
        }
        let above = TileId {
            level: tile.level.saturating_add(1),
            index: tile.index >> HEIGHT,
        };
        let entry = u16::try_from(tile.index & 0xff).unwrap_or_default();
        let confirmed = tiles
            .get(&above)
            .and_then(|bytes| node_in_tile(bytes.as_ref(), 0, entry));
        let stored_root = perfect_root(&stored);
        let verdict = match confirmed {
            Some(hash) if hash == root => Verdict::Computed,
            Some(hash) if hash == stored_root => Verdict::Stored,
            _ => Verdict::Unknown,
        };
        self.differences(tile, FULL_WIDTH, computed, &stored, verdict);
        if verdict == Verdict::Stored {
            stored_root
        } else {
            root
        }
    }

    /// The first `width` entries of a stored tile; `None`, and a finding, where there are not as many.
    fn stored<B: AsRef<[u8]>>(
        &mut self,
        tile: TileId,
        width: u16,
        tiles: &HashMap<TileId, B>,
    ) -> Option<Vec<Hash>> {
        let Some(bytes) = tiles.get(&tile).map(AsRef::as_ref) else {
            self.found(Finding::TileMissing { tile, width });
            return None;
        };
        let (hashes, tail) = bytes.as_chunks::<HASH>();
        let kept = hashes.get(..usize::from(width));
        if kept.is_none() || !tail.is_empty() || hashes.len() > usize::from(FULL_WIDTH) {
            let got = bytes.len();
            self.found(Finding::TileLength { tile, width, got });
        }
        kept.map(|kept| kept.iter().copied().map(Hash).collect())
    }

    fn differences(
        &mut self,
        tile: TileId,
        width: u16,
        computed: &[Hash],
        stored: &[Hash],
        verdict: Verdict,
    ) {
        for (entry, (computed, stored)) in (0u16..).zip(computed.iter().zip(stored)) {
            if computed == stored {
                continue;
            }
            let below = (tile.index << HEIGHT).saturating_add(u64::from(entry));
            self.found(match (verdict, tile.level.checked_sub(1)) {
                (Verdict::Computed, _) => Finding::Tile {
                    tile,
                    width,
                    entry,
                    expected: *computed,
                    got: *stored,
                },
                (Verdict::Stored, None) => Finding::Leaf {
                    index: below,
                    expected: *stored,
                    got: *computed,
                },
                (Verdict::Stored, Some(level)) => Finding::Subtree {
                    tile: TileId { level, index: below },
                    expected: *stored,
                    got: *computed,
                },
                (Verdict::Unknown, _) => Finding::Disagreement {
                    tile,
                    width,
                    entry,
                    stored: *stored,
                    computed: *computed,
                },
            });
        }
    }

    /// Keeps what is left on each level: the partial tiles of the right edge.
    fn finish_edge<B: AsRef<[u8]>>(&mut self, tiles: &HashMap<TileId, B>) {
        for (level, work) in (0..HEIGHT).zip(std::mem::take(&mut self.levels)) {
            let width = u16::try_from(work.computed.len()).unwrap_or(u16::MAX);
            if width == 0 {
                continue;
            }
            let tile = TileId {
                level,
                index: work.index,
            };
            let stored = self.stored(tile, width, tiles);
            self.edge.push(Edge {
                tile,
                width,
                stored: stored.unwrap_or_else(|| work.computed.clone()),
                computed: work.computed,
            });
        }
    }

    /// Finds the one choice between computed and stored tiles that leads to the signed root; the root over it, or over
    /// the leaves if there is none.
    fn judge_edge(&mut self) -> Hash {
        let edge = std::mem::take(&mut self.edge);
        let differing: Vec<usize> = (0..edge.len())
            .filter(|at| edge.get(*at).is_some_and(|e| e.computed != e.stored))
            .collect();
        // At most eight levels: 256 choices.
        let choices = 1u32
            .checked_shl(u32::try_from(differing.len()).unwrap_or(u32::MAX))
            .unwrap_or(1);
        let stored_in = |choice: u32, at: usize| {
            let bit = differing.iter().position(|other| *other == at);
            bit.and_then(|bit| choice.checked_shr(u32::try_from(bit).ok()?))
                .is_some_and(|bits| bits & 1 == 1)
        };
        let root_of = |choice: u32| {
            let entries = edge.iter().enumerate().map(|(at, level)| {
                if stored_in(choice, at) {
                    &level.stored
                } else {
                    &level.computed
                }
            });
            edge_root(entries.map(Vec::as_slice))
        };
        let right = (0..choices).find(|choice| root_of(*choice) == self.root);
        for at in differing.iter().copied() {
            let verdict = match right {
                Some(choice) if stored_in(choice, at) => Verdict::Stored,
                Some(_) => Verdict::Computed,
                None => Verdict::Unknown,
            };
            if let Some(level) = edge.get(at) {
                self.differences(level.tile, level.width, &level.computed, &level.stored, verdict);
            }
        }
        right.map_or_else(|| root_of(0), root_of)
    }
}

/// Number of the tile of `level` above leaf `index`.
fn ancestor(level: u8, index: u64) -> u64 {
    let bits = u32::from(level.saturating_add(1)).saturating_mul(u32::from(HEIGHT));
    index.checked_shr(bits).unwrap_or(0)
}

/// The root over a power of two of hashes.
fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut nodes = hashes.to_vec();
    while nodes.len() > 1 {
        nodes = nodes.chunks(2).map(join).collect();
    }
    nodes.first().copied().unwrap_or_else(empty_root)
}

fn join(pair: &[Hash]) -> Hash {
    match pair {
        [left, right] => node_hash(left, right),
        [one] => *one,
        _ => Hash::default(),
    }
}

/// The root of a tree out of the partial tiles of its right edge, the leaves' level first: the last entries of each
/// level stand to the right of all above it (RFC 6962 §2.1).
fn edge_root<'a>(levels: impl Iterator<Item = &'a [Hash]>) -> Hash {
    let mut right: Option<Hash> = None;
    for entries in levels {
        // What is below a tile's level is one more node to the right of its entries, a lone one at every height.
        let mut nodes = entries.to_vec();
        let mut carried = right;
        for _ in 0..HEIGHT {
            if nodes.len() & 1 == 1
                && let Some(last) = nodes.pop()
            {
                carried = Some(carried.map_or(last, |right| node_hash(&last, &right)));
            }
            nodes = nodes.chunks(2).map(join).collect();
        }
        right = carried;
    }
    right.unwrap_or_else(empty_root)
}

#[cfg(test)]
mod tests;
