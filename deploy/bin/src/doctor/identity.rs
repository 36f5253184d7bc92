//! As whom the canary is signed.

use common_bundle::verify::Policy;
use common_pki::cert::Certificate;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::doctor::CANARY;
use crate::doctor::report::{Broken, broken};
use crate::doctor::trust::Trust;
use crate::http::Client;
use crate::signing::{self, identity::given_token};
use crate::token;

/// A token, and what of it a proof of possession signs.
pub(crate) struct Signer {
    pub(crate) token: String,
    pub(crate) subject: String,
    /// What the certificate must say: known only of the canary's own self.
    expected: Option<(String, String)>,
}

impl Signer {
    /// What the whole bundle must verify under.
    pub(crate) fn policy(&self, leaf: &Certificate) -> Policy {
        match &self.expected {
            Some((name, issuer)) => Policy::identity(name.clone(), issuer.clone()),
            None => {
                let names = leaf.subject_alt_names().unwrap_or_default();
                let name = names.first().map(|name| name.text()).unwrap_or_default();
                // Fulcio's issuer extension, 1.3.6.1.4.1.57264.1.8.
                Policy::identity(name, leaf.sigstore_extension(8).unwrap_or_default())
            }
        }
    }
}

/// The canary's own self, certified by the issuer that the signing configuration names: the development issuer.
pub(crate) async fn development(client: &Client, trust: &Trust) -> Result<(Signer, String), Broken> {
    #[derive(Deserialize)]
    struct Discovery {
        issuer: String,
    }
    let advice = "see the server's log; is the development issuer reached through a proxy or another name? `serve` has none: give \
                  --identity-token";
    let answer = client.get("/oidc/.well-known/openid-configuration").await;
    let body = answer
        .and_then(|answer| answer.expect(StatusCode::OK))
        .map_err(|error| broken(error, advice))?;
    let discovery: Discovery = serde_json::from_slice(&body).map_err(|error| broken(error, advice))?;
    if discovery.issuer != trust.issuer {
        let found = format!(
            "expected issuer {}, as the signing configuration says, got {}",
            trust.issuer, discovery.issuer
        );
        return Err(broken(
            found,
            "set --public-url to the URL clients use, and start again",
        ));
    }
    let token = token::get(client, &json!({ "email": CANARY }))
        .await
        .map_err(|error| broken(error, advice))?;
    let evidence = format!("{} certified {CANARY}", discovery.issuer);
    let signer = Signer {
        token,
        subject: CANARY.to_owned(),
        expected: Some((CANARY.to_owned(), trust.issuer.clone())),
    };
    Ok((signer, evidence))
}

/// Whom a token certifies that was given, by itself or in a file.
pub(crate) fn given(given: &str) -> Result<(Signer, String), Broken> {
    let advice = "give a token of an issuer that the instance knows, for the audience it expects";
    let token = given_token(given).map_err(|error| broken(error.message, advice))?;
    let subject = signing::certificate::subject(&token).map_err(|error| broken(error, advice))?;
    let evidence = format!("a token for {subject} was given");
    let signer = Signer {
        token,
        subject,
        expected: None,
    };
    Ok((signer, evidence))
}
