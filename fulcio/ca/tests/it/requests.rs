//! Requests that are refused for anything but their token: keys, proofs, bodies, methods, the log. And the
//! leniency clients rely on.

use common_pki::key::{KeyAlgorithm, Signer as _};
use http::StatusCode;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::*;

const TOKEN: &str = "There was an error processing the identity token";
const KEY: &str = "The public key supplied in the request";

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
    assert_refused(
        &answer,
        &token,
        "request body: expected a JSON object with no member twice, got a member twice at line 1",
        &[],
    );
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
async fn a_known_member_may_not_come_twice_and_unknown_ones_are_read_over() {
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    let twice = [
        r#"{"credentials":null,"credentials":null}"#,
        r#"{"publicKeyRequest":{},"public_key_request":{}}"#,
        r#"{"publicKeyRequest":{"publicKey":{"content":"a","content":"b"}}}"#,
        r#"{"publicKeyRequest":{"proof_of_possession":"","proofOfPossession":""}}"#,
        r#"{"credentials":{"oidcIdentityToken":"a","oidc_identity_token":"b"}}"#,
    ];
    for body in twice {
        let answer = stack.post("/api/v2/signingCert", &[], body).await;
        assert_refused(
            &answer,
            "",
            "request body: expected a JSON object with no member twice, got a member twice",
            &[],
        );
    }
    let legacy = r#"{"signedEmailAddress":"","signed_email_address":""}"#;
    let answer = stack.post("/api/v1/signingCert", &[], legacy).await;
    assert_refused(
        &answer,
        "",
        "request body: expected a JSON object with no member twice",
        &[],
    );
    // As large as a body may be, and nothing of it kept: a tree of these arrays would be a hundred times as large.
    let client = Client::new(KeyAlgorithm::EcdsaP256);
    let known = client.body(&token, "dev@example.com").to_string();
    let filler = format!("{{\"other\":[{}[]],", "[],".repeat(1_390_000));
    let body = known.replacen('{', &filler, 1);
    assert!(body.len() > (4 << 20) - 40_000);
    let answer = stack.post("/api/v2/signingCert", &[], body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

#[tokio::test]
async fn large_bodies_take_turns() {
    let stack = Stack::new();
    let large = || vec![b' '; 300 * 1024];
    let held: Vec<_> = (0..16)
        .map(|_| {
            let request = http::Request::post("/api/v2/signingCert");
            let request = request.body(unfinished(large())).unwrap();
            tokio::spawn(stack.router.clone().oneshot(request))
        })
        .collect();
    tokio::task::yield_now().await;
    let answer = stack.post("/api/v2/signingCert", &[], large()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_retry_after(&answer);
    assert_eq!(answer.json()["code"], 14);
    // Requests as clients send them have no part in this.
    let token = stack.token(&stack.claims());
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    for request in held {
        request.abort();
        let _ = request.await;
    }
    let answer = stack.post("/api/v2/signingCert", &[], large()).await;
    assert_refused(&answer, "", TOKEN, &["got none"]);
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
