//! Reading the parts of a log: checkpoint, tiles, bundles of leaves, issuers.

use bytes::Bytes;
use common_tlog::checkpoint::{Checkpoint, CheckpointError};
use common_tlog::note::{Note, NoteError};
use common_tlog::tile::{FULL_BYTES, FULL_WIDTH, TileKind, TilePath};
use common_tlog::{Hash, TileId};

use crate::client::{Client, FetchError};
use crate::leaves::Dialect;

/// Longest checkpoint: text, and a line for each of many witnesses.
const CHECKPOINT_LIMIT: usize = 64 << 10;
/// Longest issuer certificate.
const ISSUER_LIMIT: usize = 64 << 10;

/// A log has no usable checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// There is none.
    #[error("{0}checkpoint: expected a checkpoint, got 404: is this the URL of a tiled log?")]
    NoCheckpoint(String),
    /// Not a note.
    #[error("{0}checkpoint: {1}")]
    Note(String, NoteError),
    /// Not a checkpoint.
    #[error("{0}checkpoint: {1}")]
    Checkpoint(String, CheckpointError),
}

/// A log, read over HTTP.
#[derive(Clone, Debug)]
pub struct LogReader {
    client: Client,
}

impl LogReader {
    /// The log that `client` asks.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The newest checkpoint. No signature of it is verified here.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn checkpoint(&self) -> Result<(Note, Checkpoint), ReadError> {
        let base = || self.client.base().to_owned();
        let body = self.client.get("checkpoint", CHECKPOINT_LIMIT).await?;
        let body = body.ok_or_else(|| ReadError::NoCheckpoint(base()))?;
        let note = Note::parse(&body).map_err(|error| ReadError::Note(base(), error))?;
        let checkpoint =
            Checkpoint::parse(note.text()).map_err(|error| ReadError::Checkpoint(base(), error))?;
        Ok((note, checkpoint))
    }

    /// A tile as it is served; `None` where the log says that there is none.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn tile(&self, tile: TileId, width: u16) -> Result<Option<Bytes>, FetchError> {
        let kind = TileKind::Hashes { level: tile.level };
        self.either(kind, tile.index, width, |path| path.to_string(), FULL_BYTES)
            .await
    }

    /// A bundle of leaves as it is served; `None` where the log says that there is none.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn bundle(
        &self,
        dialect: Dialect,
        index: u64,
        width: u16,
    ) -> Result<Option<Bytes>, FetchError> {
        let path = |path: TilePath| bundle_path(dialect, path.index, path.width);
        self.either(TileKind::Entries, index, width, path, dialect.limit())
            .await
    }

    /// An issuer of a certificate log, DER (C2SP static-ct-api "Issuers").
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn issuer(&self, fingerprint: &Hash) -> Result<Option<Bytes>, FetchError> {
        self.client
            .get(&format!("issuer/{fingerprint}"), ISSUER_LIMIT)
            .await
    }

    /// The partial tile, or the full one that took its place (C2SP tlog-tiles "Partial Tiles").
    async fn either(
        &self,
        kind: TileKind,
        index: u64,
        width: u16,
        path: impl Fn(TilePath) -> String,
        limit: usize,
    ) -> Result<Option<Bytes>, FetchError> {
        let named = |width| path(TilePath { kind, index, width });
        let found = self.client.get(&named(width), limit).await?;
        if found.is_some() || width == FULL_WIDTH {
            return Ok(found);
        }
        self.client.get(&named(FULL_WIDTH), limit).await
    }
}

/// `tile/entries/x001/067.p/8`, or `tile/data/…`.
pub(crate) fn bundle_path(dialect: Dialect, index: u64, width: u16) -> String {
    let kind = TileKind::Entries;
    let path = TilePath { kind, index, width }.to_string();
    match dialect {
        Dialect::Entries => path,
        Dialect::Certificates => path.replacen("/entries/", "/data/", 1),
    }
}
