//! Every key in a key service that seals, hangs and lies: whoever needs the key gets 503 and is told to come back, nobody gets half a
//! certificate, and what needs other keys goes on.

use std::process::Command;
use std::time::{Duration, Instant};

use common_pki::key::KeyAlgorithm;
use common_pki::sct;
use serde_json::{Value, json};
use tests::entries::Key;
use tests::softhsm::private_keys;
use tests::stack::{Launch, Ports, Stack, up};
use tests::vault::{Mood, Vault};
use tests::{ok, sigbox};

const WHO: &str = "dev@example.com";
/// The keys of an instance, and their kinds.
const KEYS: [(&str, KeyAlgorithm); 10] = [
    ("ct-log", KeyAlgorithm::EcdsaP256),
    ("fulcio-ca", KeyAlgorithm::EcdsaP256),
    ("fulcio-root", KeyAlgorithm::EcdsaP384),
    ("rekor-v1", KeyAlgorithm::EcdsaP256),
    ("rekor-v2", KeyAlgorithm::Ed25519),
    ("tsa", KeyAlgorithm::EcdsaP256),
    ("tsa-intermediate", KeyAlgorithm::EcdsaP384),
    ("tsa-root", KeyAlgorithm::EcdsaP384),
    ("tuf-online", KeyAlgorithm::EcdsaP256),
    ("tuf-root", KeyAlgorithm::EcdsaP256),
];

/// What is asked of an instance, by the key that it needs first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Certificate,
    V1,
    V2,
    Timestamp,
}

const ALL: [Work; 4] = [Work::Certificate, Work::V1, Work::V2, Work::Timestamp];

struct Client<'a> {
    stack: &'a Stack,
    key: Key,
    token: String,
}

/// An answer: its status, when to come back, and its body.
#[derive(Debug)]
struct Answered {
    status: u16,
    retry_after: bool,
    body: String,
}

