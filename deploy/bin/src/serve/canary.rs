//! The canary of `serve`: signed, logged and verified by the process itself, through the routes that its listeners serve. Nobody is told
//! that the instance is ready before it has passed once; afterwards it is sent at intervals, and metrics say what was found.
//!
//! There is no development issuer here, and the operator's issuers give tokens to their own users. So the canary has an issuer for
//! itself: a key that is made at each start and never leaves the process, for a name that is nobody's.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common_bundle::trust::Role;
use common_engine::{Engine, LogKind};
use common_pki::key::{KeyAlgorithm, LocalSigner, SignError, Signer as _};
use fulcio_ca::{ConfigError, IdentityType, IssuerConfig};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::doctor::{self, CANARY, Scope};
use crate::exit::Failure;
use crate::http::Client;
use crate::rotate::Keeper;
use crate::services::{self, AUDIENCE};
use crate::site::Roles;

/// RFC 2606 §2: nobody's name.
const ISSUER: &str = "https://canary.sigbox.invalid";
/// How long a token lasts, in seconds; it is used at once.
const LIFETIME: u64 = 60;
/// How soon the first canary is sent again where it did not pass.
const AGAIN: Duration = Duration::from_secs(5);
/// The name of its key.
const KEY_ID: &str = "canary";

/// Certifies the canary, and nobody else.
pub(super) struct CanaryIssuer(LocalSigner);

impl CanaryIssuer {
    /// With a new key.
    pub(super) fn new() -> Result<CanaryIssuer, Failure> {
        LocalSigner::generate(KeyAlgorithm::Ed25519)
            .map(|(key, _)| CanaryIssuer(key))
            .map_err(Failure::cannot_start)
    }

    /// As the certificate authority knows it: by its key, so that nobody is asked.
    pub(super) fn config(&self) -> Result<IssuerConfig, ConfigError> {
        // The 32 octets behind the header of RFC 8410 §4.
        let x = self.0.public_key().subject_public_key();
        let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": KEY_ID, "use": "sig", "x": URL_SAFE_NO_PAD.encode(x)});
        let mut config = IssuerConfig::new(ISSUER, AUDIENCE, IdentityType::email())?;
        config.keys.jwks = Some(json!({ "keys": [key] }).to_string());
        Ok(config)
    }

    fn token(&self, now: u64) -> Result<String, SignError> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": CANARY, "email": CANARY, "email_verified": true,
            "iat": now, "exp": now.saturating_add(LIFETIME)});
        let header = json!({"alg": "EdDSA", "kid": KEY_ID, "typ": "JWT"});
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.0.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// What sends the canary.
pub(super) struct Canary {
    pub(super) issuer: CanaryIssuer,
    /// Of the process itself.
    pub(super) client: Client,
    /// Of its logs, where it has any.
    pub(super) engine: Option<Engine>,
    pub(super) roles: Roles,
    /// Knows what to trust.
    pub(super) keeper: Arc<Keeper>,
    pub(super) clock: Clock,
}

impl Canary {
    /// Sends it until it has passed.
    pub(super) async fn pass(&self) {
        while let Err(broken) = self.look().await {
            tracing::error!(%broken, "the canary did not pass: not ready yet");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Sends it again and again.
    pub(super) async fn watch(self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            if let Err(broken) = self.look().await {
                tracing::error!(%broken, "the canary did not pass");
            }
        }
    }

    async fn look(&self) -> Result<(), String> {
        let (now, began) = ((self.clock)(), Instant::now());
        let unix = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let token = self.issuer.token(unix).map_err(|error| error.to_string())?;
        let frozen = self.engine.iter().flat_map(services::frozen);
        let frozen: Vec<LogKind> = frozen.map(|log| log.spec.kind).collect();
        let trusted = match self.roles.has(Role::TufOnline) {
            true => None,
            false => Some(
                self.keeper
                    .trusted_root()
                    .await
                    .map_err(|error| error.to_string())?,
            ),
        };
        let scope = Scope::of(self.roles.clone(), trusted);
        let report = doctor::examine(&self.client, now, &frozen, Some(&token), &scope).await;
        for (link, sound) in report.sound() {
            metrics::gauge!("sigbox_canary_link_sound", "link" => link.label())
                .set(f64::from(u8::from(sound)));
        }
        metrics::gauge!("sigbox_canary_time_seconds")
            .set(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        metrics::gauge!("sigbox_canary_duration_seconds").set(began.elapsed().as_secs_f64());
        doctor::passed(&report)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::signing::certificate::subject;

    #[test]
    fn the_canary_has_an_issuer_whose_key_is_its_own() {
        let (one, other) = (CanaryIssuer::new().unwrap(), CanaryIssuer::new().unwrap());
        let config = one.config().unwrap();
        assert_eq!(config.issuer_url(), ISSUER);
        assert_ne!(config.keys.jwks, other.config().unwrap().keys.jwks);
        let token = one.token(1_800_000_000).unwrap();
        assert_eq!(subject(&token).unwrap(), CANARY);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let verifies = |issuer: &CanaryIssuer| {
            let key = issuer.0.public_key();
            key.verify(key.default_hash(), signed.as_bytes(), &signature)
                .is_ok()
        };
        assert!(verifies(&one) && !verifies(&other));
    }
}
