//! Whom an entry concerns: what is watched, and who of those may sign.

use common_pki::cert::{CertError, Certificate, SubjectAltName};
use common_pki::sct::{SctError, SignedEntry, TimestampedEntry};
use rekor_entry::Invalid;
use rekor_entry::committed::ReadError;
use rekor_entry::facts::{Condition, Facts, Field};

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
    /// What it says of an entry; `None` when it is not about it. Each signer is looked at by itself: what one of them says does not
    /// make another one expected.
    #[must_use]
    pub fn look(&self, facts: &Facts) -> Option<Sighting> {
        let mut meant = each(facts)
            .into_iter()
            .filter(|one| meet(one, &self.of))
            .peekable();
        meant.peek()?;
        let expected = meant.all(|one| self.expected.iter().any(|all| meet(&one, all)));
        Some(match expected {
            true => Sighting::Expected,
            false => Sighting::Unexpected,
        })
    }
}

/// Each signer by itself. GitHub's name of a workflow is whatever its author wrote: it must not pass for a path.
fn each(facts: &Facts) -> Vec<Facts> {
    let mut each = facts.by_signer();
    for signer in each.iter_mut().flat_map(|one| &mut one.signers) {
        let certificate = signer.certificate.as_ref();
        let name = certificate.and_then(|found| found.sigstore_extension(4));
        if let Some(name) = name.filter(|name| name.contains('/')) {
            signer
                .workflows
                .retain(|workflow| *workflow != name || workflow.contains("://"));
        }
    }
    each
}

/// One condition of each field is met. Nothing meets an empty list.
fn meet(facts: &Facts, conditions: &[Condition]) -> bool {
    !conditions.is_empty()
        && conditions.iter().all(|one| {
            let mut alternatives = conditions.iter().filter(|other| other.field() == one.field());
            alternatives.any(|condition| facts.meet(condition) || meets_address(facts, condition))
        })
}

/// Whether an address of a key that is not of X.509 is within a domain, or begins so. A search has no such terms.
fn meets_address(facts: &Facts, condition: &Condition) -> bool {
    let value = condition.value();
    let within = |domain: &str| {
        domain == value
            || domain
                .strip_suffix(value)
                .is_some_and(|before| before.ends_with('.'))
    };
    let mut addresses = facts
        .keys
        .iter()
        .filter_map(|key| Some((key, key.rsplit_once('@')?.1)));
    match condition.field() {
        Field::Domain => addresses.any(|(_, domain)| within(domain)),
        Field::Prefix => addresses.any(|(address, _)| address.starts_with(value)),
        _ => false,
    }
}

/// What is known of a leaf, and when a certificate was logged in Unix milliseconds.
///
/// # Errors
/// [`Unreadable`]: whoever watches must be told, for anybody could be behind it.
pub fn facts(content: &Content) -> Result<(Facts, Option<u64>), Unreadable> {
    match content {
        Content::Entry(body) => {
            let facts = Facts::read(body, &[])?;
            // A log takes certificates whose names cannot be read: somebody is meant by them all the same.
            for certificate in facts
                .signers
                .iter()
                .filter_map(|signer| signer.certificate.as_ref())
            {
                let _: Vec<SubjectAltName> = certificate.subject_alt_names().map_err(Unreadable::Names)?;
            }
            Ok((facts, None))
        }
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
