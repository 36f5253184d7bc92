//! Reads: everything under a published head, without the writer.
//!
//! A read takes the log's [`View`] once and answers from it: what the writer publishes meanwhile changes nothing.
//! Hash tiles come from the view (the right edge), from a small cache, or from storage; a tile that is full never
//! changes, so only those are cached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use common_tlog::proof::{Plan, ProofError, verify_consistency, verify_inclusion};
use common_tlog::tile::{FULL_BYTES, FULL_WIDTH, MissingNode, node_in_tile, right_edge};
use common_tlog::{Hash, RightEdge, TileId, empty_root, leaf_hash};

use crate::error::{Corrupt, ReadError, StoreError};
use crate::index::IndexKey;
use crate::storage::{Place, Storage};
use crate::types::{Head, LogId, StoredLeaf};

/// Most leaves one call returns; the rest is asked for again.
const MAX_LEAVES: u32 = 1_024;

/// A published head with the hash tiles that are not full under it.
pub(crate) struct View {
    pub(crate) head: Arc<Head>,
    edge: HashMap<TileId, Bytes>,
}

impl View {
    pub(crate) fn new(head: Arc<Head>, edge: &RightEdge) -> Self {
        Self {
            head,
            edge: edge
                .tiles()
                .map(|(tile, _, bytes)| (tile, bytes.into()))
                .collect(),
        }
    }

    fn check_size(&self, size: u64) -> Result<(), ReadError> {
        check("tree size", size, self.head.size)
    }
}

fn check(what: &'static str, got: u64, limit: u64) -> Result<(), ReadError> {
    if got > limit {
        Err(ReadError::OutOfRange { what, got, limit })
    } else {
        Ok(())
    }
}

fn check_index(index: u64, size: u64) -> Result<(), ReadError> {
    let limit = size.saturating_sub(1);
    if index < size {
        Ok(())
    } else {
        Err(ReadError::OutOfRange {
            what: "leaf index",
            got: index,
            limit,
        })
    }
}

/// Full hash tiles in two generations: a hit in the older one moves up, and when the younger one is full it becomes
/// the older. That keeps what is used within `capacity` tiles, in constant time.
#[derive(Default)]
struct TileCache {
    young: HashMap<(LogId, TileId), Bytes>,
    old: HashMap<(LogId, TileId), Bytes>,
}

impl TileCache {
    fn get(&mut self, key: &(LogId, TileId), capacity: usize) -> Option<Bytes> {
        if let Some(bytes) = self.young.get(key) {
            return Some(bytes.clone());
        }
        let bytes = self.old.remove(key)?;
        self.put(*key, bytes.clone(), capacity);
        Some(bytes)
    }

    fn put(&mut self, key: (LogId, TileId), bytes: Bytes, capacity: usize) {
        if self.young.len() >= capacity.div_ceil(2) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, bytes);
    }
}

/// Reads of all logs.
pub(crate) struct Reader {
    storage: Arc<dyn Storage>,
    cache: Mutex<TileCache>,
    cached_tiles: usize,
}

impl Reader {
    pub(crate) fn new(storage: Arc<dyn Storage>, cached_tiles: usize) -> Self {
        Self {
            storage,
            cache: Mutex::default(),
            cached_tiles,
        }
    }

    pub(crate) async fn leaf(
        &self,
        log: LogId,
        view: &View,
        index: u64,
    ) -> Result<Option<StoredLeaf>, ReadError> {
        if index >= view.head.size {
            return Ok(None);
        }
        Ok(self.leaves(log, view, index, 1).await?.pop())
    }

    /// Leaves from `start` on: at most `count`, and none beyond the head.
    pub(crate) async fn leaves(
        &self,
        log: LogId,
        view: &View,
        start: u64,
        count: u32,
    ) -> Result<Vec<StoredLeaf>, ReadError> {
        let available = view
            .head
            .size
            .saturating_sub(start)
            .min(u64::from(MAX_LEAVES.min(count)));
        let count = u32::try_from(available).unwrap_or(MAX_LEAVES);
        if count == 0 {
            return Ok(Vec::new());
        }
        let leaves = self
            .storage
            .leaves(log, start, count)
            .await
            .map_err(StoreError::from)?;
        let expected = (start..view.head.size).take(count as usize);
        let mut found = leaves.iter().map(|leaf| leaf.index);
        for index in expected {
            if found.next() != Some(index) {
                return Err(StoreError::from(Corrupt::LeafMissing(log, index)).into());
            }
        }
        Ok(leaves)
    }

