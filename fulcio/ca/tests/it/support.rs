//! An issuer that signs tokens, a certificate log that counts, and a client that knows how to ask.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common_pki::cert::{self, CaProfile, Certificate, Serial, distinguished_name};
use common_pki::key::{KeyAlgorithm, LocalSigner, PublicKey, Signer};
use common_pki::{oid, sct};
use fulcio_ca::{
    Ca, CaChain, CaConfig, CtError, CtLog, Email, Fetch, FetchError, FetchFor, IdentityType, IssuerConfig,
    KeyCache,
};
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use url::Url;

/// 2026-11-22T12:00:00Z; every test starts here.
pub const START: u64 = 1_795_348_800;
pub const BASE: &str = "http://127.0.0.1:1";

/// A clock the test moves.
#[derive(Clone)]
pub struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    pub fn seconds(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn as_clock(&self) -> fulcio_ca::Clock {
        let seconds = Arc::clone(&self.0);
        Arc::new(move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::SeqCst)))
    }
}

/// A signing key of an issuer.
pub enum TokenKey {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

impl TokenKey {
    pub fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub fn ec(curve: &'static str) -> Self {
        let algorithm = match curve {
            "P-256" => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            "P-384" => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            _ => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        };
        Self::Ec(EcdsaKeyPair::generate(algorithm).unwrap(), curve)
    }

    pub fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    pub fn jwk(&self, kid: &str) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(pair) => {
                // RSAPublicKey of 2048 bits: 9 octets of headers and sign, the modulus, 02 03 01 00 01.
                let modulus = &pair.public_key().as_ref()[9..9 + 256];
                json!({"kty": "RSA", "kid": kid, "use": "sig", "n": b64(modulus), "e": "AQAB"})
            }
            Self::Ec(pair, curve) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at((point.len() - 1) / 2);
                json!({"kty": "EC", "kid": kid, "use": "sig", "crv": curve, "x": b64(x), "y": b64(y)})
            }
            Self::Ed(pair) => {
                json!({"kty": "OKP", "kid": kid, "use": "sig", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())})
            }
        }
    }

    pub fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let padding: &'static dyn signature::RsaEncoding = match alg {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut out).unwrap();
                out
            }
            Self::Ec(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// SubjectPublicKeyInfo in PEM, the "secret" of the HS256 confusion attack.
    pub fn public_pem(&self) -> String {
        let Self::Rsa(pair) = self else { panic!("only RSA") };
        let der = pair.public_key().as_der().unwrap();
        common_pki::pem::encode("PUBLIC KEY", der.as_ref())
    }
}

pub fn segment(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

pub fn sign_token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", segment(header), segment(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Answers for a document.
pub type Answer = Arc<dyn Fn() -> Result<Vec<u8>, FetchError> + Send + Sync>;

/// A web of documents by URL, counting reads.
#[derive(Default)]
pub struct Web {
    documents: Mutex<HashMap<String, Answer>>,
    pub reads: AtomicUsize,
    pub delay: Mutex<Duration>,
}

impl Web {
    pub fn put(&self, url: &str, body: impl Into<Vec<u8>>) {
        let body = body.into();
        self.answer(url, Arc::new(move || Ok(body.clone())));
    }

    pub fn answer(&self, url: &str, answer: Answer) {
        self.documents.lock().unwrap().insert(url.to_owned(), answer);
    }

    /// Every issuer is read from here.
    pub fn fetch_for(self: &Arc<Self>) -> FetchFor {
        let web = Arc::clone(self);
        Arc::new(move |_| Ok(Arc::clone(&web) as Arc<dyn Fetch>))
    }

    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Publishes an issuer with this key set.
    pub fn publish(&self, issuer: &str, keys: &Value, algorithms: &[&str]) {
        let discovery = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys"),
            "id_token_signing_alg_values_supported": algorithms});
        let base = issuer.trim_end_matches('/');
        self.put(
            &format!("{base}/.well-known/openid-configuration"),
            discovery.to_string(),
        );
        self.put(&format!("{issuer}/keys"), json!({"keys": keys}).to_string());
    }
}

#[async_trait]
impl Fetch for Web {
    async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let delay = *self.delay.lock().unwrap();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let answer = self.documents.lock().unwrap().get(url.as_str()).cloned();
        answer.map_or(Err(FetchError::Status(404)), |answer| answer())
    }
}

/// How the log behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LogMood {
    Honest,
    Unavailable,
    Refusing,
    /// Signs with a key that is not the log's.
    Forging,
    /// Answers a timestamp for another certificate.
    Mixing,
    Garbling,
    Panicking,
}

/// A log of one key that keeps what it was given.
pub struct TestLog {
    signer: LocalSigner,
    other: LocalSigner,
    pub mood: Mutex<LogMood>,
    pub submissions: Mutex<Vec<Vec<u8>>>,
}

