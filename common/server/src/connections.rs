//! The connections that are open: how many in all, how many of one peer, and which one goes when there is no room.
//!
//! A connection costs memory whether it asks or not. When all places are taken, the ones that have been without a request
//! for longest are closed for the next (a client must expect that of a kept connection, RFC 9112 §9.5), so that
//! whoever opens thousands and says nothing displaces silence, and no client with a request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::client::{Client, TrustedProxies};
use crate::telemetry::as_figure;

/// Closed at once when one place is wanted: looking for them goes over all.
const BATCH: usize = 32;
/// How long a full house is waited out before it is looked over again.
const AGAIN: Duration = Duration::from_millis(100);

/// All open connections.
pub(crate) struct Connections {
    places: Arc<Semaphore>,
    per_peer: usize,
    proxies: TrustedProxies,
    idle: Duration,
    started: Instant,
    open: Mutex<Open>,
    evicted: metrics::Counter,
    refused: metrics::Counter,
}

#[derive(Default)]
struct Open {
    next: u64,
    seats: HashMap<u64, Arc<Seat>>,
    peers: HashMap<Client, usize>,
}

/// What is known of one connection.
#[derive(Default)]
pub(crate) struct Seat {
    /// Requests that are not answered to the end.
    requests: AtomicUsize,
    /// When the last of them ended, in milliseconds since the start.
    since: AtomicU64,
    cut: Notify,
}

/// The place of one connection, free again when dropped.
pub(crate) struct Place {
    number: u64,
    address: IpAddr,
    seat: Arc<Seat>,
    counted: Counted,
    _permit: OwnedSemaphorePermit,
}

/// A request on a connection, until its answer has left.
pub(crate) struct Busy {
    connections: Arc<Connections>,
    seat: Arc<Seat>,
}

impl Connections {
    /// Room for `most`, of one peer at most `per_peer` unless it is on this machine or a proxy for many. A connection
    /// without a request for `idle` may be closed for another.
    pub(crate) fn new(most: usize, per_peer: usize, proxies: TrustedProxies, idle: Duration) -> Connections {
        Connections {
            places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            per_peer,
            proxies,
            idle,
            started: Instant::now(),
            open: Mutex::default(),
            evicted: metrics::counter!("sigbox_connections_evicted_total"),
            refused: metrics::counter!("sigbox_connections_refused_total"),
        }
    }

    /// A place for a connection from `address`: waits while every other has a request, `None` when the peer has enough.
    pub(crate) async fn place(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let peer = self.client(address);
        if !self.count(peer) {
            self.refused.increment(1);
            return None;
        }
        let counted = Counted {
            connections: Arc::clone(self),
            peer,
        };
        let permit = self.permit().await?;
        let seat = Arc::new(Seat::default());
        seat.since.store(self.now(), Ordering::Relaxed);
        let mut open = self.open();
        let number = open.next;
        open.next = number.wrapping_add(1);
        open.seats.insert(number, Arc::clone(&seat));
        metrics::gauge!("sigbox_connections").set(as_figure(open.seats.len()));
        drop(open);
        Some(Place {
            number,
            address,
            seat,
            counted,
            _permit: permit,
        })
    }

    /// Whom `address` counts for, if for anybody.
    fn client(&self, address: IpAddr) -> Option<Client> {
        let address = address.to_canonical();
        let exempt = address.is_loopback() || self.proxies.contains(address);
        (!exempt).then(|| Client::from(address))
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(permit);
        }
        loop {
            self.evict();
            let room = Arc::clone(&self.places).acquire_owned();
            if let Ok(permit) = tokio::time::timeout(AGAIN, room).await {
                return permit.ok();
            }
        }
    }

    /// Closes those that have been without a request for longest.
    fn evict(&self) {
        let Some(due) = self.now().checked_sub(millis(self.idle)) else {
            return;
        };
        let open = self.open();
        let mut silent: Vec<(u64, &Arc<Seat>)> = open
            .seats
            .values()
            .filter(|seat| seat.requests.load(Ordering::Acquire) == 0)
            .map(|seat| (seat.since.load(Ordering::Relaxed), seat))
            .filter(|(since, _)| *since <= due)
            .collect();
        if silent.len() > BATCH {
            silent.select_nth_unstable_by_key(BATCH, |(since, _)| *since);
        }
        for (_, seat) in silent.iter().take(BATCH) {
            seat.cut.notify_one();
            self.evicted.increment(1);
        }
    }

    fn count(&self, peer: Option<Client>) -> bool {
        let Some(peer) = peer else { return true };
        let mut open = self.open();
        let count = open.peers.entry(peer).or_default();
        let room = *count < self.per_peer;
        if room {
            *count = count.saturating_add(1);
        }
        room
    }

    fn uncount(&self, peer: Option<Client>) {
        let Some(peer) = peer else { return };
        let mut open = self.open();
        if let Some(count) = open.peers.get_mut(&peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.peers.remove(&peer);
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }
}

/// One more connection of a peer, from before it has its place.
struct Counted {
    connections: Arc<Connections>,
    peer: Option<Client>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.uncount(self.peer);
    }
}

impl Place {
    /// Whom the connection counts for; `None` where nobody counts.
    pub(crate) fn peer(&self) -> Option<Client> {
        self.counted.peer
    }

    /// Whom a request on it counts for: the same, or whom the proxy names that is the peer.
    pub(crate) fn client(&self, headers: &HeaderMap) -> Option<Client> {
        self.peer().or_else(|| {
            let connections = &self.counted.connections;
            connections.client(connections.proxies.sender(self.address, headers))
        })
    }

    /// A request has come.
    pub(crate) fn busy(&self) -> Busy {
        self.seat.requests.fetch_add(1, Ordering::AcqRel);
        Busy {
            connections: Arc::clone(&self.counted.connections),
            seat: Arc::clone(&self.seat),
        }
    }

    /// Resolves when the place is wanted for another.
    pub(crate) async fn evicted(&self) {
        loop {
            self.seat.cut.notified().await;
            // A request may have come just then.
            if self.seat.requests.load(Ordering::Acquire) == 0 {
                return;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.counted.connections.open();
        open.seats.remove(&self.number);
        metrics::gauge!("sigbox_connections").set(as_figure(open.seats.len()));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.seat.since.store(self.connections.now(), Ordering::Relaxed);
        self.seat.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
