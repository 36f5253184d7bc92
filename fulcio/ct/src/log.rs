//! The log in use: adding precertificates, and what reads need beyond the engine.

use crate::api::submit::MAX_BODY;
use crate::beside::{self, Fingerprint};
use crate::chain::{AcceptedRoots, ChainError, Issuers, Validator};
use crate::personality::{self, CtPersonality};
use bytes::Bytes;
use common_engine::{Attachment, Engine, Head, LogId, ReadError, StoredLeaf, SubmitError};
use common_pki::key::PublicKey;
use common_pki::sct::{self, Sct, SctError};
use common_server::admission::{Bounds, Gate};
use common_server::body::Reader;
use common_server::cpu;
use common_tlog::Hash;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Issuers kept in memory for get-entries. A log whose leaves have more than a few is not an authority's own.
const CACHED_ISSUERS: usize = 256;

/// Why a precertificate was not logged.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// It is not one this log takes.
    #[error(transparent)]
    Refused(#[from] ChainError),
    /// The engine did not acknowledge it.
    #[error(transparent)]
    Log(#[from] SubmitError),
    /// Too much work is waiting.
    #[error(transparent)]
    Overloaded(#[from] cpu::Overloaded),
    /// The leaf could not be made, or the timestamp not be signed. A logged leaf keeps its place: adding it again
    /// answers with its timestamp.
    #[error("the signed certificate timestamp could not be made: {0}")]
    Timestamp(#[from] SctError),
}

/// Why what stands beside a leaf could not be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BesideError {
    #[error(transparent)]
    Malformed(#[from] beside::Malformed),
    #[error("the store has no issuer {0}")]
    MissingIssuer(Hash),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Encoding(#[from] SctError),
}

/// A certificate log within an engine.
pub struct CtLog {
    engine: Engine,
    id: LogId,
    personality: Arc<CtPersonality>,
    validator: Arc<Validator>,
    issuers: Mutex<HashMap<Fingerprint, Bytes>>,
    reads: Gate,
    ranges: Gate,
    submission: Option<Submission>,
}

/// What bounds submission over HTTP.
pub(crate) struct Submission {
    pub(crate) bodies: Reader,
    pub(crate) writes: Gate,
}

impl CtLog {
    /// The log `id` of `engine`, which must have been opened with the same `personality`; it takes precertificates whose
    /// issuers lead to one of `roots`.
    #[must_use]
    pub fn new(engine: Engine, id: LogId, personality: Arc<CtPersonality>, roots: AcceptedRoots) -> Self {
        Self {
            engine,
            id,
            personality,
            validator: Arc::new(Validator::new(roots)),
            issuers: Mutex::default(),
            reads: Gate::new("ct_read", Bounds::READS),
            ranges: Gate::new("ct_range", Bounds::EXPENSIVE_READS),
            submission: None,
        }
    }

    /// Takes precertificates of authorities outside the process too, over HTTP, `writes` at once.
    #[must_use]
    pub fn taking_submissions(self, writes: Bounds) -> Self {
        Self {
            submission: Some(Submission {
                bodies: Reader::new(MAX_BODY),
                writes: Gate::new("ct_add", writes),
            }),
            ..self
        }
    }

    /// Validates and logs a precertificate (DER) with its issuers (DER, the direct issuer first, the root optional), and signs its
    /// timestamp: RFC 6962 §4.2 in process.
    ///
    /// When it returns, the leaf is durable and in the tree of the published checkpoint. Adding the same
    /// precertificate again gives the same timestamp, index and extensions.
    ///
    /// # Errors
    ///
    /// [`AddError`]; after any of them the same call may be made again.
    pub async fn add_pre_chain(&self, precertificate: &[u8], chain: &[Vec<u8>]) -> Result<Sct, AddError> {
        let (precertificate, chain) = (precertificate.to_vec(), chain.to_vec());
        let validator = Arc::clone(&self.validator);
        let validated = cpu::run(move || {
            let (precertificate, issuers) = validator.validate(&precertificate, &chain)?;
            let beside = beside::encode(precertificate.to_der(), &issuers.fingerprints)
                .ok_or(SctError::TooLong("precertificate or chain"))?;
            let entry = personality::entry(
                &precertificate,
                &issuers.issuer_key,
                beside,
                attachments(&issuers),
            )?;
            Ok::<_, AddError>((entry, issuers))
        });
        let (entry, issuers) = validated.await??;
        let outcome = self.engine.submit(self.id, entry).await?;
        issuers.set_stored();
        let leaf = outcome.receipt().leaf.data.clone();
        let personality = Arc::clone(&self.personality);
        let waits = personality.waits();
        Ok(cpu::sign(waits, move || personality.timestamp(&leaf)).await??)
    }

    /// The RFC 6962 `extra_data` of a leaf: PrecertChainEntry (§3.1), put together from what stands beside the leaf.
    pub(crate) async fn extra_data(&self, leaf: &StoredLeaf) -> Result<Vec<u8>, BesideError> {
        let (precertificate, fingerprints) = beside::decode(&leaf.extra)?;
        let mut chain = Vec::with_capacity(fingerprints.len());
        for fingerprint in fingerprints {
            chain.push(self.issuer(fingerprint).await?);
        }
        let chain: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
        Ok(sct::precert_extra_data(precertificate, &chain)?)
    }

    async fn issuer(&self, fingerprint: &Fingerprint) -> Result<Bytes, BesideError> {
        if let Some(der) = self
            .issuers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(fingerprint)
        {
            return Ok(der.clone());
        }
        let name = Hash(*fingerprint);
        let stored = self.engine.attachment(&attachment_key(&name.to_string())).await?;
        let der = stored.ok_or(BesideError::MissingIssuer(name))?;
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        if issuers.len() >= CACHED_ISSUERS {
            issuers.clear();
        }
        issuers.insert(*fingerprint, der.clone());
        Ok(der)
    }

    /// The published head.
    pub(crate) fn head(&self) -> Result<Arc<Head>, ReadError> {
        self.engine.head(self.id).ok_or(ReadError::UnknownLog(self.id))
    }

    /// Submission over HTTP, where it is on.
    pub(crate) fn submission(&self) -> Option<&Submission> {
        self.submission.as_ref()
    }

    /// Lets in what reads a leaf, a tile of hashes or a proof.
    pub(crate) fn reads(&self) -> &Gate {
        &self.reads
    }

    /// Lets in what reads many leaves.
    pub(crate) fn ranges(&self) -> &Gate {
        &self.ranges
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn id(&self) -> LogId {
        self.id
    }

    pub(crate) fn personality(&self) -> &CtPersonality {
        &self.personality
    }

    /// The key that verifies its timestamps.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.personality.public_key()
    }

    pub(crate) fn roots(&self) -> Arc<AcceptedRoots> {
        self.validator.roots()
    }

    /// Accepts other roots from now on: an authority that rotates has two.
    pub fn set_roots(&self, roots: AcceptedRoots) {
        self.validator.set_roots(roots);
    }
}

/// The issuers to store with an entry: none once a leaf with them is known to be durable.
fn attachments(issuers: &Issuers) -> Vec<Attachment> {
    if issuers.are_stored() {
        return Vec::new();
    }
    let attachment = |certificate: &common_pki::cert::Certificate| Attachment {
        key: attachment_key(&Hash(certificate.fingerprint()).to_string()),
        data: Bytes::copy_from_slice(certificate.to_der()),
    };
    issuers.certificates.iter().map(attachment).collect()
}

/// What the store's names of issuers begin with.
pub(crate) const ISSUERS: &str = "ct/issuer/";

/// Where the store has the issuer with this lowercase hex fingerprint.
pub(crate) fn attachment_key(fingerprint: &str) -> String {
    [ISSUERS, fingerprint].concat()
}
