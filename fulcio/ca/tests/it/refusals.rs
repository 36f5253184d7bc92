//! What is refused: the documented status, what was expected and what came, no call of the log, and no token
//! text in any answer.

use common_pki::key::{KeyAlgorithm, Signer as _};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::*;

const TOKEN: &str = "There was an error processing the identity token";
const KEY: &str = "The public key supplied in the request";

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
        &["exp: expected a time after"],
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
    let header = json!({"alg": "RS256", "kid": "k1", "crit": ["b64"], "b64": false});
    let token = sign_token(&header, &stack.claims(), |message| {
        stack.token_key.sign("RS256", message)
    });
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_refused(&answer, &token, TOKEN, &["crit"]);
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

#[tokio::test]
async fn token_bombs_cost_nothing() {
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
        assert!(start.elapsed() < std::time::Duration::from_secs(2));
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
async fn possession_is_demanded() {
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    let first = "The signature supplied in the request could not be verified";
    // Over the subject instead of the address.
    let answer = stack.sign_in(&token, "s1").await;
    assert_refused(
        &answer,
        &token,
        first,
        &["expected a signature by the private half of the key over \"dev@example.com\""],
    );
    // By another key.
    let (client, other) = (
        Client::new(KeyAlgorithm::EcdsaP256),
        Client::new(KeyAlgorithm::EcdsaP256),
    );
    let mut body = client.body(&token, "dev@example.com");
    body["publicKeyRequest"]["publicKey"]["content"] = json!(other.0.public_key().to_pem());
    let answer = stack.post("/api/v2/signingCert", &[], body.to_string()).await;
    assert_refused(&answer, &token, first, &["got invalid signature"]);
    // None at all.
    let mut body = client.body(&token, "dev@example.com");
    body["publicKeyRequest"]
        .as_object_mut()
        .unwrap()
        .remove("proofOfPossession");
    let answer = stack.post("/api/v2/signingCert", &[], body.to_string()).await;
    assert_refused(&answer, &token, first, &[]);
    // No key at all.
    let answer = stack
        .post(
            "/api/v2/signingCert",
            &[],
            json!({"credentials": {"oidcIdentityToken": token}}).to_string(),
        )
        .await;
    assert_refused(&answer, &token, KEY, &["got neither"]);
    assert_eq!(stack.log.calls(), 0);
}

/// SubjectPublicKeyInfo of an RSA key from its numbers.
fn rsa_spki(n: &[u8], e: &[u8]) -> Vec<u8> {
    fn tlv(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match body.len() {
            len @ 0..=127 => out.push(len as u8),
            len @ 128..=255 => out.extend([0x81, len as u8]),
            len => out.extend([0x82, (len >> 8) as u8, len as u8]),
        }
        out.extend(body);
        out
    }
    let integer = |bytes: &[u8]| {
        let sign: &[u8] = if bytes[0] & 0x80 != 0 { &[0] } else { &[] };
        tlv(2, &[sign, bytes].concat())
    };
    let key = tlv(0x30, &[integer(n), integer(e)].concat());
    let algorithm = [
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    tlv(
        0x30,
        &[algorithm.to_vec(), tlv(3, &[&[0][..], &key].concat())].concat(),
    )
}

#[tokio::test]
async fn weak_keys() {
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    let client = Client::new(KeyAlgorithm::Rsa2048);
    let spki = client.0.public_key().spki_der().to_vec();
    // The modulus of a real key: the last 5 octets are the exponent, before it 257 of the modulus.
    let modulus = spki[spki.len() - 5 - 256..spki.len() - 5].to_vec();
    let mut small = modulus[..128].to_vec();
    small[127] |= 1;
    for spki in [rsa_spki(&small, &[1, 0, 1]), rsa_spki(&modulus, &[3])] {
        let mut body = client.body(&token, "dev@example.com");
        body["publicKeyRequest"]["publicKey"]["content"] =
            json!(common_pki::pem::encode("PUBLIC KEY", &spki));
        let answer = stack.post("/api/v2/signingCert", &[], body.to_string()).await;
        assert_refused(
            &answer,
            &token,
            "The public key supplied in the request is insecure",
            &[],
        );
    }
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

#[tokio::test]
async fn leniency_of_the_gateway() {
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    let client = Client::new(KeyAlgorithm::EcdsaP256);
    let camel = client.body(&token, "dev@example.com");
    let proof = camel["publicKeyRequest"]["proofOfPossession"]
        .as_str()
        .unwrap()
        .to_owned();
    let url_safe = proof.replace('+', "-").replace('/', "_").replace('=', "");
    let pem = client.0.public_key().to_pem();
    let bodies = [
        json!({"credentials": {"oidc_identity_token": token}, "public_key_request":
            {"public_key": {"algorithm": "RSA", "content": pem}, "proof_of_possession": proof}}),
        json!({"credentials": {"oidcIdentityToken": token}, "publicKeyRequest":
            {"publicKey": {"algorithm": 2, "content": pem}, "proofOfPossession": url_safe}}),
        json!({"credentials": {"oidcIdentityToken": token, "later": 1}, "unknown": [1], "certificateSigningRequest": null,
            "publicKeyRequest": {"publicKey": {"content": pem}, "proofOfPossession": proof}}),
    ];
    for body in bodies {
        let accept = [
            ("accept", "application/pem-certificate-chain"),
            ("content-type", "text/plain"),
        ];
        let answer = stack.post("/api/v2/signingCert", &accept, body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    // Not lenient: two names of one member, two members of the oneof.
    let mut twice = camel.clone();
    twice["public_key_request"] = json!({});
    let answer = stack.post("/api/v2/signingCert", &[], twice.to_string()).await;
    assert_refused(&answer, &token, "publicKeyRequest: expected one member", &[]);
    let mut both = camel;
    both["certificateSigningRequest"] = json!("AAAA");
    let answer = stack.post("/api/v2/signingCert", &[], both.to_string()).await;
    assert_refused(
        &answer,
        &token,
        "key: expected one of publicKeyRequest and certificateSigningRequest, got both",
        &[],
    );
}

/// Every place in the document, with every wrong kind of value.
fn mutations(value: &Value) -> Vec<(String, Value)> {
    fn walk(at: &str, value: &Value, rebuild: &dyn Fn(Value) -> Value, out: &mut Vec<(String, Value)>) {
        let wrong = [
            json!(true),
            json!(1.5),
            json!("%"),
            json!([]),
            json!({}),
            json!([[]]),
            json!({"a": {}}),
        ];
        for replacement in wrong {
            out.push((format!("{at} := {replacement}"), rebuild(replacement)));
        }
        if let Value::Object(members) = value {
            for (name, member) in members {
                let inner = |replacement: Value| {
                    let mut copy = members.clone();
                    copy.insert(name.clone(), replacement);
                    rebuild(Value::Object(copy))
                };
                walk(&format!("{at}.{name}"), member, &inner, out);
                let mut copy = members.clone();
                copy.remove(name);
                out.push((format!("{at} - {name}"), rebuild(Value::Object(copy))));
            }
        }
    }
    let mut out = Vec::new();
    walk("", value, &|value| value, &mut out);
    out
}

#[tokio::test]
async fn malformed_at_every_field() {
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    let client = Client::new(KeyAlgorithm::EcdsaP256);
    let csr_body = json!({"credentials": {"oidcIdentityToken": token}, "certificateSigningRequest": "AAAA"});
    let mut tried = 0;
    for original in [client.body(&token, "dev@example.com"), csr_body] {
        for (what, body) in mutations(&original) {
            let answer = stack.post("/api/v2/signingCert", &[], body.to_string()).await;
            let harmless = what.contains("algorithm") || what.contains("oidcIdentityToken := {}");
            if answer.status == StatusCode::OK {
                assert!(harmless, "accepted: {what}");
                continue;
            }
            assert_refused(&answer, &token, "", &["expected"]);
            tried += 1;
        }
    }
    assert!(tried > 70, "{tried}");
    let accepted = stack.log.calls();
    // The text itself cut short, and noise.
    let text = client.body(&token, "dev@example.com").to_string();
    for end in (1..text.len()).step_by(17) {
        let answer = stack
            .post("/api/v2/signingCert", &[], text[..end].to_owned())
            .await;
        assert_refused(
            &answer,
            &token,
            "request body: expected a JSON object with no member twice, got invalid JSON at line 1",
            &[],
        );
    }
    for body in [
        &b"\xff\xfe"[..],
        b"{}{}",
        b"null",
        b"[]",
        b"\"\"",
        b"{\"credentials\":\"x\"}",
        b"{\"credentials\":{},\"credentials\":{}}",
        b"{\"other\":[{\"a\":1,\"a\":1}]}",
        b"[[[[[[[[",
    ] {
        let answer = stack.post("/api/v2/signingCert", &[], body.to_vec()).await;
        assert_refused(&answer, &token, "", &["expected"]);
    }
    // A token in the wrong place does not come back.
    for body in [
        json!({"credentials": token}),
        json!({"publicKeyRequest": token}),
        json!(token),
    ] {
        let answer = stack.post("/api/v2/signingCert", &[], body.to_string()).await;
        assert_refused(&answer, &token, "", &["got a string"]);
    }
    assert_eq!(stack.log.calls(), accepted);
}

#[tokio::test]
async fn bodies_over_the_limit() {
    let stack = Stack::new();
    let body = vec![b' '; (4 << 20) + 1];
    let answer = stack.post("/api/v2/signingCert", &[], body).await;
    assert_refused(&answer, "", "request body: expected at most 4194304 bytes", &[]);
    let body = vec![b' '; 4 << 20];
    let answer = stack.post("/api/v2/signingCert", &[], body).await;
    assert_refused(&answer, "", TOKEN, &[]);
}

#[tokio::test]
async fn wrong_methods_and_other_paths() {
    let stack = Stack::new();
    let answer = stack.get("/api/v2/signingCert").await;
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(
        answer.json(),
        json!({"code": 12, "message": "Method Not Allowed", "details": []})
    );
    // The rest of the origin belongs to others: the fallback is axum's bare 404.
    let answer = stack.get("/elsewhere").await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_FOUND, 0));
    let answer = stack
        .post(
            "/nobody.Service/Method",
            &[("content-type", "application/grpc")],
            "",
        )
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let preflight = http::Request::options("/api/v2/signingCert")
        .header("origin", "https://page.example")
        .header("access-control-request-method", "POST")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = stack.send(preflight).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn nothing_leaves_without_the_log() {
    let cases = [
        (LogMood::Unavailable, StatusCode::SERVICE_UNAVAILABLE, 14),
        (LogMood::Refusing, StatusCode::INTERNAL_SERVER_ERROR, 13),
        (LogMood::Forging, StatusCode::INTERNAL_SERVER_ERROR, 13),
        (LogMood::Mixing, StatusCode::INTERNAL_SERVER_ERROR, 13),
        (LogMood::Garbling, StatusCode::INTERNAL_SERVER_ERROR, 13),
    ];
    for (mood, status, code) in cases {
        let stack = Stack::new();
        *stack.log.mood.lock().unwrap() = mood;
        let token = stack.token(&stack.claims());
        let answer = stack.sign_in(&token, "dev@example.com").await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.json()["code"], code);
        assert!(
            answer.message().starts_with("Error entering certificate in CTL"),
            "{}",
            answer.text()
        );
        assert!(!answer.text().contains("secret cause"), "{}", answer.text());
        assert!(!answer.text().contains("CERTIFICATE"));
    }
}

#[tokio::test]
async fn a_key_may_come_in_pkcs1() {
    // Upstream's cryptoutils reads `RSA PUBLIC KEY` blocks too.
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    let client = Client::new(KeyAlgorithm::Rsa2048);
    let mut body = client.body(&token, "dev@example.com");
    let pkcs1 = client.0.public_key().subject_public_key().to_vec();
    let pem = |label: &str, der: &[u8]| json!(common_pki::pem::encode(label, der));
    body["publicKeyRequest"]["publicKey"]["content"] = pem("RSA PUBLIC KEY", &pkcs1);
    let answer = stack.post("/api/v2/signingCert", &[], body.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    for (label, der) in [
        ("RSA PUBLIC KEY", &pkcs1[1..]),
        ("PRIVATE KEY", &pkcs1[..]),
        ("CERTIFICATE", &pkcs1[..]),
    ] {
        body["publicKeyRequest"]["publicKey"]["content"] = pem(label, der);
        let answer = stack.post("/api/v2/signingCert", &[], body.to_string()).await;
        assert_refused(
            &answer,
            &token,
            KEY,
            &["could not be parsed: expected a SubjectPublicKeyInfo"],
        );
    }
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
