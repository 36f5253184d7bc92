#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, SystemTime};

use super::*;
use crate::trust::testkit::{meaning, vector};

const MINIMAL: &str = r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;

#[test]
fn the_public_trusted_root_is_read_and_written_without_loss() {
    let Some(json) = vector("public-good/trusted_root.json") else {
        return;
    };
    let root = TrustedRoot::parse(&json).unwrap();
    assert_eq!((root.tlogs.len(), root.certificate_authorities.len()), (2, 2));
    assert_eq!((root.ctlogs.len(), root.timestamp_authorities.len()), (2, 1));
    assert_eq!(
        root.tlogs[1].public_key.algorithm(),
        Some(SigningAlgorithm::Ed25519)
    );
    assert_eq!(meaning(root.to_json().unwrap().as_bytes()), meaning(&json));
}

#[test]
fn unknown_members_are_ignored() {
    let json = MINIMAL.replace('}', r#","vendor":{"x":[1]},"tlogs":[]}"#);
    let root = TrustedRoot::parse(json.as_bytes()).unwrap();
    assert_eq!(root.tlogs, []);
    assert!(!root.to_json().unwrap().contains("vendor"));
}

#[test]
fn other_files_are_refused() {
    let parse = |json: &str| TrustedRoot::parse(json.as_bytes());
    assert!(parse(MINIMAL).is_ok());
    for json in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"mediaType":1}"#,
        &MINIMAL.replace('}', r#","tlogs":{}}"#),
    ] {
        assert!(matches!(parse(json), Err(TrustError::Json(_))), "{json}");
    }
    assert!(matches!(
        parse(&MINIMAL.replace("0.1", "0.9")),
        Err(TrustError::MediaType { .. })
    ));
    let padded = format!("{MINIMAL}{}", " ".repeat(MAX_BYTES));
    assert!(matches!(parse(&padded), Err(TrustError::TooLarge(_))));
    let many = MINIMAL.replace(
        '}',
        &format!(
            r#","timestampAuthorities":[{}{{}}]}}"#,
            "{},".repeat(MAX_INSTANCES)
        ),
    );
    assert!(matches!(parse(&many), Err(TrustError::TooMany { got, .. }) if got == MAX_INSTANCES + 1));
    let chain = format!(
        r#"{{"certChain":{{"certificates":[{}{{}}]}}}}"#,
        "{},".repeat(MAX_CHAIN)
    );
    let long = MINIMAL.replace('}', &format!(r#","certificateAuthorities":[{chain}]}}"#));
    assert!(matches!(parse(&long), Err(TrustError::TooMany { got, .. }) if got == MAX_CHAIN + 1));
    let log = r#","tlogs":[{"baseUrl":"u","publicKey":{"rawBytes":"***"},"logId":{}}]}"#;
    assert!(matches!(
        parse(&MINIMAL.replace('}', log)),
        Err(TrustError::Json(_))
    ));
}

#[test]
fn a_log_says_since_when_its_key_is_valid() {
    let Some(json) = vector("conformance/trust-root-tlog-missing-validity-start_fail/trusted_root.json")
    else {
        return;
    };
    assert!(matches!(
        TrustedRoot::parse(&json),
        Err(TrustError::MissingStart(_))
    ));
}

#[test]
fn both_ends_of_a_window_belong_to_it() {
    let window: ValidFor =
        serde_json::from_str(r#"{"start":"1970-01-01T00:00:10Z","end":"1970-01-01T01:00:20.5+01:00"}"#)
            .unwrap();
    let contains = |millis| window.contains(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
    assert!(!contains(9_999) && contains(10_000) && contains(20_500) && !contains(20_501));
    assert!(ValidFor::default().contains(SystemTime::UNIX_EPOCH));
    assert_eq!(
        serde_json::to_string(&window).unwrap(),
        r#"{"start":"1970-01-01T00:00:10Z","end":"1970-01-01T00:00:20.5Z"}"#
    );
    assert!(serde_json::from_str::<ValidFor>(r#"{"start":"yesterday"}"#).is_err());
}