    pub(crate) async fn find_leaf(
        &self,
        log: LogId,
        view: &View,
        key: IndexKey,
        hash: &Hash,
    ) -> Result<Option<StoredLeaf>, ReadError> {
        let rows = self
            .storage
            .find(&[key], u32::MAX)
            .await
            .map_err(StoreError::from)?;
        let places = rows.into_iter().map(|(_, place)| place);
        let places: Vec<Place> = places
            .filter(|p| p.log == log && p.index < view.head.size)
            .collect();
        let found = self.storage.leaves_at(&places).await.map_err(StoreError::from)?;
        Ok(found
            .into_iter()
            .flatten()
            .find(|leaf| leaf_hash(&leaf.data) == *hash))
    }

    pub(crate) async fn tile(
        &self,
        log: LogId,
        view: &View,
        tile: TileId,
        width: u16,
    ) -> Result<Option<Bytes>, ReadError> {
        if width == 0 || width > tile.width(view.head.size) {
            return Ok(None);
        }
        let mut tiles = self.tiles(log, view, [tile]).await?;
        let bytes = tiles.remove(&tile).unwrap_or_default();
        Ok(Some(
            bytes.slice(..usize::from(width).saturating_mul(32).min(bytes.len())),
        ))
    }

    pub(crate) async fn inclusion(
        &self,
        log: LogId,
        view: &View,
        index: u64,
        size: u64,
    ) -> Result<Vec<Hash>, ReadError> {
        view.check_size(size)?;
        check_index(index, size)?;
        let corrupt = |_: ProofError| StoreError::from(Corrupt::Proof { log, index, size });
        let plan = Plan::inclusion(index, size).map_err(corrupt)?;
        let leaf = TileId::of_node(0, index);
        let nodes = self.nodes(log, view, &plan, size, leaf).await?;
        let missing = |missing: MissingNode| Corrupt::TileMissing {
            log,
            tile: missing.tile,
        };
        let proof = plan
            .evaluate(&nodes.reader())
            .map_err(|error| StoreError::from(missing(error)))?;
        let hash = nodes
            .get(0, index)
            .map_err(|error| StoreError::from(missing(error)))?;
        let root = nodes.root(log, view, size)?;
        verify_inclusion(index, size, &hash, &proof, &root).map_err(|error| {
            proof_failed(log, &error);
            corrupt(error)
        })?;
        Ok(proof)
    }

    pub(crate) async fn consistency(
        &self,
        log: LogId,
        view: &View,
        from: u64,
        to: u64,
    ) -> Result<Vec<Hash>, ReadError> {
        view.check_size(to)?;
        check("first tree size", from, to)?;
        if from == 0 {
            return Err(ReadError::OutOfRange {
                what: "first tree size",
                got: 0,
                limit: 1,
            });
        }
        let corrupt = |_: ProofError| {
            StoreError::from(Corrupt::Proof {
                log,
                index: from,
                size: to,
            })
        };
        let plan = Plan::consistency(from, to).map_err(corrupt)?;
        let nodes = self
            .nodes(log, view, &plan, to, TileId::of_node(0, from.saturating_sub(1)))
            .await?;
        let older = self.edge_nodes(log, view, from).await?;
        let missing = |missing: MissingNode| Corrupt::TileMissing {
            log,
            tile: missing.tile,
        };
        let proof = plan
            .evaluate(&nodes.reader())
            .map_err(|error| StoreError::from(missing(error)))?;
        let (from_root, to_root) = (older.root(log, view, from)?, nodes.root(log, view, to)?);
        verify_consistency(from, to, &from_root, &to_root, &proof).map_err(|error| {
            proof_failed(log, &error);
            corrupt(error)
        })?;
        Ok(proof)
    }

