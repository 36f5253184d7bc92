//! A backup: one file that holds logs, index and attachments of a store, and the files beside it.
//!
//! The file is an SQLite database (`application_id` 0x73696762, "sigb") of plain tables, so that `sqlite3` reads it where
//! sigbox does not run any more:
//!
//! ```text
//! meta         what the backup is; `manifest` is written last, and a file without it was never finished
//! logs         a row for each log, its head and signed checkpoint
//! leaves       the leaves below the heads
//! index_rows   the index rows of these leaves; keys are hashes under `meta.secret`
//! attachments  attestations and certificate chains
//! files        keys, trust repository, local TLS: path, mode, content, SHA-256
//! chunks       the SHA-256 over each run of rows of leaves, index_rows or attachments
//! ```
//!
//! `meta.manifest` is a SHA-256 over all other digests, log rows and metadata, so a byte that changed anywhere in what is
//! read is found and named. It is no signature: what proves the leaves is the checkpoint that the log signed, which a
//! restore recomputes from them.
//!
//! Why a copy of a store that is being written to is one moment: a log only grows. [`save()`] reads the heads once; the
//! leaves below a head never change, and their index rows and attachments were committed with them, so reading all these
//! later in pages, each a short transaction, gives what stood at that head. What comes on top meanwhile is left out.
//!
//! Everything goes through [`common_engine::Storage`], so a backup of one kind of database restores into another.

mod digest;
pub mod evidence;
mod expected;
mod limits;
mod read;
mod restore;
mod save;
mod schema;
mod write;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use common_engine::{IndexSecret, StorageError, StoredLog};
use common_tlog::Hash;

pub use limits::{MAX_FILE_BYTES, MAX_FILES, TooMuch, fits};
pub use read::Archive;
pub use restore::{Identity, LogPlan, Restore, restore};
pub use save::{Saved, save};
pub use write::Writer;

/// A file of the data folder, as a backup keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Path within the data folder, with `/` between its parts.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub data: Bytes,
}

/// What a backup says of itself, beside the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Unix milliseconds of the moment the heads were read.
    pub created: u64,
    /// Version of sigbox that wrote it.
    pub version: String,
    /// Whether private keys are among the files.
    pub with_keys: bool,
    /// Key of the index hashes.
    pub secret: IndexSecret,
    /// The logs, with the heads that it stands at.
    pub logs: Vec<StoredLog>,
    /// Files of the data folder.
    pub files: Vec<FileEntry>,
}

/// How far a long step is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Leaves of the log of that origin.
    Leaves {
        /// The log.
        origin: String,
        /// Leaves done.
        done: u64,
        /// Leaves in all.
        total: u64,
    },
    /// Index rows done; of a store nobody knows how many there are.
    Index {
        /// Rows done.
        done: u64,
        /// Rows in all, where known.
        total: Option<u64>,
    },
    /// Attachments done.
    Attachments(u64),
}

/// Where progress is shown.
pub type Watch<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// A backup could not be written, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A backup never replaces a file.
    #[error("{} exists: choose another name, a backup never replaces a file", .0.display())]
    Exists(PathBuf),
    /// A file could not be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a backup.
    #[error("{} is not a sigbox backup: {reason}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A backup of a later version.
    #[error("{} is a backup of layout {got}, this version of sigbox reads layout {expected}", .path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// The layout of this program.
        expected: i64,
        /// The layout of the file.
        got: i64,
    },
    /// The backup was interrupted before its end.
    #[error("{} was never finished: the backup was interrupted. Use another one", .0.display())]
    Unfinished(PathBuf),
    /// What is read is not what was written.
    #[error("the backup {} is damaged: {what}. Use another copy of it, or another backup", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The part, and what is wrong with it.
        what: String,
    },
    /// More files than could be read back.
    #[error(
        "the backup {} cannot be written, because it could not be restored: {excess} in the data folder. Move results of old \
         commits out of its folder scorecard",
        .path.display()
    )]
    TooMuch {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        excess: TooMuch,
    },
    /// The file could not be written.
    #[error("the backup {} cannot be written: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The store could not be read or written.
    #[error("the store: {0}")]
    Store(#[from] StorageError),
    /// The leaves are not those of the signed head.
    #[error(
        "log {origin}: the leaves hash to root {got} at size {size}, its signed checkpoint says {expected}"
    )]
    Root {
        /// The log.
        origin: String,
        /// Size of the head.
        size: u64,
        /// Root of the head.
        expected: Hash,
        /// Root of the leaves.
        got: Hash,
    },
    /// A leaf that the head counts is not there.
    #[error("log {origin}: leaf {index} is missing")]
    LeafMissing {
        /// The log.
        origin: String,
        /// Its index.
        index: u64,
    },
    /// A leaf cannot be found by its hash, or is not recognised when it is submitted again.
    #[error("log {origin}: leaf {index} has no index row under its {what}")]
    IndexMissing {
        /// The log.
        origin: String,
        /// Its index.
        index: u64,
        /// `leaf hash` or `identity`.
        what: &'static str,
    },
    /// The log differs from a checkpoint that somebody has.
    #[error(
        "log {origin}: at size {size} the backup has root {got}, but {root} was published (seen in {seen_in}). These are two \
         histories of one log: never start this backup, find out which of the two is forged or damaged"
    )]
    Fork {
        /// The log.
        origin: String,
        /// Size at which they differ.
        size: u64,
        /// Published root.
        root: Hash,
        /// Root in the backup.
        got: Hash,
        /// Where the published one was found.
        seen_in: String,
    },
    /// The target holds something already.
    #[error("the store to restore into is not empty: it has log {0}")]
    NotEmpty(String),
}

fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> ArchiveError {
    move |source| ArchiveError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
