//! AWS KMS: `awskms:///KEY`, KEY being a key ID, `alias/NAME` or an ARN (Signature Version 4, `Sign`, `GetPublicKey`).
//!
//! Credentials come from `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, or the profile `AWS_PROFILE` of the shared
//! credentials file; the region from the ARN, `AWS_REGION` or `AWS_DEFAULT_REGION`; another endpoint from
//! `AWS_ENDPOINT_URL_KMS`. Roles of machines and pods are not asked for: their credentials are exported as the above.

use async_trait::async_trait;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::key::{HashAlgorithm, KeyAlgorithm, PublicKey, SignError, sha256};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;
use url::Url;
use zeroize::Zeroizing;

use super::http::{self, Http};
use super::remote::Service;
use super::{Env, KeyringError};

const SERVICE: &str = "AWS KMS";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

pub(super) struct AwsKms {
    http: Http,
    endpoint: String,
    host: String,
    region: String,
    key: String,
    credentials: Credentials,
    env: Env,
}

struct Credentials {
    id: String,
    secret: Zeroizing<String>,
    session: Option<Zeroizing<String>>,
}

impl AwsKms {
    pub(super) fn new(env: &Env, uri: &str, rest: &str) -> Result<AwsKms, KeyringError> {
        let wrong = |problem| KeyringError::Uri {
            uri: uri.to_owned(),
            problem,
        };
        let key = rest
            .strip_prefix("///")
            .filter(|key| !key.is_empty())
            .ok_or_else(|| wrong("expected awskms:///KEY-ID, awskms:///alias/NAME or awskms:///ARN"))?;
        // arn:aws:kms:REGION:ACCOUNT:key/ID
        let region = key.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2));
        let region = region
            .map(str::to_owned)
            .or_else(|| env.get("AWS_REGION"))
            .or_else(|| env.get("AWS_DEFAULT_REGION"))
            .ok_or_else(|| wrong("expected an ARN, or the region in AWS_REGION"))?;
        let endpoint = env
            .get("AWS_ENDPOINT_URL_KMS")
            .unwrap_or_else(|| format!("https://kms.{region}.amazonaws.com"));
        let endpoint = http::base(uri, &endpoint)?;
        let host = Url::parse(&endpoint)
            .map(|url| url.authority().to_owned())
            .map_err(|_| wrong("expected a URL in AWS_ENDPOINT_URL_KMS"))?;
        Ok(AwsKms {
            http: Http::new(uri)?,
            host,
            endpoint,
            region,
            key: key.to_owned(),
            credentials: Credentials::find(env)?,
            env: env.clone(),
        })
    }

    async fn call(&self, action: &str, body: &Value) -> Result<Value, SignError> {
        let body = body.to_string();
        let target = format!("TrentService.{action}");
        let headers = self.signed(&target, &body, self.env.now())?;
        let mut request = self
            .http
            .post(&format!("{}/", self.endpoint), CONTENT_TYPE, body.into_bytes())
            .header("x-amz-target", target);
        for (name, value) in headers {
            request = request.headers(http::secret_header(name, &value)?);
        }
        http::ask(SERVICE, request).await
    }

    /// Signature Version 4 (AWS "Create a signed request"): what is added to the request.
    fn signed(&self, target: &str, body: &str, now: u64) -> Result<Vec<(&'static str, String)>, SignError> {
        let clock = |_| SignError::Failed("the clock shows no date".to_owned());
        let time = i64::try_from(now).unwrap_or(i64::MAX);
        let time = OffsetDateTime::from_unix_timestamp(time)
            .map_err(|_| SignError::Failed("the clock shows no date".to_owned()))?;
        let date = time
            .format(format_description!("[year][month][day]"))
            .map_err(clock)?;
        let stamp = time
            .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
            .map_err(clock)?;
        let mut headers = vec![
            ("content-type", CONTENT_TYPE.to_owned()),
            ("host", self.host.clone()),
            ("x-amz-date", stamp.clone()),
        ];
        if let Some(session) = &self.credentials.session {
            headers.push(("x-amz-security-token", session.to_string()));
        }
        headers.push(("x-amz-target", target.to_owned()));
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let request = format!("POST\n/\n\n{lines}\n{names}\n{}", hex(&sha256(body.as_bytes())));
        let scope = format!("{date}/{}/kms/aws4_request", self.region);
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}",
            hex(&sha256(request.as_bytes()))
        );
        let mut key = Zeroizing::new(format!("AWS4{}", *self.credentials.secret).into_bytes());
        for part in [date.as_str(), &self.region, "kms", "aws4_request"] {
            key = Zeroizing::new(mac(&key, part.as_bytes()));
        }
        let signature = hex(&mac(&key, to_sign.as_bytes()));
        let mut added = vec![
            ("x-amz-date", stamp),
            (
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
                    self.credentials.id
                ),
            ),
        ];
        if let Some(session) = &self.credentials.session {
            added.push(("x-amz-security-token", session.to_string()));
        }
        Ok(added)
    }
}

