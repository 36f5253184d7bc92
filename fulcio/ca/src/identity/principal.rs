//! Who a verified token speaks for, by the issuer's type.

mod email;
mod workload;

pub(crate) use email::is_email;

use common_pki::cert::SubjectAltName;

use crate::extensions::{Extension, Extensions};

use super::claims::Claims;
use super::config::IssuerConfig;
use super::error::TokenError;
use super::kind::IdentityType;
use super::template::MAX_TEXT;

/// The outcome of token verification: everything of the identity that a certificate repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The text a proof of possession must sign: raw UTF-8, without hashing by name or nonce.
    pub(crate) name: String,
    /// The certificate's one subject alternative name.
    pub(crate) subject: SubjectAltName,
    /// Fulcio's extensions 1.3.6.1.4.1.57264.1.*.
    pub(crate) extensions: Extensions,
}

/// The principal of a token from the issuer of `config`. Its claims are believed.
pub(crate) fn principal(config: &IssuerConfig, claims: &Claims) -> Result<Principal, TokenError> {
    let principal = of_type(config, claims)?;
    let long = principal
        .extensions
        .iter()
        .find(|(_, text)| text.len() > MAX_TEXT);
    if let Some((kind, text)) = long {
        return Err(TokenError::Claim {
            claim: kind.name().to_owned(),
            expected: format!("at most {MAX_TEXT} bytes"),
            got: text.len().to_string(),
        });
    }
    Ok(principal)
}

fn of_type(config: &IssuerConfig, claims: &Claims) -> Result<Principal, TokenError> {
    let issuer = config.issuer_url();
    if let IdentityType::Email(email) = &config.identity_type {
        return email::principal(email, issuer, claims);
    }
    // What a client signs is its subject, whatever the certificate says (cosign `pkg/oauthflow/flow.go`).
    let sub = claims.required("sub")?;
    let mut name = sub;
    let (subject, mut extensions) = match &config.identity_type {
        IdentityType::Email(_) => (SubjectAltName::Email(sub.to_owned()), Extensions::default()),
        IdentityType::Uri(domain) => (workload::uri(domain, sub)?, Extensions::default()),
        IdentityType::Username { domain } => (workload::username(domain, sub)?, Extensions::default()),
        IdentityType::Spiffe { trust_domain } => {
            (workload::spiffe(trust_domain, sub)?, Extensions::default())
        }
        IdentityType::Kubernetes => (workload::kubernetes(claims)?, Extensions::default()),
        IdentityType::Chainguard => {
            name = workload::chainguard_name(claims, sub)?;
            (workload::chainguard(issuer, sub)?, Extensions::default())
        }
        IdentityType::CiProvider(provider) => provider.apply(issuer, claims)?,
        IdentityType::Legacy(legacy) => legacy.apply(issuer, claims)?,
    };
    extensions.set_issuer(issuer);
    extensions.set(Extension::Subject, sub);
    Ok(Principal {
        name: name.to_owned(),
        subject,
        extensions,
    })
}

#[cfg(test)]
mod tests;
