//! A stream that gives up on a peer that says nothing: hyper times the reading of a request head, but neither the bytes
//! before it knows which HTTP version it is speaking, nor a connection kept open without a request, nor a peer that takes
//! nothing of what is written to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Fewer bytes than this are not a request yet: the shortest request line, `GET / HTTP/1.1` and its CRLF, is as long,
/// and so are two thirds of the HTTP/2 preface (RFC 9113 §3.4).
const OPENING: usize = 16;

/// Wraps `io`: its first bytes must come within one time in all, and later no wait for the peer lasts longer than the
/// other. The peer is silent when bytes go neither way; but one that takes none of ours is given up whatever it sends.
pub(crate) struct Idle<I> {
    io: I,
    opening_left: usize,
    idle: Duration,
    last: Instant,
    alarm: Pin<Box<Sleep>>,
    /// Rings when a write has been waiting for too long; nothing while none waits.
    blocked: Option<Pin<Box<Sleep>>>,
}

impl<I> Idle<I> {
    /// `opening`: time for the first bytes; `idle`: the longest silence after them.
    pub(crate) fn new(io: I, opening: Duration, idle: Duration) -> Idle<I> {
        let last = Instant::now();
        Idle {
            io,
            opening_left: OPENING,
            idle,
            last,
            alarm: Box::pin(sleep_until(after(last, opening))),
            blocked: None,
        }
    }

    /// Called when the peer keeps us waiting for its bytes. The alarm is moved only when it rings, so that a busy connection does not
    /// touch the timer at every read.
    fn waiting(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.alarm.as_mut().poll(context));
            let deadline = after(self.last, self.idle);
            if self.opening_left > 0 || deadline <= Instant::now() {
                return Poll::Ready(timed_out("the peer was silent for too long"));
            }
            self.alarm.as_mut().reset(deadline);
        }
    }

    /// What comes of an attempt to write, now or in time.
    fn written<T>(&mut self, attempt: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if attempt.is_ready() {
            self.blocked = None;
            self.progressed(0);
            return attempt;
        }
        let idle = self.idle;
        let alarm = self
            .blocked
            .get_or_insert_with(|| Box::pin(sleep_until(after(Instant::now(), idle))));
        ready!(alarm.as_mut().poll(context));
        Poll::Ready(Err(timed_out("the peer took nothing for too long")))
    }

    fn progressed(&mut self, read: usize) {
        self.last = Instant::now();
        if self.opening_left > 0 {
            self.opening_left = self.opening_left.saturating_sub(read);
            if self.opening_left == 0 {
                let deadline = after(self.last, self.idle);
                self.alarm.as_mut().reset(deadline);
            }
        }
    }
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// A wait too long for the clock is no wait: the limits are minutes.
fn after(start: Instant, wait: Duration) -> Instant {
    start.checked_add(wait).unwrap_or(start)
}

impl<I: AsyncRead + Unpin> AsyncRead for Idle<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.io).poll_read(context, buffer) {
            Poll::Ready(outcome) => {
                this.progressed(buffer.filled().len().saturating_sub(before));
                Poll::Ready(outcome)
            }
            Poll::Pending => this.waiting(context).map(Err),
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Idle<I> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let attempt = Pin::new(&mut this.io).poll_write(context, bytes);
        this.written(attempt, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let attempt = Pin::new(&mut this.io).poll_write_vectored(context, bytes);
        this.written(attempt, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.io).poll_flush(context) {
            // Flushing what is empty is no sign of the peer.
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => this.written(Poll::Pending, context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let attempt = Pin::new(&mut this.io).poll_shutdown(context);
        this.written(attempt, context)
    }
}

#[cfg(test)]
mod tests;
