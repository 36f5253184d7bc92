//! Certificates that were issued and never signed an entry: somebody had one, and what became of it is in no log.
//!
//! A certificate is logged before it is given out, so certificate logs are read first, and the entry that comes of one is found later,
//! by its key: the key of a keyless signature is used for one certificate.

use std::collections::BTreeMap;

use rekor_entry::facts::Facts;
use serde::{Deserialize, Serialize};

use super::event::Event;

/// Certificates that are remembered at most.
const MOST: usize = 100_000;

/// Those whose entry is still to come, by the SHA-256 of their keys.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Unused(BTreeMap<String, Waiting>);

#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    /// Unix milliseconds.
    issued: u64,
    /// What is told if nothing comes.
    event: Event,
}

impl Unused {
    /// A certificate was seen, of which `event` is to be told if nothing comes; whether it is remembered.
    pub(super) fn issued(&mut self, facts: &Facts, issued: u64, event: Event) -> bool {
        let Some(signer) = facts.signers.first().filter(|_| self.0.len() < MOST) else {
            return false;
        };
        let [key, _] = &signer.key_hashes;
        self.0.insert(key.clone(), Waiting { issued, event });
        true
    }

    /// An entry was seen; whether it was one that is waited for.
    pub(super) fn used(&mut self, facts: &Facts) -> bool {
        let keys = facts.signers.iter().map(|signer| &signer.key_hashes[0]);
        keys.filter(|key| self.0.remove(*key).is_some()).count() > 0
    }

    /// Events of all that were issued before a time and of which nothing came.
    pub(super) fn overdue(&mut self, before: u64) -> Vec<Event> {
        let overdue = self.0.extract_if(.., |_, waiting| waiting.issued < before);
        overdue.map(|(_, waiting)| waiting.event).collect()
    }
}
