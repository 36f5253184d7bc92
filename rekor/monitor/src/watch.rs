//! Whom an entry concerns: what is watched, and who of those may sign.

use common_pki::cert::{CertError, Certificate, SubjectAltName};
use common_pki::sct::{SctError, SignedEntry, TimestampedEntry};
use rekor_entry::Invalid;
use rekor_entry::committed::ReadError;
use rekor_entry::facts::{Condition, Facts};

use crate::source::Content;

/// What to look for in every new leaf. Within a list of conditions the values of one field are alternatives, and every field
/// that is named must be met.
#[derive(Clone, Debug)]
pub struct Watch {
    /// What people call it.
    pub name: String,
    /// Who and what is meant.
    pub of: Vec<Condition>,
    /// What of it is as it should be: what one of these lists describes.
    pub expected: Vec<Vec<Condition>>,
}

/// What a watch saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// What it expects.
    Expected,
    /// What somebody should look at.
    Unexpected,
}

/// A leaf that cannot be looked into, so nobody knows whom it concerns.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not the body of an entry, or one of a kind that is not known.
    #[error(transparent)]
    Entry(#[from] ReadError),
    /// Not the leaf of a certificate log.
    #[error(transparent)]
    Leaf(#[from] SctError),
    /// Without a certificate that can be read.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// For a key of an unknown kind.
    #[error(transparent)]
    Key(#[from] Invalid),
    /// Names that are not as they should be.
    #[error("its names cannot be read: {0}")]
    Names(CertError),
}

impl Watch {
    /// What it says of an entry; `None` when it is not about it.
    #[must_use]
    pub fn look(&self, facts: &Facts) -> Option<Sighting> {
        if !meet(facts, &self.of) {
            return None;
        }
        Some(match self.expected.iter().any(|all| meet(facts, all)) {
            true => Sighting::Expected,
            false => Sighting::Unexpected,
        })
    }
}

/// One condition of each field is met. Nothing meets an empty list.
fn meet(facts: &Facts, conditions: &[Condition]) -> bool {
    !conditions.is_empty()
        && conditions.iter().all(|one| {
            let mut alternatives = conditions.iter().filter(|other| other.field() == one.field());
            alternatives.any(|condition| facts.meet(condition))
        })
}

/// What is known of a leaf, and when a certificate was logged in Unix milliseconds.
///
/// # Errors
/// [`Unreadable`]: whoever watches must be told, for anybody could be behind it.
pub fn facts(content: &Content) -> Result<(Facts, Option<u64>), Unreadable> {
    match content {
        Content::Entry(body) => Ok((Facts::read(body, &[])?, None)),
        Content::Certificate(entry) => {
            let entry = TimestampedEntry::from_leaf(&[&[0, 0], entry.as_ref()].concat())?;
            // What a log serves beside the leaf, such as the precertificate itself, is in no hash.
            let certificate = match &entry.entry {
                SignedEntry::X509(der) => Certificate::from_der(der)?,
                SignedEntry::Precert { tbs, .. } => Certificate::from_tbs_der(tbs)?,
            };
            let _: Vec<SubjectAltName> = certificate.subject_alt_names().map_err(Unreadable::Names)?;
            Ok((Facts::of_certificate(&certificate)?, Some(entry.timestamp)))
        }
    }
}

#[cfg(test)]
mod tests;