impl Client<'_> {
    async fn ask(&self, work: Work) -> Answered {
        // Every request is for something new.
        let message = format!("{work:?} {:?}", Instant::now());
        let (path, body) = match work {
            Work::Certificate => ("/api/v2/signingCert", self.key.certificate(&self.token, WHO)),
            Work::V1 => ("/api/v1/log/entries", self.key.v1(message.as_bytes())),
            Work::V2 => ("/api/v2/log/entries", self.key.v2(message.as_bytes())),
            Work::Timestamp => (
                "/api/v1/timestamp",
                json!({"artifactHash": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "hashAlgorithm": "sha256"}),
            ),
        };
        let request = self.stack.http.post(self.stack.url(path));
        let request = request.header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        let (status, retry_after) = (
            answer.status().as_u16(),
            answer.headers().contains_key("retry-after"),
        );
        let body = String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned();
        Answered {
            status,
            retry_after,
            body,
        }
    }

    /// Asks until it is granted: a key that hung is left alone for a while.
    async fn recovers(&self, work: Work) {
        let began = Instant::now();
        loop {
            let answer = self.ask(work).await;
            if matches!(answer.status, 200 | 201) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{work:?}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// How many leaves the certificate log has, and the last of them.
    async fn logged(&self) -> (u64, Value) {
        let get = async |path: String| -> Value {
            let answer = self.stack.http.get(self.stack.url(&path)).send().await.unwrap();
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
        };
        let size = get("/ct/v1/get-sth".to_owned()).await["tree_size"]
            .as_u64()
            .unwrap();
        let last = get(format!("/ct/v1/get-entries?start={0}&end={0}", size - 1)).await;
        (size, last["entries"][0].clone())
    }
}

/// `(key, work that fails without it)`.
const ROLES: [(&str, Work); 5] = [
    ("fulcio-ca", Work::Certificate),
    ("ct-log", Work::Certificate),
    ("rekor-v1", Work::V1),
    ("rekor-v2", Work::V2),
    ("tsa", Work::Timestamp),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_key_service_that_fails_is_503_and_never_half_a_certificate() {
    let vault = Vault::start(&KEYS);
    let folder = tempfile::tempdir().unwrap();
    let (data, ports) = (folder.path().join("data"), Ports::free());
    let mut init = Command::new(sigbox());
    init.args(["keys", "init", "--public-url"]);
    init.arg(format!("http://localhost:{}", ports.http))
        .arg("--data")
        .arg(&data);
    for (name, _) in KEYS {
        init.args(["--signer", &format!("{name}=hashivault://{name}")]);
    }
    ok(vault.lend(&mut init));
    assert_eq!(private_keys(&data), Vec::<String>::new());
    let stack = Launch::new(vault.lend(&mut up(&data, &ports)))
        .ready(Duration::from_secs(90))
        .unwrap_or_else(|not| panic!("{not}"));
    let client = Client {
        stack: &stack,
        key: Key::generate(),
        token: stack.token(WHO),
    };
    for work in ALL {
        client.recovers(work).await;
    }

    for (name, needs) in ROLES {
        for (mood, statuses) in [
            (Mood::Sealed, &[503][..]),
            (Mood::Hanging, &[503]),
            // Nothing that waiting would mend.
            (Mood::Lying, &[500, 503]),
        ] {
            let (before, _) = client.logged().await;
            vault.set(name, mood);
            for work in ALL {
                let answer = client.ask(work).await;
                if work == needs {
                    assert!(
                        statuses.contains(&answer.status),
                        "{name} {mood:?} {work:?}: {answer:?}"
                    );
                    assert!(
                        answer.status != 503 || answer.retry_after,
                        "{name} {mood:?}: {answer:?}"
                    );
                    assert!(!answer.body.contains("CERTIFICATE"), "{answer:?}");
                } else {
                    // A log whose key fails must not hold up the others.
                    assert!(
                        matches!(answer.status, 200 | 201),
                        "{name} {mood:?} {work:?}: {answer:?}"
                    );
                }
            }
            vault.set(name, Mood::Sound);
            client.recovers(needs).await;
            if name == "fulcio-ca" {
                // The first signature is over the precertificate: without it nothing is logged.
                let (after, _) = client.logged().await;
                assert_eq!(after, before + 1, "{mood:?}: only what was issued is in the log");
            }
        }
    }

    // The key fails between the precertificate, which is in the log then, and the certificate. What is logged says that a certificate
    // was meant to be; nobody gets one, and no client takes a precertificate for one (RFC 6962 §3.1: its poison is critical).
    let (before, _) = client.logged().await;
    vault.set("fulcio-ca", Mood::SealedAfter(1));
    let answer = client.ask(Work::Certificate).await;
    assert_eq!((answer.status, answer.retry_after), (503, true), "{answer:?}");
    assert!(!answer.body.contains("CERTIFICATE"), "{answer:?}");
    let (after, last) = client.logged().await;
    assert_eq!(after, before + 1);
    let poisoned = precertificate(&last);
    assert!(
        poisoned
            .extensions()
            .iter()
            .any(|one| one.oid == common_pki::oid::CT_POISON && one.critical)
    );
    assert!(sct::embedded_scts(&poisoned).map_or(true, |scts| scts.is_empty()));
    vault.set("fulcio-ca", Mood::Sound);
    client.recovers(Work::Certificate).await;
    // The token that was refused is as good as before, and the certificate is another one.
    let (_, last) = client.logged().await;
    assert_ne!(precertificate(&last).to_der(), poisoned.to_der());
}

/// The precertificate of an entry: at the start of `extra_data` (RFC 6962 §4.6).
fn precertificate(entry: &Value) -> common_pki::cert::Certificate {
    use base64::Engine as _;
    let extra = base64::prelude::BASE64_STANDARD
        .decode(entry["extra_data"].as_str().unwrap())
        .unwrap();
    let length = usize::from(extra[0]) << 16 | usize::from(extra[1]) << 8 | usize::from(extra[2]);
    common_pki::cert::Certificate::from_der(&extra[3..3 + length]).unwrap()
}
