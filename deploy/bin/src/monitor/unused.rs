//! Certificates that were issued and never signed an entry: somebody had one, and what became of it is in no log.
//!
//! A certificate is logged before it is given out, so certificate logs are read first, and the entry that comes of one is found later,
//! by its key and its names: a keyless signature has a key of its own, and who has the key may log other things with it.

use std::collections::{BTreeMap, VecDeque};

use common_pki::key::sha256;
use rekor_entry::facts::{Facts, Signer};
use serde::{Deserialize, Serialize};

use super::event::Event;

/// Certificates that are remembered at most.
const MOST: usize = 10_000;

/// Those whose entry is still to come, by the SHA-256 of key and names.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Unused {
    waiting: BTreeMap<String, Waiting>,
    /// Entries of late: their certificates may be read after them, where a certificate log has much to catch up.
    #[serde(skip)]
    used: VecDeque<String>,
}

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
        let name = facts.signers.first().map(name);
        let Some(name) = name.filter(|name| !self.is_full() && !self.used.contains(name)) else {
            return false;
        };
        self.waiting.insert(name, Waiting { issued, event });
        true
    }

    /// Whether no more certificates are remembered.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST
    }

    /// An entry was seen; whether it was one that is waited for.
    pub(super) fn used(&mut self, facts: &Facts) -> bool {
        let mut waited = false;
        for name in facts.signers.iter().map(name) {
            waited |= self.waiting.remove(&name).is_some();
            self.used.push_back(name);
            if self.used.len() > MOST {
                self.used.pop_front();
            }
        }
        waited
    }

    /// Events of all that were issued before a time and of which nothing came.
    pub(super) fn overdue(&mut self, before: u64) -> Vec<Event> {
        let overdue = self.waiting.extract_if(.., |_, waiting| waiting.issued < before);
        overdue.map(|(_, waiting)| waiting.event).collect()
    }
}

/// What a precertificate and the certificate in an entry have in common.
fn name(signer: &Signer) -> String {
    let mut text = signer.key_hashes[0].clone();
    for name in &signer.names {
        text.push('\n');
        text.push_str(&name.text());
    }
    hex::encode(sha256(text.as_bytes()))
}
