#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Frame;

use super::*;

/// A request that counts for nobody.
fn exempt(body: impl Into<Body>) -> Request {
    Request::new(body.into())
}

/// A request that counts for whoever has this address.
fn from(address: &str, body: impl Into<Body>) -> Request {
    let mut request = exempt(body);
    let client = Client::from(address.parse::<IpAddr>().unwrap());
    request.extensions_mut().insert(Whose(client));
    request
}

/// A body of these frames, without a declared length.
fn frames(frames: Vec<&'static [u8]>) -> Request {
    exempt(Body::new(Frames(frames.into_iter())))
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
    assert_eq!(reader.read(exempt("four")).await.unwrap().bytes, "four");
    assert_eq!(reader.read(exempt("fives")).await.err(), refused);
    assert_eq!(
        reader.read(frames(vec![b"fo", b"ur"])).await.unwrap().bytes,
        "four"
    );
    assert_eq!(reader.read(frames(vec![b"fo", b"urs"])).await.err(), refused);
}

#[tokio::test]
async fn large_bodies_take_turns_and_small_ones_pass() {
    let reader = Reader::new(SMALL * 2);
    let large = || exempt(vec![0_u8; SMALL + 1]);
    let mut held = Vec::new();
    for _ in 0..SLOTS {
        held.push(reader.read(large()).await.unwrap());
    }
    assert_eq!(reader.read(large()).await.err(), Some(BodyError::Overloaded));
    assert!(reader.read(exempt(vec![0_u8; SMALL])).await.is_ok());
    held.pop();
    assert!(reader.read(large()).await.is_ok());
}

#[tokio::test]
async fn small_bodies_together_have_a_bound() {
    let reader = Reader::new(SMALL);
    let small = || exempt(vec![0_u8; SMALL]);
    let mut held = Vec::new();
    for _ in 0..SMALL_TOTAL / SMALL {
        held.push(reader.read(small()).await.unwrap());
    }
    assert_eq!(reader.read(exempt("x")).await.err(), Some(BodyError::Overloaded));
    assert_eq!(
        lock(&reader.room).all.small,
        SMALL_TOTAL,
        "a refused one takes nothing"
    );
    held.pop();
    assert!(reader.read(small()).await.is_ok());
    drop(held);
    assert_all_given_back(&reader);
}

fn assert_all_given_back(reader: &Reader) {
    let room = lock(&reader.room);
    assert_eq!(room.all, Taken::default());
    assert!(
        room.clients.is_empty(),
        "nobody is remembered who has no body here"
    );
}

#[tokio::test]
async fn one_client_has_a_share_of_the_slots() {
    let reader = Reader::new(SMALL * 2);
    let large = || vec![0_u8; SMALL + 1];
    let mut held = Vec::new();
    // All addresses of one network.
    for address in ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"] {
        held.push(reader.read(from(address, large())).await.unwrap());
    }
    assert_eq!(
        reader.read(from("2001:db8::5", large())).await.err(),
        Some(BodyError::Overloaded)
    );
    let small = reader.read(from("2001:db8::5", vec![0_u8; SMALL])).await.unwrap();
    let another = reader.read(from("192.0.2.1", large())).await.unwrap();
    held.pop();
    held.push(reader.read(from("2001:db8::5", large())).await.unwrap());
    assert_eq!(
        lock(&reader.room).all,
        Taken {
            small: SMALL,
            slots: 5
        },
        "refused ones take nothing"
    );
    drop((held, small, another));
    assert_all_given_back(&reader);
}

#[tokio::test]
async fn one_client_has_a_share_of_the_small_bytes() {
    let reader = Reader::new(SMALL);
    let small = || vec![0_u8; SMALL];
    let mut held = Vec::new();
    for _ in 0..SMALL_TOTAL / 4 / SMALL {
        held.push(reader.read(from("192.0.2.1", small())).await.unwrap());
    }
    assert_eq!(
        reader.read(from("192.0.2.1", "x")).await.err(),
        Some(BodyError::Overloaded)
    );
    let another = reader.read(from("192.0.2.2", small())).await.unwrap();
    held.pop();
    assert!(reader.read(from("192.0.2.1", small())).await.is_ok());
    drop((held, another));
    assert_all_given_back(&reader);
}

#[tokio::test]
async fn what_grows_large_gives_its_bytes_back_and_takes_a_slot() {
    const HALF: &[u8] = &[0; SMALL / 2 + 1];
    let reader = Reader::new(SMALL * 2);
    let grown = |address| from(address, Body::new(Frames(vec![HALF, HALF].into_iter())));
    let mut held = Vec::new();
    for _ in 0..SLOTS / 4 {
        held.push(reader.read(grown("192.0.2.1")).await.unwrap());
    }
    let expected = Taken {
        small: 0,
        slots: SLOTS / 4,
    };
    assert_eq!(lock(&reader.room).all, expected);
    assert_eq!(
        reader.read(grown("192.0.2.1")).await.err(),
        Some(BodyError::Overloaded)
    );
    assert_eq!(lock(&reader.room).all, expected, "what it had taken is back");
    drop(held);
    assert_all_given_back(&reader);
}

#[tokio::test]
async fn the_parts_of_a_request_say_whom_it_counts_for_too() {
    let reader = Reader::new(SMALL);
    let (parts, body) = from("192.0.2.1", "body").into_parts();
    let read = reader.read_of(&parts, body).await.unwrap();
    assert_eq!(lock(&reader.room).clients.len(), 1);
    drop(read);
    assert_all_given_back(&reader);
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
    assert_eq!(
        reader.read(exempt(Body::new(drip))).await.err(),
        Some(BodyError::TooSlow)
    );
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert_all_given_back(&reader);
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
