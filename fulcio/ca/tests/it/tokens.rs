//! Tokens that are refused: the documented status, what was expected and what came, no call of the log, and
//! no token text in any answer or log line.

use common_pki::key::KeyAlgorithm;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::*;

const TOKEN: &str = "There was an error processing the identity token";

async fn refuse_claims(change: impl FnOnce(&mut Value), parts: &[&str]) {
    let stack = Stack::new();
    let mut claims = stack.claims();
    change(&mut claims);
    let token = stack.token(&claims);
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_refused(&answer, &token, TOKEN, parts);
    assert_eq!(stack.log.calls(), 0);
}

#[tokio::test]
async fn expired_to_the_second() {
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    stack.clock.advance(std::time::Duration::from_secs(299));
    assert_eq!(
        stack.sign_in(&token, "dev@example.com").await.status,
        StatusCode::OK
    );
    stack.clock.advance(std::time::Duration::from_secs(1));
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_refused(
        &answer,
        &token,
        TOKEN,
        &[
            "exp: expected a time after 2026-11-22T12:05:00Z",
            "got 2026-11-22T12:05:00Z",
        ],
    );
    assert_eq!(stack.log.calls(), 1);
}

#[tokio::test]
async fn claims_that_do_not_pass() {
    let now = START;
    refuse_claims(
        |claims| claims["exp"] = json!(null),
        &["exp: expected a time", "got none"],
    )
    .await;
    refuse_claims(
        |claims| claims["exp"] = json!("soon"),
        &["exp: expected a time", "got \"soon\""],
    )
    .await;
    refuse_claims(
        |claims| claims["exp"] = json!(-1e300),
        &["exp: expected a time in seconds since 1970, got -1e"],
    )
    .await;
    refuse_claims(
        |claims| claims["exp"] = json!(1e300),
        &["exp: expected a time in seconds since 1970, got 1e"],
    )
    .await;
    refuse_claims(
        |claims| claims["iat"] = json!("now"),
        &["iat: expected a time in seconds since 1970, got \"now\""],
    )
    .await;
    refuse_claims(
        |claims| claims["nbf"] = json!(now + 301),
        &["nbf: expected a time no later than", "12:05:01Z"],
    )
    .await;
    refuse_claims(
        |claims| claims["aud"] = json!("x"),
        &["audience: expected \"sigstore\", got \"x\""],
    )
    .await;
    refuse_claims(
        |claims| claims["aud"] = json!(["x", "y"]),
        &["audience: expected \"sigstore\", got [\"x\", \"y\"]"],
    )
    .await;
    refuse_claims(
        |claims| claims["aud"] = json!(["sigstore", 7]),
        &["audience: expected \"sigstore\", got an array"],
    )
    .await;
    refuse_claims(
        |claims| claims["aud"] = json!(null),
        &["audience: expected \"sigstore\", got none"],
    )
    .await;
    refuse_claims(
        |claims| claims["aud"] = json!({"sigstore": 1}),
        &["got an object"],
    )
    .await;
    refuse_claims(
        |claims| claims["iss"] = json!("https://unknown.example"),
        &[
            "iss: expected a configured issuer",
            "got \"https://unknown.example\"",
        ],
    )
    .await;
    refuse_claims(
        |claims| claims["iss"] = json!(format!("{BASE}/email/")),
        &["iss: expected a configured issuer"],
    )
    .await;
    refuse_claims(
        |claims| claims["iss"] = json!(7),
        &["iss: expected a string, got 7"],
    )
    .await;
    refuse_claims(
        |claims| claims["email_verified"] = json!(false),
        &["email_verified: expected true"],
    )
    .await;
    refuse_claims(
        |claims| claims["email_verified"] = json!(null),
        &["email_verified: expected true"],
    )
    .await;
    refuse_claims(
        |claims| claims["email_verified"] = json!("TRUE"),
        &["email_verified: expected true, got \"TRUE\""],
    )
    .await;
    refuse_claims(
        |claims| claims["email_verified"] = json!("yes"),
        &["email_verified: expected true, got \"yes\""],
    )
    .await;
    refuse_claims(
        |claims| claims["email"] = json!(["dev@example.com"]),
        &["email: expected a string"],
    )
    .await;
    refuse_claims(
        |claims| claims["email"] = json!(""),
        &["email: expected a string, got none"],
    )
    .await;
    refuse_claims(
        |claims| claims["sub"] = json!(1),
        &["sub: expected a string, got 1"],
    )
    .await;
}

