//! Reading a whole log and building its tree anew.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use bytes::Bytes;
use common_tlog::audit::{self, Audit, Chunk};
use common_tlog::tile::{FULL_WIDTH, node_of_tree};
use common_tlog::{Hash, TileId, sha256};
use tokio::task::JoinSet;

use crate::client::FetchError;
use crate::key::LogKey;
use crate::leaves::{Dialect, Leaf};
use crate::reader::{LogReader, ReadError, bundle_path};

/// Most distinct issuers that are fetched: a log has hundreds.
const MOST_ISSUERS: usize = 20_000;
/// Longest text of a value in a finding.
const LONGEST: usize = 300;

/// What to check besides the tree.
#[derive(Clone, Debug)]
pub struct Options {
    /// Verifies the checkpoint.
    pub key: Option<LogKey>,
    /// What the first line of the checkpoint must be.
    pub origin: Option<String>,
    /// Most findings to keep.
    pub limit: usize,
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// The checkpoint.
    Checkpoint,
    /// A leaf, with the path of its bundle.
    Leaf(u64, String),
    /// A tile or a bundle, by its path.
    Tile(String),
    /// An issuer, by its path.
    Issuer(String),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Leaf(index, path) => write!(f, "leaf {index} in {path}"),
            Self::Tile(path) | Self::Issuer(path) => f.write_str(path),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub at: At,
    /// What it concerns there.
    pub what: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub got: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            what,
            expected,
            got,
        } = self;
        write!(f, "{at}: {what}: expected {expected}, got {got}")
    }
}

/// Whether the checkpoint is the log's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// The key given verifies the signature of this name.
    Verified(String),
    /// No key was given: whoever serves the URL may have made all of it.
    NotVerified,
    /// The key given verifies none of the signatures; a finding says so.
    Wrong,
}

/// What was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// First line of the checkpoint.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// The root over the leaves, computed anew.
    pub root: Hash,
    /// How the log serves its leaves; `None` where it has none.
    pub dialect: Option<Dialect>,
    /// About the checkpoint.
    pub signature: Signature,
    /// Issuer certificates fetched and found to be what their names say.
    pub issuers: u64,
    /// What is wrong, as far as it was kept.
    pub findings: Vec<Finding>,
    /// How much more is wrong.
    pub more: u64,
}

/// The check did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The log could not be read.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It has no usable checkpoint.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Neither form of leaves is there.
    #[error("{entries} and {data}: expected one of them, got 404 for both")]
    NoLeaves {
        /// Path of the first bundle of entries.
        entries: String,
        /// Path of the first bundle of certificates.
        data: String,
    },
    /// A task was cut, as the process is ending.
    #[error("the check was interrupted: {0}")]
    Interrupted(String),
}

/// Checks the log at the checkpoint it serves now. `progress` is told the leaves that are done and how many there are.
///
/// # Errors
/// [`CheckError`] if the log cannot be read to its end; what it serves wrongly is a finding.
pub async fn check(
    log: &LogReader,
    options: &Options,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Report, CheckError> {
    let (note, checkpoint) = log.checkpoint().await?;
    let mut run = Run {
        log,
        size: checkpoint.size,
        issuers: BTreeSet::new(),
        findings: Vec::new(),
        more: 0,
        limit: options.limit,
    };
    if let Some(origin) = options
        .origin
        .as_ref()
        .filter(|origin| **origin != checkpoint.origin)
    {
        run.add(At::Checkpoint, "origin", origin, &checkpoint.origin);
    }
    let signature = match &options.key {
        None => Signature::NotVerified,
        Some(key) => match key.verify(&note, &checkpoint) {
            Some(name) => Signature::Verified(name),
            None => {
                let got = format!("{} that do not", note.signatures().len());
                run.add(
                    At::Checkpoint,
                    "signatures",
                    "one that the key given verifies",
                    got,
                );
                Signature::Wrong
            }
        },
    };
    let dialect = run.dialect().await?;
    let mut tree = Audit::new(checkpoint.size, checkpoint.root, options.limit);
    while let (Some(chunk), Some(dialect)) = (tree.next(), dialect) {
        let before = run.found();
        let (hashes, tiles) = run.chunk(&chunk, dialect).await?;
        // A checkpoint may say any size: where nothing of a whole chunk is served, nothing follows.
        if run.found().saturating_sub(before) >= chunk.count.div_ceil(u64::from(FULL_WIDTH))
            && tiles.is_empty()
        {
            break;
        }
        progress(chunk.start.saturating_add(chunk.count), checkpoint.size);
        if let Err(miscounted) = tree.check(&hashes, &tiles) {
            run.add(At::Checkpoint, "leaves", miscounted.expected, miscounted.got);
            break;
        }
    }
    let audited = tree.finish();
    for finding in audited.findings {
        run.audited(dialect.unwrap_or(Dialect::Entries), finding);
    }
    run.more = run.more.saturating_add(audited.more);
    let issuers = run.check_issuers().await?;
    Ok(Report {
        origin: checkpoint.origin,
        size: checkpoint.size,
        root: audited.root,
        dialect,
        signature,
        issuers,
        findings: run.findings,
        more: run.more,
    })
}

struct Run<'a> {
    log: &'a LogReader,
    size: u64,
    issuers: BTreeSet<Hash>,
    findings: Vec<Finding>,
    more: u64,
    limit: usize,
}

