//! Rules that every certificate is checked against before it is signed, grouped by who made them.
//!
//! The builder should never break one; that is what is being checked. A broken rule stops the issuance.

mod ours;
mod rfc5280;
mod sigstore;

use common_pki::cert::{SubjectAltName, TbsCertificate};
use common_pki::oid;

use crate::chain::CaChain;

/// One rule.
pub(crate) struct Rule {
    /// What must hold, with its clause.
    name: &'static str,
    holds: fn(&TbsCertificate, &CaChain) -> bool,
}

/// Checks `tbs`, which the issuer of `chain` is about to sign, and names the first rule it breaks.
pub(crate) fn check(tbs: &TbsCertificate, chain: &CaChain) -> Result<(), &'static str> {
    let rules = [rfc5280::RULES, sigstore::RULES, ours::RULES];
    match rules.into_iter().flatten().find(|rule| !(rule.holds)(tbs, chain)) {
        None => Ok(()),
        Some(rule) => Err(rule.name),
    }
}

/// The one subject alternative name, if it is of a kind that Sigstore knows.
fn name(tbs: &TbsCertificate) -> Option<SubjectAltName> {
    let (value, _) = extension(tbs, &oid::SUBJECT_ALT_NAME)?;
    SubjectAltName::only(value)
}

/// The value of an extension, and whether it is critical.
fn extension<'a>(tbs: &'a TbsCertificate, oid: &der::asn1::ObjectIdentifier) -> Option<(&'a [u8], bool)> {
    let found = tbs.extensions.iter().find(|extension| extension.oid == *oid)?;
    Some((&found.value, found.critical))
}

#[cfg(test)]
mod tests;
