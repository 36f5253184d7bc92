//! Key services, each against a stand-in on loopback that answers as the service's documentation shows it. No real service was
//! asked: what these tests show is that requests and answers have the documented form.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common_pki::key::{LocalSigner, PublicKey};
use serde_json::{Value, json};

use super::*;
use crate::signer::guard::LIMIT;

struct Asked {
    line: String,
    headers: HashMap<String, String>,
    body: String,
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Answers every request with what `answer` makes of it, one connection each.
fn stand_in(answer: impl Fn(&Asked) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let mut headers = HashMap::new();
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).unwrap();
                let Some((name, value)) = header.trim().split_once(": ") else {
                    break;
                };
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
            let length = headers
                .get("content-length")
                .map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let asked = Asked {
                line: line.trim().to_owned(),
                headers,
                body: String::from_utf8(body).unwrap(),
            };
            let (status, text) = answer(&asked);
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            );
        }
    });
    format!("http://{address}")
}

fn with(values: &[(&str, &str)]) -> Keyring {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let values: HashMap<String, String> = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Keyring::new("/nonexistent", env(move |name| values.get(name).cloned()))
}

fn key(algorithm: KeyAlgorithm) -> (LocalSigner, PublicKey) {
    let (key, _) = LocalSigner::generate(algorithm).unwrap();
    let public = key.public_key().clone();
    (key, public)
}

/// The stand-ins hold a key, and a service signs digests: what was hashed is known to the test alone.
const MESSAGE: &[u8] = b"a message";

fn signs(key: &LocalSigner, public: &PublicKey, input: &str) -> Vec<u8> {
    let input = STANDARD
        .decode(input)
        .or_else(|_| URL_SAFE_NO_PAD.decode(input))
        .unwrap();
    let digest = public.default_hash().digest(MESSAGE);
    assert!(input == digest || input == MESSAGE, "signs what was to be signed");
    key.sign(MESSAGE).unwrap()
}

