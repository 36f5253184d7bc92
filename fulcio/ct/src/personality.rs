//! How leaves of the log look and how its tree heads are signed.

use common_engine::{Entry, LogKind, LogSpec, Personality, SealError, Sealed, StoredLeaf};
use common_pki::cert::Certificate;
use common_pki::key::{KeyAlgorithm, PublicKey, Signer};
use common_pki::sct::{self, Sct, SctError, SignedEntry, TimestampedEntry};
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::{KeyHint, Note, NoteError};
use common_tlog::notekey::NoteKey;
use common_tlog::{Hash, sha256};
use std::sync::Arc;

/// The longest leaf, in bytes: the longest certificate `common-pki` reads, and what surrounds it.
const LEAF_LIMIT: u32 = 65 << 10;

/// Why a key and a name make no log.
#[derive(Debug, thiserror::Error)]
pub enum PersonalityError {
    /// Go's verifier takes no other (certificate-transparency-go `signatures.go`), and sigstore-python looks the hash up
    /// by it.
    #[error("expected an ECDSA P-256 key for the certificate log, got {0}")]
    Key(KeyAlgorithm),
    /// The origin is no name for a key.
    #[error("the origin of the certificate log cannot be the name of a key: {0}")]
    Origin(#[from] NoteError),
}

/// A signature of a tree head, as a checkpoint carries it.
pub(crate) struct TreeHeadSignature {
    /// Unix milliseconds.
    pub(crate) timestamp: u64,
    /// TLS `digitally-signed` (RFC 5246 §4.7).
    pub(crate) digitally_signed: Vec<u8>,
}

/// The stored checkpoint has no signature of this log's key.
#[derive(Debug, thiserror::Error)]
#[error("the stored checkpoint is not signed by this log's key")]
pub(crate) struct ForeignCheckpoint;

/// The certificate log for `common-engine`.
///
/// A leaf is the MerkleTreeLeaf of RFC 6962 §3.4 with the engine's time and the `leaf_index` extension; beside it stand the
/// precertificate and its issuers. Two entries are the same if they differ in nothing but time and place, so a resubmission
/// gets the first timestamp again (RFC 6962 §3).
pub struct CtPersonality {
    signer: Arc<dyn Signer>,
    origin: String,
    hint: KeyHint,
}

impl CtPersonality {
    /// A log called `origin` ([`crate::origin_of`] its submission prefix) that signs with `signer`.
    ///
    /// # Errors
    ///
    /// [`PersonalityError`] if clients could not verify it.
    pub fn new(signer: Arc<dyn Signer>, origin: impl Into<String>) -> Result<Self, PersonalityError> {
        let algorithm = signer.public_key().algorithm();
        if algorithm != KeyAlgorithm::EcdsaP256 {
            return Err(PersonalityError::Key(algorithm));
        }
        let origin = origin.into();
        let log_id = Hash(signer.public_key().fingerprint());
        let hint = NoteKey::TreeHead(log_id).hint(&origin);
        // An origin that no note can have is found now and not at the first checkpoint.
        let text = Checkpoint::new(&origin, 0, common_tlog::empty_root()).to_string();
        Note::new(text)?.push(&origin, hint, Vec::new())?;
        Ok(Self { signer, origin, hint })
    }

    /// SHA-256 of the key's SubjectPublicKeyInfo: the log ID of RFC 6962 §3.2.
    #[must_use]
    pub fn log_id(&self) -> [u8; 32] {
        self.signer.public_key().fingerprint()
    }

    /// The key that verifies timestamps and tree heads.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.signer.public_key()
    }

    /// Whether signing waits for something outside the process.
    pub(crate) fn waits(&self) -> bool {
        self.signer.waits()
    }

    /// The log's row in the engine; `created` is Unix milliseconds.
    #[must_use]
    pub fn spec(&self, created: u64) -> LogSpec {
        spec(&self.origin, self.public_key(), created)
    }

