//! Logs that somebody else made, taken over as they are: leaves with the times they had, and in the end the checkpoint
//! that their own log signed. Nothing is signed here.
//!
//! The tree is built like that of any log, and each batch is one durable transaction with compare-and-swap; so an
//! import that was cut short goes on from the last whole batch. Until the last one the head has a note that nobody
//! signed, and the log is served by nobody.

use std::sync::Arc;

use bytes::Bytes;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::{KeyHint, Note};
use common_tlog::{Hash, RightEdge, TileId, empty_root, leaf_hash};

use crate::error::{OpenError, StorageError, StoreError};
use crate::index::IndexSecret;
use crate::open::check_spec;
use crate::storage::{Batch, Commit, HeadChange, LogBatch, Place, Storage, StoredLog};
use crate::terms;
use crate::types::{Attachment, Head, LeafTerms, LogId, LogInfo, LogSpec, LogState, StoredLeaf};
use crate::verify::{edge_corrupt, verify_log};

/// Name on the note of a head that is not the last.
const UNFINISHED: &str = "import-under-way";

/// A leaf of another log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedLeaf {
    /// When it was logged there, Unix milliseconds.
    pub time: u64,
    /// The Merkle leaf.
    pub data: Bytes,
    /// Kept beside it.
    pub extra: Bytes,
    /// Search terms, and whether they are all that its log had.
    pub terms: LeafTerms,
    /// Stored with it.
    pub attachments: Vec<Attachment>,
}

/// Where the other log ends: its checkpoint, whose signature the caller has verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportTarget {
    /// Number of leaves.
    pub size: u64,
    /// Root at that size.
    pub root: Hash,
    /// The signed note.
    pub checkpoint: String,
}

/// Why a log is not taken over. What was taken before stays, and another attempt goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The store failed or is wrong.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store has another log of that number.
    #[error(transparent)]
    Other(#[from] OpenError),
    /// The leaves are not those that were signed.
    #[error("the leaves hash to root {got} at size {size}, the checkpoint of the log says {expected}")]
    Root {
        /// Size of the tree.
        size: u64,
        /// Signed.
        expected: Hash,
        /// Calculated.
        got: Hash,
    },
    /// More leaves than were signed.
    #[error("the checkpoint ends at size {expected}, and leaves up to {got} came")]
    TooMany {
        /// Signed.
        expected: u64,
        /// Came.
        got: u64,
    },
    /// A leaf is longer than this kind of log has.
    #[error("leaf {index} has {got} bytes, expected at most {limit}")]
    TooLarge {
        /// Its index.
        index: u64,
        /// Bytes accepted.
        limit: u64,
        /// Bytes that came.
        got: u64,
    },
    /// Times went back: no search by time would find it.
    #[error("leaf {index} is of time {got}, expected {expected} or later: that of the leaf before it")]
    Time {
        /// Its index.
        index: u64,
        /// Of the leaf before it, Unix milliseconds.
        expected: u64,
        /// Its own.
        got: u64,
    },
    /// It was taken over before, as long as it was then.
    #[error(
        "this log was taken over before, with {0} leaves, and is closed: what its source took since is not in"
    )]
    Finished(u64),
    /// All leaves are in, and the note of the head is none that the other log has signed.
    #[error(
        "an earlier attempt ended at size {0} before its source signed that size: import once the source is longer"
    )]
    Unsigned(u64),
    /// Somebody else writes to it.
    #[error("another process writes to this log")]
    Conflict,
    /// The name of the log cannot be that of a checkpoint.
    #[error("the origin of the log makes no note: {0}")]
    Origin(#[from] common_tlog::note::NoteError),
}

impl From<StorageError> for ImportError {
    fn from(error: StorageError) -> Self {
        Self::Store(error.into())
    }
}

/// A log on its way in.
pub struct Import {
    storage: Arc<dyn Storage>,
    secret: IndexSecret,
    info: LogInfo,
    head: Head,
    edge: RightEdge,
    terms_version: u32,
}

impl Import {
    /// Begins, or goes on where the last attempt ended: what is there is verified as at a start. `terms_version` is that of
    /// the log's [`Personality`](crate::Personality).
    ///
    /// # Errors
    /// [`ImportError`].
    pub async fn open(
        storage: Arc<dyn Storage>,
        id: LogId,
        spec: LogSpec,
        terms_version: u32,
    ) -> Result<Self, ImportError> {
        let secret = storage.secret().await?;
        let stored = storage.logs().await?;
        let log = match stored.into_iter().find(|log| log.info.id == id) {
            Some(log) => log,
            None => {
                let head = Head {
                    size: 0,
                    root: empty_root(),
                    checkpoint: unfinished(&spec.origin, 0, empty_root())?,
                    time: 0,
                };
                let state = LogState::Active;
                let info = LogInfo {
                    id,
                    spec: spec.clone(),
                    state,
                };
                let log = StoredLog { info, head };
                match storage.create_log(&log).await? {
                    Commit::Committed => log,
                    Commit::Conflict => return Err(ImportError::Conflict),
                }
            }
        };
        check_spec(id, &log.info.spec, &spec)?;
        let edge = verify_log(storage.as_ref(), &log).await?;
        Ok(Self {
            storage,
            secret,
            info: log.info,
            head: log.head,
            edge,
            terms_version,
        })
    }

