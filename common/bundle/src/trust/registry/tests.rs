#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;
use crate::trust::testkit::{at, authority, log, registry, signer};

fn problem(error: &TrustError) -> &RecordProblem {
    match error {
        TrustError::Record { problem, .. } => problem,
        other => unreachable!("{other}"),
    }
}

#[test]
fn the_public_logs_have_their_published_identifiers() {
    let id = |role, origin, spki: &str| {
        log_id(
            role,
            origin,
            &PublicKey::from_spki_der(&STANDARD.decode(spki).unwrap()).unwrap(),
        )
        .to_base64()
    };
    let v2 = "MCowBQYDK2VwAyEAt8rlp1knGwjfbcXAYPYAkn0XiLz1x8O4t0YkEhie244=";
    let origin = "log2025-1.rekor.sigstore.dev";
    assert_eq!(
        id(Role::RekorV2, origin, v2),
        "zxGZFVvd0FEmjR8WrFwMdcAJ9vtaY/QXf44Y1wUeP6A="
    );
    assert_ne!(id(Role::RekorV2, "localhost", v2), id(Role::RekorV2, origin, v2));
    let ct = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEiPSlFi0CmFTfEjCUqF9HuCEcYXNKAaYalIJmBZ8yyezPjTqhxrKBpMnaocVtLJB\
              I1eM3uXnQzQGAJdJ4gs9Fyw==";
    for role in [Role::CtLog, Role::RekorV1, Role::RekorV2] {
        assert_eq!(
            id(role, "any", ct),
            "3T0wasbHETJjGR4cmWc3AqJKXrjePK3/h4pygC8p7o4="
        );
    }
}

#[test]
fn a_registry_reads_back() {
    let mut registry = registry();
    registry.keys[2].valid_to = Some(at(100));
    registry.keys[2].signer = "file:keys/rekor-v1-1.pem".to_owned();
    let json = registry.to_json().unwrap();
    assert_eq!(Registry::parse(json.as_bytes()).unwrap(), registry);
    assert!(
        json.contains(r#""role": "rekor-v2""#) && json.contains(r#""keyDetails": "PKIX_ED25519""#),
        "{json}"
    );
    assert_eq!(registry.by_role(Role::Tsa).len(), 1);
}

#[test]
fn a_registry_that_contradicts_itself_is_refused() {
    let good = registry();
    let refused = |change: &dyn Fn(&mut Registry)| {
        let mut changed = good.clone();
        change(&mut changed);
        let error = Registry::parse(changed.to_json().unwrap().as_bytes()).unwrap_err();
        problem(&error).clone()
    };
    assert_eq!(
        refused(&|registry| registry.keys[1].id = "fulcio-1".to_owned()),
        RecordProblem::Id
    );
    assert_eq!(
        refused(&|registry| registry.keys[1].id = "../ct".to_owned()),
        RecordProblem::Id
    );
    assert_eq!(
        refused(&|registry| registry.keys[1].id.clear()),
        RecordProblem::Id
    );
    assert!(matches!(
        refused(&|registry| registry.keys[1].log_id[0] ^= 1),
        RecordProblem::LogId { .. }
    ));
    // The identifier of a v2 log is bound to its origin.
    assert!(matches!(
        refused(&|registry| registry.keys[3].origin = "elsewhere".to_owned()),
        RecordProblem::LogId { .. }
    ));
    assert!(matches!(
        refused(&|registry| registry.keys[3].spki.truncate(20)),
        RecordProblem::Key(_)
    ));
    assert!(matches!(
        refused(&|registry| registry.keys[3].key_details = SigningAlgorithm::EcdsaP256Sha256),
        RecordProblem::Algorithm { .. }
    ));
    assert_eq!(
        refused(&|registry| registry.keys[1].valid_to = Some(at(-1))),
        RecordProblem::Window
    );
    assert_eq!(
        refused(&|registry| registry.keys[1].origin.clear()),
        RecordProblem::Missing("an origin")
    );
    assert_eq!(
        refused(&|registry| registry.keys[1].url.clear()),
        RecordProblem::Missing("a URL")
    );
    assert_eq!(
        refused(&|registry| registry.keys[0].cert_chain.clear()),
        RecordProblem::Missing("a certificate chain")
    );
    assert_eq!(
        refused(&|registry| registry.keys[0].cert_chain[1].truncate(9)),
        RecordProblem::Certificate(1)
    );
    assert_eq!(
        refused(&|registry| registry.keys[0].cert_chain.reverse()),
        RecordProblem::ChainKey
    );
    let version = good
        .to_json()
        .unwrap()
        .replacen("\"version\": 1", "\"version\": 2", 1);
    assert!(matches!(
        Registry::parse(version.as_bytes()),
        Err(TrustError::RegistryVersion { got: 2, .. })
    ));
}

#[test]
fn adding_checks_as_reading_does() {
    let mut registry = registry();
    let before = registry.clone();
    let again = log(Role::CtLog, "ct-1", "http://localhost:3000", 5);
    assert_eq!(problem(&registry.add(again).unwrap_err()), &RecordProblem::Id);
    let mut headless = authority(Role::Tsa, "tsa-2", "http://localhost:3000/api/v1/timestamp", 5);
    headless.cert_chain.clear();
    assert_eq!(
        problem(&registry.add(headless).unwrap_err()),
        &RecordProblem::Missing("a certificate chain")
    );
    assert_eq!(registry, before);
    registry
        .add(log(Role::CtLog, "ct-2", "http://localhost:3000", -5))
        .unwrap();
    let ids: Vec<_> = registry
        .by_role(Role::CtLog)
        .iter()
        .map(|record| record.id.as_str())
        .collect();
    assert_eq!(ids, ["ct-2", "ct-1"], "oldest first");
}

#[test]
fn algorithms_follow_from_keys() {
    for (key, name) in [
        (KeyAlgorithm::EcdsaP256, "PKIX_ECDSA_P256_SHA_256"),
        (KeyAlgorithm::EcdsaP384, "PKIX_ECDSA_P384_SHA_384"),
        (KeyAlgorithm::EcdsaP521, "PKIX_ECDSA_P521_SHA_512"),
        (KeyAlgorithm::Ed25519, "PKIX_ED25519"),
        (KeyAlgorithm::Rsa2048, "PKIX_RSA_PKCS1V15_2048_SHA256"),
    ] {
        use common_pki::key::Signer as _;
        let record = KeyRecord::new(Role::TufRoot, "key", signer(key).public_key(), "", "", at(0)).unwrap();
        assert_eq!(record.key_details.proto_name(), name);
    }
}
