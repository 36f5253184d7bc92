//! The log engine: it turns verified entries into durable, provable leaves.
//!
//! Implements: several append-only logs behind one writer; batching without a timer; deduplication in flight and
//! against storage; tiles, checkpoints and self-checked proofs; one durable transaction per batch with
//! compare-and-swap on every head; recovery after failed and unknown commits; verification of the stored tree at
//! start; reads that never wait for the writer.
//!
//! Leaves out: what an entry means and how it is verified (the services do that before they submit), keys (a
//! [`Personality`] signs), any database (see [`Storage`]; `common-backend` implements it), HTTP.
//!
//! Built upon by `rekor-api`, `fulcio-ct` and `deploy-bin`. Tests of those crates can run on
//! [`memory::MemoryStorage`], and every storage back end is held to [`contract`].
//!
//! The way of an entry, one module a station: [`Engine::submit`] queues it (`engine`), the sequencer collects what
//! has queued and answers (`sequencer`), the writer deduplicates, seals, grows the tree, signs and commits
//! (`writer`, `batch`), and the published [`Head`] and its proofs are read back (`read`). [`Indexed`] says which leaves are
//! found by their search terms (`terms`). [`Records`] are kept beside the logs. [`fsck`] checks a whole store, also one in use.

mod active;
mod anchor;
mod batch;
mod bracket;
mod cache;
mod change;
pub mod contract;
mod engine;
mod error;
pub mod fsck;
mod import;
mod index;
pub mod memory;
mod open;
mod options;
mod pool;
mod read;
mod records;
mod sequencer;
mod storage;
mod terms;
mod types;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use active::{Active, Closed, Entered};
pub use anchor::{Anchor, AnchorError, NoAnchor, Published};
pub use engine::Engine;
pub use error::{Corrupt, OpenError, ReadError, SealError, StorageError, StoreError, SubmitError};
pub use import::{Import, ImportError, ImportTarget, ImportedLeaf};
pub use index::{IndexKey, IndexSecret};
pub use options::{Clock, LogConfig, Options};
pub use records::{Record, Records, Shelf};
pub use storage::{Batch, Commit, HeadChange, LogBatch, Place, Storage, StoredLog};
pub use terms::{Indexed, Marks};
pub use types::{
    Attachment, Entry, Head, LeafTerms, LogId, LogInfo, LogKind, LogSpec, LogState, Outcome, Personality,
    Receipt, Sealed, StoredLeaf,
};
