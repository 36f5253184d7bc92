//! Advisories and known faults of upstream that no other module's tests have: each test is named by its own.
//! `docs/threat-model.md` lists them all, with those elsewhere.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Redirect};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common_pki::cert::Certificate;
use common_pki::key::{KeyAlgorithm, Signer as _};
use common_server::layers;
use fulcio_ca::{Email, Fetch, FetchError, FetchFor, HttpFetcher, IdentityType, IssuerConfig};
use http::StatusCode;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use url::Url;

use crate::hostile::serve;
use crate::support::*;

const WHO: &str = "dev@example.com";

/// An authority that reads its issuers over the network.
fn networked(issuers: Vec<IssuerConfig>) -> Stack {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Stack::configured(issuers, Duration::from_secs(1 << 26), |config| {
        config.fetch = HttpFetcher::for_each();
    })
}

/// Fulcio #2354: discovery, and the key set behind it, followed redirects to other hosts. Whoever is redirected to learns
/// nothing and is not believed.
#[tokio::test]
async fn fulcio_2354_no_redirect_leads_to_another_origin() {
    let stolen = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&stolen);
    let keys = json!({"keys": [TokenKey::rsa().jwk("k1")]}).to_string();
    let elsewhere = serve(axum::Router::new().fallback(move |request: Request| {
        seen.lock().unwrap().push(request.uri().to_string());
        std::future::ready(keys.clone())
    }))
    .await;
    let asked = Arc::new(AtomicUsize::new(0));
    for redirected in ["/.well-known/openid-configuration", "/keys"] {
        let counted = Arc::clone(&asked);
        let target = format!("http://127.0.0.1:{elsewhere}{redirected}");
        let router = axum::Router::new().fallback(move |request: Request| {
            counted.fetch_add(1, Ordering::SeqCst);
            // What is to be read needs no credential: a redirect could only lose one.
            assert!(!request.headers().contains_key("authorization"));
            let issuer = format!("http://{}", request.headers()["host"].to_str().unwrap());
            let answer = match request.uri().path() == redirected {
                true => Redirect::temporary(&target).into_response(),
                false => json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")})
                    .to_string()
                    .into_response(),
            };
            std::future::ready(answer)
        });
        let issuer = format!("http://127.0.0.1:{}", serve(router).await);
        let stack = networked(vec![email_issuer(&issuer)]);
        let mut claims = stack.claims();
        claims["iss"] = json!(issuer);
        let answer = stack.sign_in(&stack.token(&claims), WHO).await;
        assert_unavailable(&answer, "redirect to another origin refused");
        assert_eq!(stack.log.calls(), 0);
    }
    assert_eq!(
        asked.load(Ordering::SeqCst),
        3,
        "discovery, then discovery and keys"
    );
    assert_eq!(*stolen.lock().unwrap(), Vec::<String>::new(), "nobody went there");
}

/// Documents of some URLs as they are written, everything else over the network.
struct Mixed {
    web: Arc<Web>,
    network: HttpFetcher,
}

#[async_trait]
impl Fetch for Mixed {
    async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        match self.web.get(url).await {
            Err(FetchError::Status(404)) => self.network.get(url).await,
            other => other,
        }
    }
}

/// Server-side request forgery by a token: where the token chose the host, neither that host nor where its discovery document
/// points may be on a private network.
#[tokio::test]
async fn an_issuer_that_a_token_chose_may_not_point_at_private_addresses() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let issuer = "https://a.clusters.example";
    for inside in [
        "https://10.0.0.5/keys",
        "https://192.168.1.1:8443/keys",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00::1]/keys",
        "https://[::ffff:10.0.0.5]/keys",
        "https://100.64.0.1/keys",
    ] {
        let web = Arc::new(Web::default());
        web.put(
            &format!("{issuer}/.well-known/openid-configuration"),
            json!({"issuer": issuer, "jwks_uri": inside}).to_string(),
        );
        let fetch: FetchFor = Arc::new(move |config| {
            let network = HttpFetcher::new(&config.keys)?;
            let web = Arc::clone(&web);
            Ok(Arc::new(Mixed { web, network }) as Arc<dyn Fetch>)
        });
        let meta =
            IssuerConfig::meta("https://*.clusters.example", "sigstore", IdentityType::email()).unwrap();
        let stack = Stack::configured(vec![meta], Duration::from_secs(1 << 26), |config| {
            config.fetch = fetch;
        });
        let mut claims = stack.claims();
        claims["iss"] = json!(issuer);
        let answer = stack.sign_in(&stack.token(&claims), WHO).await;
        assert_unavailable(&answer, "expected a host with a public address");
    }
}