#[tokio::test]
async fn addresses_that_are_none() {
    let long_local = format!("{}@example.com", "a".repeat(65));
    let long = format!("a@{}.com", "b".repeat(260));
    for email in [
        "dev",
        "dev@",
        "@example.com",
        "dev@example",
        "dev @example.com",
        "dev@exa mple.com",
        "dev@example.com\n",
        "dev@example.com\0",
        "a@b@example.com",
        ".dev@example.com",
        "dev.@example.com",
        "d..v@example.com",
        "dev@-example.com",
        "dev@example-.com",
        "dev@example.c0",
        "dev@.example.com",
        "dev@example..com",
        "\"a b\"@example.com",
        "<dev@example.com>",
        "dev@[127.0.0.1]",
        long_local.as_str(),
        long.as_str(),
    ] {
        refuse_claims(
            |claims| claims["email"] = json!(email),
            &["email: expected an address"],
        )
        .await;
    }
    for email in [
        "a@b.c",
        "first.last+tag@sub.example.co",
        "o'neil_x@a-b.example",
        "x@1.example",
    ] {
        let stack = Stack::new();
        let mut claims = stack.claims();
        claims["email"] = json!(email);
        let answer = stack.sign_in(&stack.token(&claims), email).await;
        assert_eq!(answer.status, StatusCode::OK, "{email}: {}", answer.text());
    }
}

#[tokio::test]
async fn address_outside_ascii_is_a_client_error() {
    // Go's x509 fails to encode it and upstream says so; it must not be a 500.
    let stack = Stack::new();
    let mut claims = stack.claims();
    claims["email"] = json!("dév@example.com");
    let token = stack.token(&claims);
    let answer = stack.sign_in(&token, "dév@example.com").await;
    assert_refused(
        &answer,
        &token,
        "x509: \"dév@example.com\" cannot be encoded as an IA5String",
        &[],
    );
}

#[tokio::test]
async fn algorithm_none_and_shared_secrets() {
    let stack = Stack::new();
    let pem = stack.token_key.public_pem();
    let hmac = |message: &[u8]| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, pem.as_bytes());
        aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
    };
    for (alg, signature) in [("none", vec![]), ("None", vec![]), ("", vec![])] {
        let token = sign_token(&json!({"alg": alg}), &stack.claims(), |_| signature);
        let answer = stack.sign_in(&token, "dev@example.com").await;
        assert_refused(
            &answer,
            &token,
            TOKEN,
            &["alg: expected one of RS256", &format!("got {alg:?}")],
        );
    }
    let token = sign_token(&json!({"alg": "HS256", "kid": "k1"}), &stack.claims(), hmac);
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_refused(&answer, &token, TOKEN, &["alg: expected one of", "got \"HS256\""]);
    // The HMAC under the name of the real algorithm does not verify either.
    let token = sign_token(&json!({"alg": "RS256", "kid": "k1"}), &stack.claims(), hmac);
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_refused(&answer, &token, TOKEN, &["signature: expected one by a key of"]);
    assert_eq!(stack.log.calls(), 0);
}

#[tokio::test]
async fn key_families_are_not_mixed() {
    let stack = Stack::new();
    let sign = |message: &[u8]| stack.token_key.sign("RS512", message);
    // RS512 is not in the issuer's list, which says RS256.
    let token = sign_token(&json!({"alg": "RS512", "kid": "k1"}), &stack.claims(), sign);
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_refused(
        &answer,
        &token,
        TOKEN,
        &["alg: expected one of RS256, got \"RS512\""],
    );
    // A key offered by the token itself is not looked at.
    let own = TokenKey::rsa();
    let header = json!({"alg": "RS256", "kid": "k1", "jwk": own.jwk("k1"), "jku": format!("{BASE}/evil")});
    let token = sign_token(&header, &stack.claims(), |message| own.sign("RS256", message));
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_refused(&answer, &token, TOKEN, &["signature: expected one by a key of"]);
    // RFC 7515 §4.1.11.
    for header in [
        json!({"alg": "RS256", "kid": "k1", "crit": ["b64"], "b64": false}),
        json!({"alg": "RS256", "kid": "k1", "crit": []}),
    ] {
        let token = sign_token(&header, &stack.claims(), |message| {
            stack.token_key.sign("RS256", message)
        });
        let answer = stack.sign_in(&token, "dev@example.com").await;
        assert_refused(&answer, &token, TOKEN, &["crit"]);
    }
}

