//! The authority's own chain: what it must be, and that nothing is issued past its end.

use std::sync::Arc;
use std::time::Duration;

use common_pki::cert::{self, CaProfile, Certificate, Serial, distinguished_name};
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _};
use common_pki::oid;
use fulcio_ca::{CaChain, ChainError};
use http::StatusCode;

use crate::support::*;

struct Pair(Certificate, LocalSigner);

fn key() -> LocalSigner {
    LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0
}

fn profile(name: &str) -> CaProfile {
    CaProfile {
        subject: distinguished_name("sigbox test", name),
        serial: Serial::new(&[9]).unwrap(),
        not_before: START - 100,
        not_after: START + 100_000,
    }
}

fn root(name: &str) -> Pair {
    let signer = key();
    Pair(cert::self_signed_root(profile(name), &signer).unwrap(), signer)
}

fn below(parent: &Pair, purpose: &der::asn1::ObjectIdentifier) -> Pair {
    let signer = key();
    let certificate = cert::intermediate(
        profile("below"),
        signer.public_key(),
        purpose,
        &parent.0,
        &parent.1,
    )
    .unwrap();
    Pair(certificate, signer)
}

fn build(certificates: Vec<Certificate>, signer: LocalSigner, time: u64) -> Result<CaChain, ChainError> {
    CaChain::new(certificates, Arc::new(signer), time)
}

#[test]
fn chains_that_cannot_issue_are_refused() {
    let error = |certificates: Vec<Certificate>, signer, time| match build(certificates, signer, time) {
        Ok(_) => panic!("accepted"),
        Err(error) => error,
    };
    assert!(matches!(error(vec![], key(), START), ChainError::Empty));
    let one = root("root");
    assert!(matches!(
        error(vec![one.0.clone()], key(), START),
        ChainError::OtherKey
    ));
    let timestamps = below(&one, &oid::TIME_STAMPING);
    assert!(matches!(
        error(vec![timestamps.0, one.0.clone()], timestamps.1, START),
        ChainError::Purpose
    ));
    let stranger = root("root");
    let intermediate = below(&one, &oid::CODE_SIGNING);
    let wrong_root = error(vec![intermediate.0.clone(), stranger.0], intermediate.1, START);
    assert!(matches!(wrong_root, ChainError::Verification(_)), "{wrong_root}");
    let intermediate = below(&one, &oid::CODE_SIGNING);
    let late = error(
        vec![intermediate.0, one.0.clone()],
        intermediate.1,
        START + 100_001,
    );
    assert!(matches!(late, ChainError::Verification(_)), "{late}");
    let intermediate = below(&one, &oid::CODE_SIGNING);
    let spare = root("spare").0;
    let disorder = error(vec![intermediate.0, spare, one.0.clone()], intermediate.1, START);
    assert!(matches!(disorder, ChainError::Order), "{disorder}");
    let leaf = cert::timestamping_leaf(profile("leaf"), key().public_key(), &one.0, &one.1).unwrap();
    assert!(matches!(
        error(vec![leaf, one.0.clone()], key(), START),
        ChainError::NotAuthority
    ));
}

#[test]
fn a_root_may_issue_alone() {
    let one = root("root");
    assert_eq!(build(vec![one.0.clone()], one.1, START).unwrap().pem().len(), 1);
}

#[tokio::test]
async fn nothing_is_issued_past_the_end_of_the_authority() {
    let issuers = || vec![email_issuer(&format!("{BASE}/email"))];
    let at_the_end = Stack::with_authority(issuers(), Default::default(), Duration::from_secs(600));
    let token = at_the_end.token(&at_the_end.claims());
    assert_eq!(
        at_the_end.sign_in(&token, "dev@example.com").await.status,
        StatusCode::OK
    );
    at_the_end.clock.advance(Duration::from_secs(1));
    let answer = at_the_end.sign_in(&token, "dev@example.com").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.message(), "error communicating with CA backend");
    assert_eq!(answer.json()["code"], 13);
    assert_eq!(at_the_end.log.calls(), 1);
}
