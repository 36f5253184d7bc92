//! One entry of a log and the proof that it is in the tree of a checkpoint, from tiles.

use common_tlog::checkpoint::Checkpoint;
use common_tlog::proof::{Plan, ProofError, verify_inclusion};
use common_tlog::tile::MissingNode;
use common_tlog::{Hash, TileId, TileSet, bundle_codec, leaf_hash};
use tokio::task::JoinSet;

use crate::client::FetchError;
use crate::leaves::Dialect;
use crate::reader::{LogReader, bundle_path};

/// An entry that was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Its place.
    pub index: u64,
    /// The Merkle leaf.
    pub leaf: Vec<u8>,
    /// Siblings from the leaf up.
    pub proof: Vec<Hash>,
}

/// An entry was not proven.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// A part of the log could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The log has no such entry yet.
    #[error("expected an index below the size of the log's checkpoint, {size}, got {index}")]
    Beyond {
        /// What was asked for.
        index: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// A part that its checkpoint says is there.
    #[error("{0}: expected it to be there, got 404")]
    Missing(String),
    /// A bundle that holds something else.
    #[error("{0}: not a bundle of entries: {1}")]
    Bundle(String, String),
    /// The log serves certificates.
    #[error("this is a log of certificates (static-ct-api): only entries of tlog-tiles logs are read singly")]
    Certificates,
    /// A task was cut, as the process is ending.
    #[error("the reading was interrupted: {0}")]
    Interrupted(String),
    /// A tile of another width than it has.
    #[error("the tiles do not hold the proof: {0}")]
    Tiles(#[from] MissingNode),
    /// The log serves what its checkpoint does not say.
    #[error("the entry is not in the tree that the checkpoint speaks of: {0}")]
    Proof(#[from] ProofError),
}

impl LogReader {
    /// Reads the entry at `index`, and proves it in the tree of `checkpoint`, whose signature is the caller's to verify.
    ///
    /// # Errors
    /// [`EntryError`].
    pub async fn entry(&self, index: u64, checkpoint: &Checkpoint) -> Result<Proven, EntryError> {
        let size = checkpoint.size;
        if index >= size {
            return Err(EntryError::Beyond { index, size });
        }
        let leaf = self.leaf(index, size).await?;
        let proof = self.proof(&Plan::inclusion(index, size)?).await?;
        verify_inclusion(index, size, &leaf_hash(&leaf), &proof, &checkpoint.root)?;
        Ok(Proven { index, leaf, proof })
    }

    /// The hashes of a proof, out of the tiles that have them.
    pub(crate) async fn proof(&self, plan: &Plan) -> Result<Vec<Hash>, EntryError> {
        let mut fetching = JoinSet::new();
        for (tile, width) in plan.tiles() {
            let log = self.clone();
            fetching.spawn(async move { Ok::<_, FetchError>((tile, width, log.tile(tile, width).await?)) });
        }
        let mut nodes = TileSet::new();
        while let Some(done) = fetching.join_next().await {
            let (tile, width, bytes) = done.map_err(|error| EntryError::Interrupted(error.to_string()))??;
            let bytes = bytes.ok_or_else(|| EntryError::Missing(tile.path(width)))?;
            nodes.insert(tile, bytes.to_vec());
        }
        Ok(plan.evaluate(&nodes)?)
    }

    async fn leaf(&self, index: u64, size: u64) -> Result<Vec<u8>, EntryError> {
        let tile = TileId::of_node(0, index);
        let width = tile.width(size);
        let path = bundle_path(Dialect::Entries, tile.index, width);
        let Some(bundle) = self.bundle(Dialect::Entries, tile.index, width).await? else {
            let certificates = self.bundle(Dialect::Certificates, tile.index, width).await?;
            return Err(match certificates {
                Some(_) => EntryError::Certificates,
                None => EntryError::Missing(path),
            });
        };
        let leaves = bundle_codec::decode(&bundle)
            .map_err(|error| EntryError::Bundle(path.clone(), error.to_string()))?;
        let inside = usize::try_from(index.rem_euclid(256)).unwrap_or(usize::MAX);
        let leaf = leaves.get(inside).map(|leaf| leaf.to_vec());
        leaf.ok_or_else(|| EntryError::Bundle(path, format!("{} entries, too few", leaves.len())))
    }
}

#[cfg(test)]
mod tests;
