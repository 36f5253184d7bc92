//! What is known about stored leaves and heads of the certificate log with its public key alone: for checks of a whole
//! store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use common_engine::fsck::{Flaw, KindCheck, Terms};
use common_engine::{Head, LogSpec, StoredLeaf};
use common_pki::cert::Certificate;
use common_pki::key::PublicKey;
use common_pki::sct::{self, TimestampedEntry};
use common_tlog::note::{KeyHint, Note};
use common_tlog::notekey::NoteKey;
use common_tlog::{Hash, sha256};

use crate::beside::{self, Fingerprint};
use crate::chain::issued;
use crate::log::{ISSUERS, attachment_key};
use crate::personality;

/// Chains of issuers remembered as sound.
const REMEMBERED: usize = 64;

/// Checks of a certificate log.
pub struct CtCheck {
    origin: String,
    hint: KeyHint,
    key: PublicKey,
    /// Keys of direct issuers whose chain was verified.
    chains: Mutex<HashMap<Vec<Fingerprint>, Arc<PublicKey>>>,
}

fn flaw(what: &'static str, expected: impl ToString, got: impl ToString) -> Flaw {
    Flaw {
        what,
        expected: expected.to_string(),
        got: got.to_string(),
    }
}

fn timestamped(leaf: &StoredLeaf) -> Result<TimestampedEntry, Flaw> {
    TimestampedEntry::from_leaf(&leaf.data).map_err(|error| flaw("leaf", "a MerkleTreeLeaf", error))
}

fn beside_of(leaf: &StoredLeaf) -> Result<(&[u8], &[Fingerprint]), Flaw> {
    beside::decode(&leaf.extra).map_err(|error| {
        flaw(
            "record beside the leaf",
            "a precertificate and its issuers",
            error,
        )
    })
}

fn certificate(der: &[u8], what: &'static str) -> Result<Certificate, Flaw> {
    Certificate::from_der(der).map_err(|error| flaw(what, "a certificate", error))
}

impl CtCheck {
    /// The log of that origin and key, as of [`crate::CtPersonality::new`].
    #[must_use]
    pub fn new(origin: impl Into<String>, key: PublicKey) -> Self {
        let origin = origin.into();
        Self {
            hint: NoteKey::TreeHead(Hash(key.fingerprint())).hint(&origin),
            origin,
            key,
            chains: Mutex::default(),
        }
    }

    /// The log's row in the engine; `created` is Unix milliseconds.
    #[must_use]
    pub fn spec(&self, created: u64) -> LogSpec {
        personality::spec(&self.origin, &self.key, created)
    }

    /// The key of the direct issuer, once each certificate is known to have issued the one before it.
    fn issuer(&self, fingerprints: &[Fingerprint], chain: &[Bytes]) -> Result<Arc<PublicKey>, Flaw> {
        let known = |issuer: &Self| {
            let chains = issuer.chains.lock().unwrap_or_else(PoisonError::into_inner);
            chains.get(fingerprints).cloned()
        };
        if let Some(key) = known(self) {
            return Ok(key);
        }
        const WHAT: &str = "issuer";
        let certificates = chain
            .iter()
            .map(|der| certificate(der, WHAT))
            .collect::<Result<Vec<_>, _>>()?;
        for (child, issuer) in certificates.iter().zip(certificates.iter().skip(1)) {
            if !issued(issuer, child) {
                let got = Hash(issuer.fingerprint());
                return Err(flaw(WHAT, "the one that issued the certificate before it", got));
            }
        }
        let first = certificates.first();
        let key = first.and_then(|first| first.public_key().ok().cloned());
        let key = Arc::new(key.ok_or_else(|| flaw(WHAT, "one with a key", "none"))?);
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if chains.len() >= REMEMBERED {
            chains.clear();
        }
        chains.insert(fingerprints.to_vec(), Arc::clone(&key));
        Ok(key)
    }
}

impl KindCheck for CtCheck {
    fn identity(&self, leaf: &StoredLeaf, hash: &Hash) -> Hash {
        personality::identity(leaf, hash)
    }

    fn head(&self, head: &Head) -> Result<(), Flaw> {
        const WHAT: &str = "tree head signature of the checkpoint";
        let expected = || format!("one of {} that verifies, and no other", self.origin);
        let note = Note::parse(head.checkpoint.as_bytes()).map_err(|error| flaw(WHAT, expected(), error))?;
        if note.to_string() != head.checkpoint {
            return Err(flaw(WHAT, "a note in its one form", "another form"));
        }
        let [line] = note.signatures() else {
            return Err(flaw(
                WHAT,
                expected(),
                format!("{} signatures", note.signatures().len()),
            ));
        };
        if line.name != self.origin || line.hint != self.hint {
            let expected = format!("{} with key hint {}", self.origin, self.hint);
            return Err(flaw(WHAT, expected, format!("{} with {}", line.name, line.hint)));
        }
        let (time, signed) = line
            .signature
            .split_first_chunk()
            .ok_or_else(|| flaw(WHAT, expected(), "a short one"))?;
        let time = u64::from_be_bytes(*time);
        if time != head.time {
            return Err(flaw("time of the head", time, head.time));
        }
        let message = sct::sth_signed_data(time, head.size, &head.root.0);
        sct::verify_digitally_signed(&self.key, &message, signed)
            .map_err(|error| flaw(WHAT, expected(), error))
    }

    fn terms(&self, leaf: &StoredLeaf) -> Result<Terms, Flaw> {
        timestamped(leaf)?;
        Ok(Terms {
            known: Vec::new(),
            later: Vec::new(),
            complete: true,
        })
    }

    fn attachments(&self, leaf: &StoredLeaf) -> Result<Vec<String>, Flaw> {
        let (_, fingerprints) = beside_of(leaf)?;
        let names = fingerprints.iter().map(|fingerprint| Hash(*fingerprint));
        Ok(names.map(|name| attachment_key(&name.to_string())).collect())
    }

    fn leaf(&self, leaf: &StoredLeaf, attachments: &[Bytes]) -> Result<(), Flaw> {
        let TimestampedEntry {
            timestamp,
            entry,
            extensions,
        } = timestamped(leaf)?;
        if timestamp != leaf.time {
            return Err(flaw("time, or the one within the leaf", timestamp, leaf.time));
        }
        // C2SP static-ct-api "SCT Extension".
        let place = sct::leaf_index_extension(leaf.index);
        let place = place.map_err(|error| flaw("leaf_index extension", leaf.index, error))?;
        if extensions != place {
            return Err(flaw("leaf_index extension", hex(&place), hex(&extensions)));
        }
        let (precertificate, fingerprints) = beside_of(leaf)?;
        let precertificate = certificate(precertificate, "precertificate beside the leaf")?;
        let issuer = self.issuer(fingerprints, attachments)?;
        if sct::precert_entry(&precertificate, &issuer) != entry {
            let expected = "the one that was logged";
            return Err(flaw("precertificate beside the leaf", expected, "another"));
        }
        precertificate.verify_signature(&issuer).map_err(|error| {
            let expected = "a signature of its issuer";
            flaw("precertificate beside the leaf", expected, error)
        })
    }

    fn attachment(&self, key: &str, data: &[u8]) -> Option<Result<(), Flaw>> {
        let name = key.strip_prefix(ISSUERS)?;
        let got = sha256(&[data]).to_string();
        Some(if name == got {
            Ok(())
        } else {
            Err(flaw("fingerprint of the issuer", name, got))
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect()
}