/// RFC 7515 §4.1.11: it is the parameter's presence that counts, and `null` is no list that could be understood.
#[tokio::test]
async fn a_critical_parameter_of_null_is_one() {
    let stack = Stack::new();
    let header = json!({"alg": "RS256", "kid": "k1", "crit": null});
    let token = sign_token(&header, &stack.claims(), |message| {
        stack.token_key.sign("RS256", message)
    });
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_refused(
        &answer,
        &token,
        TOKEN,
        &["expected no critical extensions, got crit"],
    );
}

#[tokio::test]
async fn every_signature_algorithm_verifies() {
    let cases = [
        ("RS256", TokenKey::rsa()),
        ("RS384", TokenKey::rsa()),
        ("RS512", TokenKey::rsa()),
        ("PS256", TokenKey::rsa()),
        ("PS384", TokenKey::rsa()),
        ("PS512", TokenKey::rsa()),
        ("ES256", TokenKey::ec("P-256")),
        ("ES384", TokenKey::ec("P-384")),
        ("ES512", TokenKey::ec("P-521")),
        ("EdDSA", TokenKey::ed()),
    ];
    let stack = Stack::new();
    for (alg, key) in &cases {
        let fresh = Stack::new();
        let issuer = format!("{BASE}/email");
        fresh.web.publish(
            &issuer,
            &json!([stack.token_key.jwk("other"), key.jwk("k")]),
            &[alg],
        );
        let token = sign_token(&json!({"alg": alg, "kid": "k"}), &fresh.claims(), |m| {
            key.sign(alg, m)
        });
        let answer = fresh.sign_in(&token, "dev@example.com").await;
        assert_eq!(answer.status, StatusCode::OK, "{alg}: {}", answer.text());
        // Every other name with the same key and bytes is refused.
        for (other, _) in &cases {
            if other != alg {
                let token = sign_token(&json!({"alg": other, "kid": "k"}), &fresh.claims(), |m| {
                    key.sign(alg, m)
                });
                let answer = fresh.sign_in(&token, "dev@example.com").await;
                assert_refused(&answer, &token, TOKEN, &[]);
            }
        }
    }
}

