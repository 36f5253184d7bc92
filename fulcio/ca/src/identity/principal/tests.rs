#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use serde_json::{Value, json};

use super::*;
use crate::identity::TypeText;

fn config(name: &str) -> IssuerConfig {
    let text = TypeText {
        name: name.to_owned(),
        issuer_url: Some("https://id.example.com/base".to_owned()),
        subject_domain: match name {
            "uri" => "https://example.com",
            "username" => "example.com",
            _ => "",
        }
        .to_owned(),
        spiffe_trust_domain: "example.org".to_owned(),
        ..TypeText::default()
    };
    IssuerConfig::new(
        "https://id.example.com/base",
        "sigstore",
        IdentityType::new(text).unwrap(),
    )
    .unwrap()
}

fn of(kind: &str, claims: Value) -> Result<Principal, TokenError> {
    let Value::Object(members) = claims else {
        unreachable!()
    };
    principal(&config(kind), &Claims::new(members))
}

#[track_caller]
fn subject(kind: &str, claims: Value, expected: &str) {
    let found = of(kind, claims.clone()).unwrap_or_else(|cause| panic!("{claims}: {cause}"));
    assert_eq!(found.subject.text(), expected);
    let sub = claims["sub"].as_str().unwrap();
    assert!(
        found
            .extensions
            .iter()
            .any(|(kind, text)| kind == Extension::Subject && text == sub)
    );
    assert!(
        found
            .extensions
            .iter()
            .any(|(kind, text)| kind == Extension::IssuerV1 && text == "https://id.example.com/base")
    );
}

#[track_caller]
fn refused(kind: &str, claims: Value, part: &str) {
    let cause = of(kind, claims).unwrap_err().to_string();
    assert!(cause.contains(part), "expected {part:?} in {cause:?}");
}

#[test]
fn a_subject_is_always_there() {
    for kind in ["uri", "username", "spiffe", "kubernetes", "chainguard-identity"] {
        refused(kind, json!({}), "sub: expected a string, got none");
        refused(kind, json!({"sub": ""}), "sub: expected a string, got none");
        refused(kind, json!({"sub": 7}), "sub: expected a string, got 7");
    }
}

#[test]
fn uris_of_the_configured_host() {
    subject(
        "uri",
        json!({"sub": "https://example.com/u/1"}),
        "https://example.com/u/1",
    );
    subject(
        "uri",
        json!({"sub": "https://example.com:8443/u 1"}),
        "https://example.com:8443/u%201",
    );
    for (sub, part) in [
        (
            "http://example.com/u",
            "scheme \"https\" and host \"example.com\"",
        ),
        ("https://users.example.com/u", "host \"example.com\""),
        ("https://example.com.evil.example/u", "host"),
        ("https://example.com@evil.example/u", "host"),
        ("https://evil.example\\@example.com/u", "host of letters"),
        ("https://EXAMPLE.com/u", "host"),
        ("alice@example.com", "not an e-mail address"),
        ("alice", "a URI with a scheme"),
        ("https://example.com/\u{0}", "control characters"),
    ] {
        refused("uri", json!({"sub": sub}), part);
    }
}

#[test]
fn names_of_the_configured_domain() {
    subject("username", json!({"sub": "alice"}), "alice!example.com");
    subject("username", json!({"sub": "Zoë"}), "Zoë!example.com");
    refused("username", json!({"sub": "a!b"}), "without \"!\"");
    refused("username", json!({"sub": "a@b.example"}), "not an e-mail");
    refused("username", json!({"sub": "a\u{7}"}), "control characters");
    refused("username", json!({"sub": "a".repeat(300)}), "at most 256 bytes");
    let Principal { name, subject, .. } = of("username", json!({"sub": "alice"})).unwrap();
    assert_eq!(name, "alice", "what is signed is the subject of the token");
    assert!(matches!(subject, SubjectAltName::Username(_)));
}

