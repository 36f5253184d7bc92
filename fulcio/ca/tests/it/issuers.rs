//! Several issuers, and a configuration that changes.

use std::sync::Arc;

use fulcio_ca::{ClaimName, IdentityType, IssuerConfig, Pattern, Policy, Rule};
use http::StatusCode;
use serde_json::json;

use crate::support::*;

const TOKEN: &str = "There was an error processing the identity token";

/// Issuers are exchanged while the authority works; one that is misconfigured changes nothing.
#[tokio::test]
async fn issuers_are_reloaded() {
    let stack = Stack::new();
    let other = format!("{BASE}/other");
    stack
        .web
        .publish(&other, &json!([stack.token_key.jwk("k1")]), &["RS256"]);
    let mut claims = stack.claims();
    let first = stack.token(&claims);
    claims["iss"] = json!(other);
    let second = stack.token(&claims);
    let who = "dev@example.com";
    assert_eq!(stack.sign_in(&first, who).await.status, StatusCode::OK);
    let reads = stack.web.reads();
    let answer = stack.sign_in(&second, who).await;
    assert_refused(&answer, &second, TOKEN, &["iss: expected a configured issuer"]);
    stack
        .ca
        .reload(vec![email_issuer(&format!("{BASE}/email")), email_issuer(&other)])
        .unwrap();
    assert_eq!(stack.sign_in(&second, who).await.status, StatusCode::OK);
    // Keys that were known stay known: only the new issuer was asked.
    assert_eq!(stack.sign_in(&first, who).await.status, StatusCode::OK);
    assert_eq!(stack.web.reads(), reads + 2);
    let twice = vec![email_issuer(&other), email_issuer(&other)];
    assert!(
        stack
            .ca
            .reload(twice)
            .unwrap_err()
            .to_string()
            .contains("got two")
    );
    assert_eq!(stack.sign_in(&first, who).await.status, StatusCode::OK);
    stack.ca.reload(vec![email_issuer(&other)]).unwrap();
    assert_refused(
        &stack.sign_in(&first, who).await,
        &first,
        TOKEN,
        &["iss: expected a configured issuer"],
    );
}

/// Whoever makes up issuers that match a pattern costs a bounded number of key sets, and nobody else theirs.
#[tokio::test]
async fn issuers_that_match_patterns_are_bounded() {
    let meta = IssuerConfig::meta(&format!("{BASE}/eks/*"), "sigstore", IdentityType::Kubernetes).unwrap();
    let stack = Stack::with(vec![meta.clone()], Default::default());
    let known = format!("{BASE}/eks/known");
    stack
        .web
        .publish(&known, &json!([stack.token_key.jwk("k1")]), &["RS256"]);
    let token = |iss: &str| {
        let mut claims = stack.claims();
        claims["iss"] = json!(iss);
        claims["sub"] = json!("system:serviceaccount:a:b");
        claims["kubernetes.io"] = json!({"namespace": "a", "serviceaccount": {"name": "b"}});
        stack.token(&claims)
    };
    let good = token(&known);
    assert_eq!(
        stack.sign_in(&good, "system:serviceaccount:a:b").await.status,
        StatusCode::OK
    );
    for number in 0..300 {
        let made_up = token(&format!("{BASE}/eks/x{number}"));
        assert_unavailable(
            &stack.sign_in(&made_up, "x").await,
            "expected status 200, got 404",
        );
    }
    let reads = stack.web.reads();
    for what in [
        "are still there",
        "outlive a reload that reads them in the same way",
    ] {
        assert_eq!(
            stack.sign_in(&good, "system:serviceaccount:a:b").await.status,
            StatusCode::OK
        );
        assert_eq!(stack.web.reads(), reads, "the known issuer's keys {what}");
        stack.ca.reload(vec![meta.clone()]).unwrap();
    }
    // With another way of reading them they are read again.
    let mut other = meta;
    other.keys.private_addresses = true;
    stack.ca.reload(vec![other]).unwrap();
    stack.sign_in(&good, "system:serviceaccount:a:b").await;
    assert!(stack.web.reads() > reads);
}

/// A key set in the configuration: the issuer is never asked.
#[tokio::test]
async fn keys_from_a_file() {
    let key = TokenKey::ec("P-256");
    let mut issuer = email_issuer("https://unreachable.internal");
    issuer.keys.jwks = Some(json!({"keys": [key.jwk("k")]}).to_string());
    let stack = Stack::with(vec![issuer], Default::default());
    let mut claims = stack.claims();
    claims["iss"] = json!("https://unreachable.internal");
    let sign = |key: &TokenKey| {
        sign_token(&json!({"alg": "ES256", "kid": "k"}), &claims, |m| {
            key.sign("ES256", m)
        })
    };
    assert_eq!(
        stack.sign_in(&sign(&key), "dev@example.com").await.status,
        StatusCode::OK
    );
    let forged = sign(&TokenKey::ec("P-256"));
    assert_refused(
        &stack.sign_in(&forged, "dev@example.com").await,
        &forged,
        TOKEN,
        &["signature: expected one by"],
    );
    stack.clock.advance(std::time::Duration::from_secs(86_400));
    claims["exp"] = json!(stack.clock.seconds() + 60);
    let later = sign_token(&json!({"alg": "ES256", "kid": "k"}), &claims, |m| {
        key.sign("ES256", m)
    });
    assert_eq!(
        stack.sign_in(&later, "dev@example.com").await.status,
        StatusCode::OK
    );
    assert_eq!(stack.web.reads(), 0);
}

/// Fulcio #1989: an issuer vouches for everybody, the policy for some of them.
#[tokio::test]
async fn a_policy_refuses_with_the_claim_that_decided() {
    let mut policy = Policy::default();
    policy.allow.push(Rule {
        name: "ours".to_owned(),
        claims: vec![(
            ClaimName::new("email"),
            vec![Pattern::new("*@example.com").unwrap()],
        )],
    });
    let mut issuer = email_issuer(&format!("{BASE}/email"));
    issuer.policy = Arc::new(policy.clone());
    let stack = Stack::with(vec![issuer.clone()], Default::default());
    let mut claims = stack.claims();
    assert_eq!(
        stack
            .sign_in(&stack.token(&claims), "dev@example.com")
            .await
            .status,
        StatusCode::OK
    );
    claims["email"] = json!("dev@evil.example");
    let token = stack.token(&claims);
    let answer = stack.sign_in(&token, "dev@evil.example").await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (StatusCode::FORBIDDEN, &json!(7))
    );
    assert!(
        answer
            .message()
            .ends_with("rule \"ours\": email: expected \"*@example.com\", got \"dev@evil.example\""),
        "{}",
        answer.text()
    );
    assert_eq!(stack.log.calls(), 1, "nothing was logged for it");
    // A dry run tells and issues; a token that does not verify learns nothing of the rules.
    policy.dry_run = true;
    issuer.policy = Arc::new(policy);
    stack.ca.reload(vec![issuer]).unwrap();
    assert_eq!(
        stack.sign_in(&token, "dev@evil.example").await.status,
        StatusCode::OK
    );
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    let answer = stack.sign_in(&forged, "dev@evil.example").await;
    assert_refused(&answer, &forged, TOKEN, &["signature: expected"]);
}
