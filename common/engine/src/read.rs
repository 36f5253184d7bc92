//! Reads: everything under a published head, without the writer.
//!
//! A read takes the log's [`View`] once and answers from it: what the writer publishes meanwhile changes nothing.
//! Hash tiles come from the view (the right edge), from a small cache, or from storage; a tile that is full never
//! changes, so only those are cached. Leaves are hashed again and proofs verified before they leave.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use common_tlog::proof::{Plan, ProofError, verify_consistency, verify_inclusion};
use common_tlog::tile::{FULL_BYTES, FULL_WIDTH, right_edge};
use common_tlog::{Hash, NodeReader, RightEdge, TileId, leaf_hash};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::bracket::Bracket;
use crate::cache::{Nodes, TileCache};
use crate::error::{Corrupt, ReadError};
use crate::index::IndexKey;
use crate::storage::{Place, Storage};
use crate::types::{Head, LogId, StoredLeaf};

/// Most leaves one call returns; the rest is asked for again.
const MAX_LEAVES: u32 = 1_024;
/// How long a read waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// A published head with the hash tiles that are not full under it.
pub(crate) struct View {
    pub(crate) head: Arc<Head>,
    edge: HashMap<TileId, Bytes>,
}

impl View {
    pub(crate) fn new(head: Arc<Head>, edge: &RightEdge) -> Self {
        let tiles = edge.tiles().map(|(tile, _, bytes)| (tile, bytes.into()));
        Self {
            head,
            edge: tiles.collect(),
        }
    }
}

fn check(what: &'static str, got: u64, limit: u64) -> Result<(), ReadError> {
    if got > limit {
        Err(ReadError::OutOfRange { what, got, limit })
    } else {
        Ok(())
    }
}

/// A leaf is what its tile says.
fn check_hash(log: LogId, nodes: &Nodes, leaf: &StoredLeaf) -> Result<(), Corrupt> {
    let (expected, got) = (nodes.node(0, leaf.index)?, leaf_hash(&leaf.data));
    if expected == got {
        return Ok(());
    }
    Err(Corrupt::Leaf {
        log,
        index: leaf.index,
        expected,
        got,
    })
}

/// Counts and reports a proof that did not verify and was withheld.
pub(crate) fn proof_failed(log: LogId, error: &ProofError) {
    metrics::counter!("sigbox_engine_proof_failures_total").increment(1);
    tracing::error!(%log, %error, "a proof did not verify and was withheld");
}

/// Reads of all logs.
pub(crate) struct Reader {
    pub(crate) storage: Arc<dyn Storage>,
    turns: Semaphore,
    cache: Mutex<TileCache>,
    cached_tiles: usize,
}

impl Reader {
    pub(crate) fn new(storage: Arc<dyn Storage>, cached_tiles: usize, concurrent: usize) -> Self {
        Self {
            storage,
            turns: Semaphore::new(concurrent.clamp(1, Semaphore::MAX_PERMITS)),
            cache: Mutex::default(),
            cached_tiles,
        }
    }