#[test]
fn aws_kms_signs() {
    for algorithm in [
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::Ed25519,
    ] {
        let (signer, public) = key(algorithm);
        let spki = STANDARD.encode(public.spki_der());
        let url = stand_in(move |asked| {
            assert_eq!(asked.line, "POST / HTTP/1.1");
            assert_eq!(asked.header("content-type"), "application/x-amz-json-1.1");
            let authorization = asked.header("authorization");
            assert!(
                authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID/")
                    && authorization.contains("/eu-north-1/kms/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature="),
                "{authorization}"
            );
            assert_eq!(asked.header("x-amz-security-token"), "SESSION");
            let request = asked.json();
            assert_eq!(request["KeyId"], "alias/ct-log");
            match asked.header("x-amz-target") {
                "TrentService.GetPublicKey" => (200, json!({ "PublicKey": spki }).to_string()),
                "TrentService.Sign" => {
                    let raw = algorithm == KeyAlgorithm::Ed25519;
                    assert_eq!(request["MessageType"], if raw { "RAW" } else { "DIGEST" });
                    let signature = signs(&signer, &public, request["Message"].as_str().unwrap());
                    (
                        200,
                        json!({ "Signature": STANDARD.encode(signature) }).to_string(),
                    )
                }
                other => (400, other.to_owned()),
            }
        });
        let keyring = with(&[
            ("AWS_ENDPOINT_URL_KMS", &url),
            ("AWS_REGION", "eu-north-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "SECRET"),
            ("AWS_SESSION_TOKEN", "SESSION"),
        ]);
        works(&*keyring.open("awskms:///alias/ct-log").unwrap());
        let (_, uri) = keyring
            .create("awskms:///alias/ct-log", "ct-log-1", algorithm)
            .unwrap();
        assert_eq!(uri, "awskms:///alias/ct-log");
        let error = keyring
            .create("awskms:///alias/ct-log", "x", KeyAlgorithm::Rsa2048)
            .err()
            .unwrap();
        assert!(matches!(error, KeyringError::Algorithm { .. }), "{error}");
    }
}

#[test]
fn google_cloud_kms_signs() {
    let name = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519] {
        let (signer, public) = key(algorithm);
        let (account, account_pem) = LocalSigner::generate(KeyAlgorithm::Rsa2048).unwrap();
        let account = account.public_key().clone();
        let pem = public.to_pem();
        let tokens = Arc::new(Mutex::new(0));
        let given = Arc::clone(&tokens);
        let url = stand_in(move |asked| {
            if asked.line.starts_with("POST /token ") {
                *given.lock().unwrap() += 1;
                let assertion = asked.body.rsplit_once("&assertion=").unwrap().1;
                let (signed, signature) = assertion.rsplit_once('.').unwrap();
                let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
                account
                    .verify(account.default_hash(), signed.as_bytes(), &signature)
                    .unwrap();
                return (
                    200,
                    json!({ "access_token": "T", "expires_in": 3600 }).to_string(),
                );
            }
            assert_eq!(asked.header("authorization"), "Bearer T");
            if asked.line == format!("GET /v1/{name}/publicKey HTTP/1.1") {
                return (200, json!({ "pem": pem }).to_string());
            }
            assert_eq!(asked.line, format!("POST /v1/{name}:asymmetricSign HTTP/1.1"));
            let request = asked.json();
            let input = request.pointer("/digest/sha256").unwrap_or(&request["data"]);
            let signature = signs(&signer, &public, input.as_str().unwrap());
            (
                200,
                json!({ "signature": STANDARD.encode(signature) }).to_string(),
            )
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("account.json");
        let content = json!({
            "type": "service_account", "client_email": "ca@p.iam.gserviceaccount.com",
            "private_key": account_pem.as_str(), "token_uri": format!("{url}/token"),
        });
        std::fs::write(&file, content.to_string()).unwrap();
        let keyring = with(&[
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", &url),
            ("GOOGLE_APPLICATION_CREDENTIALS", &file.display().to_string()),
        ]);
        works(&*keyring.open(&format!("gcpkms://{name}")).unwrap());
        assert_eq!(*tokens.lock().unwrap(), 1, "one token serves an hour");
        for other in [
            "gcpkms://projects/p",
            &format!("gcpkms://{name}/x"),
            &format!("gcpkms:{name}"),
        ] {
            assert!(
                matches!(keyring.open(other), Err(KeyringError::Uri { .. })),
                "{other}"
            );
        }
    }
}

#[test]
fn azure_key_vault_signs() {
    let (signer, public) = key(KeyAlgorithm::EcdsaP256);
    let point = public.subject_public_key().to_vec();
    let url = stand_in(move |asked| {
        if asked.line.starts_with("POST /tenant/oauth2/v2.0/token ") {
            assert_eq!(
                asked.body,
                "grant_type=client_credentials&client_id=app&client_secret=s%26cret&scope=https%3A%2F%2Fvault.azure.net%2F.default"
            );
            return (
                200,
                json!({ "access_token": "T", "expires_in": 3599 }).to_string(),
            );
        }
        assert_eq!(asked.header("authorization"), "Bearer T");
        if asked.line == "GET /keys/ct/v7?api-version=7.4 HTTP/1.1" {
            let (x, y) = (
                URL_SAFE_NO_PAD.encode(&point[1..33]),
                URL_SAFE_NO_PAD.encode(&point[33..]),
            );
            return (
                200,
                json!({ "key": { "kty": "EC-HSM", "crv": "P-256", "x": x, "y": y } }).to_string(),
            );
        }
        assert_eq!(asked.line, "POST /keys/ct/v7/sign?api-version=7.4 HTTP/1.1");
        let request = asked.json();
        assert_eq!(request["alg"], "ES256");
        let der = signs(&signer, &public, request["value"].as_str().unwrap());
        (
            200,
            json!({ "value": URL_SAFE_NO_PAD.encode(fixed(&der)) }).to_string(),
        )
    });
    let keyring = with(&[
        ("AZURE_AUTHORITY_HOST", &url),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "app"),
        ("AZURE_CLIENT_SECRET", "s&cret"),
    ]);
    let vault = url.strip_prefix("http://").unwrap();
    works(&*keyring.open(&format!("azurekms://{vault}/ct/v7")).unwrap());
    let error = keyring.open("azurekms://vault.vault.azure.net").err().unwrap();
    assert!(matches!(error, KeyringError::Uri { .. }), "{error}");
}

/// r and s, 32 octets each, of a DER signature.
fn fixed(der: &[u8]) -> Vec<u8> {
    let (r, rest) = integer(&der[2..]);
    let (s, _) = integer(rest);
    [r, s].concat()
}

fn integer(der: &[u8]) -> (Vec<u8>, &[u8]) {
    let (bytes, rest) = der[2..].split_at(usize::from(der[1]));
    let bytes: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    ([vec![0; 32 - bytes.len()], bytes].concat(), rest)
}

#[test]
fn vault_transit_signs() {
    for algorithm in [
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::Ed25519,
    ] {
        let (signer, public) = key(algorithm);
        let shown = match algorithm {
            KeyAlgorithm::Ed25519 => STANDARD.encode(public.subject_public_key()),
            _ => public.to_pem(),
        };
        let path = match algorithm {
            KeyAlgorithm::EcdsaP256 => "sign/ct/sha2-256",
            KeyAlgorithm::EcdsaP384 => "sign/ct/sha2-384",
            _ => "sign/ct",
        };
        let url = stand_in(move |asked| {
            assert_eq!(asked.header("x-vault-token"), "TOKEN");
            if asked.line == "GET /v1/hsm/keys/ct HTTP/1.1" {
                let keys = json!({ "1": { "public_key": "old" }, "2": { "public_key": shown } });
                return (
                    200,
                    json!({ "data": { "latest_version": 2, "keys": keys } }).to_string(),
                );
            }
            assert_eq!(asked.line, format!("POST /v1/hsm/{path} HTTP/1.1"));
            let request = asked.json();
            assert_eq!(request["key_version"], 2);
            let signature = signs(&signer, &public, request["input"].as_str().unwrap());
            let text = format!("vault:v2:{}", STANDARD.encode(signature));
            (200, json!({ "data": { "signature": text } }).to_string())
        });
        let keyring = with(&[
            ("BAO_ADDR", &url),
            ("VAULT_TOKEN", "TOKEN"),
            ("TRANSIT_SECRET_ENGINE_PATH", "hsm"),
        ]);
        works(&*keyring.open("hashivault://ct").unwrap());
        works(&*keyring.open("hashivault://ct?version=2").unwrap());
        for other in ["hashivault://", "hashivault://a/b", "hashivault://ct?version=x"] {
            assert!(
                matches!(keyring.open(other), Err(KeyringError::Uri { .. })),
                "{other}"
            );
        }
    }
}

#[test]
fn a_service_that_refuses_or_hangs_is_not_available_and_says_no_secret() {
    let (_, public) = key(KeyAlgorithm::EcdsaP256);
    let shown = public.to_pem();
    let url = stand_in(move |asked| {
        if asked.line.starts_with("GET ") {
            let keys = json!({ "1": { "public_key": shown } });
            return (
                200,
                json!({ "data": { "latest_version": 1, "keys": keys } }).to_string(),
            );
        }
        if asked.json()["input"] == STANDARD.encode(public.default_hash().digest(b"hang")) {
            std::thread::sleep(LIMIT * 2);
        }
        (403, r#"{"errors":["permission denied"]}"#.to_owned())
    });
    let keyring = with(&[("VAULT_ADDR", &url), ("VAULT_TOKEN", "S3CRET")]);
    let signer = keyring.open("hashivault://ct").unwrap();
    let error = signer.sign(b"refuse").unwrap_err();
    assert!(
        matches!(&error, SignError::Unavailable(cause) if cause.contains("403") && cause.contains("permission denied")),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("S3CRET"));
    let began = Instant::now();
    assert!(matches!(signer.sign(b"hang"), Err(SignError::Unavailable(_))));
    assert!(began.elapsed() < LIMIT + Duration::from_secs(2));
    let elsewhere = with(&[("VAULT_ADDR", "http://vault.example"), ("VAULT_TOKEN", "S3CRET")]);
    let error = elsewhere.open("hashivault://ct").err().unwrap();
    assert!(error.to_string().contains("https"), "{error}");
}
