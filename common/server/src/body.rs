//! Request bodies, read to the end within bounds: on one body, on those of one client, on all of them together, and on the time
//! one takes.
//!
//! A client that sends each body as slowly as it may could hold all there is room for, so one has a share of it and no more. Whom
//! a request counts for, `serve` has put beside it.
//!
//! The services answer what went wrong in their own shapes; the bounds are the same for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::body::HttpBody as _;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http::{Extensions, request};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::client::{Client, Whose};

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
    room: Arc<Mutex<Room>>,
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
    /// Too many bodies, or too large ones, are in memory already: of all clients, or of this one.
    #[error("the server is at its limit of request bodies, in all or of one client; retry shortly")]
    Overloaded,
    /// It came too slowly.
    #[error("request body: expected it within {} s for each 64 KiB, got less", PACE.as_secs())]
    TooSlow,
    /// It broke off, or was not readable as HTTP.
    #[error("request body: expected one to its end, got one that broke off")]
    Unreadable,
}

/// What bodies take: bytes of small ones, and slots of larger ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    small: usize,
    slots: usize,
}

impl Taken {
    /// All that there is.
    const ALL: Taken = Taken {
        small: SMALL_TOTAL,
        slots: SLOTS,
    };
    /// What one client may take. Exempt are this machine, and trusted proxies where they name nobody.
    const PER_CLIENT: Taken = Taken {
        small: SMALL_TOTAL / 4,
        slots: SLOTS / 4,
    };

    /// By a body of `total` bytes.
    fn by(total: usize) -> Taken {
        if total > SMALL {
            Taken { small: 0, slots: 1 }
        } else {
            Taken {
                small: total,
                slots: 0,
            }
        }
    }

    /// With `after` in place of `before`, if that is within `most`.
    fn exchange(self, before: Taken, after: Taken, most: Taken) -> Option<Taken> {
        let small = self
            .small
            .saturating_sub(before.small)
            .saturating_add(after.small);
        let slots = self
            .slots
            .saturating_sub(before.slots)
            .saturating_add(after.slots);
        (small <= most.small && slots <= most.slots).then_some(Taken { small, slots })
    }
}

/// What is taken, by all and by each client that has a body here.
#[derive(Debug, Default)]
struct Room {
    all: Taken,
    clients: HashMap<Client, Taken>,
}

impl Room {
    /// Takes `after` in place of `before` for `client`, `None` being one that is exempt. `None` when there is no room, and nothing
    /// has changed then.
    fn exchange(&mut self, client: Option<Client>, before: Taken, after: Taken) -> Option<()> {
        let all = self.all.exchange(before, after, Taken::ALL)?;
        if let Some(client) = client {
            let its = self.clients.get(&client).copied().unwrap_or_default();
            let its = its.exchange(before, after, Taken::PER_CLIENT)?;
            if its == Taken::default() {
                self.clients.remove(&client);
            } else {
                self.clients.insert(client, its);
            }
        }
        self.all = all;
        Some(())
    }
}

/// What one body takes, given back when dropped.
#[derive(Debug)]
struct Held {
    room: Arc<Mutex<Room>>,
    client: Option<Client>,
    taken: Taken,
}

impl Held {
    /// Makes room for a body that has grown to `total` bytes.
    fn grow(&mut self, total: usize) -> Result<(), BodyError> {
        self.exchange(Taken::by(total)).ok_or(BodyError::Overloaded)
    }

    fn exchange(&mut self, after: Taken) -> Option<()> {
        if after != self.taken {
            lock(&self.room).exchange(self.client, self.taken, after)?;
            self.taken = after;
        }
        Some(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Less than before is always within bounds.
        let _ = self.exchange(Taken::default());
    }
}

fn lock(room: &Mutex<Room>) -> MutexGuard<'_, Room> {
    room.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whom a request counts for. One that did not come over a connection counts for nobody.
fn client(extensions: &Extensions) -> Option<Client> {
    extensions.get::<Whose>().map(|Whose(client)| *client)
}

impl Reader {
    /// A reader of bodies of at most `limit` bytes each. Its clones share what there is for all.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Reader {
            limit,
            pace: PACE,
            room: Arc::default(),
        }
    }

    /// With another time for each piece.
    #[cfg(test)]
    pub(crate) fn with_pace(self, pace: Duration) -> Self {
        Reader { pace, ..self }
    }

    /// Reads the body of `request` to its end.
    ///
    /// # Errors
    /// [`BodyError`], as soon as a bound is passed: a declared length is judged before anything is read.
    pub async fn read(&self, request: Request) -> Result<Read, BodyError> {
        let client = client(request.extensions());
        self.read_for(client, request.into_body()).await
    }

    /// The same for a request whose other parts are still needed.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub async fn read_of(&self, parts: &request::Parts, body: Body) -> Result<Read, BodyError> {
        self.read_for(client(&parts.extensions), body).await
    }

    async fn read_for(&self, client: Option<Client>, mut body: Body) -> Result<Read, BodyError> {
        let too_large = BodyError::TooLarge { limit: self.limit };
        let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if declared > self.limit {
            return Err(too_large);
        }
        let mut held = Held {
            room: Arc::clone(&self.room),
            client,
            taken: Taken::default(),
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
            held.grow(total)?;
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
            if held.taken.slots > 0 && rest.capacity() < total {
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
