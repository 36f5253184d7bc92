#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

fn device_grant() -> DeviceGrant {
    DeviceGrant {
        client_id: "sigstore".to_owned(),
        challenge: None,
        nonce: None,
    }
}

fn email() -> Email {
    Email::parse("dev@example.com").unwrap()
}

#[test]
fn user_codes_are_consonants_and_distinct() {
    let codes: std::collections::HashSet<String> = (0..200).map(|_| random_user_code().unwrap()).collect();
    assert_eq!(codes.len(), 200);
    for code in codes {
        let (left, right) = code.split_once('-').unwrap();
        assert_eq!((left.len(), right.len()), (4, 4), "{code}");
        assert!(
            code.bytes().all(|b| b == b'-' || USER_CODE_ALPHABET.contains(&b)),
            "{code}"
        );
    }
}

#[test]
fn a_user_code_is_typed_as_people_type() {
    assert_eq!(normalize_user_code(" bcdf ghjk\n"), "BCDFGHJK");
    assert_eq!(normalize_user_code("BCDF-GHJK"), "BCDFGHJK");
    assert_eq!(normalize_user_code(&"b".repeat(1000)).len(), 16);
}

#[test]
fn waiting_grants_are_bounded_and_expiry_makes_room() {
    let grants = Grants::new();
    for _ in 0..CAPACITY {
        grants.issue_device(device_grant(), at(0)).unwrap();
    }
    let error = grants.issue_device(device_grant(), at(599)).err().unwrap();
    assert_eq!(error.kind, Kind::TemporarilyUnavailable);
    grants.issue_device(device_grant(), at(600)).unwrap();
}

#[test]
fn polling_too_fast_slows_the_client_down() {
    let grants = Grants::new();
    let codes = grants.issue_device(device_grant(), at(0)).unwrap();
    let poll = |now| {
        grants
            .poll_device(&codes.device_code, "sigstore", now)
            .err()
            .map(|error| error.kind)
    };
    assert_eq!(poll(at(0)), Some(Kind::AuthorizationPending));
    assert_eq!(
        poll(at(0) + Duration::from_millis(900)),
        Some(Kind::AuthorizationPending),
        "within the tolerance"
    );
    assert_eq!(poll(at(1)), Some(Kind::SlowDown));
    assert_eq!(
        poll(at(3)),
        Some(Kind::SlowDown),
        "the interval is six seconds now, then eleven"
    );
    assert_eq!(poll(at(14)), Some(Kind::AuthorizationPending));
    assert!(grants.decide_device(&codes.user_code.to_lowercase(), Some(email()), at(15)));
    assert_eq!(poll(at(15)), None, "an answer is given whenever it is there");
    assert_eq!(poll(at(30)), Some(Kind::InvalidGrant), "once");
}

#[test]
fn a_device_code_belongs_to_its_client_and_decides_once() {
    let grants = Grants::new();
    let codes = grants.issue_device(device_grant(), at(0)).unwrap();
    let foreign = grants
        .poll_device(&codes.device_code, "other", at(0))
        .err()
        .unwrap();
    assert_eq!(foreign.kind, Kind::InvalidGrant);
    assert!(grants.decide_device(&codes.user_code, None, at(1)));
    assert!(
        !grants.decide_device(&codes.user_code, Some(email()), at(1)),
        "refused is refused"
    );
    let denied = grants
        .poll_device(&codes.device_code, "sigstore", at(2))
        .err()
        .unwrap();
    assert_eq!(denied.kind, Kind::AccessDenied);
}

#[test]
fn an_expired_device_code_says_so_and_takes_no_decision() {
    let grants = Grants::new();
    let codes = grants.issue_device(device_grant(), at(0)).unwrap();
    assert!(!grants.decide_device(&codes.user_code, Some(email()), at(600)));
    let late = grants
        .poll_device(&codes.device_code, "sigstore", at(600))
        .err()
        .unwrap();
    assert_eq!(late.kind, Kind::ExpiredToken);
}

#[test]
fn an_empty_user_code_matches_nothing() {
    let grants = Grants::new();
    grants.issue_device(device_grant(), at(0)).unwrap();
    assert!(!grants.decide_device("", Some(email()), at(0)));
}
