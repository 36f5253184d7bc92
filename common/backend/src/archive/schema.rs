//! The tables of a backup.

use common_tlog::Hash;

/// "sigb" in ASCII; `file` shows it.
pub(super) const APPLICATION_ID: i64 = 0x7369_6762;
/// Raised with every change of the tables or of what a digest is over.
pub(super) const LAYOUT: i64 = 1;

/// Exactly these, each with exactly this text: a view or trigger in place of a table would run when it is read.
pub(super) const TABLES: [&str; 7] = [
    "CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    // The columns of the store's own table.
    "CREATE TABLE logs (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, origin TEXT NOT NULL, tree_id INTEGER NOT NULL, \
     key_id TEXT NOT NULL, leaf_limit INTEGER NOT NULL, created INTEGER NOT NULL, state TEXT NOT NULL, \
     size INTEGER NOT NULL, root BLOB NOT NULL, checkpoint TEXT NOT NULL, time INTEGER NOT NULL) STRICT",
    "CREATE TABLE leaves (row INTEGER PRIMARY KEY, log INTEGER NOT NULL, leaf INTEGER NOT NULL, time INTEGER NOT NULL, \
     data BLOB NOT NULL, extra BLOB NOT NULL) STRICT",
    "CREATE TABLE index_rows (row INTEGER PRIMARY KEY, key BLOB NOT NULL, log INTEGER NOT NULL, leaf INTEGER NOT NULL) \
     STRICT",
    "CREATE TABLE attachments (row INTEGER PRIMARY KEY, key TEXT NOT NULL, data BLOB NOT NULL) STRICT",
    "CREATE TABLE files (path TEXT NOT NULL PRIMARY KEY, mode INTEGER NOT NULL, data BLOB NOT NULL, \
     sha256 BLOB NOT NULL) STRICT",
    "CREATE TABLE chunks (row INTEGER PRIMARY KEY, part TEXT NOT NULL, log INTEGER NOT NULL, first INTEGER NOT NULL, \
     rows INTEGER NOT NULL, sha256 BLOB NOT NULL) STRICT",
];

/// A table that is copied in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Leaves,
    Index,
    Attachments,
}

impl Part {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Leaves => "leaves",
            Self::Index => "index_rows",
            Self::Attachments => "attachments",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Leaves, Self::Index, Self::Attachments]
            .into_iter()
            .find(|part| part.name() == name)
    }

    /// Most rows of a chunk: what a reader holds at once is bounded by it and by [`MAX_CHUNK_BYTES`].
    pub(super) const fn most_rows(self) -> u32 {
        match self {
            Self::Leaves => 1_024,
            Self::Index => 8_192,
            Self::Attachments => 64,
        }
    }
}

/// Most bytes of leaves or attachments in a chunk that is read back: far above what [`super::save()`] writes.
pub(super) const MAX_CHUNK_BYTES: i64 = 1 << 30;

/// A run of rows of one table, and the digest over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) part: Part,
    /// Of leaves: their log. 0 for the others.
    pub(super) log: u32,
    /// `row` of the first.
    pub(super) first: u64,
    /// How many.
    pub(super) rows: u64,
    pub(super) sha256: Hash,
}
