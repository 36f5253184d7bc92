//! Bad input gets its documented 4xx, leaves no trace in any log, and no token comes back.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};
use tests::entries::{Key, mutations};
use tests::log;
use tests::stack::Stack;
use tests::{ok, sigbox};

const WHO: &str = "dev@example.com";

/// Sizes of the certificate log and of both Rekors.
async fn sizes(stack: &Stack) -> [u64; 3] {
    let ct = log::json(stack, "/ct/v1/get-sth").await["tree_size"]
        .as_u64()
        .unwrap();
    [ct, log::head(stack).await.size, log::v2_head(stack).await.size]
}

async fn post(stack: &Stack, path: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
    let request = stack
        .http
        .post(stack.url(path))
        .header("content-type", "application/json");
    let answer = request.body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A token with the claims given, signed by the development issuer.
fn token_of(stack: &Stack, claims: &Value) -> String {
    let path = stack.file("claims.json", claims.to_string());
    let mut command = std::process::Command::new(sigbox());
    command
        .args(["token", "--url", &stack.ready.url, "--claims"])
        .arg(path);
    ok(&mut command).stdout.trim().to_owned()
}

/// `token` with its header replaced, and a signature of the caller's.
fn forge(token: &str, header: &Value, signature: &[u8]) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    format!(
        "{}.{payload}.{}",
        encode(header.to_string().as_bytes()),
        encode(signature)
    )
}

/// No part of a token that somebody could use: its payload and its signature.
fn no_token_in(text: &str, token: &str, where_: &str) {
    for part in token.split('.').skip(1).filter(|p| p.len() > 8) {
        assert!(!text.contains(part), "a token came back in {where_}: {text}");
    }
}