    /// Whether the log was taken over before, to its end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.info.state == LogState::Frozen
    }

    /// How many leaves are in.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.head.size
    }

    /// Takes the next leaves, durably. Those that complete the tree must make the root of `target`, whose checkpoint
    /// is then the log's, for good.
    ///
    /// # Errors
    /// [`ImportError`]; nothing of these leaves is in then.
    pub async fn append(
        &mut self,
        leaves: Vec<ImportedLeaf>,
        target: &ImportTarget,
    ) -> Result<(), ImportError> {
        if leaves.is_empty() {
            return Ok(());
        }
        if self.is_closed() {
            return Err(ImportError::Finished(self.head.size));
        }
        let log = self.info.id;
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(&leaf.data)).collect();
        let corrupt = |error| StoreError::from(edge_corrupt(log, &error));
        let grown = self.edge.grow(&hashes).map_err(corrupt)?;
        let (size, root) = (grown.edge().size(), grown.edge().root());
        let checkpoint = match size.cmp(&target.size) {
            std::cmp::Ordering::Less => unfinished(&self.info.spec.origin, size, root)?,
            std::cmp::Ordering::Equal if root == target.root => target.checkpoint.clone(),
            std::cmp::Ordering::Equal => {
                return Err(ImportError::Root {
                    size,
                    expected: target.root,
                    got: root,
                });
            }
            std::cmp::Ordering::Greater => {
                return Err(ImportError::TooMany {
                    expected: target.size,
                    got: size,
                });
            }
        };
        let to = Head {
            size,
            root,
            checkpoint,
            time: leaves.last().map_or(self.head.time, |leaf| leaf.time),
        };
        let tiles = grown.tiles().map(|(tile, bytes)| (tile, Bytes::from(bytes)));
        let tiles: Vec<(TileId, Bytes)> = tiles.collect();
        let (mut stored, mut attachments) = (Vec::new(), Vec::new());
        let told = (self.head.size..).zip(&leaves);
        let told = told.map(|(place, leaf)| (place, leaf.terms.complete));
        let mut index = terms::marks_of_import(&self.secret, log, self.terms_version, told);
        let mut latest = self.head.time;
        for ((place, leaf), hash) in (self.head.size..).zip(leaves).zip(&hashes) {
            let (limit, got) = (u64::from(self.info.spec.leaf_limit), leaf.data.len() as u64);
            if got > limit {
                return Err(ImportError::TooLarge {
                    index: place,
                    limit,
                    got,
                });
            }
            if leaf.time < latest {
                return Err(ImportError::Time {
                    index: place,
                    expected: latest,
                    got: leaf.time,
                });
            }
            latest = leaf.time;
            let at = Place { log, index: place };
            index.push((self.secret.leaf(log, hash), at));
            index.extend(leaf.terms.terms.iter().map(|term| (self.secret.term(term), at)));
            attachments.extend(leaf.attachments);
            stored.push(StoredLeaf {
                index: place,
                time: leaf.time,
                data: leaf.data,
                extra: leaf.extra,
            });
        }
        index.sort_unstable();
        index.dedup();
        let batch = Batch {
            logs: vec![LogBatch {
                log,
                head: HeadChange {
                    from_size: self.head.size,
                    from_root: self.head.root,
                    to: to.clone(),
                },
                leaves: stored,
                tiles,
            }],
            index,
            attachments,
        };
        match self.storage.commit(&batch).await? {
            Commit::Committed => {
                self.edge = grown.into_edge();
                self.head = to;
                Ok(())
            }
            Commit::Conflict => Err(ImportError::Conflict),
        }
    }

    /// Closes the log, once all of it is in.
    ///
    /// # Errors
    /// [`ImportError::Root`] if it does not end at `target`, [`ImportError::Unsigned`] if it was not taken as ending there.
    pub async fn finish(self, target: &ImportTarget) -> Result<(), ImportError> {
        if (self.head.size, self.head.root) != (target.size, target.root) {
            return Err(ImportError::Root {
                size: self.head.size,
                expected: target.root,
                got: self.head.root,
            });
        }
        // A source that signs its head anew gives another note of the same tree.
        let Head {
            size,
            root,
            checkpoint,
            ..
        } = &self.head;
        if *checkpoint == unfinished(&self.info.spec.origin, *size, *root)? {
            return Err(ImportError::Unsigned(*size));
        }
        if !self.is_closed() {
            match self.storage.set_state(self.info.id, LogState::Frozen).await? {
                Commit::Committed => {}
                Commit::Conflict => return Err(ImportError::Conflict),
            }
        }
        Ok(())
    }
}

/// The note of a head that its log has not signed: in form only, because a head has one.
fn unfinished(origin: &str, size: u64, root: Hash) -> Result<String, ImportError> {
    let mut note = Note::new(Checkpoint::new(origin, size, root).to_string())?;
    note.push(UNFINISHED, KeyHint([0; 4]), vec![0])?;
    Ok(note.to_string())
}
