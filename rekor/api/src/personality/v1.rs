//! Rekor v1: the leaf is the canonical body, the signed entry timestamp lies beside it.

use std::sync::Arc;

use common_engine::{Entry, LeafTerms, LogKind, Personality, SealError, Sealed, StoredLeaf};
use common_pki::key::Signer;
use common_tlog::Hash;
use common_tlog::note::KeyHint;

use super::beside::Extra;
use super::{Cause, signed_head};
use crate::v1::Shard;
use crate::{json, terms};

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
        RekorV1 {
            origin: shard.origin(hostname),
            hint: hint(&shard),
            hostname: hostname.to_owned(),
            shard,
            signer,
        }
    }
}

/// Every key type has the same hint here, not the one of C2SP signed-note (rekor `pkg/util/signed_note.go`,
/// getPublicKeyHash).
pub(super) fn hint(shard: &Shard) -> KeyHint {
    let [a, b, c, d, ..] = *shard.key_digest();
    KeyHint([a, b, c, d])
}

/// The bytes a signed entry timestamp signs: the canonical JSON (RFC 8785) of body, time, log and virtual
/// index (rekor `pkg/api/entries.go`, signEntry). Members are in order, strings are base64 and hex,
/// numbers are integers: nothing to escape.
pub(crate) fn timestamped(shard: &Shard, body: &[u8], index: u64, time: u64) -> String {
    let mut out = String::with_capacity(body.len().saturating_mul(4).div_euclid(3).saturating_add(192));
    out.push_str("{\"body\":");
    json::base64(&mut out, body);
    out.push_str(",\"integratedTime\":");
    json::number(&mut out, integrated_time(time));
    out.push_str(",\"logID\":\"");
    out.push_str(shard.log_id());
    out.push_str("\",\"logIndex\":");
    json::number(&mut out, shard.virtual_index(index));
    out.push('}');
    out
}

/// The engine's milliseconds as the whole seconds of an entry.
pub(crate) fn integrated_time(millis: u64) -> u64 {
    millis.div_euclid(1_000)
}

impl Personality for RekorV1 {
    fn seal(&self, entry: &Entry, index: u64, time: u64) -> Result<Sealed, SealError> {
        let set = self
            .signer
            .sign(timestamped(&self.shard, &entry.body, index, time).as_bytes())
            .map_err(Cause::Signer)
            .map_err(SealError::new)?;
        let extra = Extra::encode(&set, time, &entry.aux);
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

    fn terms_version(&self) -> u32 {
        terms::VERSION
    }

    fn terms(&self, leaf: &StoredLeaf) -> LeafTerms {
        terms::of_older(LogKind::RekorV1, leaf)
    }
}

/// What the engine's keys of attestations begin with.
pub(super) const ATTESTATIONS: &str = "rekor/attestation/";

/// The engine's key of an attestation.
pub(crate) fn attestation_key(name: &str) -> String {
    [ATTESTATIONS, name].concat()
}