/// A token as SPIRE's OIDC discovery provider serves it.
#[test]
fn spiffe_ids_of_the_trust_domain() {
    let svid = json!({"aud": ["sigstore"], "exp": 1, "iat": 0, "iss": "https://id.example.com/base",
        "sub": "spiffe://example.org/ns/prod/sa/build-1.2_x"});
    subject("spiffe", svid, "spiffe://example.org/ns/prod/sa/build-1.2_x");
    subject(
        "spiffe",
        json!({"sub": "spiffe://example.org"}),
        "spiffe://example.org",
    );
    for sub in [
        "spiffe://evil.org/a",
        "spiffe://example.org.evil.org/a",
        "spiffe://example.org@evil.org/a",
        "SPIFFE://example.org/a",
        "spiffe://Example.org/a",
        "spiffe://example.org/",
        "spiffe://example.org/a/",
        "spiffe://example.org/a//b",
        "spiffe://example.org/a/../b",
        "spiffe://example.org/./b",
        "spiffe://example.org/a?b",
        "spiffe://example.org/a#b",
        "spiffe://example.org/a%20b",
        "spiffe://example.org:80/a",
        "https://example.org/a",
        "alice",
    ] {
        refused("spiffe", json!({"sub": sub}), "a SPIFFE ID");
    }
    refused(
        "spiffe",
        json!({"sub": format!("spiffe://example.org/{}", "a".repeat(3_000))}),
        "a SPIFFE ID",
    );
}

/// The claims of a projected service account token, Kubernetes 1.30.
#[test]
fn service_accounts() {
    let token = json!({"aud": ["sigstore"], "exp": 1732795200, "iat": 1732791600, "iss": "https://id.example.com/base",
        "jti": "0b8f9c0e-3a0e-4c3c-9d0a-3b1c1e1d9a77",
        "kubernetes.io": {"namespace": "build", "node": {"name": "node-1", "uid": "6f1f9b9c-8f6c-4f2a-9d2e-1b7a0a4f1b11"},
            "pod": {"name": "builder-7d9f", "uid": "5e0c7a11-61f5-4b5f-8e38-0fd2a54f7e02"},
            "serviceaccount": {"name": "builder", "uid": "c2d6a9c3-2f0b-4f39-b2f4-0b1f5c0c7a33"},
            "warnafter": 1732795207},
        "nbf": 1732791600, "sub": "system:serviceaccount:build:builder"});
    subject(
        "kubernetes",
        token,
        "https://kubernetes.io/namespaces/build/serviceaccounts/builder",
    );
    let with = |value: Value| json!({"sub": "x", "kubernetes.io": value});
    for (claim, part) in [
        (json!(null), "kubernetes.io.namespace: expected"),
        (json!({}), "kubernetes.io.namespace: expected"),
        (
            json!({"namespace": "", "serviceaccount": {"name": "a"}}),
            "kubernetes.io.namespace: expected",
        ),
        (
            json!({"namespace": "a"}),
            "kubernetes.io.serviceaccount.name: expected",
        ),
        (
            json!({"namespace": "a", "serviceaccount": {"name": ""}}),
            "kubernetes.io.serviceaccount.name: expected",
        ),
        (
            json!({"namespace": "a/b", "serviceaccount": {"name": "c"}}),
            "got \"a/b\"",
        ),
        (
            json!({"namespace": "a", "serviceaccount": {"name": "../c"}}),
            "got \"../c\"",
        ),
        (
            json!({"namespace": ["a"], "serviceaccount": {"name": "c"}}),
            "kubernetes.io.namespace: expected",
        ),
    ] {
        refused("kubernetes", with(claim), part);
    }
}

#[test]
fn chainguard_identities() {
    subject(
        "chainguard-identity",
        json!({"sub": "abc/def"}),
        "https://id.example.com/base/abc/def",
    );
    refused(
        "chainguard-identity",
        json!({"sub": "a/../b"}),
        "without empty or relative",
    );
    refused(
        "chainguard-identity",
        json!({"sub": "/a"}),
        "without empty or relative",
    );
    refused(
        "chainguard-identity",
        json!({"sub": "a?b"}),
        "without empty or relative",
    );
    // Clients sign the address where there is one.
    let mail = |verified: Value| {
        of(
            "chainguard-identity",
            json!({"sub": "a", "email": "a@b.example", "email_verified": verified}),
        )
    };
    assert_eq!(mail(json!(true)).unwrap().name, "a@b.example");
    assert!(
        mail(json!(false))
            .unwrap_err()
            .to_string()
            .contains("email_verified")
    );
}

/// A certificate is kept for ever, and a token may be long.
#[test]
fn a_subject_has_a_bound() {
    let claims =
        |length: usize| json!({"sub": "x".repeat(length), "email": "a@example.com", "email_verified": true});
    assert!(of("email", claims(4_096)).is_ok());
    let cause = of("email", claims(4_097)).unwrap_err().to_string();
    assert_eq!(cause, "Subject: expected at most 4096 bytes, got 4097");
}
