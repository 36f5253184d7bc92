//! Answers that a peer asks for and does not read.
//!
//! Over HTTP/2 a peer that grants no window (RFC 9113 §5.2) keeps an answer in memory while its PINGs keep the
//! connection lively, so silence on the connection says nothing about it. Each answer is therefore handed out in
//! pieces, and a connection with a piece that has not been taken within a time limit is cut.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use crate::connections::Busy;
use crate::unsent::Share;

/// What a peer has to take within the time limit: with 30 s, a little over 2 KiB a second.
const PIECE: usize = 64 * 1024;

/// The most that is left to HTTP/2's own buffers without a look at what becomes of it.
const SMALL: usize = 4 * 1024;

/// The pieces of one connection that were handed out and not yet taken.
#[derive(Default)]
pub(crate) struct Pace(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    answers: u64,
    since: HashMap<u64, Instant>,
}

impl Pace {
    /// Resolves once a piece has been waiting for `limit`.
    pub(crate) async fn stalled(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let oldest = self.with(|waiting| waiting.since.values().min().copied());
            // Limits are minutes; one too long for the clock is none.
            let Some(due) = oldest.unwrap_or(now).checked_add(limit) else {
                return std::future::pending().await;
            };
            if oldest.is_some() && due <= now {
                return;
            }
            // Whatever is handed out meanwhile is due later than this.
            sleep_until(due).await;
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Waiting) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An answer's body in pieces.
pub(crate) struct Delivery {
    body: Body,
    rest: Bytes,
    http2: bool,
    number: u64,
    pace: Arc<Pace>,
    _held: (Busy, Option<Share>),
}

impl Delivery {
    /// The request counts as open, and the answer as in memory, until it has been taken.
    pub(crate) fn new(body: Body, http2: bool, pace: Arc<Pace>, held: (Busy, Option<Share>)) -> Delivery {
        let number = pace.with(|waiting| {
            waiting.answers = waiting.answers.wrapping_add(1);
            waiting.answers
        });
        Delivery {
            body,
            rest: Bytes::new(),
            http2,
            number,
            pace,
            _held: held,
        }
    }

    /// Time runs from here until the next piece is asked for or the body is dropped.
    fn handed_out(&self) {
        let now = Instant::now();
        self.pace.with(|waiting| waiting.since.insert(self.number, now));
    }

    fn taken(&self) {
        self.pace.with(|waiting| waiting.since.remove(&self.number));
    }

    /// How much of the rest to hand out. Hyper asks for the next frame when the last one has begun to leave, and over
    /// HTTP/2 sends it when that one has left: so the last octet goes by itself, and while it is here, the rest is too.
    fn piece(&self) -> usize {
        match self.rest.len() {
            len if len > PIECE => PIECE,
            len if self.http2 && len > SMALL => len.saturating_sub(1),
            len => len,
        }
    }
}

impl hyper::body::Body for Delivery {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            let next = Pin::new(&mut this.body).poll_frame(context);
            let Poll::Ready(Some(Ok(frame))) = next else {
                // It is ours to go on, or all is over.
                this.taken();
                return next;
            };
            match frame.into_data() {
                Ok(data) => this.rest = data,
                Err(trailers) => {
                    this.handed_out();
                    return Poll::Ready(Some(Ok(trailers)));
                }
            }
        }
        this.handed_out();
        let length = this.piece();
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (hyper::body::Body::size_hint(&self.body), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper().and_then(|upper| upper.checked_add(rest)) {
            hint.set_upper(upper);
        }
        hint.set_lower(inner.lower().saturating_add(rest));
        hint
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.taken();
    }
}
