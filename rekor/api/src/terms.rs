//! The terms by which the engine's index finds Rekor entries, and the facts that say whether it was right.
//!
//! Terms are told from what is stored, body and record beside it, by the same functions when an entry is logged, when
//! an older log is indexed anew, when `fsck` checks the index, and when a search confirms what it found.
//!
//! Each kind of log has its own namespaces: `rekor-v1/…` for upstream's index keys, which `index/retrieve` looks up too,
//! `rekor-v1:…` for attributes of signers. Entries of one API never crowd out those of the other.

use common_engine::{LeafTerms, LogKind, StoredLeaf};
use rekor_entry::Invalid;
use rekor_entry::committed::ReadError;
use rekor_entry::facts::{Facts, Term};
use rekor_entry::v1::Kind;

use crate::personality::{Extra, Kept, beside_v2};

/// Raised with every change of [`later`].
pub(crate) const VERSION: u32 = 1;

/// A stored leaf has no terms that can be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// What is beside it is none of ours.
    #[error("the record beside the leaf is not one of this log")]
    Record,
    /// The record says that the leaf is of no kind that is known here.
    #[error("the leaf was taken over as one of no known kind")]
    Foreign,
    /// The leaf.
    #[error(transparent)]
    Body(#[from] ReadError),
}

/// A term as the engine's index has it.
pub(crate) fn index_term(kind: LogKind, term: &Term) -> String {
    match term {
        Term::Key(key) => key_term(kind, key),
        Term::Attribute(attribute) => [kind.name(), ":", attribute].concat(),
    }
}

/// The same for an index key.
pub(crate) fn key_term(kind: LogKind, key: &str) -> String {
    [kind.name(), "/", key].concat()
}

/// All terms of a new entry.
///
/// # Errors
/// When there are more than an entry may have.
pub(crate) fn of_new(kind: LogKind, facts: &Facts) -> Result<Vec<String>, Invalid> {
    let terms = all(kind, facts);
    facts.findable(terms.len().saturating_sub(facts.keys.len()))?;
    Ok(terms)
}

/// All terms there are.
fn all(kind: LogKind, facts: &Facts) -> Vec<String> {
    let keys = facts.keys.iter().map(|key| key_term(kind, key));
    keys.chain(attributes(kind, facts)).collect()
}

fn attributes(kind: LogKind, facts: &Facts) -> impl Iterator<Item = String> {
    let attributes = facts.attributes().into_iter();
    attributes.map(move |term| index_term(kind, &term))
}

/// The facts of a stored leaf, and the index keys that were kept beside it.
pub(crate) fn facts(kind: LogKind, leaf: &StoredLeaf) -> Result<(Facts, Kept), Unreadable> {
    let kept = match kind {
        LogKind::RekorV1 => Extra::decode(&leaf.extra).and_then(|record| record.kept()),
        LogKind::RekorV2 => beside_v2(&leaf.extra).map(|(_, kept)| kept),
        LogKind::Ct => None,
    };
    let kept = kept.ok_or(Unreadable::Record)?;
    let facts = match &kept {
        Kept::Besides(terms) => Facts::read(&leaf.data, terms)?,
        Kept::Nothing => return Err(Unreadable::Foreign),
        Kept::Unknown => Facts::read(&leaf.data, &[])?,
        // The body tells some that the entry was not given.
        Kept::All(terms) => Facts {
            keys: terms.clone(),
            ..Facts::read(&leaf.data, &[])?
        },
    };
    Ok((facts, kept))
}

/// The terms that a log has had from [`VERSION`] on: attributes of signers, and all keys of v2.
pub(crate) fn later(kind: LogKind, facts: &Facts) -> Vec<String> {
    match kind {
        LogKind::RekorV2 => all(kind, facts),
        LogKind::RekorV1 | LogKind::Ct => attributes(kind, facts).collect(),
    }
}

/// The same for a leaf that was logged before: subjects and predicate of a payload may be gone with it.
pub(crate) fn of_older(kind: LogKind, leaf: &StoredLeaf) -> LeafTerms {
    told(kind, leaf, later)
}

/// All terms of a leaf that another log had.
pub(crate) fn of_imported(kind: LogKind, leaf: &StoredLeaf) -> LeafTerms {
    let told = told(kind, leaf, all);
    LeafTerms {
        complete: told.complete && !is_of_ssh(leaf),
        ..told
    }
}

/// Whether it is a `rekord` by a key of SSH: the comment of such a key is a term, and not in the body. No base64 looks like this.
fn is_of_ssh(leaf: &StoredLeaf) -> bool {
    const FORMAT: &[u8] = br#""format":"ssh""#;
    leaf.data.windows(FORMAT.len()).any(|octets| octets == FORMAT)
}

/// A leaf that cannot be read has no terms that can be told.
fn told(kind: LogKind, leaf: &StoredLeaf, terms: fn(LogKind, &Facts) -> Vec<String>) -> LeafTerms {
    let Ok((facts, kept)) = facts(kind, leaf) else {
        return LeafTerms::default();
    };
    LeafTerms {
        terms: terms(kind, &facts),
        complete: tells_all(&facts, &kept),
    }
}

/// Whether the terms of a payload are known, where there is one.
fn tells_all(facts: &Facts, kept: &Kept) -> bool {
    let has_payload = [Kind::Dsse, Kind::Intoto, Kind::Cose]
        .iter()
        .any(|kind| kind.as_str() == facts.kind);
    let told = match kept {
        Kept::Unknown => false,
        _ => facts.predicate_types().next().is_some(),
    };
    told || !has_payload
}

#[cfg(test)]
mod tests;
