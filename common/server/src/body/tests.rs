#![allow(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;
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