#[tokio::test]
async fn tokens_that_prove_nothing_are_refused_and_never_repeated() {
    let stack = Stack::ephemeral();
    let good = stack.token(WHO);
    let claims = |change: Value| {
        let mut claims = json!({"email": WHO, "email_verified": true, "sub": WHO});
        claims
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        token_of(&stack, &claims)
    };
    // The issuer's public key as an HMAC secret: the classic confusion of RS256 with HS256.
    let jwks = stack
        .http
        .get(stack.url("/oidc/keys"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, jwks.as_bytes());
    let mac = aws_lc_rs::hmac::sign(&secret, good.as_bytes());
    let other_issuer = {
        let payload = json!({"iss": "https://issuer.example", "sub": WHO, "aud": "sigstore", "email": WHO});
        let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
        parts[1] = BASE64_URL_SAFE_NO_PAD.encode(payload.to_string());
        parts.join(".")
    };
    let cases = [
        (
            "expired",
            claims(json!({"exp": 1_600_000_000, "iat": 1_599_999_000})),
            "expired",
        ),
        (
            "wrong audience",
            claims(json!({"aud": "somebody-else"})),
            "expected \"sigstore\", got \"somebody-else\"",
        ),
        (
            "unverified email",
            claims(json!({"email_verified": false})),
            "email_verified",
        ),
        ("unknown issuer", other_issuer, "https://issuer.example"),
        ("alg none", forge(&good, &json!({"alg": "none"}), b""), "none"),
        (
            "alg HS256",
            forge(&good, &json!({"alg": "HS256", "typ": "JWT"}), mac.as_ref()),
            "HS256",
        ),
        ("no token", "not a token".to_owned(), "token"),
        ("empty", String::new(), "token"),
        ("a million dots", ".".repeat(1_000_000), "token"),
    ];
    let before = sizes(&stack).await;
    for (name, token, because) in &cases {
        let request = Key::generate().certificate(token, WHO);
        let (status, text) = post(&stack, "/api/v2/signingCert", request.to_string()).await;
        assert_eq!(status, 400, "{name}: {text}");
        assert!(
            text.contains("There was an error processing the identity token"),
            "{name}: {text}"
        );
        assert!(
            text.contains(&because.replace('"', "\\\"")),
            "{name} should say {because:?}: {text}"
        );
        no_token_in(&text, token, name);
        assert!(text.len() < 1024, "{name}: an answer of {} bytes", text.len());
    }
    assert_eq!(sizes(&stack).await, before, "nothing entered a log");
    for (name, token, _) in &cases {
        no_token_in(&stack.said(), token, &format!("the server's output after {name}"));
    }
    no_token_in(&stack.said(), &good, "the server's output");
}

#[tokio::test]
async fn keys_that_prove_nothing_are_refused() {
    let stack = Stack::ephemeral();
    let token = stack.token(WHO);
    let before = sizes(&stack).await;

    let (key, other) = (Key::generate(), Key::generate());
    let mut swapped = key.certificate(&token, WHO);
    swapped["publicKeyRequest"]["publicKey"]["content"] = json!(other.pem());
    let (status, text) = post(&stack, "/api/v2/signingCert", swapped.to_string()).await;
    assert_eq!(status, 400);
    assert!(
        text.contains("The signature supplied in the request could not be verified"),
        "{text}"
    );

    let elsewhere = key.certificate(&token, "other@example.com");
    assert_eq!(
        post(&stack, "/api/v2/signingCert", elsewhere.to_string()).await.0,
        400
    );

    let openssl = |args: &[&str]| {
        ok(std::process::Command::new("openssl")
            .args(args)
            .current_dir(stack.work.path()))
        .stdout
    };
    openssl(&["genrsa", "-out", "weak.pem", "1024"]);
    let mut weak = key.certificate(&token, WHO);
    weak["publicKeyRequest"]["publicKey"]["content"] = json!(openssl(&["rsa", "-in", "weak.pem", "-pubout"]));
    let (status, text) = post(&stack, "/api/v2/signingCert", weak.to_string()).await;
    assert_eq!(status, 400);
    assert!(
        text.contains("The public key supplied in the request is insecure"),
        "{text}"
    );
    assert!(text.contains("1024"), "says what came: {text}");

    assert_eq!(sizes(&stack).await, before, "nothing entered a log");
}

#[tokio::test]
async fn malformed_requests_get_a_4xx_at_every_field() {
    let stack = Stack::ephemeral();
    let key = Key::generate();
    let token = stack.token(WHO);
    let requests = [
        ("/api/v1/log/entries", key.v1(b"mutated")),
        ("/api/v2/log/entries", key.v2(b"mutated")),
        ("/api/v2/signingCert", key.certificate(&token, WHO)),
    ];
    let before = sizes(&stack).await;
    for (path, request) in &requests {
        for (what, changed) in mutations(request) {
            // The label of the key is ignored by Fulcio, upstream and here (sigstore-go sends "RSA", no enum value).
            if what.contains("/publicKey/algorithm") {
                continue;
            }
            let (status, text) = post(&stack, path, changed.to_string()).await;
            assert!(
                (400..500).contains(&status),
                "{path} with {what}: {status} {text}"
            );
            let answer: Value =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path} with {what}: {e}: {text}"));
            assert!(
                answer["message"].as_str().is_some_and(|m| !m.is_empty()),
                "{path} with {what}: {text}"
            );
            no_token_in(&text, &token, &what);
        }
        for broken in [
            "",
            "{",
            "null",
            "[]",
            "\"x\"",
            "{\"a\":",
            "\u{0}",
            &"[".repeat(100_000),
        ] {
            let (status, text) = post(&stack, path, broken.to_owned()).await;
            assert!(
                (400..500).contains(&status),
                "{path} with {:.20}: {status} {text}",
                broken
            );
        }
    }
    assert_eq!(sizes(&stack).await, before, "nothing entered a log");
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_before_they_are_read() {
    let stack = Stack::ephemeral();
    // Where upstream's gateway knows no 413, neither do we: rekor-tiles internal/server/http.go, fulcio cmd/app/http.go.
    for (path, limit, expected) in [
        ("/api/v1/log/entries", 32 << 20, 413),
        ("/api/v2/log/entries", 4 << 20, 400),
        ("/api/v2/signingCert", 4 << 20, 400),
        ("/api/v1/timestamp", 1 << 20, 413),
    ] {
        let (status, text) = post(&stack, path, vec![b' '; limit + (1 << 20)]).await;
        assert_eq!(status, expected, "{path}: {text}");
    }
}
