//! Rekor v1: the leaf is the canonical body, the signed entry timestamp lies beside it.

use std::sync::Arc;

use bytes::Bytes;
use common_engine::{Entry, Personality, SealError, Sealed};
use common_pki::key::Signer;
use common_tlog::Hash;
use common_tlog::note::KeyHint;

use super::{Cause, signed_head};
use crate::json;
use crate::v1::Shard;

/// Seals the entries of one Rekor v1 shard and signs its heads.
pub struct RekorV1 {
    shard: Shard,
    hostname: String,
    origin: String,
    hint: KeyHint,
    signer: Arc<dyn Signer>,
}

impl RekorV1 {
    /// `signer` holds the private half of the shard's key; it must be ECDSA P-256, the only kind of which
    /// every client verifies a signed entry timestamp (sigstore-go `pkg/tlog/entry.go`, VerifySET).
    /// `hostname` is the bare name of the signature line.
    #[must_use]
    pub fn new(shard: Shard, hostname: &str, signer: Arc<dyn Signer>) -> Self {
        // Every key type has the same hint here, not the one of C2SP signed-note (rekor
        // `pkg/util/signed_note.go`, getPublicKeyHash).
        let [a, b, c, d, ..] = *shard.key_digest();
        RekorV1 {
            origin: shard.origin(hostname),
            hint: KeyHint([a, b, c, d]),
            hostname: hostname.to_owned(),
            shard,
            signer,
        }
    }

    /// The bytes a signed entry timestamp signs: the canonical JSON (RFC 8785) of body, time, log and virtual
    /// index (rekor `pkg/api/entries.go`, signEntry). Members are in order, strings are base64 and hex,
    /// numbers are integers: nothing to escape.
    fn timestamped(&self, body: &[u8], index: u64, time: u64) -> String {
        let mut out = String::with_capacity(body.len().saturating_mul(4).div_euclid(3).saturating_add(192));
        out.push_str("{\"body\":");
        json::base64(&mut out, body);
        out.push_str(",\"integratedTime\":");
        json::number(&mut out, integrated_time(time));
        out.push_str(",\"logID\":\"");
        out.push_str(self.shard.log_id());
        out.push_str("\",\"logIndex\":");
        json::number(&mut out, self.shard.virtual_index(index));
        out.push('}');
        out
    }
}

/// The engine's milliseconds as the whole seconds of an entry.
pub(crate) fn integrated_time(millis: u64) -> u64 {
    millis.div_euclid(1_000)
}

impl Personality for RekorV1 {
    fn seal(&self, entry: &Entry, index: u64, time: u64) -> Result<Sealed, SealError> {
        let set = self
            .signer
            .sign(self.timestamped(&entry.body, index, time).as_bytes())
            .map_err(Cause::Signer)
            .map_err(SealError::new)?;
        let extra = Extra {
            set: &set,
            attestation: &entry.aux,
        }
        .encode()
        .map_err(SealError::new)?;
        Ok(Sealed {
            leaf: entry.body.clone(),
            extra,
        })
    }

    /// One signature line and no more: official v1 verifiers refuse a note with any other hint in it (rekor
    /// `pkg/util/signed_note.go`, Verify).
    fn checkpoint(&self, size: u64, root: &Hash, _time: u64) -> Result<String, SealError> {
        signed_head(
            &*self.signer,
            &self.origin,
            &self.hostname,
            self.hint,
            size,
            *root,
        )
        .map_err(SealError::new)
    }
}

/// What is stored beside a v1 leaf: `01 ‖ u16 length ‖ SET ‖ attestation name`, the name empty where nothing
/// is attached.
///
/// The timestamp is a promise made once: reads return it as it was given, they never sign again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extra<'a> {
    /// The signed entry timestamp.
    pub(crate) set: &'a [u8],
    /// Name of the attestation, `sha256:…`.
    pub(crate) attestation: &'a [u8],
}

impl<'a> Extra<'a> {
    const VERSION: u8 = 1;

    fn encode(&self) -> Result<Bytes, Cause> {
        let length = u16::try_from(self.set.len()).map_err(|_| Cause::Oversize(self.set.len()))?;
        let mut out = Vec::with_capacity(
            self.set
                .len()
                .saturating_add(self.attestation.len())
                .saturating_add(3),
        );
        out.push(Self::VERSION);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(self.set);
        out.extend_from_slice(self.attestation);
        Ok(out.into())
    }

    /// `None` when the record is not one of ours.
    pub(crate) fn decode(record: &'a [u8]) -> Option<Self> {
        let (&version, rest) = record.split_first()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (set, attestation) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        (version == Self::VERSION).then_some(Extra { set, attestation })
    }
}

/// The engine's key of an attestation.
pub(crate) fn attestation_key(name: &str) -> String {
    format!("rekor/attestation/{name}")
}
