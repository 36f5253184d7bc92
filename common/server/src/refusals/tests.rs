#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;

#[test]
fn a_lone_refusal_leaves_at_once() {
    let now = Instant::now();
    let mut line = Line { free: now };
    for n in 0..10 {
        assert_eq!(line.join(now + APART * n), Duration::ZERO);
    }
}

#[test]
fn a_crowd_leaves_one_by_one_and_nobody_waits_longer_than_they_are_asked_to() {
    let now = Instant::now();
    let mut line = Line { free: now };
    let waits: Vec<Duration> = (0..5_000).map(|_| line.join(now)).collect();
    for (n, wait) in (0u32..).zip(&waits) {
        assert_eq!(*wait, (APART * n).min(LONGEST));
    }
    // The crowd has gone: nothing is left of it.
    assert_eq!(line.join(now + LONGEST), Duration::ZERO);
}

#[test]
fn a_standing_crowd_does_not_make_the_line_longer() {
    let start = Instant::now();
    let mut line = Line { free: start };
    // Four come for each that may leave.
    for n in 0..40_000u32 {
        assert!(line.join(start + APART * n / 4) <= LONGEST);
    }
    assert!(line.free - (start + APART * 10_000) <= LONGEST);
}

#[tokio::test]
async fn a_turn_is_waited_for_unless_there_is_no_place() {
    let refusals = Refusals::new();
    refusals.line.lock().unwrap().free = Instant::now() + Duration::from_millis(200);
    let began = Instant::now();
    refusals.turn().await;
    assert!(began.elapsed() >= Duration::from_millis(190));
    assert_eq!(refusals.places.available_permits(), MOST);

    refusals.line.lock().unwrap().free = Instant::now() + LONGEST;
    refusals.places.forget_permits(MOST);
    let began = Instant::now();
    refusals.turn().await;
    assert!(began.elapsed() < LONGEST / 2);
}

#[test]
fn http_and_grpc_say_it_each_in_its_own_way() {
    let with = |name: http::HeaderName| HeaderMap::from_iter([(name, http::HeaderValue::from_static("1"))]);
    assert!(is_refusal(&with(RETRY_AFTER)));
    assert!(is_refusal(&with(http::HeaderName::from_static(GRPC_PUSHBACK))));
    assert!(!is_refusal(&with(http::header::AGE)));
}
