//! When a refusal leaves: one after the other, so that refusing never takes the machine from what was admitted.
//!
//! A refusal costs nearly as much HTTP as an acceptance. Clients that come back at once, whatever `Retry-After` says,
//! would be given as many as both sides can make, and the processors with them. So refusals leave in a line, [`APART`] from
//! each other. A lone one leaves at once; in a crowd one waits for its turn, and so does who sent the request, for
//! over HTTP/1.1 nothing more is read on a connection that is owed an answer (RFC 9112 §9.3.2). The wait is never longer than
//! [`LONGEST`], which is what every refusal asks for at the least: who obeys loses nothing by it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::reply::GRPC_PUSHBACK;

/// Between two of them: a thousand a second take less than a tenth of a core.
const APART: Duration = Duration::from_millis(1);
/// The longest wait: the shortest [`crate::reply::retry_after`].
const LONGEST: Duration = Duration::from_secs(1);
/// Most that wait, a few KiB each: four for each connection that [`crate::serve::Limits`] allows. Only the streams of HTTP/2
/// can be more; what does not fit leaves at once.
const MOST: usize = 16_384;

/// Whether an answer says when to come back.
pub(crate) fn is_refusal(headers: &HeaderMap) -> bool {
    headers.contains_key(RETRY_AFTER) || headers.contains_key(GRPC_PUSHBACK)
}

/// The line of all refusals.
pub(crate) struct Refusals {
    places: Semaphore,
    line: Mutex<Line>,
    waiting: metrics::Gauge,
}

impl Refusals {
    pub(crate) fn new() -> Refusals {
        Refusals {
            places: Semaphore::new(MOST),
            line: Mutex::new(Line { free: Instant::now() }),
            waiting: metrics::gauge!("sigbox_refusals_waiting"),
        }
    }

    /// Resolves when the next refusal may leave.
    pub(crate) async fn turn(&self) {
        let Ok(_place) = self.places.try_acquire() else {
            return;
        };
        let wait = self
            .line
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join(Instant::now());
        if wait.is_zero() {
            return;
        }
        self.waiting.increment(1.0);
        // Also when the peer leaves and this is dropped meanwhile.
        let _waited = Waited(&self.waiting);
        sleep(wait).await;
    }
}

struct Waited<'a>(&'a metrics::Gauge);

impl Drop for Waited<'_> {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// A line is known by when its end will have left.
struct Line {
    free: Instant,
}

impl Line {
    /// How long who joins it now has to wait. A full line grows no more: the rest wait the longest time, each from its own
    /// arrival, and leave as far apart as they came.
    fn join(&mut self, now: Instant) -> Duration {
        let wait = self.free.saturating_duration_since(now);
        if wait >= LONGEST {
            return LONGEST;
        }
        self.free = self.free.max(now).checked_add(APART).unwrap_or(now);
        wait
    }
}

#[cfg(test)]
mod tests;
