//! What of an identity is published: an issuer's certificates may have another name, and fewer extensions, than upstream's.
//!
//! A certificate is in logs for ever, and with it the address or the repository that it names (gitsign #65). An operator can
//! have it say a team instead (a template over claims), or a pseudonym: the same for the same name, and meaning nothing to
//! who does not know what [`Pseudonyms`] knows, which may be deleted. The issuer stays, without which no verifier
//! accepts a certificate; what else stays is listed.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use common_pki::cert::SubjectAltName;

use crate::error::Error;
use crate::extensions::{Extension, Extensions};
use crate::identity::claims::Claims;
use crate::identity::principal::{Principal, is_email};
use crate::identity::template::{MAX_TEXT, Template, Unfilled, Values};
use crate::identity::uri::Uri;
use crate::identity::{IssuerConfig, TokenError};

/// What certificates of an issuer say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privacy {
    /// Whom they name.
    pub(crate) subject: Subject,
    /// Extensions that stay, beside the issuer.
    pub(crate) kept: BTreeSet<Extension>,
}

/// Whom a certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Whom it would name anyway.
    Itself,
    /// What is made of claims: a URI or an address.
    Template(Template),
    /// A name that means nothing.
    Pseudonym,
}

/// Pseudonyms could not be read or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PseudonymError(pub String);

/// Knows who is behind which pseudonym.
#[async_trait]
pub trait Pseudonyms: Send + Sync {
    /// The pseudonym, a URI, of whom certificates of `issuer` would name; made now if there is none.
    async fn of(&self, issuer: &str, subject: &str) -> Result<String, PseudonymError>;

    /// The same, if there is one already.
    async fn known(&self, issuer: &str, subject: &str) -> Result<Option<String>, PseudonymError>;
}

/// Shown in place of a pseudonym that is not made yet.
const NOT_YET: &str = "urn:uuid: and a new pseudonym, made for the first certificate";
/// Shown in place of a pseudonym by who keeps none.
const NOT_KNOWN: &str = "urn:uuid: and the pseudonym that the instance knows, or makes";

/// Whether a pseudonym may be made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// A certificate.
    Issuing,
    /// A look at what it would say.
    Looking,
}

/// What is published of `principal`, whose claims are believed. What a proof of possession signs stays what it is.
pub(crate) async fn published(
    config: &IssuerConfig,
    claims: &Claims,
    principal: Principal,
    pseudonyms: Option<&Arc<dyn Pseudonyms>>,
    purpose: For,
) -> Result<Principal, Error> {
    let Some(privacy) = &config.privacy else {
        return Ok(principal);
    };
    let subject = match &privacy.subject {
        Subject::Itself => principal.subject,
        Subject::Template(template) => filled(template, claims)?,
        Subject::Pseudonym => {
            let (issuer, name) = (config.issuer_url(), principal.subject.text());
            let failed = |cause: PseudonymError| Error::Pseudonyms(cause.0);
            let pseudonym = match (pseudonyms, purpose) {
                (Some(pseudonyms), For::Issuing) => pseudonyms.of(issuer, &name).await.map_err(failed)?,
                (Some(pseudonyms), For::Looking) => {
                    let known = pseudonyms.known(issuer, &name).await.map_err(failed)?;
                    known.unwrap_or_else(|| NOT_YET.to_owned())
                }
                (None, For::Looking) => NOT_KNOWN.to_owned(),
                (None, For::Issuing) => return Err(Error::Pseudonyms("none are kept here".to_owned())),
            };
            SubjectAltName::Uri(pseudonym)
        }
    };
    let mut extensions = Extensions::default();
    for (kind, text) in principal.extensions.iter() {
        let issuer = matches!(kind, Extension::IssuerV1 | Extension::IssuerV2);
        if issuer || privacy.kept.contains(&kind) {
            extensions.set(kind, text);
        }
    }
    Ok(Principal {
        name: principal.name,
        subject,
        extensions,
    })
}

/// A name made of claims.
fn filled(template: &Template, claims: &Claims) -> Result<SubjectAltName, TokenError> {
    let text = template.fill(&OfToken(claims)).map_err(|cause| {
        TokenError::Mapping(format!(
            "privacy: subject-alternative-name-template: {cause}: expected the token to have this claim"
        ))
    })?;
    if is_email(&text) {
        return Ok(SubjectAltName::Email(text));
    }
    Ok(SubjectAltName::Uri(Uri::of_subject(&text)?.text))
}

/// Claims alone: there are no defaults.
struct OfToken<'a>(&'a Claims);

impl Values for OfToken<'_> {
    fn get(&self, name: &str) -> Result<Cow<'_, str>, Unfilled> {
        let claim = self.0.scalar(name).map_err(|got| Unfilled::NotText {
            name: name.to_owned(),
            got,
        })?;
        match claim {
            Some(text) if text.len() > MAX_TEXT => Err(Unfilled::TooLong),
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(Unfilled::Missing(name.to_owned())),
        }
    }
}
