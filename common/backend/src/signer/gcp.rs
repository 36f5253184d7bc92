//! Google Cloud KMS: `gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V`
//! (`asymmetricSign`, `getPublicKey`).
//!
//! Credentials are those of the service account in the file `GOOGLE_APPLICATION_CREDENTIALS` (RFC 7523); without it, the
//! metadata server of the machine or pod is asked (`GCE_METADATA_HOST`). Another endpoint comes from
//! `CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS`.

use std::time::Instant;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common_pki::key::{KeyAlgorithm, LocalSigner, PublicKey, SignError, Signer};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::http::{self, Http};
use super::remote::Service;
use super::token::Cached;
use super::{Env, KeyringError};

const SERVICE: &str = "Google Cloud KMS";
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
const LIFETIME: u64 = 3_600;

pub(super) struct GcpKms {
    http: Http,
    endpoint: String,
    name: String,
    account: Account,
    token: Mutex<Option<Cached>>,
    env: Env,
}

enum Account {
    Service {
        email: String,
        token_uri: String,
        key: Box<LocalSigner>,
    },
    Metadata {
        host: String,
    },
}

#[derive(Deserialize)]
struct AccountFile {
    client_email: String,
    private_key: String,
    token_uri: String,
}

impl GcpKms {
    pub(super) fn new(env: &Env, uri: &str, rest: &str) -> Result<GcpKms, KeyringError> {
        let name = rest
            .strip_prefix("//")
            .filter(|name| {
                let parts: Vec<&str> = name.split('/').collect();
                let fixed = ["projects", "locations", "keyRings", "cryptoKeys", "cryptoKeyVersions"];
                parts.len() == 10
                    && parts.iter().step_by(2).eq(fixed.iter())
                    && parts.iter().all(|part| !part.is_empty())
            })
            .ok_or_else(|| KeyringError::Uri {
                uri: uri.to_owned(),
                problem: "expected gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V",
            })?;
        let endpoint = env
            .get("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS")
            .unwrap_or_else(|| "https://cloudkms.googleapis.com".to_owned());
        Ok(GcpKms {
            http: Http::new(uri)?,
            endpoint: http::base(uri, &endpoint)?,
            name: name.to_owned(),
            account: Account::find(env, uri)?,
            token: Mutex::new(None),
            env: env.clone(),
        })
    }

    async fn bearer(&self) -> Result<String, SignError> {
        let mut cached = self.token.lock().await;
        if let Some(token) = cached.as_ref().and_then(Cached::fresh) {
            return Ok(token);
        }
        let asked = Instant::now();
        let answer = match &self.account {
            Account::Service {
                email,
                token_uri,
                key,
            } => {
                let form = format!(
                    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={}",
                    assertion(email, token_uri, key, self.env.now())?
                );
                let form = self
                    .http
                    .post(token_uri, "application/x-www-form-urlencoded", form.into_bytes());
                http::ask("Google's token endpoint", form).await?
            }
            Account::Metadata { host } => {
                let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
                let request = self.http.get(&url).header("metadata-flavor", "Google");
                http::ask("the metadata server", request).await?
            }
        };
        let token = Cached::from_answer(&answer, asked)?;
        let text = token.text();
        *cached = Some(token);
        Ok(text)
    }

    async fn call(&self, action: &str, body: Option<&Value>) -> Result<Value, SignError> {
        let url = format!("{}/v1/{}{action}", self.endpoint, self.name);
        let request = match body {
            Some(body) => self.http.post_json(&url, body),
            None => self.http.get(&url),
        };
        let bearer = http::secret_header("authorization", &format!("Bearer {}", self.bearer().await?))?;
        http::ask(SERVICE, request.headers(bearer)).await
    }
}

impl Account {
    fn find(env: &Env, uri: &str) -> Result<Account, KeyringError> {
        let Some(path) = env.get("GOOGLE_APPLICATION_CREDENTIALS") else {
            let host = env.get("GCE_METADATA_HOST");
            return Ok(Account::Metadata {
                host: host.unwrap_or_else(|| "metadata.google.internal".to_owned()),
            });
        };
        let content = std::fs::read(&path).map(Zeroizing::new);
        let content = content.map_err(|source| KeyringError::File {
            path: path.clone().into(),
            source,
        })?;
        let file: AccountFile = serde_json::from_slice(&content)
            .map_err(|_| KeyringError::Secret(format!("{path}, the key file of a service account")))?;
        let key = LocalSigner::from_pkcs8_pem(&Zeroizing::new(file.private_key));
        Ok(Account::Service {
            email: file.client_email,
            token_uri: http::base(uri, &file.token_uri)?,
            key: Box::new(key.map_err(|source| KeyringError::Key { at: path, source })?),
        })
    }
}

/// RFC 7523 §2.1: who we are, signed by the account's RSA key.
fn assertion(email: &str, audience: &str, key: &LocalSigner, now: u64) -> Result<String, SignError> {
    let header = json!({ "alg": "RS256", "typ": "JWT" }).to_string();
    let claims = json!({
        "iss": email,
        "scope": SCOPE,
        "aud": audience,
        "iat": now,
        "exp": now.saturating_add(LIFETIME),
    });
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = key.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[async_trait]
impl Service for GcpKms {
    async fn public_key(&self) -> Result<PublicKey, SignError> {
        let answer = self.call("/publicKey", None).await?;
        PublicKey::from_pem(http::text(SERVICE, &answer, "/pem")?)
            .map_err(|error| SignError::Failed(error.to_string()))
    }

    async fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let hash = key.default_hash();
        let body = if key.algorithm() == KeyAlgorithm::Ed25519 {
            json!({ "data": STANDARD.encode(message) })
        } else {
            json!({ "digest": { hash.name(): STANDARD.encode(hash.digest(message)) } })
        };
        let answer = self.call(":asymmetricSign", Some(&body)).await?;
        STANDARD
            .decode(http::text(SERVICE, &answer, "/signature")?)
            .map_err(|_| SignError::Failed("the signature is not base64".to_owned()))
    }
}
