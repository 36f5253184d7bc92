#![allow(clippy::unwrap_used, reason = "tests")]

use axum::body::Body;
use axum::routing::get;
use tower::ServiceExt as _;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn proxies(networks: &[&str]) -> TrustedProxies {
    TrustedProxies::new(networks.iter().map(|text| text.parse().unwrap()).collect())
}

fn forwarded(values: &[&str]) -> HeaderMap {
    let pairs = values
        .iter()
        .map(|value| (FORWARDED_FOR, HeaderValue::from_str(value).unwrap()));
    pairs.collect()
}

#[test]
fn an_ipv6_host_is_one_client_with_all_its_addresses() {
    let client = |text| Client::from(ip(text));
    assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::9"));
    assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
    assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
    assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
}

#[test]
fn nobody_s_word_is_taken_unless_trusted() {
    let headers = forwarded(&["203.0.113.9"]);
    let peer = ip("192.0.2.1");
    assert_eq!(TrustedProxies::default().sender(peer, &headers), peer);
    assert_eq!(proxies(&["10.0.0.0/8"]).sender(peer, &headers), peer);
    assert_eq!(
        proxies(&["192.0.2.0/24"]).sender(peer, &headers),
        ip("203.0.113.9")
    );
}

#[test]
fn the_last_address_that_is_no_proxy_counts() {
    let proxies = proxies(&["10.0.0.0/8", "fd00::/8"]);
    for (values, expected) in [
        // A client may put anything in front.
        (&["1.1.1.1, 203.0.113.9"][..], "203.0.113.9"),
        (&["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (&["1.1.1.1", "203.0.113.9 ,10.0.0.2"], "203.0.113.9"),
        (&["203.0.113.9:4711"], "203.0.113.9"),
        (&["[2001:db8::1]:4711"], "2001:db8::1"),
        (&["[2001:db8::1]"], "2001:db8::1"),
        (&["10.0.0.7"], "10.0.0.7"),
        // What is no address ends the search at the proxy that sent it.
        (&["203.0.113.9, unknown"], "10.0.0.1"),
        (&[""], "10.0.0.1"),
        (&[], "10.0.0.1"),
    ] {
        assert_eq!(
            proxies.sender(ip("10.0.0.1"), &forwarded(values)),
            ip(expected),
            "{values:?}"
        );
    }
    let long = ["10.0.0.9"; 1_000].join(",");
    assert_eq!(
        proxies.sender(ip("10.0.0.1"), &forwarded(&["203.0.113.9", &long])),
        ip("10.0.0.9")
    );
}

fn router(loopback: bool) -> Router {
    let routes = Router::new()
        .route("/", get(|| async { "fine" }))
        .route("/probe", get(|| async { "fine" }))
        .route("/broken", get(|| async { StatusCode::SERVICE_UNAVAILABLE }));
    let settings = ClientLimit {
        quota: Quota::new("test", "1/2".parse().unwrap()),
        proxies: TrustedProxies::default(),
        loopback,
        exempt: |path| path == "/probe",
    };
    limit(routes, settings)
}

async fn status(router: &Router, peer: &str, path: &str) -> (u16, Option<String>) {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    let peer = SocketAddr::new(ip(peer), 4711);
    request.extensions_mut().insert(ConnectInfo(peer));
    let answer = router.clone().oneshot(request).await.unwrap();
    let after = answer.headers().get(header::RETRY_AFTER);
    (
        answer.status().as_u16(),
        after.map(|value| value.to_str().unwrap().to_owned()),
    )
}

#[tokio::test]
async fn each_client_has_its_own_limit() {
    let router = router(false);
    for _ in 0..2 {
        assert_eq!(status(&router, "192.0.2.1", "/").await.0, 200);
    }
    assert_eq!(
        status(&router, "192.0.2.1", "/").await,
        (429, Some("1".to_owned()))
    );
    assert_eq!(status(&router, "192.0.2.1", "/probe").await.0, 200);
    assert_eq!(status(&router, "192.0.2.2", "/").await.0, 200);
}

#[tokio::test]
async fn our_own_failures_are_not_counted() {
    let router = router(false);
    for _ in 0..10 {
        assert_eq!(status(&router, "192.0.2.1", "/broken").await.0, 503);
    }
    assert_eq!(status(&router, "192.0.2.1", "/").await.0, 200);
}

#[tokio::test]
async fn loopback_is_limited_only_when_asked() {
    for (limited, expected) in [(false, 200), (true, 429)] {
        let router = router(limited);
        for _ in 0..2 {
            assert_eq!(status(&router, "::1", "/").await.0, 200);
        }
        assert_eq!(status(&router, "::1", "/").await.0, expected);
    }
}