/// SPIFFE Trust Domain and Bundle §4.2.2: a trust bundle names the use of its keys in its own words.
#[tokio::test]
async fn keys_of_a_spiffe_trust_bundle_verify_and_others_of_it_do_not() {
    let key = TokenKey::ec("P-256");
    for (usage, wanted) in [
        ("jwt-svid", StatusCode::OK),
        ("x509-svid", StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let stack = Stack::new();
        let mut jwk = key.jwk("k");
        jwk["use"] = json!(usage);
        stack
            .web
            .publish(&format!("{BASE}/email"), &json!([jwk]), &["ES256"]);
        let token = sign_token(
            &json!({"alg": "ES256", "kid": "k", "typ": "JWT"}),
            &stack.claims(),
            |m| key.sign("ES256", m),
        );
        let answer = stack.sign_in(&token, "dev@example.com").await;
        assert_eq!(answer.status, wanted, "{usage}: {}", answer.text());
    }
}

#[tokio::test]
async fn ghsa_f83f_xpx7_ffpw_token_bombs_cost_nothing() {
    let stack = Stack::new();
    let claims = segment(&stack.claims());
    let cases = [
        (
            ".".repeat(3 << 20),
            "token: expected at most 16384 bytes, got 3145728",
        ),
        (
            ".".repeat(16 * 1024),
            "token: expected a signed JWT of 3 segments, got 16385",
        ),
        ("a.b".to_owned(), "got 2"),
        (format!("{claims}.{claims}.{claims}.{claims}"), "got 4"),
        ("é.é.é".to_owned(), "token header: expected base64url"),
        (
            format!("{claims}.e30=.AAAA"),
            "token header: expected a JSON object",
        ),
        ("..".to_owned(), "token header: expected a JSON object"),
        (
            format!("{}.{}.!", segment(&json!({"alg": "RS256"})), claims),
            "token signature: expected base64url",
        ),
        (
            format!(
                "{}.{}.AA",
                segment(&json!({"alg": "RS256"})),
                segment(&json!([1]))
            ),
            "token payload: expected a JSON object",
        ),
        (
            format!("{}.{}.AA", segment(&json!({"alg": 1})), claims),
            "token header: expected a JSON object",
        ),
    ];
    for (token, part) in cases {
        let start = std::time::Instant::now();
        let answer = stack.sign_in(&token, "x").await;
        assert_refused(&answer, &token, TOKEN, &[part]);
        // The other tests of this process share the processor pool.
        assert!(start.elapsed() < std::time::Duration::from_secs(20));
    }
    // Deep nesting stops at the parser's limit, not at the stack's.
    use base64::Engine as _;
    let deep = format!("{{\"a\":{}", "[".repeat(8_000));
    let deep = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(deep);
    let token = format!("{}.{deep}.AA", segment(&json!({"alg": "RS256"})));
    let answer = stack.sign_in(&token, "x").await;
    assert_refused(&answer, &token, TOKEN, &["token payload"]);
    assert_eq!(stack.web.reads(), 0);
    assert_eq!(stack.log.calls(), 0);
}

#[tokio::test]
async fn the_token_may_come_in_the_header() {
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    let client = Client::new(KeyAlgorithm::EcdsaP256);
    let mut body = client.body(&token, "dev@example.com");
    body.as_object_mut().unwrap().remove("credentials");
    let body = body.to_string();
    for value in [
        format!("Bearer {token}"),
        format!("bearer {token}"),
        token.clone(),
    ] {
        let answer = stack
            .post("/api/v2/signingCert", &[("authorization", &value)], body.clone())
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    let answer = stack.post("/api/v2/signingCert", &[], body.clone()).await;
    assert_refused(&answer, &token, TOKEN, &["got none"]);
    let bearer = format!("Bearer {token}");
    let twice = [
        ("authorization", bearer.as_str()),
        ("authorization", bearer.as_str()),
    ];
    let answer = stack.post("/api/v2/signingCert", &twice, body.clone()).await;
    assert_refused(
        &answer,
        &token,
        TOKEN,
        &["expected exactly one Authorization header, got 2"],
    );
    let bomb = format!("Bearer {}", ".".repeat(60_000));
    let answer = stack
        .post("/api/v2/signingCert", &[("authorization", &bomb)], body)
        .await;
    assert_refused(&answer, &token, TOKEN, &["expected at most 16384 bytes"]);
}

/// Every log line of this process from now on. Global, because a scoped subscriber misses call sites that
/// another test's thread has met without one.
static LINES: std::sync::Mutex<Vec<u8>> = std::sync::Mutex::new(Vec::new());

struct Lines;

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn tokens_are_not_logged() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(|| Lines)
        .init();
    let stack = Stack::new();
    let good = stack.token(&stack.claims());
    let mut late = stack.claims();
    late["exp"] = json!(1);
    let late = stack.token(&late);
    let broken = format!("{good}AAAA");
    for token in [&good, &late, &broken] {
        stack.sign_in(token, "dev@example.com").await;
        stack.sign_in(token, "someone else").await;
        stack
            .post(
                "/api/v2/signingCert",
                &[],
                json!({"credentials": token}).to_string(),
            )
            .await;
    }
    let text = String::from_utf8_lossy(&LINES.lock().unwrap()).into_owned();
    assert!(
        text.contains("no certificate issued") && text.contains("exp: expected a time after"),
        "{text}"
    );
    for token in [good, late, broken] {
        assert!(token.split('.').all(|segment| !text.contains(segment)), "{text}");
    }
}
