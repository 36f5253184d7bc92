#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::HashSet;

use common_pki::key::PublicKey;
use serde_json::Value;

use super::*;

fn made(work: Work, count: usize) -> Vec<Bytes> {
    let identity = |n: u8| Identity {
        email: format!("bench-{n}@example.com"),
        token: format!("token-{n}"),
    };
    let materials = Materials(vec![identity(0), identity(1)]);
    bodies(work, count, &materials, Console::new()).unwrap()
}

fn unbase64(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn as_many_as_asked_for_and_no_two_alike() {
    for work in [Work::V1, Work::V2, Work::Certificate, Work::Timestamp] {
        for count in [0, 1, 2, 7] {
            let bodies = made(work, count);
            assert_eq!(bodies.len(), count, "{work:?}");
            assert_eq!(bodies.iter().collect::<HashSet<_>>().len(), count, "{work:?}");
        }
    }
    assert_ne!(
        made(Work::Timestamp, 1),
        made(Work::Timestamp, 1),
        "nor in another run"
    );
}

#[test]
fn entries_are_signed_by_the_key_they_name() {
    let v1: Value = serde_json::from_slice(&made(Work::V1, 1)[0]).unwrap();
    let key = String::from_utf8(unbase64(&v1["spec"]["signature"]["publicKey"]["content"])).unwrap();
    let digest = hex::decode(v1["spec"]["data"]["hash"]["value"].as_str().unwrap()).unwrap();
    let signature = unbase64(&v1["spec"]["signature"]["content"]);
    PublicKey::from_pem(&key)
        .unwrap()
        .verify_digest(HashAlgorithm::Sha256, &digest, &signature)
        .unwrap();

    let v2: Value = serde_json::from_slice(&made(Work::V2, 1)[0]).unwrap();
    let v2 = &v2["hashedRekordRequestV002"];
    let key =
        PublicKey::from_spki_der(&unbase64(&v2["signature"]["verifier"]["publicKey"]["rawBytes"])).unwrap();
    let (digest, signature) = (unbase64(&v2["digest"]), unbase64(&v2["signature"]["content"]));
    key.verify_digest(HashAlgorithm::Sha256, &digest, &signature)
        .unwrap();
}

#[test]
fn certificates_are_asked_for_by_each_identity_in_turn() {
    for (number, body) in made(Work::Certificate, 4).iter().enumerate() {
        let body: Value = serde_json::from_slice(body).unwrap();
        let turn = number % 2;
        assert_eq!(body["credentials"]["oidcIdentityToken"], format!("token-{turn}"));
        let key = body["publicKeyRequest"]["publicKey"]["content"].as_str().unwrap();
        let proof = unbase64(&body["publicKeyRequest"]["proofOfPossession"]);
        let email = format!("bench-{turn}@example.com");
        PublicKey::from_pem(key)
            .unwrap()
            .verify(HashAlgorithm::Sha256, email.as_bytes(), &proof)
            .unwrap();
    }
    let nobody = bodies(Work::Certificate, 1, &Materials::default(), Console::new());
    assert!(nobody.is_err(), "without a token there is nothing to ask with");
}

#[test]
fn timestamp_requests_carry_a_nonce() {
    let request = TimeStampRequest::from_der(&made(Work::Timestamp, 1)[0]).unwrap();
    assert_eq!(request.imprint.checked(), Ok(HashAlgorithm::Sha256));
    assert_eq!(request.nonce.unwrap().len(), 9);
}
