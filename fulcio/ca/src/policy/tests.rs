#![allow(clippy::unwrap_used, reason = "tests")]

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
