#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn public_addresses() {
    for (address, public) in [
        ("8.8.8.8", true),
        ("127.0.0.1", false),
        ("10.1.2.3", false),
        ("172.16.0.1", false),
        ("192.168.1.1", false),
        ("169.254.169.254", false),
        ("100.64.0.1", false),
        ("100.128.0.1", true),
        ("198.18.0.1", false),
        ("192.0.0.8", false),
        ("0.0.0.0", false),
        ("255.255.255.255", false),
        ("224.0.0.1", false),
        ("2606:4700::1", true),
        ("::1", false),
        ("::", false),
        ("fe80::1", false),
        ("fd00::1", false),
        ("ff02::1", false),
        ("::ffff:10.0.0.1", false),
        ("::ffff:8.8.8.8", true),
        ("64:ff9b::a00:1", false),
        ("64:ff9b::808:808", true),
        ("2001:db8::1", false),
        ("2002:a00:1::", false),
    ] {
        assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
    }
}

#[tokio::test]
async fn names_of_this_machine_are_not_resolved_for_a_token() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let origin = KeyOrigin {
        public_only: true,
        ..KeyOrigin::default()
    };
    let fetcher = HttpFetcher::new(&origin).unwrap();
    for url in [
        "https://localhost:1/",
        "https://127.0.0.1:1/",
        "https://[::1]:1/",
        "https://10.0.0.1/",
        "http://2130706433/",
    ] {
        let outcome = fetcher.get(&Url::parse(url).unwrap()).await;
        assert!(matches!(outcome, Err(FetchError::Private)), "{url}: {outcome:?}");
    }
    // Chosen by the operator, the same hosts are asked; nobody answers there.
    let fetcher = HttpFetcher::new(&KeyOrigin::default()).unwrap();
    let outcome = fetcher.get(&Url::parse("https://localhost:1/").unwrap()).await;
    assert!(matches!(outcome, Err(FetchError::Connect)), "{outcome:?}");
}

#[test]
fn what_cannot_be_used_is_refused_when_it_is_configured() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    for (origin, part) in [
        (
            KeyOrigin {
                ca_cert: Some("not PEM".to_owned()),
                ..KeyOrigin::default()
            },
            "ca-cert",
        ),
        (
            KeyOrigin {
                proxy: Proxy::Url("not a url".to_owned()),
                ..KeyOrigin::default()
            },
            "proxy",
        ),
    ] {
        let cause = HttpFetcher::new(&origin).unwrap_err().to_string();
        assert!(cause.contains(part), "{cause}");
    }
}
