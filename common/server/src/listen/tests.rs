#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

#[test]
fn addresses_are_parsed_not_resolved() {
    let local: ListenAddr = "localhost:3000".parse().unwrap();
    assert!(local.is_loopback());
    assert_eq!(local.port(), 3000);
    assert_eq!(local.hosts.len(), 2);
    assert!("127.0.0.2:1".parse::<ListenAddr>().unwrap().is_loopback());
    assert!("[::1]:1".parse::<ListenAddr>().unwrap().is_loopback());
    for open in ["0.0.0.0:3000", "[::]:3000", "192.0.2.1:80"] {
        assert!(!open.parse::<ListenAddr>().unwrap().is_loopback(), "{open}");
    }
    for bad in [
        "",
        "localhost",
        "localhost:",
        "localhost:65536",
        "example.com:80",
        "3000",
        ":3000",
        "::1:3000",
    ] {
        let error = bad.parse::<ListenAddr>().unwrap_err();
        assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
    }
}

#[tokio::test]
async fn localhost_takes_one_free_port_on_every_family() {
    let bound = Bound::bind(&"localhost:0".parse().unwrap()).unwrap();
    assert_ne!(bound.port(), 0);
    assert!(
        bound
            .addresses()
            .iter()
            .all(|address| address.port() == bound.port())
    );
    assert_eq!(bound.addresses()[0].ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
}

#[tokio::test]
async fn a_taken_port_is_an_error_on_either_family() {
    let first = Bound::bind(&"localhost:0".parse().unwrap()).unwrap();
    let again: ListenAddr = format!("localhost:{}", first.port()).parse().unwrap();
    assert_eq!(
        Bound::bind(&again).err().unwrap().kind(),
        io::ErrorKind::AddrInUse
    );
    if let Ok(only_v6) = Bound::bind(&"[::1]:0".parse().unwrap()) {
        let both: ListenAddr = format!("localhost:{}", only_v6.port()).parse().unwrap();
        assert_eq!(Bound::bind(&both).err().unwrap().kind(), io::ErrorKind::AddrInUse);
    }
}

#[tokio::test]
async fn a_burst_of_connections_finds_room_while_nothing_is_accepted() {
    // What the system allows is the most that can be had.
    let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
    let allowed: usize = allowed.map_or(128, |text| text.trim().parse().unwrap());
    let bound = Bound::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = bound.addresses()[0];
    let mut waiting = Vec::new();
    for number in 0..allowed.min(512) {
        // Who finds no room is told nothing, and tries again after one second.
        let connected = timeout(Duration::from_millis(900), TcpStream::connect(address)).await;
        waiting.push(
            connected
                .unwrap_or_else(|_| panic!("connection {number} found no room"))
                .unwrap(),
        );
    }
}
