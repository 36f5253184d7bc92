#![allow(clippy::unwrap_used, reason = "tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::json;

use super::*;

fn claims(value: Value) -> Claims {
    let Value::Object(members) = value else {
        unreachable!()
    };
    Claims::new(members)
}

fn rule(name: &str, wanted: &[(&str, &[&str])]) -> Rule {
    let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::new(text).unwrap()).collect();
    Rule {
        name: name.to_owned(),
        claims: wanted
            .iter()
            .map(|(claim, texts)| (ClaimName::new(claim), patterns(texts)))
            .collect(),
    }
}

#[test]
fn patterns_are_compared_with_whole_values() {
    for (pattern, value, matches) in [
        ("acme", "acme", true),
        ("acme", "acme2", false),
        ("acme", "ACME", false),
        ("acme/*", "acme/app", true),
        ("acme/*", "acme/", true),
        ("acme/*", "acme/app/more", false),
        ("acme/*", "evil/acme/app", false),
        ("acme/**", "acme/app/more", true),
        ("acme/*", "acme/app\n", true),
        ("refs/tags/v*", "refs/tags/v1.2", true),
        ("refs/tags/v*", "refs/tags/v1/2", false),
        ("*", "", true),
        ("a.c", "abc", false),
        ("(a|b)+", "(a|b)+", true),
        ("**", "a/b\nc", true),
    ] {
        assert_eq!(
            Pattern::new(pattern).unwrap().matches(value),
            matches,
            "{pattern} {value:?}"
        );
    }
}

#[test]
fn one_rule_must_allow_and_none_deny() {
    let policy = Policy {
        allow: vec![
            rule(
                "main",
                &[("repository_owner", &["acme"]), ("ref", &["refs/heads/main"])],
            ),
            rule(
                "releases",
                &[("repository_owner", &["acme"]), ("ref", &["refs/tags/v*"])],
            ),
        ],
        deny: vec![rule("forks", &[("event_name", &["pull_request_target", "fork"])])],
        ..Policy::default()
    };
    let token = |owner: &str, reference: &str, event: &str| {
        claims(json!({"repository_owner": owner, "ref": reference, "event_name": event}))
    };
    assert_eq!(
        policy.check(&token("acme", "refs/heads/main", "push")),
        Ok(Some("main"))
    );
    assert_eq!(
        policy.check(&token("acme", "refs/tags/v1", "push")),
        Ok(Some("releases"))
    );
    for (token, expected) in [
        (
            token("acme", "refs/heads/dev", "push"),
            "rule \"main\": ref: expected \"refs/heads/main\", got \"refs/heads/dev\"",
        ),
        (
            token("evil", "refs/heads/main", "push"),
            "rule \"main\": repository_owner: expected \"acme\", got \"evil\"",
        ),
        (
            token("acme", "refs/heads/main", "fork"),
            "rule \"forks\": expected a token that does not match it, got one whose event_name is \"fork\"",
        ),
        (
            claims(json!({})),
            "rule \"main\": repository_owner: expected \"acme\", got none",
        ),
    ] {
        assert_eq!(policy.check(&token).unwrap_err().to_string(), expected);
    }
    assert_eq!(Policy::default().check(&claims(json!({}))), Ok(None));
}

fn quota(per: &str, limit: u32) -> QuotaRule {
    QuotaRule::new(
        None,
        per,
        NonZeroU32::new(limit).unwrap(),
        Duration::from_secs(3_600),
    )
}

#[test]
fn quotas_count_each_value_and_give_back() {
    let policy = Policy {
        quotas: vec![quota("repository", 2), quota("identity", 3)],
        ..Policy::default()
    };
    let spend = |issuer: &str, repository: &str, name: &str| {
        policy.spend(issuer, name, &claims(json!({"repository": repository})))
    };
    let first = spend("i", "acme/a", "x").unwrap();
    let _second = spend("i", "acme/a", "x").unwrap();
    let refused = spend("i", "acme/a", "x").map(drop).unwrap_err();
    assert_eq!(refused.denial.rule, "quota per repository");
    let expected = "repository: expected at most 2 certificates in 3600 s for \"acme/a\", got one more";
    assert!(refused.denial.reason.starts_with(expected), "{refused:?}");
    assert!((1_700..=1_801).contains(&refused.seconds), "{refused:?}");
    let _other_issuer = spend("j", "acme/a", "x").unwrap();
    let _other_value = spend("i", "acme/b", "x").unwrap();
    // The identity has none left: what the repository spent comes back, so that another identity has it.
    assert_eq!(
        spend("i", "acme/b", "x").map(drop).unwrap_err().denial.rule,
        "quota per identity"
    );
    let _other_identity = spend("i", "acme/b", "y").unwrap();
    first.into_iter().for_each(Spent::give_back);
    let _again = spend("i", "acme/a", "y").unwrap();
}

#[test]
fn tokens_without_the_claim_share_a_quota() {
    let policy = Policy {
        quotas: vec![quota("$.a.b", 1)],
        ..Policy::default()
    };
    let spend = |token: Value| policy.spend("i", "x", &claims(token));
    let _one = spend(json!({})).unwrap();
    assert!(spend(json!({"a": {"b": null}})).is_err());
    let _list = spend(json!({"a": {"b": ["v", "w"]}})).unwrap();
    assert!(spend(json!({"a": {"b": ["v", "w"]}})).is_err());
    // Alike in what is shown of them, and not the same.
    let long = |end: &str| json!({"a": {"b": format!("{}{end}", "x".repeat(200))}});
    let _long = spend(long("1")).unwrap();
    let _other = spend(long("2")).unwrap();
}

#[test]
fn a_reload_forgets_no_count() {
    let policy = |limit| Policy {
        quotas: vec![quota("repository", limit)],
        ..Policy::default()
    };
    let spend = |policy: &Policy| {
        policy
            .spend("i", "x", &claims(json!({"repository": "r"})))
            .is_ok()
    };
    let old = policy(1);
    assert!(spend(&old) && !spend(&old));
    let (mut same, mut other) = (policy(1), policy(2));
    same.adopt(&old);
    other.adopt(&old);
    assert!(!spend(&same), "the same quota goes on");
    assert!(spend(&other), "another one begins");
}

#[test]
fn claims_within_claims_and_lists() {
    let policy = |claim: &str, pattern: &str| Policy {
        allow: vec![rule("r", &[(claim, &[pattern])])],
        ..Policy::default()
    };
    let token = claims(
        json!({"groups": ["dev", "ops"], "kubernetes.io": {"namespace": "build"},
        "a": {"b": {"c": "d"}}, "n": 7, "t": true, "nothing": null}),
    );
    for (claim, pattern) in [("groups", "ops"), ("$.a.b.c", "d"), ("n", "7"), ("t", "true")] {
        assert!(policy(claim, pattern).check(&token).is_ok(), "{claim}");
    }
    for (claim, pattern) in [
        ("groups", "adm*"),
        ("$.a.b", "**"),
        ("$.a.x", "**"),
        ("nothing", "**"),
        ("a", "**"),
    ] {
        assert!(policy(claim, pattern).check(&token).is_err(), "{claim}");
    }
}
