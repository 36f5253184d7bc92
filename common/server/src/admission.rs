//! Whether a request is taken, decided before its body is read and before anything is verified for it.
//!
//! What a request waits is what is at work before it, divided by the rate at which work is finished (Little's law). So a
//! [`Gate`] bounds how many requests of one kind are at work. Up to [`Bounds::most`] all are taken, which is a burst.
//! Once a tenth of what arrives has to be refused, the queue does not go away by itself: the gate then lets in only as
//! many as are finished within [`Bounds::wait`], at the rate it measures, so that those it takes are answered soon
//! (the idea of RFC 8289 §3: what counts is the time in a standing queue, not its length). It opens again once nobody was
//! refused for [`CALM`]; until then any refusal keeps it where it is, because who was refused is made to wait
//! ([`crate::layers::wrap`]), asks less often than the crowd is large, and is still there.
//!
//! A refusal is a 503 with `Retry-After`; a client that obeys it comes back when the queue is short.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::telemetry::as_figure;

/// How often the rate is looked at: long enough for some dozens of answers of the slowest kind.
const WINDOW: Duration = Duration::from_millis(100);
/// How long nobody must have been refused before the gate opens: longer than who was last refused is asked to stay away and
/// held back. With less, a crowd that waits would pass for one that has gone, and be let in all at once.
const CALM: Duration = Duration::from_millis(4_100);
/// Refusals in a window that show a standing queue: more than one for so many that were taken.
const TAKEN_FOR_A_REFUSAL: usize = 10;

/// How many requests may be at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// At most so many at once, whatever the rate.
    pub most: usize,
    /// Under a standing excess, as many as are finished in this time; `None` leaves the bound where it is.
    pub wait: Option<Duration>,
    /// The bound never falls below this, so that a stall does not close the gate for good and batches stay worth while.
    pub least: usize,
}

impl Bounds {
    /// Writes: 1,024 in a burst, which at the slowest kind's rate on two cores is below half a second; 10 ms under a
    /// standing excess, and never fewer than 128, below which batches are small and nobody waits for less.
    pub const WRITES: Bounds = Bounds {
        most: 1_024,
        wait: Some(Duration::from_millis(10)),
        least: 128,
    };
    /// Reads that take a few look-ups: those that wait for their turn at the store included.
    pub const READS: Bounds = Bounds::fixed(256);
    /// Reads that a client can make expensive: searches, lists, ranges.
    pub const EXPENSIVE_READS: Bounds = Bounds::fixed(16);

    /// At most so many at once.
    #[must_use]
    pub const fn fixed(most: usize) -> Bounds {
        Bounds {
            most,
            wait: None,
            least: most,
        }
    }

    /// The same with another bound on bursts.
    #[must_use]
    pub fn at_most(self, most: usize) -> Bounds {
        Bounds {
            most,
            least: self.least.min(most),
            ..self
        }
    }
}

/// More is asked for than can be done in good time: answer 503 with [`crate::reply::retry_after`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server is at its limit of requests of this kind; retry shortly")]
pub struct Refused;

/// Lets requests of one kind in, within [`Bounds`]. Clones share them.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    bounds: Bounds,
    flow: Mutex<Flow>,
    refused: metrics::Counter,
    at_work: metrics::Gauge,
    limit: metrics::Gauge,
}

/// A request that was taken. It counts as at work until this is dropped: hold it until the answer is made.
pub struct Admitted(Arc<Inner>);

impl Gate {
    /// A gate for what the metrics call `kind`.
    #[must_use]
    pub fn new(kind: &'static str, bounds: Bounds) -> Gate {
        let limit = metrics::gauge!("sigbox_admission_limit", "kind" => kind);
        limit.set(as_figure(bounds.most));
        Gate(Arc::new(Inner {
            bounds,
            flow: Mutex::new(Flow::new(bounds, Instant::now())),
            refused: metrics::counter!("sigbox_admission_refused_total", "kind" => kind),
            at_work: metrics::gauge!("sigbox_admission_at_work", "kind" => kind),
            limit,
        }))
    }

