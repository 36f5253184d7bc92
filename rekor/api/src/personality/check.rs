//! What is known about stored leaves and heads of the two Rekor logs with their public keys alone: for checks of a
//! whole store.

use bytes::Bytes;
use common_engine::fsck::{Flaw, KindCheck, Terms};
use common_engine::{Head, LogKind, LogSpec, StoredLeaf};
use common_pki::key::PublicKey;
use common_tlog::note::{KeyHint, Note};
use common_tlog::sha256;
use rekor_entry::committed;
use rekor_entry::facts::Facts;

use super::beside::{Extra, Kept, beside_v2, millis};
use super::v1::{ATTESTATIONS, attestation_key, hint, timestamped};
use super::v2::{NotEd25519, log_id, note_key};
use crate::terms::{self, Unreadable, key_term};
use crate::v1::Shard;

fn flaw(what: &'static str, expected: impl ToString, got: impl ToString) -> Flaw {
    Flaw {
        what,
        expected: expected.to_string(),
        got: got.to_string(),
    }
}

/// One signature line, of this key, in exactly these bytes.
fn check_head(head: &Head, name: &str, hint: KeyHint, key: &PublicKey) -> Result<(), Flaw> {
    const WHAT: &str = "signature of the checkpoint";
    let expected = || format!("one of {name} that verifies");
    let note = Note::parse(head.checkpoint.as_bytes()).map_err(|error| flaw(WHAT, expected(), error))?;
    if note.to_string() != head.checkpoint {
        return Err(flaw(WHAT, "a note in its one form", "another form"));
    }
    let [line] = note.signatures() else {
        let got = format!("{} signatures", note.signatures().len());
        return Err(flaw(WHAT, expected(), got));
    };
    if line.name != name || line.hint != hint {
        let expected = format!("{name} with key hint {hint}");
        return Err(flaw(WHAT, expected, format!("{} with {}", line.name, line.hint)));
    }
    key.verify(key.default_hash(), note.text().as_bytes(), &line.signature)
        .map_err(|error| flaw(WHAT, expected(), error))
}

/// Checks of a Rekor v1 shard.
pub struct RekorV1Check {
    shard: Shard,
    hostname: String,
}

impl RekorV1Check {
    /// `hostname` as of [`crate::RekorV1::new`].
    #[must_use]
    pub fn new(shard: Shard, hostname: &str) -> Self {
        Self {
            shard,
            hostname: hostname.to_owned(),
        }
    }

    /// The log's row in the engine, as far as it follows from the shard.
    #[must_use]
    pub fn spec(&self, leaf_limit: u32, created: u64) -> LogSpec {
        LogSpec {
            kind: LogKind::RekorV1,
            origin: self.shard.origin(&self.hostname),
            tree_id: self.shard.tree().get(),
            key_id: self.shard.log_id().to_owned(),
            leaf_limit,
            created,
        }
    }
}

fn record(leaf: &StoredLeaf) -> Result<Extra<'_>, Flaw> {
    let unread = || {
        let got = format!("{} other octets", leaf.extra.len());
        flaw(
            "record beside the leaf",
            "a signed entry timestamp and terms",
            got,
        )
    };
    Extra::decode(&leaf.extra).ok_or_else(unread)
}

fn facts(kind: LogKind, leaf: &StoredLeaf) -> Result<(Facts, Kept), Flaw> {
    terms::facts(kind, leaf).map_err(|error| match error {
        Unreadable::Record => {
            let got = format!("{} other octets", leaf.extra.len());
            flaw(
                "record beside the leaf",
                "a record of this kind of log, with terms",
                got,
            )
        }
        Unreadable::Body(error) => flaw("entry", "a canonical body", error),
        Unreadable::Foreign => flaw("entry", "one of a known kind", error),
    })
}

/// A leaf that was taken over although its kind is not known has none.
const NO_TERMS: Terms = Terms {
    known: Vec::new(),
    later: Vec::new(),
    complete: true,
};

fn entry(leaf: &StoredLeaf) -> Result<committed::CommittedEntry, Flaw> {
    committed::read(&leaf.data).map_err(|error| flaw("entry", "a canonical body", error))
}

impl KindCheck for RekorV1Check {
    fn head(&self, head: &Head) -> Result<(), Flaw> {
        check_head(head, &self.hostname, hint(&self.shard), self.shard.public_key())
    }

    fn terms_version(&self) -> u32 {
        terms::VERSION
    }

