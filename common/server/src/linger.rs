//! What becomes of a request body that a handler does not read to its end.
//!
//! A refusal (413, 401) is answered before the body has come. Closing the connection then resets it, and the peer, still
//! writing, may lose the answer to a broken pipe (RFC 9112 §9.6). So the rest of an HTTP/1 body is read and thrown away,
//! within bounds, while the answer goes out. HTTP/2 resets the one stream and needs none of this (RFC 9113 §8.1).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;

/// The most that is thrown away: twice the largest body any service takes.
const MOST: usize = 64 << 20;
/// The longest it may take.
const LONGEST: Duration = Duration::from_secs(10);
/// The longest silence: a peer that has read its answer often sends no more, and must not hold up a shutdown.
const SILENCE: Duration = Duration::from_secs(1);

/// A request body whose rest is read even when its handler drops it.
pub(crate) struct Lingering(Option<Incoming>);

impl Lingering {
    pub(crate) fn new(body: Incoming) -> Lingering {
        Lingering(Some(body))
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.0
            .as_mut()
            .map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(body) = self.0.take().filter(|body| !body.is_end_stream()) else {
            return;
        };
        // Without a runtime the process is ending, and its connections with it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(tokio::time::timeout(LONGEST, discard(body)));
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut left = MOST;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE, body.frame()).await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else {
            return;
        };
        left = rest;
    }
}
