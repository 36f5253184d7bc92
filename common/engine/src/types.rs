//! The vocabulary of the engine: logs, entries, leaves, heads and receipts.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use common_tlog::Hash;

use crate::error::SealError;

/// Number of a log within one store, chosen by the operator's configuration and never used twice.
///
/// Back ends pack it beside a 40-bit leaf index into one 64-bit key, hence the limit of [`LogId::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u32);

impl LogId {
    /// Largest number a log may have.
    pub const MAX: Self = Self(0xffff);
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which service a log belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogKind {
    /// Rekor v1: entries carry a signed entry timestamp beside the tree.
    RekorV1,
    /// Rekor v2: C2SP tlog-tiles.
    RekorV2,
    /// Certificate transparency (RFC 6962).
    Ct,
}

impl LogKind {
    /// The stored and displayed name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RekorV1 => "rekor-v1",
            Self::RekorV2 => "rekor-v2",
            Self::Ct => "ct",
        }
    }

    /// The reverse of [`LogKind::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::RekorV1, Self::RekorV2, Self::Ct]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// Whether a log takes entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogState {
    /// Takes entries.
    Active,
    /// Takes no entries for now; an operator may make it active again.
    ReadOnly,
    /// Takes no entries ever again: its last checkpoint is final.
    Frozen,
}

impl LogState {
    /// The stored and displayed name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::ReadOnly => "read-only",
            Self::Frozen => "frozen",
        }
    }

    /// The reverse of [`LogState::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Active, Self::ReadOnly, Self::Frozen]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// What a log is, fixed for its whole life: a store whose row differs from the configuration is refused at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSpec {
    /// The service it belongs to.
    pub kind: LogKind,
    /// First line of its checkpoints (C2SP tlog-checkpoint "Note text").
    pub origin: String,
    /// Rekor v1 tree ID, 0 where the kind has none.
    pub tree_id: u64,
    /// Identifies the signing key, in the form the service publishes it.
    pub key_id: String,
    /// Longest leaf in bytes. 65,535 where leaves are served in entry bundles (C2SP tlog-tiles "Log entries").
    pub leaf_limit: u32,
    /// When it was created, Unix milliseconds. Not compared with the store: the first start decides.
    pub created: u64,
}

/// A log as it stands: its number, what it is, and whether it takes entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// Number within the store.
    pub id: LogId,
    /// What it is.
    pub spec: LogSpec,
    /// Whether it takes entries.
    pub state: LogState,
}

/// A published tree head: durable, with every tile under it readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of leaves.
    pub size: u64,
    /// Root hash at that size.
    pub root: Hash,
    /// The signed note, as [`Personality::checkpoint`] made it.
    pub checkpoint: String,
    /// Unix milliseconds of the batch that made it; never goes backwards within a log.
    pub time: u64,
}

/// Data stored beside the trees under a key of the caller's choice (an attestation, an issuer certificate).
///
/// The key names the content (a digest): what is stored first under a key stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The caller's key.
    pub key: String,
    /// The data.
    pub data: Bytes,
}

/// A verified entry, ready to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What makes two entries the same one; [`Personality::identity`] of the stored leaf must give it back.
    pub identity: Hash,
    /// The canonical content, for [`Personality::seal`]. The leaf holds all of it: a body longer than the log's
    /// [`LogSpec::leaf_limit`] is refused unsealed.
    pub body: Bytes,
    /// Whatever else the personality needs to seal it.
    pub aux: Bytes,
    /// Search terms (`email:a@example.com`, `sha256:…`), exactly as a reader will look them up.
    pub terms: Vec<String>,
    /// Stored in the same transaction.
    pub attachments: Vec<Attachment>,
}

impl Entry {
    /// Most index rows it may lead to: its terms, its leaf hash and its identity.
    pub(crate) fn rows(&self) -> usize {
        self.terms.len().saturating_add(2)
    }

    /// Bytes it occupies in the queue, with a flat allowance for the bookkeeping around it. A term counts for far more
    /// than its text: its index row costs the commit up to a page in a random place.
    pub(crate) fn weight(&self) -> usize {
        const OVERHEAD: usize = 512;
        const ROW: usize = 2_048;
        let terms = self.terms.iter().map(|term| term.len().saturating_add(ROW));
        let attachments = self
            .attachments
            .iter()
            .map(|a| a.key.len().saturating_add(a.data.len()));
        terms
            .chain(attachments)
            .chain([self.body.len(), self.aux.len(), OVERHEAD])
            .fold(0, usize::saturating_add)
    }
}

/// What a personality made of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The Merkle leaf.
    pub leaf: Bytes,
    /// Kept beside the leaf, outside the tree (the signed entry timestamp of Rekor v1, the certificate chain of CT).
    pub extra: Bytes,
}

/// A leaf as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLeaf {
    /// Place in its log, from 0.
    pub index: u64,
    /// Unix milliseconds of its batch.
    pub time: u64,
    /// The Merkle leaf.
    pub data: Bytes,
    /// Kept beside it, outside the tree.
    pub extra: Bytes,
}

/// What one kind of log adds to the engine: how a leaf is made once its place is known, and how a head is signed.
///
/// All methods run on the engine's own threads, so they may block on a signer.
pub trait Personality: Send + Sync + 'static {
    /// Makes the leaf of `entry` at `index`. `time` is Unix milliseconds and will be [`StoredLeaf::time`].
    ///
    /// It can be called more than once for an entry, with other places: only the last result is stored.
    ///
    /// # Errors
    /// The entry alone is refused with [`crate::SubmitError::Seal`]; its neighbours are logged.
    fn seal(&self, entry: &Entry, index: u64, time: u64) -> Result<Sealed, SealError>;

    /// Signs the head as a note (C2SP signed-note) whose text is the checkpoint of this log's origin.
    ///
    /// # Errors
    /// Nothing of the batch is stored and its submitters get [`crate::SubmitError::Seal`].
    fn checkpoint(&self, size: u64, root: &Hash, time: u64) -> Result<String, SealError>;

    /// The identity of a leaf, which decides whether a new entry is a duplicate. `hash` is its leaf hash, which is the
    /// identity where place and time are not in the leaf.
    fn identity(&self, leaf: &StoredLeaf, hash: &Hash) -> Hash {
        let _ = leaf;
        *hash
    }

    /// Version of the terms that [`Personality::terms`] gives, raised with every change of them; 0 for a kind that is
    /// not searched by any.
    fn terms_version(&self) -> u32 {
        0
    }

    /// The terms of this version that a leaf of an older one has not got, told from what is stored.
    fn terms(&self, leaf: &StoredLeaf) -> LeafTerms {
        let _ = leaf;
        LeafTerms::default()
    }
}

/// Search terms of a stored leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeafTerms {
    /// The terms, as they are looked up.
    pub terms: Vec<String>,
    /// False where there were others, which are no longer to be told.
    pub complete: bool,
}

/// Proof that a leaf is durable and in the tree of `head`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The log it is in.
    pub log: LogId,
    /// The leaf.
    pub leaf: StoredLeaf,
    /// Inclusion proof for `head.size` (RFC 9162 §2.1.3.1); it was verified against `head.root`.
    pub proof: Vec<Hash>,
    /// The head it is proven in.
    pub head: Arc<Head>,
}

/// Answer to a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The entry is new and now in the log.
    Sequenced(Receipt),
    /// An entry of the same identity was there before, or came first in the same batch.
    Duplicate(Receipt),
}

impl Outcome {
    /// The receipt, whichever way it came.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        match self {
            Self::Sequenced(receipt) | Self::Duplicate(receipt) => receipt,
        }
    }
}
