#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use super::*;
use crate::cert::{CaProfile, Serial, distinguished_name, self_signed_root};
use crate::key::{LocalSigner, Signer};

const CONTENT: &[u8] = b"Signature-Version: 1.0\r\n";
/// AlgorithmIdentifier of SHA-256, and of anything for the signature: it is not looked at.
fn sha256() -> Vec<u8> {
    asn1::sequence(&[&asn1::oid(&oid::SHA256), asn1::NULL])
}

fn attribute(kind: &ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::oid(kind), &asn1::set_of(vec![value.to_vec()])])
}

/// Signs as jarsigner does, with attributes or without.
fn signed(algorithm: KeyAlgorithm, attributes: bool, content: Option<&[u8]>) -> Vec<u8> {
    let signer = LocalSigner::generate(algorithm).unwrap().0;
    let profile = CaProfile {
        subject: distinguished_name("sigbox", "anyone"),
        serial: Serial::new(&[7]).unwrap(),
        not_before: 0,
        not_after: 1_800_000_000,
    };
    let certificate = self_signed_root(profile, &signer).unwrap();
    let hash = signer.public_key().default_hash();
    let hash_id = match hash {
        HashAlgorithm::Sha256 => sha256(),
        HashAlgorithm::Sha384 => asn1::sequence(&[&asn1::oid(&oid::SHA384)]),
        HashAlgorithm::Sha512 => asn1::sequence(&[&asn1::oid(&oid::SHA512)]),
    };
    let set = asn1::set_of(vec![
        attribute(&oid::CONTENT_TYPE, &asn1::oid(&oid::DATA)),
        attribute(&oid::MESSAGE_DIGEST, &asn1::octet_string(&hash.digest(CONTENT))),
    ]);
    let message = if attributes { &set } else { CONTENT };
    let signature = signer.sign(message).unwrap();
    let body = asn1::decode::<AnyRef<'_>>(&set).unwrap().value();
    let named = asn1::sequence(&[
        certificate.issuer_der(),
        &asn1::element(asn1::INTEGER, &[certificate.serial()]),
    ]);
    let implicit = if attributes {
        asn1::context(0, &[body])
    } else {
        Vec::new()
    };
    let info = asn1::sequence(&[
        &asn1::unsigned(&[1]),
        &named,
        &hash_id,
        &implicit,
        &sha256(),
        &asn1::octet_string(&signature),
    ]);
    let explicit = content.map(|content| asn1::context(0, &[&asn1::octet_string(content)]));
    let inner = asn1::sequence(&[&asn1::oid(&oid::DATA), explicit.as_deref().unwrap_or_default()]);
    let data = asn1::sequence(&[
        &asn1::unsigned(&[1]),
        &asn1::set_of(vec![hash_id]),
        &inner,
        &asn1::context(0, &[certificate.to_der()]),
        &asn1::set_of(vec![info]),
    ]);
    asn1::sequence(&[&asn1::oid(&oid::SIGNED_DATA), &asn1::context(0, &[&data])])
}

#[test]
fn signatures_of_every_key_verify_with_and_without_attributes() {
    for algorithm in [
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::Rsa2048,
    ] {
        for attributes in [true, false] {
            let der = signed(algorithm, attributes, None);
            let parsed = SignedData::from_der(&der).unwrap();
            assert_eq!((parsed.content_type, parsed.content), (oid::DATA, None));
            assert_eq!(parsed.verify(CONTENT).unwrap(), [&parsed.certificates[0]]);
            assert!(
                parsed.verify(b"another content").is_err(),
                "{algorithm} {attributes}"
            );
            assert_eq!(parsed.detached(), der, "there was no content to leave out");
        }
    }
}

#[test]
fn a_detached_form_leaves_out_the_content_alone() {
    let der = signed(KeyAlgorithm::EcdsaP256, true, Some(CONTENT));
    let parsed = SignedData::from_der(&der).unwrap();
    assert_eq!(parsed.content, Some(CONTENT));
    let detached = parsed.detached();
    let again = SignedData::from_der(&detached).unwrap();
    assert_eq!(again.content, None);
    again.verify(CONTENT).unwrap();
    assert_eq!(again.detached(), detached);
}

#[test]
fn no_flipped_bit_is_accepted_or_panics() {
    let der = signed(KeyAlgorithm::EcdsaP256, true, None);
    let whole = SignedData::from_der(&der).unwrap();
    for byte in 0..der.len() {
        let mut flipped = der.clone();
        flipped[byte] ^= 1;
        let Ok(parsed) = SignedData::from_der(&flipped) else {
            continue;
        };
        if parsed.verify(CONTENT).is_ok() {
            // What was flipped is not signed: a version, the name of an algorithm, the certificate's own signature.
            let signer = |data: &SignedData<'_>| {
                let signer = &data.signers[0];
                let key = data.certificates[0].public_key().unwrap().clone();
                (
                    key,
                    signer.attributes.map(<[u8]>::to_vec),
                    signer.signature.to_vec(),
                )
            };
            assert_eq!(signer(&parsed), signer(&whole), "byte {byte}");
        }
    }
    for len in 0..der.len() {
        assert!(SignedData::from_der(&der[..len]).is_err());
    }
}
