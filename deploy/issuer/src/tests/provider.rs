//! Discovery, keys and configuration.

use super::{KEY, Provider, URL, verify};
use crate::{Client, Config, ConfigError, Email, Exposure, Issuer};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[tokio::test]
async fn discovery_has_what_each_client_needs() {
    let document = Provider::new()
        .get("/.well-known/openid-configuration", &[])
        .await
        .json();
    assert_eq!(document["issuer"], URL);
    for (name, path) in [
        ("authorization_endpoint", "/auth"),
        ("token_endpoint", "/token"),
        ("jwks_uri", "/keys"),
        ("device_authorization_endpoint", "/device/code"),
    ] {
        assert_eq!(document[name], format!("{URL}{path}"));
    }
    for (name, value) in [
        ("code_challenge_methods_supported", "S256"),
        ("response_types_supported", "code"),
        ("subject_types_supported", "public"),
        ("id_token_signing_alg_values_supported", "RS256"),
        ("scopes_supported", "openid"),
        ("scopes_supported", "email"),
        ("grant_types_supported", "authorization_code"),
        ("grant_types_supported", "client_credentials"),
        (
            "grant_types_supported",
            "urn:ietf:params:oauth:grant-type:device_code",
        ),
        ("token_endpoint_auth_methods_supported", "none"),
        ("token_endpoint_auth_methods_supported", "client_secret_basic"),
        ("token_endpoint_auth_methods_supported", "client_secret_post"),
    ] {
        assert!(
            document[name].as_array().unwrap().contains(&value.into()),
            "{name}: {document}"
        );
    }
}

#[tokio::test]
async fn the_key_set_verifies_the_tokens() {
    let provider = Provider::new();
    let keys = provider.get("/keys", &[]).await.json();
    let key = &keys["keys"][0];
    for (name, value) in [("kty", "RSA"), ("use", "sig"), ("alg", "RS256"), ("e", "AQAB")] {
        assert_eq!(key[name], value);
    }
    let modulus = URL_SAFE_NO_PAD.decode(key["n"].as_str().unwrap()).unwrap();
    assert_eq!(modulus.len(), 256, "no leading zero");
    let token = provider
        .post_json("/token/dev", r#"{"email":"dev@example.com"}"#)
        .await
        .json();
    let token = token["id_token"].as_str().unwrap().to_owned();
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["kid"], key["kid"]);
    // The published numbers, not only the key we hold, verify it.
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let public = aws_lc_rs::signature::RsaPublicKeyComponents {
        n: modulus.as_slice(),
        e: &[1u8, 0, 1][..],
    };
    public
        .verify(
            &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256,
            signed.as_bytes(),
            &URL_SAFE_NO_PAD.decode(signature).unwrap(),
        )
        .unwrap();
}

fn config(url: &str, exposure: Exposure) -> Config {
    Config {
        url: url.to_owned(),
        exposure,
        clients: vec![Client::sigstore()],
        token_lifetime: Duration::from_secs(60),
    }
}

fn issuer(config: Config, signer: Arc<dyn Signer>) -> Result<Issuer, ConfigError> {
    Issuer::new(
        config,
        signer,
        Arc::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)),
    )
}

#[test]
fn a_token_is_minted_in_process() {
    let issuer = issuer(config(URL, Exposure::LoopbackOnly), KEY.clone()).unwrap();
    let token = issuer
        .mint(&Email::parse(" canary@example.com ").unwrap(), "sigstore")
        .unwrap();
    assert_eq!(verify(&token)["email"], "canary@example.com");
}

#[test]
fn configuration_is_checked() {
    for url in [
        "ftp://localhost",
        "http://localhost/",
        "http://localhost/?a",
        "http://localhost/#a",
        "http://a@localhost",
        "localhost",
        "",
        "HTTP://localhost/oidc",
    ] {
        let got = issuer(config(url, Exposure::AnyInterface), KEY.clone());
        assert!(matches!(got, Err(ConfigError::Url(_))), "{url}");
    }
    for url in [
        "http://localhost",
        "http://localhost:3000/oidc",
        "http://127.0.0.1:1/a/b",
        "http://[::1]:3000/oidc",
    ] {
        assert!(
            issuer(config(url, Exposure::LoopbackOnly), KEY.clone()).is_ok(),
            "{url}"
        );
    }
    let public = "https://sigstore.example.com/oidc";
    assert!(matches!(
        issuer(config(public, Exposure::LoopbackOnly), KEY.clone()),
        Err(ConfigError::NotLoopback(_))
    ));
    assert!(issuer(config(public, Exposure::AnyInterface), KEY.clone()).is_ok());
    let ecdsa = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0;
    let got = issuer(config(URL, Exposure::LoopbackOnly), Arc::new(ecdsa));
    assert!(matches!(got, Err(ConfigError::Key(KeyAlgorithm::EcdsaP256))));
    let mut twice = config(URL, Exposure::LoopbackOnly);
    twice.clients.push(Client::sigstore());
    assert!(matches!(issuer(twice, KEY.clone()), Err(ConfigError::Clients)));
    let mut brief = config(URL, Exposure::LoopbackOnly);
    brief.token_lifetime = Duration::ZERO;
    assert!(matches!(
        issuer(brief, KEY.clone()),
        Err(ConfigError::Lifetime(_))
    ));
}