    /// The signed certificate timestamp of a leaf that is in the log: over exactly the leaf's bytes (RFC 6962 §3.2).
    pub(crate) fn timestamp(&self, leaf: &[u8]) -> Result<Sct, SctError> {
        let TimestampedEntry {
            timestamp,
            entry,
            extensions,
        } = TimestampedEntry::from_leaf(leaf)?;
        Sct::sign(self.signer.as_ref(), timestamp, &entry, &extensions)
    }

    /// Finds this log's signature in one of its checkpoints.
    pub(crate) fn tree_head_signature(
        &self,
        checkpoint: &str,
    ) -> Result<TreeHeadSignature, ForeignCheckpoint> {
        let note = Note::parse(checkpoint.as_bytes()).map_err(|_| ForeignCheckpoint)?;
        let line = note
            .signatures_by(&self.origin, self.hint)
            .next()
            .ok_or(ForeignCheckpoint)?;
        let (timestamp, signed) = line.signature.split_first_chunk().ok_or(ForeignCheckpoint)?;
        Ok(TreeHeadSignature {
            timestamp: u64::from_be_bytes(*timestamp),
            digitally_signed: signed.to_vec(),
        })
    }
}

/// The row of the log with that origin and key.
pub(crate) fn spec(origin: &str, key: &PublicKey, created: u64) -> LogSpec {
    LogSpec {
        kind: LogKind::Ct,
        origin: origin.to_owned(),
        tree_id: 0,
        key_id: Hash(key.fingerprint()).to_base64(),
        leaf_limit: LEAF_LIMIT,
        created,
    }
}

/// The entry of a precertificate: a leaf without time and place as body, and what stands beside it.
pub(crate) fn entry(
    precertificate: &Certificate,
    issuer_key: &PublicKey,
    beside: bytes::Bytes,
    attachments: Vec<common_engine::Attachment>,
) -> Result<Entry, SctError> {
    let body = placeless(&sct::precert_entry(precertificate, issuer_key))?;
    Ok(Entry {
        identity: sha256(&[&body]),
        body: body.into(),
        aux: beside,
        terms: Vec::new(),
        attachments,
    })
}

/// The leaf at time 0 without extensions: all that identifies an entry.
fn placeless(entry: &SignedEntry) -> Result<Vec<u8>, SctError> {
    sct::merkle_tree_leaf(0, entry, &[])
}

impl Personality for CtPersonality {
    fn seal(&self, entry: &Entry, index: u64, time: u64) -> Result<Sealed, SealError> {
        let seal = || {
            let TimestampedEntry { entry, .. } = TimestampedEntry::from_leaf(&entry.body)?;
            sct::merkle_tree_leaf(time, &entry, &sct::leaf_index_extension(index)?)
        };
        Ok(Sealed {
            leaf: seal().map_err(SealError::new)?.into(),
            extra: entry.aux.clone(),
        })
    }

    /// C2SP static-ct-api "Checkpoints": the note signature is the RFC 6962 tree head signature, preceded by its time.
    fn checkpoint(&self, size: u64, root: &Hash, time: u64) -> Result<String, SealError> {
        let signature = self
            .signer
            .sign(&sct::sth_signed_data(time, size, &root.0))
            .map_err(SealError::new)?;
        let signed = sct::digitally_signed(self.signer.public_key(), &signature).map_err(SealError::new)?;
        let mut note =
            Note::new(Checkpoint::new(&self.origin, size, *root).to_string()).map_err(SealError::new)?;
        let signature = [time.to_be_bytes().as_slice(), &signed].concat();
        note.push(&self.origin, self.hint, signature)
            .map_err(SealError::new)?;
        Ok(note.to_string())
    }

    fn identity(&self, leaf: &StoredLeaf, hash: &Hash) -> Hash {
        identity(leaf, hash)
    }
}

/// What makes two leaves the same: all but time and place.
pub(crate) fn identity(leaf: &StoredLeaf, hash: &Hash) -> Hash {
    let body = TimestampedEntry::from_leaf(&leaf.data).and_then(|leaf| placeless(&leaf.entry));
    // Not a leaf of ours: identical to nothing that can be submitted.
    body.map_or(*hash, |body| sha256(&[&body]))
}
