#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;

use super::*;

fn peer(address: &str) -> Option<Client> {
    Some(Client::from(address.parse::<IpAddr>().unwrap()))
}

#[test]
fn one_peer_has_a_share_and_gets_it_back() {
    let unsent = Arc::new(Unsent::new());
    let one = peer("192.0.2.1");
    let held: Vec<_> = (0..4).map(|_| unsent.hold(one, 16 << 20).unwrap()).collect();
    assert!(unsent.hold(one, 1).is_none());
    assert!(unsent.hold(peer("192.0.2.2"), 1).is_some());
    drop(held);
    assert!(unsent.hold(one, 1).is_some());
    assert!(unsent.held().peers.is_empty(), "nobody is remembered who has all");
    assert_eq!(unsent.held().total, 0);
}

#[test]
fn long_answers_leave_room_for_short_ones() {
    let unsent = Arc::new(Unsent::new());
    let long: Vec<_> = (0..128).map(|_| unsent.hold(None, 1 << 20).unwrap()).collect();
    assert!(unsent.hold(None, SMALL + 1).is_none());
    let short: Vec<_> = (0..ALL / 2 / SMALL)
        .map(|_| unsent.hold(None, SMALL).unwrap())
        .collect();
    assert!(unsent.hold(None, 1).is_none());
    drop((long, short));
    assert_eq!(unsent.held().total, 0);
}

#[test]
fn a_length_that_nothing_can_have_is_refused() {
    let unsent = Arc::new(Unsent::new());
    let _one = unsent.hold(None, 1).unwrap();
    assert!(unsent.hold(None, usize::MAX).is_none());
}
