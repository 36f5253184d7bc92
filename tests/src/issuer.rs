//! An OIDC issuer of a story's own: discovery and keys under any path of one origin, and tokens with any claims.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::http::{Request, Response, serve};

/// The issuers of one origin, on a thread that ends with the process.
pub struct Issuer {
    base: String,
    key: KeyPair,
}

impl Issuer {
    /// On a free port of loopback.
    pub fn start() -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        // RSAPublicKey of 2048 bits: 9 octets of headers and sign, the modulus, 02 03 01 00 01.
        let modulus = URL_SAFE_NO_PAD.encode(&key.public_key().as_ref()[9..9 + 256]);
        let keys = json!({"keys": [{"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": modulus, "e": "AQAB"}]});
        let base = serve(move |request| answer(&request, &keys));
        Self { base, key }
    }

    /// The issuer at `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A token of the issuer at `path`, for five minutes; `claims` come before the usual ones.
    #[expect(
        clippy::disallowed_methods,
        reason = "the tokens are for a server with the real clock"
    )]
    pub fn token(&self, path: &str, claims: &Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut all = json!({"iss": self.url(path), "aud": "sigstore", "iat": now, "exp": now + 300});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "RS256", "kid": "k1"})), part(&all));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What is under `/.well-known/openid-configuration` of a path speaks for the issuer there.
fn answer(request: &Request, keys: &Value) -> Response {
    let base = format!("http://{}", request.header("host"));
    let document = match request.path.strip_suffix("/.well-known/openid-configuration") {
        Some(path) => json!({"issuer": format!("{base}{path}"), "jwks_uri": format!("{base}/keys"),
            "id_token_signing_alg_values_supported": ["RS256"]}),
        None => keys.clone(),
    };
    Response::json(200, &document)
}
