//! Azure Key Vault: `azurekms://VAULT.vault.azure.net/KEY[/VERSION]` (REST API 7.4, keys `sign` and `get`).
//!
//! Credentials are those of an application: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`, at `AZURE_AUTHORITY_HOST`. Managed
//! identities are not asked for. Key Vault has no Ed25519.

use std::time::Instant;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common_pki::key::{HashAlgorithm, PublicKey, SignError};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::http::{self, Http};
use super::remote::Service;
use super::token::Cached;
use super::{Env, KeyringError, ecdsa};

const SERVICE: &str = "Azure Key Vault";
const SCOPE: &str = "https://vault.azure.net/.default";

pub(super) struct AzureKms {
    http: Http,
    /// `https://VAULT/keys/KEY[/VERSION]`.
    key: String,
    token_url: String,
    client: String,
    secret: Zeroizing<String>,
    token: Mutex<Option<Cached>>,
}

impl AzureKms {
    pub(super) fn new(env: &Env, uri: &str, rest: &str) -> Result<AzureKms, KeyringError> {
        let parts: Vec<&str> = rest.strip_prefix("//").unwrap_or_default().split('/').collect();
        let (vault, key) = match parts.as_slice() {
            [vault, key] if !key.is_empty() => (*vault, (*key).to_owned()),
            [vault, key, version] if !key.is_empty() && !version.is_empty() => {
                (*vault, format!("{key}/{version}"))
            }
            _ => {
                return Err(KeyringError::Uri {
                    uri: uri.to_owned(),
                    problem: "expected azurekms://VAULT.vault.azure.net/KEY or …/KEY/VERSION",
                });
            }
        };
        let local = vault.starts_with("127.0.0.1:") || vault.starts_with("localhost:");
        let scheme = if local { "http" } else { "https" };
        let base = http::base(uri, &format!("{scheme}://{vault}"))?;
        let need = |name: &str| {
            env.get(name)
                .ok_or_else(|| KeyringError::Secret(format!("env:{name}")))
        };
        let authority = env.get("AZURE_AUTHORITY_HOST");
        let authority = authority.unwrap_or_else(|| "https://login.microsoftonline.com".to_owned());
        let authority = http::base(uri, &authority)?;
        Ok(AzureKms {
            http: Http::new(uri)?,
            key: format!("{base}/keys/{key}"),
            token_url: format!("{authority}/{}/oauth2/v2.0/token", need("AZURE_TENANT_ID")?),
            client: need("AZURE_CLIENT_ID")?,
            secret: Zeroizing::new(need("AZURE_CLIENT_SECRET")?),
            token: Mutex::new(None),
        })
    }

    async fn bearer(&self) -> Result<String, SignError> {
        let mut cached = self.token.lock().await;
        if let Some(token) = cached.as_ref().and_then(Cached::fresh) {
            return Ok(token);
        }
        let asked = Instant::now();
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.client)
            .append_pair("client_secret", &self.secret)
            .append_pair("scope", SCOPE)
            .finish();
        let request = self.http.post(
            &self.token_url,
            "application/x-www-form-urlencoded",
            form.into_bytes(),
        );
        let token = Cached::from_answer(&http::ask("Azure's token endpoint", request).await?, asked)?;
        let text = token.text();
        *cached = Some(token);
        Ok(text)
    }

    async fn call(&self, action: &str, body: Option<&Value>) -> Result<Value, SignError> {
        let url = format!("{}{action}?api-version=7.4", self.key);
        let request = match body {
            Some(body) => self.http.post_json(&url, body),
            None => self.http.get(&url),
        };
        let bearer = http::secret_header("authorization", &format!("Bearer {}", self.bearer().await?))?;
        http::ask(SERVICE, request.headers(bearer)).await
    }
}

#[async_trait]
impl Service for AzureKms {
    async fn public_key(&self) -> Result<PublicKey, SignError> {
        let answer = self.call("", None).await?;
        let number = |pointer: &str| {
            let text = http::text(SERVICE, &answer, pointer)?;
            URL_SAFE_NO_PAD
                .decode(text.trim_end_matches('='))
                .map_err(|_| SignError::Failed(format!("{SERVICE}: {pointer} is not base64url")))
        };
        // JSON Web Keys (RFC 7518 §6); the kinds with -HSM are the same, kept in hardware.
        let key = match http::text(SERVICE, &answer, "/key/kty")? {
            "EC" | "EC-HSM" => {
                let point = [vec![4], number("/key/x")?, number("/key/y")?].concat();
                PublicKey::from_ec_point(&point)
            }
            "RSA" | "RSA-HSM" => PublicKey::from_rsa_numbers(&number("/key/n")?, &number("/key/e")?),
            other => return Err(SignError::Failed(format!("{SERVICE}: a key of kind {other}"))),
        };
        key.map_err(|error| SignError::Failed(error.to_string()))
    }

    async fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let hash = key.default_hash();
        let ecdsa = key.algorithm().is_ecdsa();
        let algorithm = match (ecdsa, hash) {
            (true, HashAlgorithm::Sha256) => "ES256",
            (true, HashAlgorithm::Sha384) => "ES384",
            (true, HashAlgorithm::Sha512) => "ES512",
            (false, HashAlgorithm::Sha256) => "RS256",
            (false, HashAlgorithm::Sha384) => "RS384",
            (false, HashAlgorithm::Sha512) => "RS512",
        };
        let body = json!({ "alg": algorithm, "value": URL_SAFE_NO_PAD.encode(hash.digest(message)) });
        let answer = self.call("/sign", Some(&body)).await?;
        let signature = URL_SAFE_NO_PAD
            .decode(http::text(SERVICE, &answer, "/value")?.trim_end_matches('='))
            .map_err(|_| SignError::Failed("the signature is not base64url".to_owned()))?;
        if ecdsa {
            ecdsa::to_der(&signature)
        } else {
            Ok(signature)
        }
    }
}