impl TestLog {
    pub fn new() -> Self {
        let key = || LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0;
        Self {
            signer: key(),
            other: key(),
            mood: Mutex::new(LogMood::Honest),
            submissions: Mutex::default(),
        }
    }

    pub fn calls(&self) -> usize {
        self.submissions.lock().unwrap().len()
    }
}

/// The issuers' key, made once: RSA keys take long.
static SHARED_KEY: LazyLock<Arc<TokenKey>> = LazyLock::new(|| Arc::new(TokenKey::rsa()));

/// A complete authority with one RSA issuer of type email.
pub struct Stack {
    pub router: Router,
    pub web: Arc<Web>,
    pub log: Arc<TestLog>,
    pub clock: TestClock,
    pub chain: Arc<CaChain>,
    pub token_key: Arc<TokenKey>,
    pub ca: Arc<Ca>,
}

pub fn email_issuer(url: &str) -> IssuerConfig {
    IssuerConfig::new(url, "sigstore", IdentityType::email()).unwrap()
}

/// The same behind a federating provider, whose own issuer a claim names.
pub fn federated_issuer(url: &str) -> IssuerConfig {
    let email = Email {
        issuer_claim: Some("$.federated_claims.connector_id".parse().unwrap()),
        ..Email::default()
    };
    IssuerConfig::new(url, "sigstore", IdentityType::Email(email)).unwrap()
}

impl Stack {
    pub fn new() -> Self {
        let dex = federated_issuer(&format!("{BASE}/dex"));
        Self::with(
            vec![email_issuer(&format!("{BASE}/email")), dex],
            KeyCache::default(),
        )
    }

    pub fn with(issuers: Vec<IssuerConfig>, key_cache: KeyCache) -> Self {
        Self::with_authority(issuers, key_cache, Duration::from_secs(3 * 365 * 86_400))
    }

    /// With an intermediate that is valid for `length` from now.
    pub fn with_authority(issuers: Vec<IssuerConfig>, key_cache: KeyCache, length: Duration) -> Self {
        Self::configured(issuers, length, |config| config.key_cache = key_cache)
    }

    /// With anything else of the configuration.
    pub fn configured(
        issuers: Vec<IssuerConfig>,
        length: Duration,
        configure: impl FnOnce(&mut CaConfig),
    ) -> Self {
        let clock = TestClock(Arc::new(AtomicU64::new(START)));
        let web = Arc::new(Web::default());
        let token_key = Arc::clone(&SHARED_KEY);
        for issuer in &issuers {
            web.publish(issuer.issuer_url(), &json!([token_key.jwk("k1")]), &["RS256"]);
        }
        let log = Arc::new(TestLog::new());
        let chain = Arc::new(chain(clock.seconds(), length));
        let mut config = CaConfig::new(
            Arc::clone(&chain),
            Arc::clone(&log) as Arc<dyn CtLog>,
            issuers,
            web.fetch_for(),
            clock.as_clock(),
        );
        configure(&mut config);
        let ca = Arc::new(Ca::new(config).unwrap());
        let router = fulcio_ca::router(Arc::clone(&ca));
        Self {
            router,
            web,
            log,
            clock,
            chain,
            token_key,
            ca,
        }
    }

    /// Claims that pass at the email issuer.
    pub fn claims(&self) -> Value {
        let now = self.clock.seconds();
        json!({"iss": format!("{BASE}/email"), "aud": "sigstore", "sub": "s1", "iat": now, "exp": now + 300,
            "email": "dev@example.com", "email_verified": true})
    }

