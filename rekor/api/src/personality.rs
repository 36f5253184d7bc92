//! What the two Rekor logs add to the engine: the leaf of an entry and the signature of a tree head.

mod beside;
mod check;
mod v1;
mod v2;

pub(crate) use beside::{Extra, Kept, beside_v2, encode_v2, nothing, rest, whole_rest};
pub use check::{RekorV1Check, RekorV2Check};
pub use v1::RekorV1;
pub(crate) use v1::{attestation_key, integrated_time, timestamped};
pub(crate) use v2::log_id;
pub use v2::{NotEd25519, RekorV2};

use common_pki::key::{SignError, Signer};
use common_tlog::Hash;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::{KeyHint, Note, NoteError};

/// Why an entry or a tree head was not signed.
#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("the log's signer failed: {0}")]
    Signer(#[from] SignError),
    #[error("the tree head does not make a note: {0}")]
    Note(#[from] NoteError),
}

/// The checkpoint of a tree head (C2SP tlog-checkpoint) as a note with one signature line.
fn signed_head(
    signer: &dyn Signer,
    origin: &str,
    name: &str,
    hint: KeyHint,
    size: u64,
    root: Hash,
) -> Result<String, Cause> {
    let mut note = Note::new(Checkpoint::new(origin, size, root).to_string())?;
    let signature = signer.sign(note.text().as_bytes())?;
    note.push(name, hint, signature)?;
    Ok(note.to_string())
}

#[cfg(test)]
mod tests;