/// One of the parts that are fetched at once.
enum Part {
    Tile(TileId, Option<Bytes>),
    /// With the width that was asked for, and what came or why it is no bundle; `None` where there is none.
    Bundle(u64, u16, Option<Result<Vec<Leaf>, String>>),
    Issuer(Hash, Option<Bytes>),
}

impl Run<'_> {
    fn add(&mut self, at: At, what: &str, expected: impl ToString, got: impl ToString) {
        if self.findings.len() >= self.limit {
            self.more = self.more.saturating_add(1);
            return;
        }
        let cut = |text: String| -> String {
            let clean = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
            clean.take(LONGEST).collect()
        };
        self.findings.push(Finding {
            at,
            what: what.to_owned(),
            expected: cut(expected.to_string()),
            got: cut(got.to_string()),
        });
    }

    fn found(&self) -> u64 {
        (self.findings.len() as u64).saturating_add(self.more)
    }

    /// The form in which the first bundle is served.
    async fn dialect(&self) -> Result<Option<Dialect>, CheckError> {
        let width = TileId { level: 0, index: 0 }.width(self.size);
        if width == 0 {
            return Ok(None);
        }
        for dialect in Dialect::ALL {
            if self.log.bundle(dialect, 0, width).await?.is_some() {
                return Ok(Some(dialect));
            }
        }
        Err(CheckError::NoLeaves {
            entries: bundle_path(Dialect::Entries, 0, width),
            data: bundle_path(Dialect::Certificates, 0, width),
        })
    }

    /// Fetches and reads a chunk. A leaf that is not served gets the hash that its tile has: only that it is missing
    /// is wrong then.
    async fn chunk(
        &mut self,
        chunk: &Chunk,
        dialect: Dialect,
    ) -> Result<(Vec<Hash>, HashMap<TileId, Bytes>), CheckError> {
        let mut fetching = JoinSet::new();
        for (tile, width) in chunk.tiles.iter().copied() {
            let log = self.log.clone();
            fetching.spawn(async move { Ok(Part::Tile(tile, log.tile(tile, width).await?)) });
            if tile.level > 0 {
                continue;
            }
            let log = self.log.clone();
            fetching.spawn(async move {
                let bytes = log.bundle(dialect, tile.index, width).await?;
                let first = tile.index.saturating_mul(u64::from(FULL_WIDTH));
                let leaves = bytes.map(|bytes| {
                    let leaves = dialect.leaves(&bytes, first).map(hashes_alone);
                    leaves.map_err(|malformed| malformed.to_string())
                });
                Ok(Part::Bundle(tile.index, width, leaves))
            });
        }
        let mut tiles = HashMap::new();
        let mut bundles = HashMap::new();
        for part in gather(fetching).await? {
            match part {
                Part::Tile(tile, bytes) => tiles.extend(bytes.map(|bytes| (tile, bytes))),
                Part::Bundle(index, width, leaves) => {
                    bundles.insert(index, (width, leaves));
                }
                Part::Issuer(..) => {}
            }
        }
        let mut hashes = Vec::with_capacity(usize::try_from(chunk.count).unwrap_or_default());
        for (tile, width) in chunk.tiles.iter().filter(|(tile, _)| tile.level == 0) {
            let leaves = bundles.remove(&tile.index).and_then(|(_, leaves)| leaves);
            let leaves = self.usable(dialect, tile.index, *width, leaves);
            for inside in 0..*width {
                let index = tile
                    .index
                    .saturating_mul(u64::from(FULL_WIDTH))
                    .saturating_add(u64::from(inside));
                let in_tile = || node_of_tree(tiles.get(tile)?, 0, index);
                match leaves.get(usize::from(inside)) {
                    None => hashes.push(in_tile().unwrap_or_default()),
                    Some(leaf) => {
                        hashes.push(leaf.hash);
                        self.check_leaf(dialect, index, *width, leaf);
                    }
                }
            }
        }
        Ok((hashes, tiles))
    }

    /// The leaves of a bundle, none where it is of no use. A full one in the place of a partial one has more.
    fn usable(
        &mut self,
        dialect: Dialect,
        index: u64,
        width: u16,
        leaves: Option<Result<Vec<Leaf>, String>>,
    ) -> Vec<Leaf> {
        let at = || At::Tile(bundle_path(dialect, index, width));
        match leaves {
            None => {
                self.add(at(), "bundle", format!("{width} leaves"), "404");
                Vec::new()
            }
            Some(Err(malformed)) => {
                self.add(at(), "bundle", format!("{width} leaves"), malformed);
                Vec::new()
            }
            Some(Ok(leaves)) => {
                if leaves.len() < usize::from(width) {
                    self.add(
                        at(),
                        "bundle",
                        format!("{width} leaves"),
                        format!("{}", leaves.len()),
                    );
                }
                leaves
            }
        }
    }

    fn check_leaf(&mut self, dialect: Dialect, index: u64, width: u16, leaf: &Leaf) {
        // C2SP static-ct-api "SCT Extension": each leaf says where it is.
        if dialect == Dialect::Certificates && leaf.index != Some(index) {
            let got = leaf
                .index
                .map_or_else(|| "none".to_owned(), |index| index.to_string());
            let path = bundle_path(dialect, index >> 8, width);
            self.add(At::Leaf(index, path), "leaf_index extension", index, got);
        }
        for issuer in &leaf.issuers {
            if self.issuers.len() < MOST_ISSUERS {
                self.issuers.insert(*issuer);
            }
        }
    }

    /// Fetches every issuer that a leaf names; gives the number of those that are what they are called.
    async fn check_issuers(&mut self) -> Result<u64, CheckError> {
        let mut fetching = JoinSet::new();
        for issuer in std::mem::take(&mut self.issuers) {
            let log = self.log.clone();
            fetching.spawn(async move { Ok(Part::Issuer(issuer, log.issuer(&issuer).await?)) });
        }
        let mut sound = 0u64;
        for part in gather(fetching).await? {
            let Part::Issuer(name, der) = part else { continue };
            let got = der.map(|der| sha256(&[&der]));
            if got == Some(name) {
                sound = sound.saturating_add(1);
                continue;
            }
            let got = got.map_or_else(|| "404".to_owned(), |got| got.to_string());
            self.add(At::Issuer(format!("issuer/{name}")), "fingerprint", name, got);
        }
        Ok(sound)
    }

    fn audited(&mut self, dialect: Dialect, finding: audit::Finding) {
        use audit::Finding as Audited;
        let size = self.size;
        let bundle = |index: u64| {
            let tile = TileId {
                level: 0,
                index: index >> 8,
            };
            bundle_path(dialect, tile.index, tile.width(size))
        };
        match finding {
            Audited::Leaf { index, expected, got } => {
                self.add(At::Leaf(index, bundle(index)), "hash", expected, got);
            }
            Audited::Tile {
                tile,
                width,
                entry,
                expected,
                got,
            } => {
                let what = format!("hash {entry} of {width}");
                self.add(At::Tile(tile.path(width)), &what, expected, got);
            }
            Audited::Subtree { tile, expected, got } => {
                let what = "root of the tile, changed together with all below it";
                self.add(At::Tile(tile.path(FULL_WIDTH)), what, expected, got);
            }
            Audited::Disagreement {
                tile,
                width,
                entry,
                stored,
                computed,
            } => {
                let below = (tile.index << 8).saturating_add(u64::from(entry));
                let below = match tile.level.checked_sub(1) {
                    None => format!("leaf {below} in {}", bundle(below)),
                    Some(level) => TileId { level, index: below }.path(FULL_WIDTH),
                };
                let what = format!("hash {entry} of {width}, or {below}: one or both are wrong");
                self.add(At::Tile(tile.path(width)), &what, computed, stored);
            }
            Audited::TileMissing { tile, width } => {
                self.add(
                    At::Tile(tile.path(width)),
                    "tile",
                    format!("{width} hashes"),
                    "404",
                );
            }
            Audited::TileLength { tile, width, got } => {
                let expected = format!("{} bytes", usize::from(width).saturating_mul(32));
                self.add(
                    At::Tile(tile.path(width)),
                    "length",
                    expected,
                    format!("{got} bytes"),
                );
            }
            Audited::Root { size, expected, got } => {
                let what = format!("root at size {size}");
                let expected = format!("{expected} as it says");
                self.add(At::Checkpoint, &what, expected, format!("{got} over the leaves"));
            }
        }
    }
}

/// Leaves without what they hold: a whole chunk of that would be too much.
fn hashes_alone(mut leaves: Vec<Leaf>) -> Vec<Leaf> {
    for leaf in &mut leaves {
        leaf.content = Bytes::new();
    }
    leaves
}

/// All parts, or the first failure.
async fn gather(mut fetching: JoinSet<Result<Part, FetchError>>) -> Result<Vec<Part>, CheckError> {
    let mut parts = Vec::with_capacity(fetching.len());
    while let Some(done) = fetching.join_next().await {
        parts.push(done.map_err(|error| CheckError::Interrupted(error.to_string()))??);
    }
    Ok(parts)
}

#[cfg(test)]
pub(crate) mod tests;