    fn terms(&self, leaf: &StoredLeaf) -> Result<Terms, Flaw> {
        if record(leaf)?.kept() == Some(Kept::Nothing) {
            return Ok(NO_TERMS);
        }
        let (facts, kept) = facts(LogKind::RekorV1, leaf)?;
        let known = facts.keys.iter();
        Ok(Terms {
            known: known.map(|key| key_term(LogKind::RekorV1, key)).collect(),
            later: terms::later(LogKind::RekorV1, &facts),
            complete: kept != Kept::Unknown,
        })
    }

    fn attachments(&self, leaf: &StoredLeaf) -> Result<Vec<String>, Flaw> {
        let name = record(leaf)?.attestation;
        Ok(if name.is_empty() {
            Vec::new()
        } else {
            vec![attestation_key(name)]
        })
    }

    fn leaf(&self, leaf: &StoredLeaf, _attachments: &[Bytes]) -> Result<(), Flaw> {
        let record = record(leaf)?;
        let signed = timestamped(&self.shard, &leaf.data, leaf.index, leaf.time);
        let key = self.shard.public_key();
        key.verify(key.default_hash(), signed.as_bytes(), record.set)
            .map_err(|error| {
                let expected = format!("one over body, index {} and time {}", leaf.index, leaf.time);
                flaw("signed entry timestamp", expected, error)
            })?;
        if let Some(kept) = record.millis
            && kept != millis(leaf.time)
        {
            return Err(flaw("milliseconds of the time", kept, millis(leaf.time)));
        }
        if record.kept() == Some(Kept::Nothing) {
            return Ok(());
        }
        let expected = entry(leaf)?.attestation_key.unwrap_or_default();
        if !record.attestation.is_empty() && record.attestation != expected {
            return Err(flaw("name of the attestation", expected, record.attestation));
        }
        Ok(())
    }

    fn attachment(&self, key: &str, data: &[u8]) -> Option<Result<(), Flaw>> {
        let name = key.strip_prefix(ATTESTATIONS)?;
        let got = format!("sha256:{}", sha256(&[data]));
        Some(if name == got {
            Ok(())
        } else {
            Err(flaw("digest of the attestation", name, got))
        })
    }
}

/// Checks of a Rekor v2 log.
pub struct RekorV2Check {
    origin: String,
    hint: KeyHint,
    key: PublicKey,
}

impl RekorV2Check {
    /// `hostname` as of [`crate::RekorV2::new`].
    ///
    /// # Errors
    /// When the key is not Ed25519.
    pub fn new(hostname: &str, key: PublicKey) -> Result<Self, NotEd25519> {
        Ok(Self {
            hint: note_key(&key)?.hint(hostname),
            origin: hostname.to_owned(),
            key,
        })
    }

    /// The log's row in the engine, as far as it follows from name and key.
    ///
    /// # Errors
    /// When the key is not Ed25519.
    pub fn spec(&self, leaf_limit: u32, created: u64) -> Result<LogSpec, NotEd25519> {
        Ok(LogSpec {
            kind: LogKind::RekorV2,
            origin: self.origin.clone(),
            tree_id: 0,
            key_id: log_id(&self.origin, &self.key)?.to_string(),
            leaf_limit,
            created,
        })
    }
}

impl KindCheck for RekorV2Check {
    fn head(&self, head: &Head) -> Result<(), Flaw> {
        check_head(head, &self.origin, self.hint, &self.key)
    }

    fn terms_version(&self) -> u32 {
        terms::VERSION
    }

    fn terms(&self, leaf: &StoredLeaf) -> Result<Terms, Flaw> {
        if matches!(beside_v2(&leaf.extra), Some((_, Kept::Nothing))) {
            return Ok(NO_TERMS);
        }
        let (facts, _) = facts(LogKind::RekorV2, leaf)?;
        Ok(Terms {
            known: Vec::new(),
            later: terms::later(LogKind::RekorV2, &facts),
            complete: true,
        })
    }

    fn attachments(&self, _leaf: &StoredLeaf) -> Result<Vec<String>, Flaw> {
        Ok(Vec::new())
    }

    fn leaf(&self, leaf: &StoredLeaf, _attachments: &[Bytes]) -> Result<(), Flaw> {
        let (time, kept) = match beside_v2(&leaf.extra) {
            Some((time, kept)) => (time.unwrap_or(leaf.time), kept),
            None => {
                let got = format!("{} other octets", leaf.extra.len());
                return Err(flaw("record beside the leaf", "the time and terms", got));
            }
        };
        if time != leaf.time {
            return Err(flaw("time, or the one beside the leaf", time, leaf.time));
        }
        match kept {
            Kept::Nothing => Ok(()),
            _ => entry(leaf).map(drop),
        }
    }

    fn attachment(&self, _key: &str, _data: &[u8]) -> Option<Result<(), Flaw>> {
        None
    }
}
