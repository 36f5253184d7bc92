//! Quotas, what is told of refusals, and what is published of identities.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common_pki::cert::{Certificate, SubjectAltName};
use fulcio_ca::{
    Asker, AuditLog, ClaimName, Configuration, Denied, IssuerConfig, Pattern, Policy, PseudonymError,
    Pseudonyms, QuotaRule, Rule,
};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::*;

const YEAR: Duration = Duration::from_secs(365 * 86_400);
const WHO: &str = "dev@example.com";

/// Keeps what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<Denied>>);

impl AuditLog for Told {
    fn denied(&self, denied: Denied) {
        self.0.lock().unwrap().push(denied);
    }
}

fn issuer(policy: &Policy) -> IssuerConfig {
    let mut issuer = email_issuer(&format!("{BASE}/email"));
    issuer.policy = Arc::new(policy.clone());
    issuer
}

fn two_an_hour_of_each_team() -> QuotaRule {
    QuotaRule::new(
        None,
        "team",
        NonZeroU32::new(2).unwrap(),
        Duration::from_secs(3_600),
    )
}

fn with(policy: &Policy) -> (Stack, Arc<Told>) {
    let told = Arc::new(Told::default());
    let audit = Arc::clone(&told);
    let stack = Stack::configured(vec![issuer(policy)], YEAR, |config| config.audit = Some(audit));
    (stack, told)
}

fn of_team(stack: &Stack, team: &str, email: &str) -> String {
    let mut claims = stack.claims();
    claims["team"] = json!(team);
    claims["email"] = json!(email);
    stack.token(&claims)
}

#[tokio::test]
async fn a_quota_of_a_claim_is_429_with_the_time_to_come_back() {
    let mut policy = Policy::default();
    policy.quotas.push(two_an_hour_of_each_team());
    let (stack, told) = with(&policy);
    for email in ["a@example.com", "b@example.com"] {
        let answer = stack.sign_in(&of_team(&stack, "red", email), email).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    let token = of_team(&stack, "red", WHO);
    // Looking costs nothing, and tells what is counted.
    let looked = stack.ca.explain(Asker::Anyone, token.clone()).await.unwrap();
    assert!(
        looked.notes[0].contains("\"quota per team\": at most 2 certificates in 3600 s for team \"red\""),
        "{looked:?}"
    );
    let answer = stack.sign_in(&token, WHO).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.text());
    assert_eq!(answer.json()["code"], 8, "RESOURCE_EXHAUSTED");
    let expected =
        "rule \"quota per team\": team: expected at most 2 certificates in 3600 s for \"red\", got one more";
    assert!(answer.message().contains(expected), "{}", answer.text());
    let seconds: u32 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1_700..=1_801).contains(&seconds), "{seconds}");
    assert_eq!(
        stack.sign_in(&of_team(&stack, "blue", WHO), WHO).await.status,
        StatusCode::OK
    );
    let told = told.0.lock().unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].denial.rule.as_str(), told[0].enforced),
        ("quota per team", true)
    );
}

