//! Logs in tiles: C2SP tlog-tiles, which Rekor v2 is, and static-ct-api.

use std::ops::Range;

use common_tlog::tile::FULL_WIDTH;
use common_tlog::{Hash, Plan, TileId};
use tokio::task::JoinSet;

use super::{Content, Leaf, SourceError};
use crate::entry::EntryError;
use crate::leaves::Dialect;
use crate::reader::{LogReader, bundle_path};

/// Leaves of the bundles that are in memory at once: of entries, which have a length of 16 bits, what one client fetches in
/// parallel; of certificates, whose bundles may be longer, fewer.
const ENTRIES: u64 = 8 * 256;
const CERTIFICATES: u64 = 2 * 256;

/// A log in tiles.
#[derive(Clone, Debug)]
pub struct Tiled {
    reader: LogReader,
    dialect: Dialect,
}

impl Tiled {
    /// The log that `reader` reads, whose leaves are in this form.
    #[must_use]
    pub fn new(reader: LogReader, dialect: Dialect) -> Tiled {
        Tiled { reader, dialect }
    }

    pub(super) fn name(&self) -> &'static str {
        self.dialect.name()
    }

    pub(super) fn at_once(&self) -> u64 {
        match self.dialect {
            Dialect::Entries => ENTRIES,
            Dialect::Certificates => CERTIFICATES,
        }
    }

    pub(super) async fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, SourceError> {
        Ok(self.reader.proof(&Plan::consistency(from, to)?).await?)
    }

    pub(super) async fn leaves(&self, range: Range<u64>, size: u64) -> Result<Vec<Leaf>, SourceError> {
        let (mut first, mut fetching) = (TileId::of_node(0, range.start).index, JoinSet::new());
        while first.saturating_mul(u64::from(FULL_WIDTH)) < range.end {
            let (reader, dialect, index) = (self.reader.clone(), self.dialect, first);
            let width = TileId { level: 0, index }.width(size);
            fetching.spawn(async move {
                let path = bundle_path(dialect, index, width);
                let bundle = reader.bundle(dialect, index, width).await?;
                let bundle = bundle.ok_or_else(|| EntryError::Missing(path.clone()))?;
                let start = index.saturating_mul(u64::from(FULL_WIDTH));
                let leaves = dialect
                    .leaves(&bundle, start)
                    .map_err(|error| EntryError::Bundle(path, error.to_string()))?;
                Ok::<_, EntryError>((start, leaves))
            });
            first = first.saturating_add(1);
        }
        let mut bundles = Vec::new();
        while let Some(done) = fetching.join_next().await {
            bundles.push(done.map_err(|error| EntryError::Interrupted(error.to_string()))??);
        }
        bundles.sort_unstable_by_key(|(start, _)| *start);
        let leaves = bundles
            .into_iter()
            .flat_map(|(start, leaves)| (start..).zip(leaves));
        // A full bundle may have taken the place of a partial one.
        let wanted = leaves.filter(|(index, _)| range.contains(index));
        let found: Vec<Leaf> = wanted.map(|(_, leaf)| self.leaf(leaf)).collect();
        match range.end.saturating_sub(range.start) == found.len() as u64 {
            true => Ok(found),
            false => Err(SourceError::Shape(
                format!("leaves {} to {}", range.start, range.end),
                "as many as the bundles' widths say",
                found.len().to_string(),
            )),
        }
    }

    fn leaf(&self, leaf: crate::leaves::Leaf) -> Leaf {
        Leaf {
            hash: leaf.hash,
            content: match self.dialect {
                Dialect::Entries => Content::Entry(leaf.content),
                Dialect::Certificates => Content::Certificate(leaf.content),
            },
            time: None,
        }
    }
}
