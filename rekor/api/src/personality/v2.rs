//! Rekor v2: the leaf is the canonical body. Beside it are the leaf's time once more and what its terms are (see
//! `beside`).

use std::sync::Arc;

use common_engine::{Entry, LeafTerms, LogKind, Personality, SealError, Sealed, StoredLeaf};
use common_pki::key::{KeyAlgorithm, PublicKey, Signer};
use common_tlog::Hash;
use common_tlog::note::KeyHint;
use common_tlog::notekey::NoteKey;

use super::beside::encode_v2;
use super::signed_head;
use crate::terms;

/// Seals the entries of one Rekor v2 log and signs its heads.
pub struct RekorV2 {
    origin: String,
    hint: KeyHint,
    signer: Arc<dyn Signer>,
}

/// Why a key cannot sign a Rekor v2 log.
#[derive(Debug, thiserror::Error)]
#[error("a Rekor v2 log is signed with an Ed25519 key, not {0}")]
pub struct NotEd25519(KeyAlgorithm);

impl RekorV2 {
    /// `hostname` is origin and signature name at once (sigstore-go compares both with the host of the log's
    /// base URL).
    ///
    /// # Errors
    /// When the key is not Ed25519: C2SP tlog-tiles "Checkpoints" wants one such signature, and witnesses
    /// know no other.
    pub fn new(hostname: &str, signer: Arc<dyn Signer>) -> Result<Self, NotEd25519> {
        let hint = note_key(signer.public_key())?.hint(hostname);
        Ok(RekorV2 {
            origin: hostname.to_owned(),
            hint,
            signer,
        })
    }
}

pub(super) fn note_key(key: &PublicKey) -> Result<NoteKey, NotEd25519> {
    match (key.algorithm(), <[u8; 32]>::try_from(key.subject_public_key())) {
        (KeyAlgorithm::Ed25519, Ok(raw)) => Ok(NoteKey::Ed25519(raw)),
        (other, _) => Err(NotEd25519(other)),
    }
}

/// The log ID, the whole hash whose first four bytes are the key hint of its notes (rekor-tiles
/// `pkg/note/note.go`).
pub(crate) fn log_id(hostname: &str, key: &PublicKey) -> Result<Hash, NotEd25519> {
    Ok(note_key(key)?.id(hostname))
}

impl Personality for RekorV2 {
    fn seal(&self, entry: &Entry, _index: u64, time: u64) -> Result<Sealed, SealError> {
        Ok(Sealed {
            leaf: entry.body.clone(),
            extra: encode_v2(time, &entry.aux),
        })
    }

    fn checkpoint(&self, size: u64, root: &Hash, _time: u64) -> Result<String, SealError> {
        signed_head(&*self.signer, &self.origin, &self.origin, self.hint, size, *root).map_err(SealError::new)
    }

    fn terms_version(&self) -> u32 {
        terms::VERSION
    }

    fn terms(&self, leaf: &StoredLeaf) -> LeafTerms {
        terms::of_older(LogKind::RekorV2, leaf)
    }
}
