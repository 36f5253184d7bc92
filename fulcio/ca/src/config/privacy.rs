//! What certificates of one issuer say, in the file. A key that is not known is an error: a slip must not publish a name.

use std::collections::BTreeSet;

use super::document::Fields;
use crate::extensions::Extension;
use crate::identity::ConfigError;
use crate::identity::template::Template;
use crate::privacy::{Privacy, Subject};

const PSEUDONYM: &str = "pseudonym";
const TEMPLATE: &str = "subject-alternative-name-template";
const EXTENSIONS: &str = "extensions";
/// The name of the extension with the token's subject, which no template maps.
const SUBJECT: &str = "subject";

/// What `fields` describe.
pub(super) fn read(mut fields: Fields) -> Result<Privacy, ConfigError> {
    fields.only(&[PSEUDONYM, TEMPLATE, EXTENSIONS])?;
    let pseudonym = fields.flag(PSEUDONYM)?.unwrap_or_default();
    let subject = match fields.text(TEMPLATE)? {
        Some(_) if pseudonym => return Err(fields.wrong(TEMPLATE, "it or a pseudonym", "both")),
        Some(text) => {
            let template = Template::parse(&text);
            Subject::Template(
                template.map_err(|cause| fields.wrong(TEMPLATE, "a template", &cause.to_string()))?,
            )
        }
        None if pseudonym => Subject::Pseudonym,
        None => Subject::Itself,
    };
    let listed = fields.list(EXTENSIONS)?;
    if subject == Subject::Itself && listed.is_none() {
        // It would leave everything out, which nobody means by an empty table.
        return Err(fields.wrong(EXTENSIONS, "a list where the name stays as it is", "none"));
    }
    let mut kept = BTreeSet::new();
    for name in listed.unwrap_or_default() {
        let mapped = Extension::MAPPED.iter().find(|(_, key, _)| *key == name);
        let kind = match mapped {
            Some((kind, ..)) => *kind,
            None if name == SUBJECT => Extension::Subject,
            None => {
                let known: Vec<_> = Extension::MAPPED
                    .iter()
                    .map(|(_, key, _)| *key)
                    .chain([SUBJECT])
                    .collect();
                return Err(fields.wrong(
                    EXTENSIONS,
                    &format!("some of {}", known.join(", ")),
                    &format!("{name:?}"),
                ));
            }
        };
        kept.insert(kind);
    }
    Ok(Privacy { subject, kept })
}
