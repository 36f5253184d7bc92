#![allow(clippy::unwrap_used, reason = "tests")]

use common_engine::Personality as _;
use common_pki::key::KeyAlgorithm;
use rekor_entry::v2::{Policy, parse_request};

use super::*;
use crate::RekorV2;
use crate::testing::{HOST, dsse_request, signer};
use crate::v2::engine_entry;

#[test]
fn namespaces_do_not_meet() {
    let (v1, v2) = (LogKind::RekorV1, LogKind::RekorV2);
    let attribute = |text: &str| Term::Attribute(text.to_owned());
    let key = |text: &str| Term::Key(text.to_owned());
    assert_eq!(index_term(v1, &attribute("issuer=x")), "rekor-v1:issuer=x");
    assert_eq!(index_term(v2, &key("sha256:00")), "rekor-v2/sha256:00");
    assert_ne!(
        index_term(v1, &key("issuer=x")),
        index_term(v1, &attribute("issuer=x"))
    );
    assert_ne!(index_term(v1, &key("x")), index_term(v2, &key("x")));
}

#[test]
fn a_stored_leaf_tells_the_terms_it_came_with() {
    let personality = RekorV2::new(HOST, signer(KeyAlgorithm::Ed25519)).unwrap();
    let canonical = parse_request(dsse_request().to_string().as_bytes(), &Policy::default()).unwrap();
    let entry = engine_entry(canonical).unwrap();
    let sealed = personality.seal(&entry, 3, 1_800_000_000_000).unwrap();
    let mut leaf = StoredLeaf {
        index: 3,
        time: 1_800_000_000_000,
        data: sealed.leaf,
        extra: sealed.extra,
    };
    let (facts, _) = facts(LogKind::RekorV2, &leaf).unwrap();
    assert_eq!(later(LogKind::RekorV2, &facts), entry.terms);
    // As it was stored before entries were searched: the subject is gone.
    leaf.extra = leaf.extra.slice(..8);
    let older = personality.terms(&leaf);
    assert!(!older.complete);
    let subject = format!("rekor-v2/sha256:{}", "ab".repeat(32));
    let without: Vec<_> = entry
        .terms
        .iter()
        .filter(|term| **term != subject)
        .cloned()
        .collect();
    assert_eq!(without.len() + 1, entry.terms.len());
    assert_eq!(older.terms, without);
    leaf.extra = leaf.extra.slice(..7);
    assert_eq!(personality.terms(&leaf), LeafTerms::default());
}
