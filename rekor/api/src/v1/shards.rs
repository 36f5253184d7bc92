//! The shards of a Rekor v1 log: one tree each, oldest first, the last one active (rekor
//! `pkg/sharding/ranges.go`).
//!
//! To its users the log is one sequence: the *virtual* index of an entry is its index in its own tree plus
//! the lengths of all trees before it; more where a tree was restored from before its end, so that no two entries
//! share one. The first virtual index of a shard is fixed when the shard before it stops growing, hence given, never
//! computed here.

use common_engine::{Engine, LogId, LogKind};
use common_pki::key::PublicKey;
use common_tlog::Hash;

use super::entry_id::{EntryId, TreeId};
use crate::json;

/// One tree of the log: what its seal, its reads and its users must agree on.
#[derive(Debug, Clone)]
pub struct Shard {
    tree: TreeId,
    first_index: u64,
    public_key: PublicKey,
    key_digest: [u8; 32],
    log_id: String,
}

impl Shard {
    /// `first_index` is the virtual index of its first entry: 0 for the first shard.
    #[must_use]
    pub fn new(tree: TreeId, first_index: u64, public_key: PublicKey) -> Self {
        let key_digest = public_key.fingerprint();
        let mut log_id = String::with_capacity(64);
        json::hex(&mut log_id, &key_digest);
        Shard {
            tree,
            first_index,
            public_key,
            key_digest,
            log_id,
        }
    }

    /// The tree ID, part of every entry ID and of the checkpoint origin.
    #[must_use]
    pub fn tree(&self) -> TreeId {
        self.tree
    }

    /// `logID` of its entries: lower-case hex SHA-256 of the DER SPKI of its key.
    #[must_use]
    pub fn log_id(&self) -> &str {
        &self.log_id
    }

    /// SHA-256 of the DER SPKI of its key; the first four bytes are the key hint of its notes.
    #[must_use]
    pub fn key_digest(&self) -> &[u8; 32] {
        &self.key_digest
    }

    /// The key its timestamps and checkpoints verify with.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The virtual index of the entry at `index` of this tree.
    #[must_use]
    pub fn virtual_index(&self, index: u64) -> u64 {
        self.first_index.saturating_add(index)
    }

    /// The ID of the entry of a leaf hash, 80 hexadecimal digits.
    pub(crate) fn entry_id(&self, leaf: Hash) -> String {
        let mut id = String::with_capacity(80);
        EntryId {
            tree: self.tree,
            leaf,
        }
        .write(&mut id);
        id
    }

    /// First line of its checkpoints (rekor `pkg/util/checkpoint.go`).
    #[must_use]
    pub fn origin(&self, hostname: &str) -> String {
        format!("{hostname} - {}", self.tree)
    }
}

/// Why a list of shards is not a log.
#[derive(Debug, thiserror::Error)]
pub enum ShardsError {
    /// No active shard.
    #[error("a log needs at least one shard")]
    Empty,
    /// Two shards share a tree ID, so an entry ID would be ambiguous.
    #[error("tree ID {0} is used by two shards")]
    SameTree(TreeId),
    /// The engine does not run this log, or it is not this tree.
    #[error("engine log {log} is not the Rekor v1 tree {tree}")]
    Unknown {
        /// Its tree ID.
        tree: TreeId,
        /// The engine's number.
        log: LogId,
    },
    /// A shard begins before the one before it ended: an index would name two entries.
    #[error(
        "shard {tree} begins at virtual index {got}, expected {expected} or more: where the shard before it ends"
    )]
    Overlap {
        /// Its tree ID.
        tree: TreeId,
        /// Where it should begin.
        expected: u64,
        /// Where it begins.
        got: u64,
    },
}

/// All shards, checked against the trees the engine holds.
#[derive(Debug)]
pub(crate) struct Shards {
    inactive: Vec<(LogId, Shard)>,
    active: (LogId, Shard),
}

impl Shards {
    /// `shards` oldest first, the active one last.
    pub(crate) fn new(engine: &Engine, shards: Vec<(LogId, Shard)>) -> Result<Self, ShardsError> {
        let mut next = 0_u64;
        for (at, (log, shard)) in shards.iter().enumerate() {
            if shards
                .iter()
                .take(at)
                .any(|(_, earlier)| earlier.tree == shard.tree)
            {
                return Err(ShardsError::SameTree(shard.tree));
            }
            let unknown = ShardsError::Unknown {
                tree: shard.tree,
                log: *log,
            };
            let (Some(info), Some(head)) = (engine.log(*log), engine.head(*log)) else {
                return Err(unknown);
            };
            if info.spec.kind != LogKind::RekorV1 || info.spec.tree_id != shard.tree.get() {
                return Err(unknown);
            }
            if shard.first_index < next {
                return Err(ShardsError::Overlap {
                    tree: shard.tree,
                    expected: next,
                    got: shard.first_index,
                });
            }
            next = shard.virtual_index(head.size);
        }
        let mut inactive = shards;
        let active = inactive.pop().ok_or(ShardsError::Empty)?;
        Ok(Shards { inactive, active })
    }

    pub(crate) fn active(&self) -> &(LogId, Shard) {
        &self.active
    }

    /// Oldest first.
    pub(crate) fn inactive(&self) -> &[(LogId, Shard)] {
        &self.inactive
    }

    /// In the order in which upstream looks for a bare UUID: the active shard, then the others, oldest first.
    pub(crate) fn lookup_order(&self) -> impl Iterator<Item = &(LogId, Shard)> {
        std::iter::once(&self.active).chain(&self.inactive)
    }

    pub(crate) fn by_tree(&self, tree: TreeId) -> Option<&(LogId, Shard)> {
        self.lookup_order().find(|(_, shard)| shard.tree == tree)
    }

    pub(crate) fn by_log(&self, log: LogId) -> Option<&Shard> {
        self.lookup_order()
            .find(|(other, _)| *other == log)
            .map(|(_, shard)| shard)
    }

    /// The shard a virtual index falls into, and the index in its tree. An index beyond the end falls into
    /// the active shard.
    pub(crate) fn locate(&self, virtual_index: u64) -> Option<(&(LogId, Shard), u64)> {
        std::iter::once(&self.active)
            .chain(self.inactive.iter().rev())
            .find_map(|pair| Some((pair, virtual_index.checked_sub(pair.1.first_index)?)))
    }
}
