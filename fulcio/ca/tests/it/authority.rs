//! The authority's own chain: what it must be, and that nothing is issued past its end.

use std::sync::Arc;
use std::time::Duration;

use common_pki::cert::{self, CaProfile, Certificate, Serial, TbsCertificate, distinguished_name, ext};
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

/// A certificate with these extensions, by `parent` or by itself.
fn crafted(name: &str, parent: Option<&Pair>, extensions: Vec<cert::Extension>) -> Pair {
    let signer = key();
    let CaProfile {
        subject,
        serial,
        not_before,
        not_after,
    } = profile(name);
    let mut extensions = extensions;
    extensions.push(ext::subject_key_identifier(signer.public_key()));
    let tbs = TbsCertificate {
        serial,
        issuer: parent.map_or_else(|| subject.clone(), |parent| parent.0.subject_der().to_vec()),
        not_before,
        not_after,
        subject,
        key: signer.public_key().clone(),
        extensions,
    };
    let certificate = tbs.sign(parent.map_or(&signer, |parent| &parent.1)).unwrap();
    Pair(certificate, signer)
}

#[test]
fn an_issuer_that_may_not_sign_certificates_is_refused() {
    let one = root("root");
    let purpose = || ext::extended_key_usage(&oid::CODE_SIGNING, false);
    let authority = || ext::certificate_authority(Some(0));
    for extensions in [
        vec![purpose(), authority()],
        vec![ext::digital_signature(), purpose(), authority()],
    ] {
        let Pair(issuer, signer) = crafted("issuer", Some(&one), extensions);
        let refused = build(vec![issuer, one.0.clone()], signer, START);
        assert!(matches!(refused, Err(ChainError::KeyUsage)));
    }
}

#[test]
fn path_lengths_leave_room_for_leaves() {
    let usage = || ext::certificate_signing();
    let purpose = || ext::extended_key_usage(&oid::CODE_SIGNING, false);
    // A root whose constraint allows no authority below it: the issuer's own chain verifies, its leaves' would not.
    let narrow = crafted("root", None, vec![usage(), ext::certificate_authority(Some(0))]);
    let issuer = below(&narrow, &oid::CODE_SIGNING);
    let refused = build(vec![issuer.0, narrow.0.clone()], issuer.1, START);
    assert!(matches!(refused, Err(ChainError::PathLength(_))));
    assert!(build(vec![narrow.0], narrow.1, START).is_ok(), "alone it may");
    // One in between, with room for one.
    for (length, fits) in [(0, false), (1, true)] {
        let top = root("root");
        let middle = crafted(
            "middle",
            Some(&top),
            vec![usage(), purpose(), ext::certificate_authority(Some(length))],
        );
        let issuer = below(&middle, &oid::CODE_SIGNING);
        let built = build(vec![issuer.0, middle.0, top.0], issuer.1, START);
        assert_eq!(built.is_ok(), fits, "{length}");
    }
}

#[test]
fn a_root_must_have_signed_itself() {
    let Pair(sound, signer) = root("root");
    let mut der = sound.to_der().to_vec();
    // The last octet is the signature's.
    *der.last_mut().unwrap() ^= 1;
    let damaged = Certificate::from_der(&der).unwrap();
    let refused = build(vec![damaged.clone()], signer, START);
    assert!(matches!(refused, Err(ChainError::RootSignature(_))));
    // And one that another authority has signed is no root: it must be for code signing.
    let top = root("top");
    let timestamps = below(&top, &oid::TIME_STAMPING);
    let refused = build(vec![timestamps.0], timestamps.1, START);
    assert!(matches!(refused, Err(ChainError::Purpose)));
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
    assert_eq!(
        answer.message(),
        "error communicating with CA backend: expected an authority that is valid from 2026-11-22T12:00:01Z to \
         2026-11-22T12:10:01Z, got one whose chain is valid from 2026-11-22T11:00:00Z to 2026-11-22T12:10:00Z; \
         its operator must renew it"
    );
    assert_eq!(answer.json()["code"], 13);
    assert_eq!(at_the_end.log.calls(), 1);
}
