//! Answers that are in memory until their peers have taken them: how much in all, and how much of one peer.
//!
//! What is at work is bounded by [`crate::admission`], but an answer outlives its work: a peer may take two hours over 16 MiB, 64 KiB
//! at a time, and ask for more meanwhile. So every answer is counted, by length, until it has left or its connection is cut.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client::Client;
use crate::telemetry::as_figure;

/// Bytes of all answers together.
const ALL: usize = 256 << 20;
/// Bytes of the answers to one peer; this machine and trusted proxies are exempt.
const PER_PEER: usize = 64 << 20;
/// Longer answers may take half of [`ALL`]: those to writes are shorter, and always find the rest.
const SMALL: usize = 64 << 10;

/// All answers that have not left.
pub(crate) struct Unsent {
    held: Mutex<Held>,
    bytes: metrics::Gauge,
    refused: metrics::Counter,
}

#[derive(Default)]
struct Held {
    total: usize,
    peers: HashMap<Client, usize>,
}

/// The share of one answer, given back when dropped.
pub(crate) struct Share {
    unsent: Arc<Unsent>,
    peer: Option<Client>,
    length: usize,
}

impl Unsent {
    pub(crate) fn new() -> Unsent {
        Unsent {
            held: Mutex::default(),
            bytes: metrics::gauge!("sigbox_answers_unsent_bytes"),
            refused: metrics::counter!("sigbox_answers_refused_total"),
        }
    }

    /// Room for an answer of `length` bytes to `peer`, `None` being one that is exempt. `None` when there is none.
    pub(crate) fn hold(self: &Arc<Self>, peer: Option<Client>, length: usize) -> Option<Share> {
        let held = self.held().take(peer, length);
        let Some(total) = held else {
            self.refused.increment(1);
            return None;
        };
        self.bytes.set(as_figure(total));
        Some(Share {
            unsent: Arc::clone(self),
            peer,
            length,
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// The new total, if there is room.
    fn take(&mut self, peer: Option<Client>, length: usize) -> Option<usize> {
        let most = if length > SMALL { ALL / 2 } else { ALL };
        let total = self.total.checked_add(length).filter(|total| *total <= most)?;
        if let Some(peer) = peer {
            let before = self.peers.get(&peer).copied().unwrap_or_default();
            let its = before.checked_add(length).filter(|its| *its <= PER_PEER)?;
            self.peers.insert(peer, its);
        }
        self.total = total;
        Some(total)
    }

    fn give_back(&mut self, peer: Option<Client>, length: usize) {
        self.total = self.total.saturating_sub(length);
        if let Some(peer) = peer
            && let Some(its) = self.peers.get_mut(&peer)
        {
            *its = its.saturating_sub(length);
            if *its == 0 {
                self.peers.remove(&peer);
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.unsent.held();
        held.give_back(self.peer, self.length);
        self.unsent.bytes.set(as_figure(held.total));
    }
}

#[cfg(test)]
mod tests;
