//! Upstream's configuration file, read as it is: JSON with its names (`OIDCIssuers`) or YAML with its own (`oidc-issuers`).
//!
//! Upstream: fulcio `pkg/config/config.go`. Keys of ours stand beside theirs; `docs/operations.md` lists them. A file
//! is checked completely when it is read: what upstream finds at the first token is an error here.

mod document;
mod issuer;
mod policy;
mod preset;
mod privacy;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::extensions::Extension;
use crate::identity::{CiProvider, CiProviderText, ConfigError, IssuerConfig};

pub(crate) use document::{Fields, tree};
pub use preset::PRESETS;

/// A file that was read.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Configuration {
    /// The issuers.
    pub issuers: Vec<IssuerConfig>,
    /// What was passed over, for people.
    pub warnings: Vec<String>,
}

/// Reads a file that the configuration names.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// Members of the whole file.
const KNOWN: [&str; 3] = ["oidc-issuers", "meta-issuers", "ci-issuer-metadata"];
/// Members of one provider.
const PROVIDER: [&str; 4] = [
    "default-template-values",
    "overridable-values",
    "extension-templates",
    "subject-alternative-name-template",
];
/// Extensions that may be named and are not mapped: they always come from the token.
const FROM_THE_TOKEN: [&str; 2] = ["issuer", "subject"];

/// What the parts of a file are read with.
struct Reader<'a> {
    read: ReadFile<'a>,
    providers: BTreeMap<String, Arc<CiProvider>>,
    out: Configuration,
}

impl Configuration {
    /// Reads `text`, and with `read` the files that it names.
    ///
    /// # Errors
    /// [`ConfigError`] says where, what was expected and what is there.
    pub fn parse(text: &[u8], read: ReadFile<'_>) -> Result<Self, ConfigError> {
        let mut file = Fields::new("", tree(text)?)?;
        let mut reader = Reader {
            read,
            providers: BTreeMap::new(),
            out: Self::default(),
        };
        reader.unknown(&file, &KNOWN)?;
        for (name, fields) in file.table("ci-issuer-metadata")? {
            let provider = reader.provider(&name, fields)?;
            reader.providers.insert(name, Arc::new(provider));
        }
        for (url, fields) in file.table("oidc-issuers")? {
            let issuer = reader.issuer(&url, fields, false)?;
            reader.out.issuers.push(issuer);
        }
        for (pattern, fields) in file.table("meta-issuers")? {
            let issuer = reader.issuer(&pattern, fields, true)?;
            reader.out.issuers.push(issuer);
        }
        if reader.out.issuers.is_empty() {
            reader.out.warnings.push("the file has no issuers".to_owned());
        }
        Ok(reader.out)
    }
}

impl Reader<'_> {
    /// Upstream ignores members it does not know. So do we, aloud, unless one looks like a slip of the pen.
    fn unknown(&mut self, fields: &Fields, known: &[&str]) -> Result<(), ConfigError> {
        self.out.warnings.extend(fields.unknown(known)?);
        Ok(())
    }

    fn provider(&mut self, name: &str, mut fields: Fields) -> Result<CiProvider, ConfigError> {
        self.unknown(&fields, &PROVIDER)?;
        let mut text = CiProviderText {
            defaults: fields.texts("default-template-values")?,
            subject: fields
                .text("subject-alternative-name-template")?
                .unwrap_or_default(),
            ..CiProviderText::default()
        };
        text.overridable = match fields.list("overridable-values")? {
            Some(names) => names.into_iter().collect(),
            None => CiProvider::overridable_by_default(name),
        };
        if let Some(mut templates) = fields.fields("extension-templates")? {
            let known: Vec<_> = Extension::MAPPED
                .iter()
                .map(|(_, key, _)| *key)
                .chain(FROM_THE_TOKEN)
                .collect();
            self.unknown(&templates, &known)?;
            for (extension, key, _) in Extension::MAPPED {
                if let Some(template) = templates.text(key)? {
                    text.extensions.push((extension, template));
                }
            }
        }
        CiProvider::new(name, text)
    }

    /// A file that the configuration names, as text.
    fn file(&mut self, fields: &Fields, key: &str, path: &str) -> Result<String, ConfigError> {
        let outcome = (self.read)(Path::new(path)).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not text"))
        });
        let text = outcome
            .map_err(|cause| fields.wrong(key, "a file that can be read", &format!("{path:?}: {cause}")))?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
