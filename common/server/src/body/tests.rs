#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Frame;

use super::*;

/// A body of these frames, without a declared length.
fn frames(frames: Vec<&'static [u8]>) -> Body {
    Body::new(Frames(frames.into_iter()))
}

struct Frames(std::vec::IntoIter<&'static [u8]>);

impl axum::body::HttpBody for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(
            self.0
                .next()
                .map(|frame| Ok(Frame::data(Bytes::from_static(frame)))),
        )
    }
}

#[tokio::test]
async fn frames_are_joined() {
    let reader = Reader::new(16);
    let cases: [(&[&'static [u8]], &str); 4] = [
        (&[], ""),
        (&[b"one"], "one"),
        (&[b"one", b"two", b"three"], "onetwothree"),
        (&[b"", b"one", b"", b"two"], "onetwo"),
    ];
    for (parts, whole) in cases {
        assert_eq!(reader.read(frames(parts.to_vec())).await.unwrap().bytes, whole);
    }
}

#[tokio::test]
async fn the_limit_is_exact_declared_or_not() {
    let reader = Reader::new(4);
    let refused = Some(BodyError::TooLarge { limit: 4 });
    assert_eq!(reader.read(Body::from("four")).await.unwrap().bytes, "four");
    assert_eq!(reader.read(Body::from("fives")).await.err(), refused);
    assert_eq!(
        reader.read(frames(vec![b"fo", b"ur"])).await.unwrap().bytes,
        "four"
    );
    assert_eq!(reader.read(frames(vec![b"fo", b"urs"])).await.err(), refused);
}

#[tokio::test]
async fn large_bodies_take_turns_and_small_ones_pass() {
    let reader = Reader::new(SMALL * 2);
    let large = || Body::from(vec![0; SMALL + 1]);
    let mut held = Vec::new();
    for _ in 0..SLOTS {
        held.push(reader.read(large()).await.unwrap());
    }
    assert_eq!(reader.read(large()).await.err(), Some(BodyError::Overloaded));
    assert!(reader.read(Body::from(vec![0; SMALL])).await.is_ok());
    held.pop();
    assert!(reader.read(large()).await.is_ok());
}

#[tokio::test]
async fn small_bodies_together_have_a_bound() {
    let reader = Reader::new(SMALL);
    let small = || Body::from(vec![0; SMALL]);
    let mut held = Vec::new();
    for _ in 0..SMALL_TOTAL / SMALL {
        held.push(reader.read(small()).await.unwrap());
    }
    assert_eq!(
        reader.read(Body::from("x")).await.err(),
        Some(BodyError::Overloaded)
    );
    assert_eq!(
        reader.small.load(Ordering::Relaxed),
        SMALL_TOTAL,
        "a refused one takes nothing"
    );
    held.pop();
    assert!(reader.read(small()).await.is_ok());
    drop(held);
    assert_eq!(reader.small.load(Ordering::Relaxed), 0);
}

/// A byte every few milliseconds, for ever.
struct Drip(Pin<Box<tokio::time::Sleep>>);

impl axum::body::HttpBody for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let elapsed = self.0.as_mut().poll(context);
        elapsed.map(|()| {
            let next = Instant::now() + Duration::from_millis(5);
            self.0.as_mut().reset(next);
            Some(Ok(Frame::data(Bytes::from_static(b"x"))))
        })
    }
}

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    let reader = Reader::new(1 << 20).with_pace(Duration::from_millis(100));
    let drip = Drip(Box::pin(tokio::time::sleep(Duration::ZERO)));
    let started = Instant::now();
    assert_eq!(reader.read(Body::new(drip)).await.err(), Some(BodyError::TooSlow));
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert_eq!(reader.small.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn each_piece_has_its_time() {
    let mut pace = Pace::new(Duration::from_secs(60));
    let first = pace.due;
    pace.came(PIECE - 1);
    assert_eq!(pace.due, first);
    tokio::time::sleep(Duration::from_millis(2)).await;
    pace.came(PIECE);
    assert!(pace.due > first);
    assert_eq!(pace.next, PIECE * 2);
}