    /// The turn of a public read, kept until it is answered. So many run at once that the store is busy and no more:
    /// the others wait here, and are refused early rather than when the store's own patience ends.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, ReadError> {
        match timeout(PATIENCE, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => {
                metrics::counter!("sigbox_engine_reads_refused_total").increment(1);
                Err(ReadError::Busy)
            }
        }
    }

    pub(crate) async fn leaf(
        &self,
        log: LogId,
        view: &View,
        index: u64,
    ) -> Result<Option<StoredLeaf>, ReadError> {
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
        let end = start.saturating_add(available);
        let leaves = self.storage.leaves(log, start, count).await?;
        let mut found = leaves.iter().map(|leaf| leaf.index);
        if let Some(index) = (start..end).find(|index| found.next() != Some(*index)) {
            return Err(Corrupt::LeafMissing(log, index).into());
        }
        let tiles = (start..end).map(|index| TileId::of_node(0, index));
        let nodes = self.nodes(log, view, tiles).await?;
        for leaf in &leaves {
            check_hash(log, &nodes, leaf)?;
        }
        Ok(leaves)
    }

    /// Leaves anywhere below the head, in the order asked for.
    pub(crate) async fn leaves_at(
        &self,
        log: LogId,
        view: &View,
        indexes: &[u64],
    ) -> Result<Vec<StoredLeaf>, ReadError> {
        for index in indexes {
            check("leaf index", *index, view.head.size.saturating_sub(1))?;
        }
        let places: Vec<Place> = indexes.iter().map(|index| Place { log, index: *index }).collect();
        let tiles = indexes.iter().map(|index| TileId::of_node(0, *index));
        let stored = async { Ok(self.storage.leaves_at(&places).await?) };
        let (nodes, stored) = tokio::try_join!(self.nodes(log, view, tiles), stored)?;
        let mut leaves = Vec::with_capacity(indexes.len());
        for (index, leaf) in indexes.iter().zip(stored) {
            let leaf = leaf.ok_or(Corrupt::LeafMissing(log, *index))?;
            check_hash(log, &nodes, &leaf)?;
            leaves.push(leaf);
        }
        Ok(leaves)
    }

    /// Times never go back within a log, so a few rounds over a few leaves each find the place of one.
    pub(crate) async fn first_at(&self, log: LogId, view: &View, time: u64) -> Result<u64, ReadError> {
        let mut bracket = Bracket::new(view.head.size, view.head.time);
        while let Some(probes) = bracket.probes(time) {
            let places: Vec<Place> = probes.iter().map(|index| Place { log, index: *index }).collect();
            let leaves = self.storage.leaves_at(&places).await?;
            for (index, leaf) in probes.into_iter().zip(leaves) {
                let found = leaf.ok_or(Corrupt::LeafMissing(log, index))?.time;
                if !bracket.narrow(index, found, time) {
                    break;
                }
            }
        }
        Ok(bracket.low)
    }

    pub(crate) async fn find_leaf(
        &self,
        log: LogId,
        view: &View,
        key: IndexKey,
        hash: &Hash,
    ) -> Result<Option<StoredLeaf>, ReadError> {
        let rows = self.storage.find(&[key], u32::MAX).await?;
        let places = rows.into_iter().map(|(_, place)| place);
        let places: Vec<Place> = places
            .filter(|p| p.log == log && p.index < view.head.size)
            .collect();
        let mut found = self.storage.leaves_at(&places).await?.into_iter().flatten();
        Ok(found.find(|leaf| leaf_hash(&leaf.data) == *hash))
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
        let mut nodes = self.nodes(log, view, [tile]).await?;
        let bytes = nodes.tiles.remove(&tile).unwrap_or_default();
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
        check("tree size", size, view.head.size)?;
        if index >= size {
            let limit = size.saturating_sub(1);
            return Err(ReadError::OutOfRange {
                what: "leaf index",
                got: index,
                limit,
            });
        }
        let withheld = |error: ProofError| {
            proof_failed(log, &error);
            Corrupt::Proof { log, index, size }
        };
        let plan = Plan::inclusion(index, size).map_err(withheld)?;
        let tiles = edge_and(&plan, size).chain([TileId::of_node(0, index)]);
        let nodes = self.nodes(log, view, tiles).await?;
        let proof = plan.evaluate(&nodes)?;
        let root = root(view, &nodes, size)?;
        verify_inclusion(index, size, &nodes.node(0, index)?, &proof, &root).map_err(withheld)?;
        Ok(proof)
    }

    pub(crate) async fn consistency(
        &self,
        log: LogId,
        view: &View,
        from: u64,
        to: u64,
    ) -> Result<Vec<Hash>, ReadError> {
        check("tree size", to, view.head.size)?;
        check("first tree size", from, to)?;
        if from == 0 {
            return Err(ReadError::OutOfRange {
                what: "first tree size",
                got: 0,
                limit: 1,
            });
        }
        let withheld = |error: ProofError| {
            proof_failed(log, &error);
            Corrupt::Proof {
                log,
                index: from,
                size: to,
            }
        };
        let plan = Plan::consistency(from, to).map_err(withheld)?;
        let older = right_edge(from).into_iter().map(|(tile, _)| tile);
        let nodes = self.nodes(log, view, edge_and(&plan, to).chain(older)).await?;
        let proof = plan.evaluate(&nodes)?;
        let (from_root, to_root) = (root(view, &nodes, from)?, root(view, &nodes, to)?);
        verify_consistency(from, to, &from_root, &to_root, &proof).map_err(withheld)?;
        Ok(proof)
    }

    /// Tiles that exist under the view's head, each at least as wide as it is there.
    async fn nodes(
        &self,
        log: LogId,
        view: &View,
        wanted: impl IntoIterator<Item = TileId>,
    ) -> Result<Nodes, ReadError> {
        let mut nodes = Nodes {
            log,
            tiles: HashMap::new(),
        };
        let fetch = self.take_known(view, wanted, &mut nodes);
        if fetch.is_empty() {
            return Ok(nodes);
        }
        let stored = self.storage.tiles(log, &fetch).await?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        for (tile, bytes) in fetch.into_iter().zip(stored) {
            let bytes = bytes.ok_or(Corrupt::TileMissing { log, tile })?;
            // What is not in the view's edge is full under its head.
            let (expected, got) = (FULL_BYTES, bytes.len());
            if got != expected || tile.width(view.head.size) != FULL_WIDTH {
                return Err(Corrupt::TileWidth {
                    log,
                    tile,
                    expected,
                    got,
                }
                .into());
            }
            cache.put((log, tile), bytes.clone(), self.cached_tiles);
            nodes.tiles.insert(tile, bytes);
        }
        Ok(nodes)
    }

    /// Takes what the view and the cache have; gives what is left to fetch.
    fn take_known(
        &self,
        view: &View,
        wanted: impl IntoIterator<Item = TileId>,
        nodes: &mut Nodes,
    ) -> Vec<TileId> {
        let mut fetch = Vec::new();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        for tile in wanted {
            if nodes.tiles.contains_key(&tile) || fetch.contains(&tile) {
                continue;
            }
            let known = view.edge.get(&tile).cloned();
            match known.or_else(|| cache.get(&(nodes.log, tile), self.cached_tiles)) {
                Some(bytes) => drop(nodes.tiles.insert(tile, bytes)),
                None => fetch.push(tile),
            }
        }
        fetch
    }
}

/// The tiles of a plan and of the right edge at `size`, for the root that the proof is verified against.
fn edge_and(plan: &Plan, size: u64) -> impl Iterator<Item = TileId> {
    plan.tiles()
        .into_iter()
        .chain(right_edge(size))
        .map(|(tile, _)| tile)
}

/// The root at `size`: the signed one at the head, from the tiles before it.
fn root(view: &View, nodes: &Nodes, size: u64) -> Result<Hash, Corrupt> {
    if size == view.head.size {
        Ok(view.head.root)
    } else {
        nodes.root(size)
    }
}