/// Keys of an issuer that anybody could have made signatures with.
#[tokio::test]
async fn weak_keys_of_an_issuer_verify_nothing() {
    let stack = Stack::new();
    let sound = stack.token_key.jwk("k1");
    let modulus = URL_SAFE_NO_PAD.decode(sound["n"].as_str().unwrap()).unwrap();
    let rsa = |n: &[u8], e: &[u8]| json!({"kty": "RSA", "kid": "k1", "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e)});
    let long = [modulus.as_slice(), &modulus, &modulus, &modulus, &modulus].concat();
    for (what, key) in [
        ("1024 bits", rsa(&modulus[128..], &[1, 0, 1])),
        (
            "1024 bits, padded",
            rsa(&[&[0; 128], &modulus[128..]].concat(), &[1, 0, 1]),
        ),
        ("10240 bits", rsa(&long, &[1, 0, 1])),
        ("exponent 1", rsa(&modulus, &[1])),
        ("exponent 2", rsa(&modulus, &[2])),
        ("an even exponent", rsa(&modulus, &[1, 0, 0])),
        ("exponent 0", rsa(&modulus, &[0])),
        ("a long exponent", rsa(&modulus, &[0xff; 9])),
        (
            "an even modulus",
            rsa(&[&modulus[..255], &[0]].concat(), &[1, 0, 1]),
        ),
        ("for encryption", {
            let mut key = sound.clone();
            key["use"] = json!("enc");
            key
        }),
        ("of another algorithm", {
            let mut key = sound.clone();
            key["alg"] = json!("RSA-OAEP");
            key
        }),
    ] {
        let stack = Stack::new();
        stack
            .web
            .publish(&format!("{BASE}/email"), &json!([key]), &["RS256"]);
        let answer = stack.sign_in(&stack.token(&stack.claims()), WHO).await;
        let text = answer.text();
        assert!(
            text.contains("at least one usable signature key"),
            "{what}: {text}"
        );
        assert_eq!(stack.log.calls(), 0, "{what}");
    }
    // A key for PSS does not verify what was signed in the other way.
    let mut other = sound;
    other["alg"] = json!("PS256");
    stack
        .web
        .publish(&format!("{BASE}/email"), &json!([other]), &["RS256", "PS256"]);
    let token = stack.token(&stack.claims());
    let answer = stack.sign_in(&token, WHO).await;
    assert_refused(
        &answer,
        &token,
        "There was an error processing the identity token: kid",
        &[],
    );
}

/// Patterns for Kubernetes give the accounts of all clusters the same name: the issuer tells them apart, and it is always there.
#[tokio::test]
async fn accounts_of_two_clusters_differ_by_their_issuer() {
    let meta = IssuerConfig::meta(&format!("{BASE}/eks/*"), "sigstore", IdentityType::Kubernetes).unwrap();
    let stack = Stack::with(vec![meta], Default::default());
    let mut leaves = Vec::new();
    for cluster in ["one", "two"] {
        let issuer = format!("{BASE}/eks/{cluster}");
        stack
            .web
            .publish(&issuer, &json!([stack.token_key.jwk("k1")]), &["RS256"]);
        let mut claims = stack.claims();
        claims["iss"] = json!(issuer);
        claims["sub"] = json!("system:serviceaccount:a:b");
        claims["kubernetes.io"] = json!({"namespace": "a", "serviceaccount": {"name": "b"}});
        let answer = stack
            .sign_in(&stack.token(&claims), "system:serviceaccount:a:b")
            .await;
        let leaf = Certificate::from_pem(&answer.certificates()[0]).unwrap();
        let text = |arc: u32| {
            let oid = format!("1.3.6.1.4.1.57264.1.{arc}");
            let found = leaf.extensions().iter().find(|one| one.oid.to_string() == oid);
            String::from_utf8_lossy(&found.unwrap().value).into_owned()
        };
        assert_eq!(text(1), issuer);
        assert!(text(8).ends_with(&issuer));
        leaves.push(leaf.subject_alt_names().unwrap());
    }
    assert_eq!(leaves[0], leaves[1]);
}

/// A proof of possession has no nonce: whoever reads one may send it again, with the token, while that lasts. It gets them a
/// certificate for the key that it was made with, and nothing else.
#[tokio::test]
async fn a_replayed_proof_of_possession_serves_its_own_key_name_and_time_alone() {
    let stack = Stack::new();
    let token = stack.token(&stack.claims());
    let client = Client::new(KeyAlgorithm::EcdsaP256);
    let body = client.body(&token, WHO);
    let send = async |body: &Value| stack.post("/api/v2/signingCert", &[], body.to_string()).await;
    for _ in 0..2 {
        let answer = send(&body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let leaf = Certificate::from_pem(&answer.certificates()[0]).unwrap();
        assert_eq!(leaf.spki_der(), client.0.public_key().spki_der());
    }
    let first = "The signature supplied in the request could not be verified";
    // Another key under the same proof.
    let mut other_key = body.clone();
    let other = Client::new(KeyAlgorithm::EcdsaP256);
    other_key["publicKeyRequest"]["publicKey"]["content"] = json!(other.0.public_key().to_pem());
    assert_refused(&send(&other_key).await, &token, first, &[]);
    // Another name's token with it.
    let mut claims = stack.claims();
    claims["email"] = json!("somebody@example.com");
    let other_token = stack.token(&claims);
    let mut other_name = body.clone();
    other_name["credentials"]["oidcIdentityToken"] = json!(other_token);
    assert_refused(&send(&other_name).await, &other_token, first, &[]);
    // The token's end is the end of it.
    stack.clock.advance(Duration::from_secs(300));
    let expected = ["exp: expected a time after"];
    assert_refused(
        &send(&body).await,
        &token,
        "There was an error processing",
        &expected,
    );
    assert_eq!(stack.log.calls(), 2);
}

/// `skip-email-verification` is for one issuer that its operator trusts, and no other.
#[tokio::test]
async fn unverified_addresses_pass_for_the_issuer_that_is_trusted_with_them_alone() {
    let trusted = format!("{BASE}/trusted");
    let skip = Email {
        skip_verification: true,
        ..Email::default()
    };
    let issuers = vec![
        email_issuer(&format!("{BASE}/email")),
        IssuerConfig::new(&trusted, "sigstore", IdentityType::Email(skip)).unwrap(),
    ];
    let stack = Stack::with(issuers, Default::default());
    let mut claims = stack.claims();
    for verified in [json!(false), json!(null)] {
        claims["email_verified"] = verified;
        claims["iss"] = json!(format!("{BASE}/email"));
        let token = stack.token(&claims);
        let answer = stack.sign_in(&token, WHO).await;
        assert_refused(
            &answer,
            &token,
            "There was an error processing the identity token: email_verified",
            &[],
        );
        claims["iss"] = json!(trusted);
        let answer = stack.sign_in(&stack.token(&claims), WHO).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    claims["email_verified"] = json!("1");
    let token = stack.token(&claims);
    let answer = stack.sign_in(&token, WHO).await;
    assert_refused(
        &answer,
        &token,
        "There was an error processing the identity token: email_verified",
        &[],
    );
}

/// A panic is its request's alone: an opaque 500, and the next one is served.
#[tokio::test]
async fn a_panic_is_confined_to_its_request() {
    let stack = Stack::new();
    let router = layers::wrap(stack.router.clone(), Duration::from_secs(60));
    let send = async || {
        let token = stack.token(&stack.claims());
        let body = Client::new(KeyAlgorithm::EcdsaP256).body(&token, WHO).to_string();
        let request = http::Request::post("/api/v2/signingCert").body(axum::body::Body::from(body));
        let answer = router.clone().oneshot(request.unwrap()).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    for _ in 0..64 {
        *stack.log.mood.lock().unwrap() = LogMood::Panicking;
        let (status, text) = send().await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(
            !text.contains("secret cause") && !text.contains("CERTIFICATE"),
            "{text}"
        );
        *stack.log.mood.lock().unwrap() = LogMood::Honest;
    }
    // More panics than there are threads or places: none was lost.
    assert_eq!(send().await.0, StatusCode::OK);
}
