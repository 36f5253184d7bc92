//! Continuous integration: which claims become which parts of a certificate.
//!
//! Upstream: fulcio `pkg/identity/ciprovider/principal.go`. A value with `{{` is a template, any other is the name of a claim.
//! Claims come before defaults there, so that an issuer whose users can mint a claim named `url` lets them choose the host
//! of every URI. Here a default that says something is fixed, unless it is listed as overridable; an empty one stands in for
//! a claim that may be missing.

mod builtin;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use common_pki::cert::SubjectAltName;

use crate::extensions::{Extension, Extensions};

use super::claims::Claims;
use super::config::ConfigError;
use super::error::TokenError;
use super::template::{MAX_TEXT, Template, Unfilled, Values};
use super::uri::Uri;

pub(super) use builtin::BUILTIN;

/// The mapping of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CiProvider {
    name: String,
    defaults: BTreeMap<String, String>,
    overridable: BTreeSet<String>,
    subject: Mapping,
    extensions: Vec<(Extension, Mapping)>,
}

/// A provider's mapping as text, before it is checked.
#[derive(Clone, Debug, Default)]
pub struct CiProviderText {
    /// Values for names that are no claims (`default-template-values`).
    pub defaults: BTreeMap<String, String>,
    /// Defaults that a claim of the same name replaces although they are not empty.
    pub overridable: BTreeSet<String>,
    /// The subject alternative name, a URI (`subject-alternative-name-template`).
    pub subject: String,
    /// The extensions (`extension-templates`).
    pub extensions: Vec<(Extension, String)>,
}

/// Where a text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mapping {
    /// The claim or default of that name.
    Named(String),
    Template(Template),
}

impl Mapping {
    fn parse(text: &str) -> Result<Self, String> {
        if text.contains("{{") {
            Template::parse(text)
                .map(Self::Template)
                .map_err(|cause| cause.to_string())
        } else {
            Ok(Self::Named(text.to_owned()))
        }
    }
}

impl CiProvider {
    /// A provider of that name.
    ///
    /// # Errors
    /// If there is no template for the subject, or a template cannot be read.
    pub fn new(name: &str, text: CiProviderText) -> Result<Self, ConfigError> {
        let bad = |field: &str, cause: String| ConfigError::Provider {
            provider: name.to_owned(),
            field: field.to_owned(),
            cause,
        };
        if text.subject.trim().is_empty() {
            // Upstream says so to every token instead.
            return Err(bad(
                "subject-alternative-name-template",
                "expected a template, got none".to_owned(),
            ));
        }
        let subject =
            Mapping::parse(&text.subject).map_err(|cause| bad("subject-alternative-name-template", cause))?;
        let mut extensions = Vec::new();
        for (extension, template) in &text.extensions {
            if !template.trim().is_empty() {
                let mapping = Mapping::parse(template).map_err(|cause| bad(extension.name(), cause))?;
                extensions.push((*extension, mapping));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            defaults: text.defaults,
            overridable: text.overridable,
            subject,
            extensions,
        })
    }

    /// The mapping that is known for a provider, if any: that of upstream's own configuration.
    #[must_use]
    pub fn builtin(name: &str) -> Option<Self> {
        let known = BUILTIN.iter().find(|known| known.name == name)?;
        Self::new(name, known.text()).ok()
    }

    /// The same for an instance of one's own at `origin`.
    #[must_use]
    pub fn builtin_at(name: &str, origin: &str) -> Option<Self> {
        let known = BUILTIN.iter().find(|known| known.name == name)?;
        let mut text = known.text();
        text.defaults.insert("url".to_owned(), origin.to_owned());
        Self::new(name, text).ok()
    }

