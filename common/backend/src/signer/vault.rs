//! HashiCorp Vault and OpenBao, secrets engine transit: `hashivault://KEY[?version=N]`.
//!
//! The server is `VAULT_ADDR` (or `BAO_ADDR`), the token `VAULT_TOKEN` (or `BAO_TOKEN`) or the file `~/.vault-token`, the engine's mount
//! `TRANSIT_SECRET_ENGINE_PATH`, as in cosign. Without a version it is the newest of the moment the key is opened.

use std::sync::OnceLock;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::key::{KeyAlgorithm, PublicKey, SignError};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::http::{self, Http};
use super::remote::Service;
use super::{Env, KeyringError};

const SERVICE: &str = "Vault";

pub(super) struct Vault {
    http: Http,
    /// `https://HOST/v1/transit`.
    engine: String,
    key: String,
    version: OnceLock<u64>,
    token: Zeroizing<String>,
}

impl Vault {
    pub(super) fn new(env: &Env, uri: &str, rest: &str) -> Result<Vault, KeyringError> {
        let wrong = || KeyringError::Uri {
            uri: uri.to_owned(),
            problem: "expected hashivault://KEY or hashivault://KEY?version=NUMBER",
        };
        let rest = rest.strip_prefix("//").ok_or_else(wrong)?;
        let (key, query) = rest.split_once('?').unwrap_or((rest, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if key.is_empty() || !key.chars().all(plain) {
            return Err(wrong());
        }
        let version = OnceLock::new();
        if !query.is_empty() {
            let number = query
                .strip_prefix("version=")
                .and_then(|number| number.parse().ok());
            let _ = version.set(number.ok_or_else(wrong)?);
        }
        let either = |a: &str, b: &str| env.get(a).or_else(|| env.get(b));
        let address = either("VAULT_ADDR", "BAO_ADDR")
            .ok_or_else(|| KeyringError::Secret("VAULT_ADDR, where the server is".to_owned()))?;
        let mount = env.get("TRANSIT_SECRET_ENGINE_PATH");
        let mount = mount.unwrap_or_else(|| "transit".to_owned());
        let of_home = || {
            let path = format!("{}/.vault-token", env.get("HOME")?);
            Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
        };
        let token = either("VAULT_TOKEN", "BAO_TOKEN").or_else(of_home);
        Ok(Vault {
            http: Http::new(uri)?,
            engine: format!("{}/v1/{}", http::base(uri, &address)?, mount.trim_matches('/')),
            key: key.to_owned(),
            version,
            token: Zeroizing::new(token.ok_or_else(|| KeyringError::Secret("env:VAULT_TOKEN".to_owned()))?),
        })
    }

    async fn call(&self, path: &str, body: Option<&Value>) -> Result<Value, SignError> {
        let url = format!("{}/{path}", self.engine);
        let request = match body {
            Some(body) => self.http.post_json(&url, body),
            None => self.http.get(&url),
        };
        http::ask(
            SERVICE,
            request.headers(http::secret_header("x-vault-token", &self.token)?),
        )
        .await
    }
}

#[async_trait]
impl Service for Vault {
    async fn public_key(&self) -> Result<PublicKey, SignError> {
        let answer = self.call(&format!("keys/{}", self.key), None).await?;
        let newest = answer.pointer("/data/latest_version").and_then(Value::as_u64);
        let newest =
            newest.ok_or_else(|| SignError::Failed(format!("{SERVICE}: no /data/latest_version")))?;
        let version = *self.version.get_or_init(|| newest);
        let public = http::text(SERVICE, &answer, &format!("/data/keys/{version}/public_key"))?;
        // Ed25519 keys come as their 32 octets, all others as PEM.
        let ed25519 = STANDARD
            .decode(public)
            .ok()
            .and_then(|octets| octets.try_into().ok());
        match ed25519 {
            Some(octets) => PublicKey::from_ed25519(&octets),
            None => PublicKey::from_pem(public),
        }
        .map_err(|error| SignError::Failed(error.to_string()))
    }

    async fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let version = self.version.get().copied().unwrap_or(0);
        let (path, body) = if key.algorithm() == KeyAlgorithm::Ed25519 {
            let body = json!({ "input": STANDARD.encode(message), "key_version": version });
            (format!("sign/{}", self.key), body)
        } else {
            let hash = key.default_hash();
            let body = json!({
                "input": STANDARD.encode(hash.digest(message)),
                "prehashed": true,
                "marshaling_algorithm": "asn1",
                "signature_algorithm": "pkcs1v15",
                "key_version": version,
            });
            let bits = hash.len().saturating_mul(8);
            (format!("sign/{}/sha2-{bits}", self.key), body)
        };
        let answer = self.call(&path, Some(&body)).await?;
        // vault:v1:BASE64
        let signature = http::text(SERVICE, &answer, "/data/signature")?;
        let encoded = signature.rsplit(':').next().unwrap_or_default();
        STANDARD
            .decode(encoded)
            .map_err(|_| SignError::Failed("the signature is not base64".to_owned()))
    }
}