impl Credentials {
    fn find(env: &Env) -> Result<Credentials, KeyringError> {
        let missing =
            || KeyringError::Secret("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile".to_owned());
        if let (Some(id), Some(secret)) = (env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")) {
            return Ok(Credentials {
                id,
                secret: Zeroizing::new(secret),
                session: env.get("AWS_SESSION_TOKEN").map(Zeroizing::new),
            });
        }
        let home = || env.get("HOME").map(|home| format!("{home}/.aws/credentials"));
        let path = env
            .get("AWS_SHARED_CREDENTIALS_FILE")
            .or_else(home)
            .ok_or_else(missing)?;
        let profile = env.get("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|_| missing())?);
        let of_profile: Vec<(&str, &str)> = text
            .lines()
            .map(str::trim)
            .skip_while(|line| {
                line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) != Some(&profile)
            })
            .skip(1)
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split_once('='))
            .collect();
        let value = |wanted: &str| {
            let found = of_profile.iter().find(|(name, _)| name.trim() == wanted);
            found.map(|(_, value)| value.trim().to_owned())
        };
        Ok(Credentials {
            id: value("aws_access_key_id").ok_or_else(missing)?,
            secret: Zeroizing::new(value("aws_secret_access_key").ok_or_else(missing)?),
            session: value("aws_session_token").map(Zeroizing::new),
        })
    }
}

#[async_trait]
impl Service for AwsKms {
    async fn public_key(&self) -> Result<PublicKey, SignError> {
        let answer = self.call("GetPublicKey", &json!({ "KeyId": self.key })).await?;
        let spki = STANDARD.decode(http::text(SERVICE, &answer, "/PublicKey")?);
        let spki = spki.map_err(|_| SignError::Failed("the public key is not base64".to_owned()))?;
        PublicKey::from_spki_der(&spki).map_err(|error| SignError::Failed(error.to_string()))
    }

    async fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let hash = key.default_hash();
        let (kind, input) = if key.algorithm() == KeyAlgorithm::Ed25519 {
            ("RAW", message.to_vec())
        } else {
            ("DIGEST", hash.digest(message))
        };
        let body = json!({
            "KeyId": self.key,
            "Message": STANDARD.encode(input),
            "MessageType": kind,
            "SigningAlgorithm": algorithm(key),
        });
        let answer = self.call("Sign", &body).await?;
        STANDARD
            .decode(http::text(SERVICE, &answer, "/Signature")?)
            .map_err(|_| SignError::Failed("the signature is not base64".to_owned()))
    }
}

fn algorithm(key: &PublicKey) -> &'static str {
    match (key.algorithm(), key.default_hash()) {
        (KeyAlgorithm::Ed25519, _) => "ED25519_SHA_512",
        (kind, HashAlgorithm::Sha256) if kind.is_ecdsa() => "ECDSA_SHA_256",
        (kind, HashAlgorithm::Sha384) if kind.is_ecdsa() => "ECDSA_SHA_384",
        (kind, HashAlgorithm::Sha512) if kind.is_ecdsa() => "ECDSA_SHA_512",
        (_, HashAlgorithm::Sha256) => "RSASSA_PKCS1_V1_5_SHA_256",
        (_, HashAlgorithm::Sha384) => "RSASSA_PKCS1_V1_5_SHA_384",
        (_, HashAlgorithm::Sha512) => "RSASSA_PKCS1_V1_5_SHA_512",
    }
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, message).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::signer::tests::env;

    /// The chain of keys of AWS' own example ("Signature Version 4", derived signing key of 20150830, us-east-1, iam).
    #[test]
    fn the_signing_key_is_derived_as_aws_shows_it() {
        let mut key = b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec();
        for part in ["20150830", "us-east-1", "iam", "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        assert_eq!(
            hex(&key),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
    }

    #[test]
    fn credentials_come_from_a_profile_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key=B\n\n[ci]\naws_access_key_id = C\n\
                    aws_secret_access_key = D\naws_session_token = E\n[x]\n";
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        let of = |profile: &'static str| {
            let file = file.clone();
            env(move |name| match name {
                "AWS_SHARED_CREDENTIALS_FILE" => Some(file.clone()),
                "AWS_PROFILE" => Some(profile.to_owned()),
                _ => None,
            })
        };
        let found = Credentials::find(&of("ci")).unwrap();
        assert_eq!((found.id.as_str(), found.secret.as_str()), ("C", "D"));
        assert_eq!(found.session.unwrap().as_str(), "E");
        let found = Credentials::find(&of("default")).unwrap();
        assert_eq!((found.id.as_str(), found.session.is_none()), ("A", true));
        assert!(Credentials::find(&of("none")).is_err());
    }
}