    /// Whether a request would be taken now. For before its body is read: whoever sends slowly takes no place meanwhile.
    ///
    /// # Errors
    /// [`Refused`] when there is no room.
    pub fn check(&self) -> Result<(), Refused> {
        self.0
            .decide(|flow| if flow.has_room() { Ok(()) } else { flow.refuse() })
    }

    /// Takes a request.
    ///
    /// # Errors
    /// [`Refused`] when there is no room.
    pub fn enter(&self) -> Result<Admitted, Refused> {
        self.0.decide(Flow::take)?;
        Ok(Admitted(Arc::clone(&self.0)))
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.flow().leave();
    }
}

impl Inner {
    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide<T>(&self, decision: impl FnOnce(&mut Flow) -> Result<T, Refused>) -> Result<T, Refused> {
        let now = Instant::now();
        let mut flow = self.flow();
        if flow.look(self.bounds, now) {
            self.limit.set(as_figure(flow.limit));
            self.at_work.set(as_figure(flow.at_work));
        }
        let decided = decision(&mut flow);
        drop(flow);
        if decided.is_err() {
            self.refused.increment(1);
        }
        decided
    }
}

/// What passes a gate.
#[derive(Debug)]
struct Flow {
    at_work: usize,
    limit: usize,
    since: Instant,
    taken: usize,
    finished: usize,
    refused: usize,
    /// The end of the last window with a refusal.
    excess: Option<Instant>,
}

impl Flow {
    fn new(bounds: Bounds, now: Instant) -> Flow {
        Flow {
            at_work: 0,
            limit: bounds.most,
            since: now,
            taken: 0,
            finished: 0,
            refused: 0,
            excess: None,
        }
    }

    fn has_room(&self) -> bool {
        self.at_work < self.limit
    }

    fn take(&mut self) -> Result<(), Refused> {
        if !self.has_room() {
            return self.refuse();
        }
        self.at_work = self.at_work.saturating_add(1);
        self.taken = self.taken.saturating_add(1);
        Ok(())
    }

    fn refuse<T>(&mut self) -> Result<T, Refused> {
        self.refused = self.refused.saturating_add(1);
        Err(Refused)
    }

    fn leave(&mut self) {
        self.at_work = self.at_work.saturating_sub(1);
        self.finished = self.finished.saturating_add(1);
    }

    fn calm(&self, now: Instant) -> bool {
        self.excess
            .is_none_or(|excess| now.saturating_duration_since(excess) >= CALM)
    }

    /// Sets the limit anew at the end of a window; whether it was one.
    fn look(&mut self, bounds: Bounds, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        if passed < WINDOW {
            return false;
        }
        if self.refused > 0 {
            self.excess = Some(now);
        }
        if let Some(wait) = bounds.wait {
            let begins = self.refused.saturating_mul(TAKEN_FOR_A_REFUSAL) > self.taken;
            let lasts = self.refused > 0 && self.limit < bounds.most;
            let limit = if begins || lasts {
                let wanted = within(self.finished, passed, wait);
                // Down at once, for whoever is let in now waits behind all of them; up half way, for one window is a
                // small sample.
                if wanted < self.limit {
                    wanted
                } else {
                    self.limit.midpoint(wanted)
                }
            } else if self.calm(now) {
                self.limit.saturating_add(self.limit.div_ceil(4))
            } else {
                self.limit
            };
            self.limit = limit.clamp(bounds.least, bounds.most);
        }
        (self.since, self.taken, self.finished, self.refused) = (now, 0, 0, 0);
        true
    }
}

/// How many are finished in `wait` at the rate of `finished` in `passed`.
fn within(finished: usize, passed: Duration, wait: Duration) -> usize {
    let many = (finished as u128)
        .saturating_mul(wait.as_micros())
        .checked_div(passed.as_micros())
        .unwrap_or(0);
    usize::try_from(many).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
