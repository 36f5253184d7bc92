#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;

fn connections(most: usize, per_peer: usize, idle: Duration) -> Arc<Connections> {
    let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
    Arc::new(Connections::new(most, per_peer, proxies, idle))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn one_peer_has_a_share() {
    let connections = connections(100, 2, Duration::ZERO);
    let first = connections.place(ip("2001:db8::1")).await.unwrap();
    let _second = connections.place(ip("2001:db8::2")).await.unwrap();
    assert!(
        connections.place(ip("2001:db8::3")).await.is_none(),
        "one network"
    );
    assert!(
        connections.place(ip("2001:db8:0:1::3")).await.is_some(),
        "another"
    );
    drop(first);
    assert!(connections.place(ip("2001:db8::3")).await.is_some());
    let mut exempt = Vec::new();
    for peer in ["127.0.0.1", "::1", "10.1.2.3"].repeat(3) {
        exempt.push(connections.place(ip(peer)).await.unwrap());
    }
    drop((exempt, _second));
    assert!(
        connections.open().peers.is_empty(),
        "nobody is remembered who is gone"
    );
}

#[tokio::test]
async fn a_request_counts_for_the_peer_or_whom_a_proxy_names() {
    let connections = connections(100, 100, Duration::ZERO);
    let named = |client: &'static str| {
        let name = http::HeaderName::from_static("x-forwarded-for");
        HeaderMap::from_iter([(name, http::HeaderValue::from_static(client))])
    };
    for (peer, headers, expected) in [
        ("192.0.2.1", HeaderMap::new(), Some("192.0.2.1")),
        ("192.0.2.1", named("192.0.2.9"), Some("192.0.2.1")),
        ("10.1.2.3", named("192.0.2.9"), Some("192.0.2.9")),
        ("10.1.2.3", named("10.1.2.4"), None),
        ("10.1.2.3", named("127.0.0.1"), None),
        ("10.1.2.3", HeaderMap::new(), None),
        ("127.0.0.1", named("192.0.2.9"), None),
    ] {
        let place = connections.place(ip(peer)).await.unwrap();
        let expected = expected.map(|address| Client::from(ip(address)));
        assert_eq!(place.client(&headers), expected, "{peer} {headers:?}");
    }
}

#[tokio::test]
async fn the_longest_silent_goes_first_and_a_busy_one_stays() {
    let connections = connections(3, 100, Duration::ZERO);
    let here = ip("127.0.0.1");
    let busy = connections.place(here).await.unwrap();
    let request = busy.busy();
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(connections.place(here).await.unwrap());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Each ends when it is told to, as `serve` does it.
    let tasks: Vec<_> = silent
        .into_iter()
        .map(|place| {
            tokio::spawn(async move {
                place.evicted().await;
                drop(place);
            })
        })
        .collect();
    let newest = connections.place(here).await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let waiting = tokio::time::timeout(Duration::from_millis(50), busy.evicted()).await;
    assert!(waiting.is_err(), "it has a request");
    drop((newest, request, busy));
    assert_eq!(connections.places.available_permits(), 3);
}

#[tokio::test]
async fn where_all_are_busy_the_next_waits() {
    let connections = connections(1, 100, Duration::ZERO);
    let here = ip("127.0.0.1");
    let place = connections.place(here).await.unwrap();
    let request = place.busy();
    let waiting = tokio::spawn({
        let connections = Arc::clone(&connections);
        async move { connections.place(here).await.is_some() }
    });
    tokio::time::sleep(AGAIN.saturating_mul(2)).await;
    assert!(!waiting.is_finished());
    drop((request, place));
    assert!(waiting.await.unwrap());
}

#[tokio::test]
async fn a_young_connection_is_spared() {
    let connections = connections(1, 100, Duration::from_secs(3_600));
    let place = connections.place(ip("127.0.0.1")).await.unwrap();
    connections.evict();
    let evicted = tokio::time::timeout(Duration::from_millis(50), place.evicted()).await;
    assert!(evicted.is_err());
}