    /// The tiles of a plan, of the tree's right edge (for its root) and of one leaf.
    async fn nodes(
        &self,
        log: LogId,
        view: &View,
        plan: &Plan,
        size: u64,
        leaf: TileId,
    ) -> Result<Nodes, ReadError> {
        let tiles = plan
            .tiles()
            .into_iter()
            .chain(right_edge(size))
            .map(|(tile, _)| tile);
        Ok(Nodes(self.tiles(log, view, tiles.chain([leaf])).await?))
    }

    async fn edge_nodes(&self, log: LogId, view: &View, size: u64) -> Result<Nodes, ReadError> {
        Ok(Nodes(
            self.tiles(log, view, right_edge(size).into_iter().map(|(tile, _)| tile))
                .await?,
        ))
    }

    /// The bytes of tiles that exist under the view's head, each at least as wide as it is there.
    async fn tiles(
        &self,
        log: LogId,
        view: &View,
        wanted: impl IntoIterator<Item = TileId>,
    ) -> Result<HashMap<TileId, Bytes>, ReadError> {
        let (mut have, mut fetch) = (HashMap::new(), Vec::new());
        {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            for tile in wanted {
                let known = view.edge.get(&tile).cloned();
                match known.or_else(|| cache.get(&(log, tile), self.cached_tiles)) {
                    Some(bytes) => {
                        have.insert(tile, bytes);
                    }
                    None if fetch.contains(&tile) => {}
                    None => fetch.push(tile),
                }
            }
        }
        if fetch.is_empty() {
            return Ok(have);
        }
        let stored = self.storage.tiles(log, &fetch).await.map_err(StoreError::from)?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        for (tile, bytes) in fetch.into_iter().zip(stored) {
            let bytes = bytes
                .ok_or(Corrupt::TileMissing { log, tile })
                .map_err(StoreError::from)?;
            // What is not in the view's edge is full under its head.
            if bytes.len() != FULL_BYTES || tile.width(view.head.size) != FULL_WIDTH {
                let (expected, got) = (FULL_BYTES, bytes.len());
                return Err(StoreError::from(Corrupt::TileWidth {
                    log,
                    tile,
                    expected,
                    got,
                })
                .into());
            }
            cache.put((log, tile), bytes.clone(), self.cached_tiles);
            have.insert(tile, bytes);
        }
        Ok(have)
    }
}

/// Counts and reports a proof that did not verify and was withheld.
pub(crate) fn proof_failed(log: LogId, error: &ProofError) {
    metrics::counter!("sigbox_engine_proof_failures_total").increment(1);
    tracing::error!(%log, %error, "a proof did not verify and was withheld");
}

/// Tiles as a source of nodes.
struct Nodes(HashMap<TileId, Bytes>);

impl Nodes {
    fn get(&self, level: u8, index: u64) -> Result<Hash, MissingNode> {
        let tile = TileId::of_node(level, index);
        let inside = level % common_tlog::tile::HEIGHT;
        let per_tile = u64::from(FULL_WIDTH).checked_shr(u32::from(inside)).unwrap_or(1);
        u16::try_from(index & per_tile.saturating_sub(1))
            .ok()
            .and_then(|index| node_in_tile(self.0.get(&tile)?, inside, index))
            .ok_or(MissingNode { tile, level, index })
    }

    fn reader(&self) -> impl common_tlog::NodeReader<Error = MissingNode> + '_ {
        |level: u8, index: u64| self.get(level, index)
    }

    /// The root at `size`: the signed one at the head, computed from the right edge before it.
    fn root(&self, log: LogId, view: &View, size: u64) -> Result<Hash, ReadError> {
        if size == view.head.size {
            return Ok(view.head.root);
        }
        if size == 0 {
            return Ok(empty_root());
        }
        let tiles = right_edge(size)
            .into_iter()
            .filter_map(|(tile, _)| Some((tile, self.0.get(&tile)?)));
        let edge = RightEdge::load(size, tiles).map_err(|error| crate::verify::edge_corrupt(log, &error));
        Ok(edge.map_err(StoreError::from)?.root())
    }
}
