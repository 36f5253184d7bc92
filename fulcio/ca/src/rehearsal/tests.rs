#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::config::Configuration;

const POLICY: &str = "
oidc-issuers:
  https://ci.example:
    preset: keycloak
    policy:
      allow:
        - {name: ours, claims: {email: '*@acme.example'}}
      deny:
        - {name: left, claims: {email: gone@acme.example}}
  https://dry.example:
    preset: keycloak
    policy: {mode: dry-run, allow: [{claims: {email: nobody}}]}
meta-issuers:
  https://clusters.example/*: {preset: kubernetes}
";

fn nothing(_: &Path) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::NotFound.into())
}

fn rehearsal() -> Rehearsal {
    Rehearsal::new(Configuration::parse(POLICY.as_bytes(), &nothing).unwrap().issuers).unwrap()
}

fn token(claims: &Value) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.c2ln",
        part(r#"{"alg":"RS256"}"#),
        part(&claims.to_string())
    )
}

#[test]
fn decisions_with_their_rules() {
    let rehearsal = rehearsal();
    let cases = "
cases:
  - {claims: {iss: https://ci.example, email: a@acme.example, email_verified: true}, expect: allow, rule: ours}
  - {claims: {iss: https://ci.example, email: a@evil.example}, expect: deny, rule: ours}
  - {name: left, claims: {iss: https://ci.example, email: gone@acme.example}, expect: deny, rule: left}
  - {claims: {iss: https://dry.example, email: a@acme.example}, expect: deny}
  - {claims: {iss: https://clusters.example/7}, expect: allow}
";
    let cases = Case::read("cases.yaml", cases.as_bytes(), &nothing).unwrap();
    let decisions: Vec<_> = cases.iter().map(|case| rehearsal.decide(case)).collect();
    for (case, decision) in cases.iter().zip(&decisions) {
        assert_eq!(case.met(decision), Some(true), "{} {decision:?}", case.name);
    }
    assert_eq!(
        (cases[0].name.as_str(), cases[2].name.as_str()),
        ("case 1", "left")
    );
    assert_eq!(decisions[0].no_identity, None);
    assert!(
        decisions[1]
            .reason
            .as_ref()
            .is_some_and(|reason| reason.contains("got \"a@evil.example\""))
    );
    assert!(decisions[3].dry_run);
    assert!(
        decisions[4].no_identity.is_some(),
        "a policy allows it, and there is no subject"
    );
}

/// Not what was expected, for another reason than was expected, or not decided at all.
#[test]
fn expectations_that_are_not_met() {
    let rehearsal = rehearsal();
    let cases = "
cases:
  - {claims: {iss: https://ci.example, email: a@acme.example}, expect: deny}
  - {claims: {iss: https://ci.example, email: a@evil.example}, expect: deny, rule: left}
  - {claims: {iss: https://ci.example/, email: a@evil.example}, expect: deny}
  - {claims: {email: a@evil.example}, expect: deny}
";
    for case in Case::read("cases.yaml", cases.as_bytes(), &nothing).unwrap() {
        let decision = rehearsal.decide(&case);
        assert_eq!(case.met(&decision), Some(false), "{} {decision:?}", case.name);
    }
}

#[test]
fn tokens_and_claims_in_files() {
    let claims = serde_json::json!({"iss": "https://ci.example", "email": "a@evil.example"});
    let (jwt, json) = (token(&claims), claims.to_string());
    let read = |path: &Path| match path.to_str() {
        Some("t") => Ok(format!("{jwt}\n").into_bytes()),
        Some("c") => Ok(json.clone().into_bytes()),
        _ => nothing(path),
    };
    let listed = "cases: [{token-file: t, expect: deny}, {claims-file: c, expect: deny}]";
    for text in [jwt.as_str(), json.as_str(), listed] {
        for case in Case::read("f", text.as_bytes(), &read).unwrap() {
            assert_eq!(rehearsal().decide(&case).verdict, Verdict::Deny, "{text}");
        }
    }
    for (text, expected) in [
        ("cases: []", "1 to 10000 cases"),
        ("cases: [{claims: {}}]", "expected allow or deny"),
        ("cases: [{claims: {}, expect: maybe}]", "expected allow or deny"),
        ("cases: [{expect: deny}]", "got none"),
        (
            "cases: [{claims: {}, claims-file: c, expect: deny}]",
            "got several",
        ),
        (
            "cases: [{claims: [], expect: deny}]",
            "expected a table, got a list",
        ),
        ("cases: [{token-file: c, expect: deny}]", "not a token"),
        ("cases: [{claims-file: t, expect: deny}]", "not a JSON object"),
        (
            "cases: [{claims-file: x, expect: deny}]",
            "a file that can be used",
        ),
        ("cases: [{claims: {}, expects: deny}]", "an unknown key"),
        ("{cases: [{claims: {}, expect: deny}], case: 1}", "an unknown key"),
        ("a.b.c", "base64url"),
        ("- 1", "expected a table"),
    ] {
        let cause = Case::read("f", text.as_bytes(), &read)
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(
            cause.starts_with("f: ") && cause.contains(expected),
            "{text}: {cause}"
        );
    }
    let cause = Case::read("f", jwt.replace("eyJ", "AAA").as_bytes(), &read)
        .map(drop)
        .unwrap_err();
    assert!(!cause.to_string().contains(&jwt[30..60]), "{cause}");
}
