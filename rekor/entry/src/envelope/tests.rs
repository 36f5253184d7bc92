#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use common_bundle::format::pae;
use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _};

use super::*;

const TYPE: &str = "text/plain";
const SCHEME: Scheme = Scheme::Message(HashAlgorithm::Sha256);

fn signer(algorithm: KeyAlgorithm) -> LocalSigner {
    LocalSigner::generate(algorithm).unwrap().0
}

fn verifier(key: &PublicKey) -> Result<(Verifier, Scheme), Invalid> {
    Ok((Verifier::from_spki(key.spki_der())?, SCHEME))
}

/// Matches signatures against keys; texts stand for the positions.
fn matched(payload: &[u8], signatures: &[Vec<u8>], keys: &[&PublicKey]) -> Result<Vec<usize>, Invalid> {
    let texts: Vec<String> = (0..signatures.len()).map(|n| n.to_string()).collect();
    let signatures: Vec<EnvelopeSignature<'_>> = texts
        .iter()
        .zip(signatures)
        .map(|(text, octets)| EnvelopeSignature {
            text,
            octets: octets.clone(),
        })
        .collect();
    match_signatures(
        TYPE,
        payload,
        &signatures,
        keys.iter().map(|key| verifier(key)),
        Stop::AtEnd,
    )
    .map(|matched| matched.by_signature)
}

/// A payload of which pure Ed25519 may read three and no more.
fn long_payload() -> Vec<u8> {
    vec![7; MAX_ED25519_OCTETS / 3 - 1024]
}

#[test]
fn a_repeated_key_is_asked_once() {
    let (payload, signer) = (long_payload(), signer(KeyAlgorithm::Ed25519));
    let signature = signer.sign(&pae(TYPE, &payload)).unwrap();
    // Asked each time, the tenth would be far over what is read for one envelope.
    let keys = [signer.public_key(); MAX_SIGNATURES];
    assert_eq!(matched(&payload, &[signature], &keys).unwrap(), [9]);
}

#[test]
fn ed25519_over_long_messages_is_bounded() {
    let payload = long_payload();
    let signers: Vec<LocalSigner> = (0..3).map(|_| signer(KeyAlgorithm::Ed25519)).collect();
    let signatures: Vec<Vec<u8>> = signers
        .iter()
        .map(|signer| signer.sign(&pae(TYPE, &payload)).unwrap())
        .collect();
    let keys: Vec<&PublicKey> = signers.iter().map(|signer| signer.public_key()).collect();
    // One verification for the first key, two for the second.
    assert_eq!(matched(&payload, &signatures[..2], &keys[..2]).unwrap(), [0, 1]);
    let refused = matched(&payload, &signatures, &keys).unwrap_err();
    assert!(
        matches!(refused, Invalid::Ed25519Work { got, limit: MAX_ED25519_OCTETS } if got > MAX_ED25519_OCTETS),
        "{refused}"
    );
    // Shorter, the same envelope is fine.
    let short = b"short";
    let signatures: Vec<Vec<u8>> = signers
        .iter()
        .map(|signer| signer.sign(&pae(TYPE, short)).unwrap())
        .collect();
    assert_eq!(matched(short, &signatures, &keys).unwrap(), [0, 1, 2]);
}

#[test]
fn signatures_of_another_length_are_not_tried() {
    let (ed25519, rsa, p256) = (
        signer(KeyAlgorithm::Ed25519),
        signer(KeyAlgorithm::Rsa2048),
        signer(KeyAlgorithm::EcdsaP256),
    );
    let payload = long_payload();
    let message = pae(TYPE, &payload);
    let (by_rsa, by_p256) = (rsa.sign(&message).unwrap(), p256.sign(&message).unwrap());
    let mut signatures = vec![
        by_rsa.clone(),
        by_p256.clone(),
        by_rsa[1..].to_vec(),
        vec![0; 63],
        vec![0; 65],
    ];
    signatures.push(ed25519.sign(&message).unwrap());
    // Tried, the five before it would use up what Ed25519 may read. Two signatures stay without a key.
    let keys = [ed25519.public_key(), p256.public_key(), rsa.public_key()];
    let refused = matched(&payload, &signatures, &keys).unwrap_err();
    assert!(matches!(refused, Invalid::Unmatched), "{refused}");
    let signatures = [by_rsa, by_p256, signatures[5].clone()];
    assert_eq!(matched(&payload, &signatures, &keys).unwrap(), [2, 1, 0]);

    for (algorithm, length) in [
        (KeyAlgorithm::Ed25519, 64),
        (KeyAlgorithm::Rsa2048, 256),
        (KeyAlgorithm::rsa(2049), 257),
        (KeyAlgorithm::Rsa4096, 512),
    ] {
        for got in [0, length - 1, length, length + 1] {
            assert_eq!(
                has_length_of(algorithm, &vec![0; got]),
                got == length,
                "{algorithm}: {got}"
            );
        }
    }
}

#[test]
fn rsa_above_4096_bits_is_refused() {
    let key = |octets: usize| {
        let mut modulus = vec![0xc5; octets];
        modulus[0] = 0xff;
        let integer = |value: &[u8]| {
            let length = u16::try_from(value.len()).unwrap().to_be_bytes();
            [&[0x02, 0x82], &length[..], value].concat()
        };
        let numbers = [integer(&[&[0], &modulus[..]].concat()), vec![2, 3, 1, 0, 1]].concat();
        let length = u16::try_from(numbers.len()).unwrap().to_be_bytes();
        PublicKey::from_pkcs1_der(&[&[0x30, 0x82], &length[..], &numbers].concat()).unwrap()
    };
    let refused = matched(b"x", &[vec![0; 513]], &[&key(513)]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "RSA key of 4104 bits, at most 4096 are allowed in an envelope"
    );
    let tried = matched(b"x", &[vec![0; 512]], &[&key(512)]).unwrap_err();
    assert!(matches!(tried, Invalid::NotVerified), "{tried}");
}

#[test]
fn the_message_is_hashed_once_for_each_algorithm() {
    let mut message = Message::new(TYPE, b"message");
    let keys: Vec<LocalSigner> = (0..3).map(|_| signer(KeyAlgorithm::EcdsaP256)).collect();
    let whole = pae(TYPE, b"message");
    let signature = keys[2].sign(&whole).unwrap();
    let signatures = [EnvelopeSignature {
        text: "s",
        octets: signature,
    }];
    for (index, key) in keys.iter().enumerate() {
        let found = message
            .first_verified(key.public_key(), SCHEME, &signatures)
            .unwrap();
        assert_eq!(found, (index == 2).then_some(0));
    }
    let digest = HashAlgorithm::Sha256.digest(&whole);
    assert_eq!(message.digests, [(HashAlgorithm::Sha256, digest)]);
    assert_eq!(message.digest(HashAlgorithm::Sha512).len(), 64);
    assert_eq!((message.digests.len(), message.ed25519_octets), (2, 0));
}
