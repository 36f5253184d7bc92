#![allow(clippy::unwrap_used, reason = "tests")]

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    limits: LimitArgs,
}

fn parse(line: &[&str]) -> Result<LimitArgs, clap::Error> {
    Line::try_parse_from([&["up"], line].concat()).map(|line| line.limits)
}

#[test]
fn nothing_is_limited_by_default_and_no_proxy_trusted() {
    let limits = parse(&[]).unwrap();
    assert!(limits.per_identity().is_none() && limits.per_address().is_none());
    assert!(!limits.proxies().contains([127, 0, 0, 1].into()));
    assert_eq!(limits.writes(), Bounds::WRITES);
}

#[test]
fn flags_become_limits() {
    let limits = parse(&[
        "--limit-per-client",
        "10/100",
        "--limit-loopback",
        "--trust-proxy",
        "10.0.0.0/8",
        "--trust-proxy",
        "fd00::/8",
        "--writes-at-once",
        "16",
    ])
    .unwrap();
    assert!(limits.per_identity().is_some());
    assert!(limits.per_address().unwrap().loopback);
    assert!(limits.proxies().contains([10, 1, 2, 3].into()));
    assert_eq!((limits.writes().most, limits.writes().least), (16, 16));
}

#[test]
fn wrong_flags_are_refused() {
    for line in [
        &["--limit-per-client", "0"][..],
        &["--limit-loopback"],
        &["--trust-proxy", "10.0.0.1/33"],
        &["--writes-at-once", "0"],
    ] {
        assert!(parse(line).is_err(), "{line:?}");
    }
}

#[test]
fn there_is_room_for_a_connection_whatever_the_system_allows() {
    let connections = parse(&[]).unwrap().connections().connections;
    assert!((1..=Limits::default().connections).contains(&connections));
}

#[test]
fn probes_and_certificates_are_not_counted_by_address() {
    assert!(exempt("/readyz") && exempt("/api/v2/signingCert"));
    assert!(exempt("/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate"));
    assert!(!exempt("/api/v2/log/entries") && !exempt("/"));
}
