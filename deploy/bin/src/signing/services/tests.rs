#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use common_bundle::trust::{Timestamp, ValidFor};

use super::*;

const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(NOW))
        .unwrap()
}

fn service(url: &str, version: u32, start: i64, end: Option<i64>, operator: &str) -> Service {
    let at = |offset: i64| Timestamp::from_unix(i64::try_from(NOW).unwrap().saturating_add(offset)).unwrap();
    Service {
        url: url.to_owned(),
        major_api_version: version,
        valid_for: ValidFor::new(at(start), end.map(at)),
        operator: operator.to_owned(),
    }
}

fn config(logs: Vec<Service>, timestamps: Vec<Service>) -> SigningConfig {
    let any = Some(ServiceConfiguration {
        selector: Selector::Any,
        count: None,
    });
    SigningConfig {
        media_type: SigningConfig::MEDIA_TYPE.to_owned(),
        ca_urls: vec![service("ca", 1, -9, None, "a")],
        oidc_urls: vec![service("oidc", 1, -9, None, "a")],
        rekor_tlog_urls: logs,
        rekor_tlog_config: any,
        tsa_urls: timestamps,
        tsa_config: any,
    }
}

#[test]
fn the_newest_of_the_highest_version_in_use_is_chosen() {
    let logs = vec![
        service("v1", 1, -1, None, "a"),
        service("old", 2, -99, Some(-1), "a"),
        service("v2", 2, -9, None, "a"),
        service("newer", 2, -5, None, "a"),
        service("future", 2, 5, None, "a"),
        service("v3", 3, -9, None, "a"),
    ];
    let config = config(logs, vec![service("tsa", 1, -9, None, "a")]);
    let chosen = choose(&config, None, now()).unwrap();
    assert_eq!(chosen.logs, [("newer".to_owned(), 2)]);
    assert_eq!(chosen.timestamps, ["tsa"]);
    assert_eq!(
        (chosen.authority.as_deref(), chosen.issuer.as_deref()),
        (Some("ca"), Some("oidc"))
    );
    let v1 = choose(&config, Some(1), now()).unwrap();
    assert_eq!(v1.logs, [("v1".to_owned(), 1)]);
    assert!(choose(&config, Some(4), now()).is_err());
}

#[test]
fn several_operators_are_used_where_it_says_so() {
    let logs = vec![
        service("one", 2, -9, None, "a"),
        service("same operator", 2, -8, None, "a"),
        service("two", 2, -7, None, "b"),
    ];
    let mut config = config(logs, vec![service("tsa", 1, -9, None, "a")]);
    let exactly = |count| {
        Some(ServiceConfiguration {
            selector: Selector::Exact,
            count: Some(count),
        })
    };
    config.rekor_tlog_config = exactly(2);
    assert_eq!(choose(&config, None, now()).unwrap().logs.len(), 2);
    config.rekor_tlog_config = exactly(3);
    let error = choose(&config, None, now()).unwrap_err();
    assert!(matches!(
        error,
        ServicesError::TooFew {
            expected: 3,
            got: 2,
            ..
        }
    ));
}

#[test]
fn version_2_without_timestamps_is_refused() {
    let logs = vec![service("v2", 2, -9, None, "a")];
    assert!(choose(&config(logs, Vec::new()), None, now()).is_err());
    let logs = vec![service("v1", 1, -9, None, "a")];
    assert!(choose(&config(logs, Vec::new()), None, now()).is_ok());
}
