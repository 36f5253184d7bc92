#![allow(clippy::unwrap_used, reason = "tests")]

use common_pki::cert::{CaProfile, Serial, distinguished_name, intermediate, self_signed_root};
use common_pki::key::{KeyAlgorithm, LocalSigner};

use super::*;

const NOW: u64 = 1_800_000_000;

fn key() -> LocalSigner {
    LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0
}

fn profile(name: &str, not_before: u64, not_after: u64) -> CaProfile {
    CaProfile {
        subject: distinguished_name("test", name),
        serial: Serial::new(&[1]).unwrap(),
        not_before,
        not_after,
    }
}

/// A chain of a root and an issuer with these validities.
fn chain(root: (u64, u64), issuer: (u64, u64)) -> CaChain {
    let (root_key, issuer_key) = (key(), key());
    let root = self_signed_root(profile("root", root.0, root.1), &root_key).unwrap();
    let issuer = intermediate(
        profile("issuer", issuer.0, issuer.1),
        issuer_key.public_key(),
        &oid::CODE_SIGNING,
        &root,
        &root_key,
    )
    .unwrap();
    CaChain::new(vec![issuer, root], Arc::new(issuer_key), NOW).unwrap()
}

#[test]
fn the_chain_is_valid_while_all_of_it_is() {
    let late_root = chain((NOW - 5, NOW + 50), (NOW - 9, NOW + 90));
    assert_eq!(
        (late_root.not_before(), late_root.not_after()),
        (NOW - 5, NOW + 50)
    );
    let late_issuer = chain((NOW - 9, NOW + 90), (NOW - 5, NOW + 50));
    assert_eq!(
        (late_issuer.not_before(), late_issuer.not_after()),
        (NOW - 5, NOW + 50)
    );
}

#[test]
fn the_end_is_announced_once_a_day() {
    let end = NOW + 2 * WARN_AHEAD;
    let chain = chain((NOW, end), (NOW, end));
    assert!(!chain.warn_of_the_end(NOW));
    assert!(!chain.warn_of_the_end(end - WARN_AHEAD));
    let near = end - WARN_AHEAD + 1;
    assert!(chain.warn_of_the_end(near));
    assert!(!chain.warn_of_the_end(near + WARN_EVERY - 1));
    assert!(chain.warn_of_the_end(near + WARN_EVERY));
    assert!(chain.warn_of_the_end(end + WARN_EVERY), "and after it");
}
