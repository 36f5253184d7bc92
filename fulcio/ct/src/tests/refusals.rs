//! What is not logged.

use super::{Authority, World, profile, signer};
use crate::{AcceptedRoots, AddError, ChainError, CtPersonality, PersonalityError, origin_of};
use common_pki::cert::{Extension, self_signed_root};
use common_pki::key::{KeyAlgorithm, Signer};
use common_pki::{cert::ext, oid};
use der::asn1::ObjectIdentifier;
use std::sync::Arc;

async fn refused(world: &World, precertificate: &[u8], chain: &[Vec<u8>]) -> ChainError {
    match world.log.add_pre_chain(precertificate, chain).await {
        Err(AddError::Refused(error)) => error,
        other => unreachable!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn only_precertificates_are_logged() {
    let world = World::new().await;
    let (authority, chain) = (&world.authority, world.authority.chain());
    let sign = |extensions: Vec<Extension>| {
        let mut tbs = authority.tbs(1);
        tbs.extensions.extend(extensions);
        tbs.sign(&authority.signer).unwrap().to_der().to_vec()
    };
    let poison = |critical, value: &[u8]| Extension {
        oid: oid::CT_POISON,
        critical,
        value: value.to_vec(),
    };
    for certificate in [
        sign(vec![]),
        sign(vec![poison(false, &[5, 0])]),
        sign(vec![poison(true, &[])]),
        sign(vec![poison(true, &[4, 0])]),
        sign(vec![poison(true, &[5, 0, 5, 0])]),
    ] {
        assert_eq!(
            refused(&world, &certificate, &chain).await,
            ChainError::NotPrecertificate
        );
    }
    let list = common_pki::sct::list_extension(&[vec![1, 2, 3]]).unwrap();
    assert_eq!(
        refused(&world, &sign(vec![list, poison(true, &[5, 0])]), &chain).await,
        ChainError::HasScts
    );
    let mut tbs = authority.tbs(1);
    tbs.extensions = vec![ext::extended_key_usage(&oid::TIME_STAMPING, false)];
    let precertificate = tbs.sign_precertificate(&authority.signer).unwrap();
    assert_eq!(
        refused(&world, precertificate.to_der(), &chain).await,
        ChainError::NotCodeSigning
    );
    for bytes in [
        &[][..],
        &[0x30, 0x80],
        b"-----BEGIN CERTIFICATE-----",
        &vec![0x30; 70_000],
    ] {
        let error = refused(&world, bytes, &chain).await;
        assert!(
            matches!(error, ChainError::Certificate { position: 0, .. }),
            "{error}"
        );
    }
    assert_eq!(
        world.json("/ct/v1/get-sth").await["tree_size"],
        0,
        "nothing was logged"
    );
}

#[tokio::test]
async fn the_chain_leads_to_an_accepted_root() {
    let world = World::new().await;
    let authority = &world.authority;
    let precertificate = authority.precertificate(1);
    let [issuer, root] = [
        authority.issuer.to_der().to_vec(),
        authority.root.to_der().to_vec(),
    ];
    let stranger = Authority::new();
    let strange = stranger.precertificate(1);
    let der = precertificate.to_der();
    assert_eq!(refused(&world, der, &[]).await, ChainError::Length(0));
    assert_eq!(
        refused(&world, der, &vec![issuer.clone(); 11]).await,
        ChainError::Length(11)
    );
    assert_eq!(
        refused(&world, der, std::slice::from_ref(&root)).await,
        ChainError::NotIssuer(1)
    );
    assert_eq!(
        refused(&world, der, &[root.clone(), issuer.clone()]).await,
        ChainError::NotIssuer(2)
    );
    assert_eq!(
        refused(&world, der, &[issuer.clone(), issuer.clone()]).await,
        ChainError::NotIssuer(2)
    );
    assert_eq!(
        refused(&world, der, &[der.to_vec(), issuer.clone()]).await,
        ChainError::NotAuthority(1)
    );
    // Same names, other keys.
    assert_eq!(
        refused(&world, strange.to_der(), &stranger.chain()).await,
        ChainError::UnknownRoot
    );
    assert_eq!(
        refused(&world, strange.to_der(), &authority.chain()).await,
        ChainError::NotIssuer(1)
    );
    let forged = vec![stranger.issuer.to_der().to_vec(), root];
    assert_eq!(
        refused(&world, strange.to_der(), &forged).await,
        ChainError::NotIssuer(2)
    );
    let garbage = refused(&world, der, &[issuer, vec![1, 2, 3]]).await;
    assert!(
        matches!(garbage, ChainError::Certificate { position: 2, .. }),
        "{garbage}"
    );
    // A flipped bit anywhere in the signature is seen, also after the chain is known.
    world.log.add_pre_chain(der, &authority.chain()).await.unwrap();
    let mut flipped = authority.precertificate(2).to_der().to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(
        refused(&world, &flipped, &authority.chain()).await,
        ChainError::NotIssuer(1)
    );
}

#[tokio::test]
async fn a_precertificate_signing_certificate_is_refused() {
    let world = World::new().await;
    let authority = &world.authority;
    let key = signer(KeyAlgorithm::EcdsaP256);
    let mut tbs = authority.tbs(5);
    tbs.key = key.public_key().clone();
    tbs.subject = common_pki::cert::distinguished_name("sigbox", "precertificates");
    tbs.issuer = authority.root.subject_der().to_vec();
    let purpose = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.4");
    tbs.extensions = vec![
        ext::certificate_signing(),
        ext::certificate_authority(None),
        ext::extended_key_usage(&purpose, false),
    ];
    let dedicated = tbs.sign(&authority.root_signer).unwrap();
    let mut leaf = authority.tbs(6);
    leaf.issuer = dedicated.subject_der().to_vec();
    let precertificate = leaf.sign_precertificate(&key).unwrap();
    let error = refused(&world, precertificate.to_der(), &[dedicated.to_der().to_vec()]).await;
    assert_eq!(error, ChainError::PrecertificateSigner);
}

#[test]
fn a_log_needs_a_key_and_a_name_that_clients_take() {
    for algorithm in [KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519] {
        let got = CtPersonality::new(Arc::new(signer(algorithm)), "localhost/ct");
        assert!(matches!(got, Err(PersonalityError::Key(_))));
    }
    for origin in ["", "two words", "a+b", "line\nfeed"] {
        let got = CtPersonality::new(Arc::new(signer(KeyAlgorithm::EcdsaP256)), origin);
        assert!(matches!(got, Err(PersonalityError::Origin(_))), "{origin:?}");
    }
}

#[test]
fn origins_come_from_submission_prefixes() {
    assert_eq!(
        origin_of("http://localhost:3000/ct/").unwrap(),
        "localhost:3000/ct"
    );
    assert_eq!(
        origin_of("https://sigstore.example.com/ct").unwrap(),
        "sigstore.example.com/ct"
    );
    for bad in [
        "",
        "localhost/ct",
        "ftp://localhost",
        "http://",
        "http://a b",
        "http://a+b",
        "http://a?b",
        "http://ü",
    ] {
        assert!(origin_of(bad).is_err(), "{bad}");
    }
}

#[test]
fn roots_are_self_issued_authorities() {
    let authority = Authority::new();
    let not_root = AcceptedRoots::new(vec![authority.root.clone(), authority.issuer.clone()]);
    assert_eq!(not_root.err(), Some(ChainError::NotAuthority(1)));
    let other = self_signed_root(profile("other", 3), &signer(KeyAlgorithm::EcdsaP256)).unwrap();
    assert!(AcceptedRoots::new(vec![authority.root, other]).is_ok());
}