#[tokio::test]
async fn what_we_could_not_do_does_not_count() {
    let mut policy = Policy::default();
    policy.quotas.push(two_an_hour_of_each_team());
    let (stack, _) = with(&policy);
    *stack.log.mood.lock().unwrap() = LogMood::Unavailable;
    let token = of_team(&stack, "red", WHO);
    for _ in 0..5 {
        assert_eq!(
            stack.sign_in(&token, WHO).await.status,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
    *stack.log.mood.lock().unwrap() = LogMood::Honest;
    assert_eq!(stack.sign_in(&token, WHO).await.status, StatusCode::OK);
    // Nor is a count forgotten when the file is read again.
    assert_eq!(stack.sign_in(&token, WHO).await.status, StatusCode::OK);
    policy.quotas = vec![two_an_hour_of_each_team()];
    stack.ca.reload(vec![issuer(&policy)]).unwrap();
    assert_eq!(
        stack.sign_in(&token, WHO).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[tokio::test]
async fn refusals_are_told_with_whom_they_hit() {
    let mut policy = Policy::default();
    policy.allow.push(Rule {
        name: "ours".to_owned(),
        claims: vec![(ClaimName::new("team"), vec![Pattern::new("red").unwrap()])],
    });
    for dry_run in [false, true] {
        policy.dry_run = dry_run;
        let (stack, told) = with(&policy);
        let answer = stack.sign_in(&of_team(&stack, "blue", WHO), WHO).await;
        assert_eq!(answer.status == StatusCode::OK, dry_run, "{}", answer.text());
        assert_eq!(
            stack.sign_in(&of_team(&stack, "red", WHO), WHO).await.status,
            StatusCode::OK
        );
        // A token that does not verify is nobody's, and not kept.
        let mut claims = stack.claims();
        claims["team"] = json!("blue");
        let forged = stack.token(&claims);
        let forged = format!("{}AAAA", &forged[..forged.len() - 4]);
        assert_eq!(stack.sign_in(&forged, WHO).await.status, StatusCode::BAD_REQUEST);
        let told = told.0.lock().unwrap();
        assert_eq!(told.len(), 1);
        let Denied {
            issuer,
            subject,
            token_subject,
            denial,
            enforced,
            ..
        } = &told[0];
        assert_eq!(issuer, &format!("{BASE}/email"));
        assert_eq!(
            (subject.as_str(), token_subject.as_str(), *enforced),
            (WHO, "s1", !dry_run)
        );
        assert_eq!(
            denial.to_string(),
            "rule \"ours\": team: expected \"red\", got \"blue\""
        );
    }
}

/// Makes up pseudonyms, or fails.
#[derive(Default)]
struct Names {
    known: Mutex<HashMap<(String, String), String>>,
    fails: Mutex<bool>,
}

#[async_trait]
impl Pseudonyms for Names {
    async fn of(&self, issuer: &str, subject: &str) -> Result<String, PseudonymError> {
        if *self.fails.lock().unwrap() {
            return Err(PseudonymError("secret cause".to_owned()));
        }
        let mut known = self.known.lock().unwrap();
        let next = format!("urn:uuid:00000000-0000-8000-8000-{:012}", known.len());
        Ok(known
            .entry((issuer.to_owned(), subject.to_owned()))
            .or_insert(next)
            .clone())
    }

    async fn known(&self, issuer: &str, subject: &str) -> Result<Option<String>, PseudonymError> {
        let known = self.known.lock().unwrap();
        Ok(known.get(&(issuer.to_owned(), subject.to_owned())).cloned())
    }
}

fn private(privacy: &Value) -> (Stack, Arc<Names>) {
    let file = json!({"oidc-issuers": {format!("{BASE}/email"): {"type": "email", "client-id": "sigstore", "privacy": privacy}}});
    let issuers = Configuration::parse(file.to_string().as_bytes(), &|_| unreachable!())
        .unwrap()
        .issuers;
    let names = Arc::new(Names::default());
    let pseudonyms = Arc::clone(&names);
    let stack = Stack::configured(issuers, YEAR, |config| config.pseudonyms = Some(pseudonyms));
    (stack, names)
}

async fn certified(stack: &Stack, claims: &Value) -> Certificate {
    let answer = stack
        .sign_in(&stack.token(claims), claims["email"].as_str().unwrap())
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let pem = &answer.certificates()[0];
    Certificate::from_pem(pem).unwrap()
}

fn named(certificate: &Certificate) -> SubjectAltName {
    certificate.subject_alt_names().unwrap().remove(0)
}

#[tokio::test]
async fn a_pseudonym_is_all_that_a_certificate_says() {
    let (stack, names) = private(&json!({"pseudonym": true}));
    let claims = stack.claims();
    let token = stack.token(&claims);
    let looked = stack.ca.explain(Asker::Anyone, token.clone()).await.unwrap();
    let shown = looked.certificate.unwrap();
    assert!(
        shown.subject_alternative_name.contains("a new pseudonym"),
        "{shown:?}"
    );
    assert_eq!(
        shown.proof_of_possession_over, WHO,
        "a client signs what is in its token"
    );
    assert!(names.known.lock().unwrap().is_empty(), "looking makes none");
    let certificate = certified(&stack, &claims).await;
    let name = named(&certificate);
    assert!(
        matches!(&name, SubjectAltName::Uri(uri) if uri.starts_with("urn:uuid:")),
        "{name:?}"
    );
    let der = certificate.to_der();
    for secret in [WHO, "example.com", "s1"] {
        assert!(
            !der.windows(secret.len()).any(|part| part == secret.as_bytes()),
            "{secret} is published"
        );
    }
    assert_eq!(certificate.sigstore_extension(8), Some(format!("{BASE}/email")));
    assert_eq!(
        named(&certified(&stack, &claims).await),
        name,
        "the same for the same"
    );
    let mut other = claims.clone();
    other["email"] = json!("other@example.com");
    assert_ne!(named(&certified(&stack, &other).await), name);
    let looked = stack.ca.explain(Asker::Anyone, token).await.unwrap();
    assert_eq!(looked.certificate.unwrap().subject_alternative_name, name.text());
}

/// A stranger with somebody's old token must not learn which pseudonym is theirs.
#[tokio::test]
async fn pseudonyms_are_told_to_their_owners() {
    let (stack, _) = private(&json!({"pseudonym": true}));
    let claims = stack.claims();
    let name = named(&certified(&stack, &claims).await).text();
    let good = stack.token(&claims);
    let (mut expired, mut other) = (claims.clone(), claims.clone());
    expired["exp"] = json!(START - 1);
    other["aud"] = json!("another service");
    for token in [
        stack.token(&expired),
        stack.token(&other),
        format!("{}AAAA", &good[..good.len() - 4]),
    ] {
        let told = stack.ca.explain(Asker::Anyone, token).await.unwrap();
        assert!(!format!("{told:?}").contains(&name), "{told:?}");
    }
}

#[tokio::test]
async fn without_pseudonyms_there_is_no_certificate() {
    let (stack, names) = private(&json!({"pseudonym": true}));
    *names.fails.lock().unwrap() = true;
    let answer = stack.sign_in(&stack.token(&stack.claims()), WHO).await;
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        answer.text()
    );
    assert!(
        !answer.text().contains("secret cause") && !answer.text().contains(WHO),
        "{}",
        answer.text()
    );
    assert_retry_after(&answer);
    assert_eq!(stack.log.calls(), 0, "nothing was logged");
    // Whoever does not hold the key makes no pseudonym.
    *names.fails.lock().unwrap() = false;
    let answer = stack
        .sign_in(&stack.token(&stack.claims()), "somebody else")
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    assert!(names.known.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_template_names_a_team_and_what_is_listed_stays() {
    let privacy = json!({"subject-alternative-name-template": "https://acme.example/teams/{{ .team }}", "extensions": ["subject"]});
    let (stack, _) = private(&privacy);
    let mut claims = stack.claims();
    claims["team"] = json!("red");
    let certificate = certified(&stack, &claims).await;
    assert_eq!(
        named(&certificate),
        SubjectAltName::Uri("https://acme.example/teams/red".to_owned())
    );
    assert_eq!(certificate.sigstore_extension(24).as_deref(), Some("s1"));
    let token = stack.token(&stack.claims());
    let answer = stack.sign_in(&token, WHO).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    assert!(
        answer.message().contains("no entry for key \"team\""),
        "{}",
        answer.text()
    );
    let (stack, _) = private(&json!({"subject-alternative-name-template": "{{ .team }}@acme.example"}));
    let certificate = certified(&stack, &claims).await;
    assert_eq!(
        named(&certificate),
        SubjectAltName::Email("red@acme.example".to_owned())
    );
    assert_eq!(certificate.sigstore_extension(24), None);
}

#[tokio::test]
async fn a_name_may_stay_and_the_rest_go() {
    let (stack, _) = private(&json!({"extensions": []}));
    let certificate = certified(&stack, &stack.claims()).await;
    assert_eq!(named(&certificate), SubjectAltName::Email(WHO.to_owned()));
    assert_eq!(certificate.sigstore_extension(24), None);
    assert_eq!(certificate.sigstore_extension(1), Some(format!("{BASE}/email")));
}