    /// What claims may override of a provider for which the configuration does not say.
    pub(crate) fn overridable_by_default(name: &str) -> BTreeSet<String> {
        let known = BUILTIN.iter().find(|known| known.name == name);
        known.map(|known| known.text().overridable).unwrap_or_default()
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Subject and extensions, without issuer and token subject.
    pub(super) fn apply(
        &self,
        issuer: &str,
        claims: &Claims,
    ) -> Result<(SubjectAltName, Extensions), TokenError> {
        self.apply_with(issuer, claims, |_, text| Ok(text))
    }

    /// The same, with `finish` called for the text of each extension, and of the subject, before it is used.
    pub(super) fn apply_with(
        &self,
        issuer: &str,
        claims: &Claims,
        finish: impl Fn(Option<Extension>, String) -> Result<String, TokenError>,
    ) -> Result<(SubjectAltName, Extensions), TokenError> {
        let values = Merged {
            claims,
            provider: self,
        };
        let fill = |field: &'static str, mapping: &Mapping| {
            match mapping {
                Mapping::Named(name) => values.get(name).map(Cow::into_owned),
                Mapping::Template(template) => template.fill(&values),
            }
            .map_err(|cause| unmapped(field, issuer, &cause, matches!(mapping, Mapping::Named(_))))
        };
        let subject = finish(None, fill("SubjectAlternativeName", &self.subject)?)?;
        let subject = Uri::of_subject(&subject)?;
        let mut extensions = Extensions::default();
        for (extension, mapping) in &self.extensions {
            let text = finish(Some(*extension), fill(extension.name(), mapping)?)?;
            extensions.set(*extension, &text);
        }
        Ok((SubjectAltName::Uri(subject.text), extensions))
    }

    /// Claims that look as if they were used and are not, in words.
    pub(crate) fn passed_over<'a>(&'a self, claims: &'a Claims) -> impl Iterator<Item = String> + 'a {
        let fixed = self.defaults.iter().filter(|(name, _)| self.is_fixed(name));
        fixed.filter_map(|(name, default)| {
            let claim = claims.scalar(name).ok().flatten()?;
            (claim != default.as_str())
                .then(|| format!("the claim {name:?} is passed over: its default {default:?} is fixed"))
        })
    }

    fn is_fixed(&self, name: &str) -> bool {
        self.defaults.get(name).is_some_and(|default| !default.is_empty()) && !self.overridable.contains(name)
    }
}

/// Claims and defaults.
struct Merged<'a> {
    claims: &'a Claims,
    provider: &'a CiProvider,
}

impl Values for Merged<'_> {
    fn get(&self, name: &str) -> Result<Cow<'_, str>, Unfilled> {
        let default = self
            .provider
            .defaults
            .get(name)
            .map(|text| Cow::Borrowed(text.as_str()));
        if let Some(default) = &default
            && self.provider.is_fixed(name)
        {
            return Ok(default.clone());
        }
        let claim = self.claims.scalar(name).map_err(|got| Unfilled::NotText {
            name: name.to_owned(),
            got,
        })?;
        // An empty claim does not replace a default that says something.
        let claim = claim.filter(|claim| !claim.is_empty() || default.as_deref().is_none_or(str::is_empty));
        match claim.or(default) {
            Some(text) if text.len() > MAX_TEXT => Err(Unfilled::TooLong),
            Some(text) => Ok(text),
            None => Err(Unfilled::Missing(name.to_owned())),
        }
    }
}

/// Upstream's message, which names the part of the certificate, and what helps.
fn unmapped(field: &'static str, issuer: &str, cause: &Unfilled, named: bool) -> TokenError {
    let what = match cause {
        Unfilled::Missing(name) if named => {
            format!("value <{name}> not present in either claims or defaults.")
        }
        other => format!("template: {other}."),
    };
    let issuer = serde_json::Value::from(issuer);
    TokenError::Mapping(format!(
        "{what} {{\n\t\"ExtensionName\": \"{field}\",\n\t\"Issuer\": {issuer}\n}}: expected the token to have this claim, \
         or the configuration a default-template-value of its name"
    ))
}

#[cfg(test)]
mod tests;
