#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn meta(pattern: &str) -> IssuerConfig {
    IssuerConfig::meta(pattern, "sigstore", IdentityType::Kubernetes).unwrap()
}

/// GHSA-59jp-pj84-45mr, CVE-2026-22772: a pattern that is not anchored lets a token choose who is asked for keys.
#[test]
fn ghsa_59jp_pj84_45mr_patterns_match_whole_urls_only() {
    let eks = meta("https://oidc.eks.*.amazonaws.com/id/*");
    assert!(
        eks.concrete("https://oidc.eks.us-west-2.amazonaws.com/id/B02C93")
            .is_some()
    );
    for other in [
        "https://evil.example/?https://oidc.eks.us-west-2.amazonaws.com/id/B02C93",
        "http://localhost:3000?https://oidc.eks.us-west-2.amazonaws.com/id/B02C93",
        "https://oidc.eks.us-west-2.amazonaws.com/id/B02C93/",
        "https://oidc.eks.us-west-2.amazonaws.com/id/B02C93/more",
        "https://oidc.eks.us-west-2.amazonaws.com/id/B02C93\n",
        "https://oidc.eks.us-west-2.amazonaws.com/id/",
        "https://oidc.eks..amazonaws.com/id/B",
        "https://oidc.eks.a.b.amazonaws.com/id/B",
        "https://oidc.eks.a/b.amazonaws.com/id/B",
        "https://oidc.eks.a@evil.amazonaws.com/id/B",
        "https://oidcXeks.us-west-2.amazonaws.com/id/B",
        "http://oidc.eks.us-west-2.amazonaws.com/id/B",
        "https://oidc.eks.us-west-2.amazonaws.com/id/ä",
    ] {
        assert!(eks.concrete(other).is_none(), "{other}");
    }
    assert!(
        eks.concrete(&format!(
            "https://oidc.eks.x.amazonaws.com/id/{}",
            "B".repeat(2_000)
        ))
        .is_none()
    );
}

#[test]
fn a_host_that_a_token_completes_must_be_public() {
    let concrete = |pattern: &str, url: &str| meta(pattern).concrete(url).unwrap().keys;
    assert!(
        concrete(
            "https://oidc.eks.*.amazonaws.com/id/*",
            "https://oidc.eks.x.amazonaws.com/id/1"
        )
        .public_only
    );
    assert!(concrete("https://*/x", "https://localhost/x").public_only);
    assert!(!concrete("https://clusters.example/id/*", "https://clusters.example/id/1").public_only);
    let mut own = meta("https://*.clusters.internal");
    own.keys.private_addresses = true;
    assert!(
        !own.concrete("https://a.clusters.internal")
            .unwrap()
            .keys
            .public_only
    );
}

#[test]
fn of_several_patterns_the_most_specific_is_tried_first() {
    let configs = [
        "https://a.example/*/*",
        "https://a.example/*",
        "https://a.example/id-*",
        "https://a.example/id-1",
    ];
    let configs = configs.map(|url| match url.contains('*') {
        true => meta(url),
        false => IssuerConfig::new(url, "sigstore", IdentityType::Kubernetes).unwrap(),
    });
    for rotation in 0..configs.len() {
        let mut configs = configs.to_vec();
        configs.rotate_left(rotation);
        let order: Vec<_> = checked(configs)
            .unwrap()
            .iter()
            .map(|one| one.issuer_url().to_owned())
            .collect();
        assert_eq!(
            order,
            [
                "https://a.example/id-1",
                "https://a.example/id-*",
                "https://a.example/*/*",
                "https://a.example/*"
            ]
        );
    }
    let twice = vec![meta("https://a.example/*"), meta("https://a.example/*")];
    assert!(matches!(checked(twice), Err(ConfigError::Duplicate { .. })));
}