    pub fn token(&self, claims: &Value) -> String {
        sign_token(&json!({"alg": "RS256", "kid": "k1"}), claims, |message| {
            self.token_key.sign("RS256", message)
        })
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answered {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answered {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 24).await.unwrap().to_vec();
        Answered {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// A v2 request with a fresh P-256 key that proves possession over `signed`.
    pub async fn sign_in(&self, token: &str, signed: &str) -> Answered {
        let client = Client::new(KeyAlgorithm::EcdsaP256);
        self.post("/api/v2/signingCert", &[], client.body(token, signed).to_string())
            .await
    }
}

/// What came back.
pub struct Answered {
    pub status: StatusCode,
    pub headers: header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The PEM certificates of a v2 answer.
    pub fn certificates(&self) -> Vec<String> {
        let json = self.json();
        let chain = &json["signedCertificateEmbeddedSct"]["chain"]["certificates"];
        chain
            .as_array()
            .unwrap_or_else(|| panic!("{json}"))
            .iter()
            .map(|pem| pem.as_str().unwrap().to_owned())
            .collect()
    }
}

/// A key pair of a client.
pub struct Client(pub LocalSigner);

impl Client {
    pub fn new(algorithm: KeyAlgorithm) -> Self {
        Self(LocalSigner::generate(algorithm).unwrap().0)
    }

    pub fn body(&self, token: &str, signed: &str) -> Value {
        json!({
            "credentials": {"oidcIdentityToken": token},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": self.0.public_key().to_pem()},
                "proofOfPossession": STANDARD.encode(self.0.sign(signed.as_bytes()).unwrap()),
            },
        })
    }
}

/// Asserts a refusal that told why and gave nothing away.
#[track_caller]
pub fn assert_refused(answer: &Answered, token: &str, first: &str, parts: &[&str]) {
    let text = answer.text();
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{text}");
    assert_eq!(answer.json()["code"], 3, "{text}");
    assert_eq!(answer.json()["details"], json!([]), "{text}");
    assert!(answer.message().starts_with(first), "{text}");
    for part in parts {
        assert!(answer.message().contains(part), "expected {part:?} in {text}");
    }
    for secret in token.split('.').filter(|segment| segment.len() > 12) {
        assert!(!text.contains(secret), "token text in {text}");
    }
}

/// Asserts that the answer says when to come back: soon, and not everybody at once.
#[track_caller]
pub fn assert_retry_after(answer: &Answered) {
    let seconds: u32 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=3).contains(&seconds), "{seconds}");
}

/// Asserts that the issuer's keys could not be had, and that the answer says why and when to come back.
#[track_caller]
pub fn assert_unavailable(answer: &Answered, part: &str) {
    let text = answer.text();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert_eq!(answer.json()["code"], 14, "{text}");
    assert_retry_after(answer);
    assert!(
        answer
            .message()
            .starts_with("There was an error processing the identity token: keys of"),
        "{text}"
    );
    assert!(answer.message().contains(part), "expected {part:?} in {text}");
}

#[async_trait]
impl CtLog for TestLog {
    async fn add_pre_chain(&self, precertificate: &[u8], chain: &[Vec<u8>]) -> Result<Vec<u8>, CtError> {
        self.submissions.lock().unwrap().push(precertificate.to_vec());
        let mood = *self.mood.lock().unwrap();
        let issuer = Certificate::from_der(&chain[0]).unwrap();
        let issuer = issuer.public_key().unwrap().clone();
        let mut entry = sct::precert_entry(&Certificate::from_der(precertificate).unwrap(), &issuer);
        let signer = match mood {
            LogMood::Unavailable => return Err(CtError::Unavailable("secret cause".to_owned())),
            LogMood::Refusing => return Err(CtError::Refused("secret cause".to_owned())),
            LogMood::Garbling => return Ok(b"secret cause".to_vec()),
            LogMood::Panicking => panic!("secret cause"),
            LogMood::Forging => &self.other,
            LogMood::Mixing => {
                entry = sct::SignedEntry::X509(b"another certificate".to_vec());
                &self.signer
            }
            LogMood::Honest => &self.signer,
        };
        let extension = sct::leaf_index_extension(self.calls() as u64).unwrap();
        let mut sct = sct::Sct::sign(signer, START * 1_000, &entry, &extension).unwrap();
        sct.log_id = self.signer.public_key().fingerprint();
        Ok(sct.to_bytes().unwrap())
    }

    fn public_key(&self, log_id: &[u8; 32]) -> Option<PublicKey> {
        let key = self.signer.public_key();
        (key.fingerprint() == *log_id).then(|| key.clone())
    }
}

/// A P-384 root and a P-256 intermediate, the latter valid from an hour ago for `length`.
pub fn chain(now: u64, length: Duration) -> CaChain {
    let (root_signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP384).unwrap();
    let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let profile = |name: &str, serial: u8, not_after: u64| CaProfile {
        subject: distinguished_name("sigbox test", name),
        serial: Serial::new(&[serial]).unwrap(),
        not_before: now - 3_600,
        not_after,
    };
    let ten_years = now + 10 * 365 * 86_400;
    let root = cert::self_signed_root(profile("root", 1, ten_years), &root_signer).unwrap();
    let intermediate = cert::intermediate(
        profile("issuer", 2, now + length.as_secs()),
        signer.public_key(),
        &oid::CODE_SIGNING,
        &root,
        &root_signer,
    )
    .unwrap();
    CaChain::new(vec![intermediate, root], Arc::new(signer), now).unwrap()
}

/// A body of these bytes that does not end.
pub fn unfinished(bytes: Vec<u8>) -> Body {
    struct Unfinished(Option<bytes::Bytes>);

    impl hyper::body::Body for Unfinished {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
            match self.0.take() {
                Some(bytes) => std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(bytes)))),
                None => std::task::Poll::Pending,
            }
        }
    }

    Body::new(Unfinished(Some(bytes.into())))
}
