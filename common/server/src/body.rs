//! Request bodies, read to the end within bounds: on one body, on all of them together, and on the time one takes.
//!
//! The services answer what went wrong in their own shapes; the bounds are the same for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::body::HttpBody as _;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Up to this many bytes a body needs no slot; hashes, signatures and keys stay far below.
const SMALL: usize = 256 * 1024;
/// Bodies over [`SMALL`] that may be in memory at once.
const SLOTS: usize = 16;
/// Bytes of all bodies up to [`SMALL`] that may be in memory at once: 1,024 bodies of 64 KiB.
const SMALL_TOTAL: usize = 64 << 20;
/// So much, or the rest, has to come within [`PACE`]: 6.4 KiB a second. A body that drips holds memory for nothing.
const PIECE: usize = 64 * 1024;
const PACE: Duration = Duration::from_secs(10);

/// Reads bodies for one API.
#[derive(Debug, Clone)]
pub struct Reader {
    limit: usize,
    pace: Duration,
    slots: Arc<Semaphore>,
    small: Arc<AtomicUsize>,
}

/// A body in memory. It counts as held until this is dropped, so hold it while the bytes are in use.
#[derive(Debug)]
pub struct Read {
    /// The whole body.
    pub bytes: Bytes,
    _held: Held,
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is longer than may be.
    #[error("request body: expected at most {limit} bytes, got more")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Too many bodies, or too large ones, are in memory already.
    #[error("the server is at its limit of request bodies; retry shortly")]
    Overloaded,
    /// It came too slowly.
    #[error("request body: expected it within {} s for each 64 KiB, got less", PACE.as_secs())]
    TooSlow,
    /// It broke off, or was not readable as HTTP.
    #[error("request body: expected one to its end, got one that broke off")]
    Unreadable,
}

/// What one body takes of what there is for all.
#[derive(Debug)]
struct Held {
    small: Arc<AtomicUsize>,
    bytes: usize,
    slot: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Makes room for a body that has grown to `total` bytes.
    fn grow(&mut self, total: usize, slots: &Arc<Semaphore>) -> Result<(), BodyError> {
        if self.slot.is_some() {
            return Ok(());
        }
        if total > SMALL {
            let slot = Arc::clone(slots).try_acquire_owned();
            self.slot = Some(slot.map_err(|_| BodyError::Overloaded)?);
            self.give_back();
            return Ok(());
        }
        let more = total.saturating_sub(self.bytes);
        self.bytes = total;
        let before = self.small.fetch_add(more, Ordering::AcqRel);
        if before.saturating_add(more) > SMALL_TOTAL {
            return Err(BodyError::Overloaded);
        }
        Ok(())
    }

    fn give_back(&mut self) {
        self.small
            .fetch_sub(std::mem::take(&mut self.bytes), Ordering::AcqRel);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Reader {
    /// A reader of bodies of at most `limit` bytes each. Its clones share what there is for all.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Reader {
            limit,
            pace: PACE,
            slots: Arc::new(Semaphore::new(SLOTS)),
            small: Arc::default(),
        }
    }

    /// With another time for each piece.
    #[cfg(test)]
    pub(crate) fn with_pace(self, pace: Duration) -> Self {
        Reader { pace, ..self }
    }

    /// Reads `body` to its end.
    ///
    /// # Errors
    /// [`BodyError`], as soon as a bound is passed: a declared length is judged before anything is read.
    pub async fn read(&self, mut body: Body) -> Result<Read, BodyError> {
        let too_large = BodyError::TooLarge { limit: self.limit };
        let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if declared > self.limit {
            return Err(too_large);
        }
        let mut held = Held {
            small: Arc::clone(&self.small),
            bytes: 0,
            slot: None,
        };
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        let mut pace = Pace::new(self.pace);
        loop {
            let frame = timeout_at(pace.due, body.frame())
                .await
                .map_err(|_| BodyError::TooSlow)?;
            let Some(frame) = frame else { break };
            let Ok(data) = frame.map_err(|_| BodyError::Unreadable)?.into_data() else {
                continue;
            };
            let total = first.len().saturating_add(rest.len()).saturating_add(data.len());
            if total > self.limit {
                return Err(too_large);
            }
            held.grow(total, &self.slots)?;
            pace.came(total);
            // Nearly every body is one frame: it is passed on as it came.
            if first.is_empty() && rest.is_empty() {
                first = data;
                continue;
            }
            if rest.is_empty() {
                rest.reserve(declared.min(PIECE).max(total));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            // A length is only a promise: room for it is made where it is counted, and once, since room that grows is copied. It
            // takes memory as far as the body comes.
            if held.slot.is_some() && rest.capacity() < total {
                rest.reserve(self.limit.saturating_sub(rest.len()));
            }
            rest.extend_from_slice(&data);
        }
        let bytes = if rest.is_empty() { first } else { rest.freeze() };
        Ok(Read { bytes, _held: held })
    }
}

/// When the next piece is due.
struct Pace {
    each: Duration,
    due: Instant,
    next: usize,
}

impl Pace {
    fn new(each: Duration) -> Pace {
        Pace {
            each,
            due: after(each),
            next: PIECE,
        }
    }

    fn came(&mut self, total: usize) {
        if total >= self.next {
            self.due = after(self.each);
            self.next = total.saturating_add(PIECE);
        }
    }
}

/// A wait too long for the clock is over at once; it is seconds.
fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now)
}

#[cfg(test)]
mod tests;
