#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::key::{HashAlgorithm, KeyAlgorithm};
use crate::testdata::read;

fn der(name: &str) -> Vec<u8> {
    pem::decode_one(read(name).as_bytes()).unwrap().contents
}

#[test]
fn openssl_requests() {
    use SignatureAlgorithm::{Ecdsa, Ed25519, Rsa};
    let cases = [
        (
            "csr-p256.pem",
            KeyAlgorithm::EcdsaP256,
            Ecdsa(HashAlgorithm::Sha256),
        ),
        (
            "csr-p384.pem",
            KeyAlgorithm::EcdsaP384,
            Ecdsa(HashAlgorithm::Sha256),
        ),
        (
            "csr-p384-sha256.pem",
            KeyAlgorithm::EcdsaP384,
            Ecdsa(HashAlgorithm::Sha256),
        ),
        (
            "csr-rsa-2048.pem",
            KeyAlgorithm::Rsa2048,
            Rsa(HashAlgorithm::Sha256),
        ),
        ("csr-ed25519.pem", KeyAlgorithm::Ed25519, Ed25519),
    ];
    for (name, algorithm, signature) in cases {
        let csr = CertificationRequest::from_pem(read(name).as_bytes()).unwrap();
        assert_eq!(csr.public_key().algorithm(), algorithm, "{name}");
        assert_eq!(csr.signature_algorithm(), Some(signature), "{name}");
        assert_eq!(csr.verify(), Ok(()), "{name}");
    }
}

#[test]
fn both_labels_are_read_and_no_other() {
    let text = read("csr-p256.pem");
    assert!(CertificationRequest::from_pem(text.replace("CERT", "NEW CERT").as_bytes()).is_ok());
    let error = CertificationRequest::from_pem(
        read("chain.pem")
            .lines()
            .take_while(|l| !l.contains("END"))
            .chain(["-----END CERTIFICATE-----"])
            .collect::<Vec<_>>()
            .join("\n")
            .as_bytes(),
    )
    .unwrap_err();
    assert_eq!(error, CsrError::Label("CERTIFICATE".to_owned()));
}

#[test]
fn no_changed_request_verifies_or_panics() {
    for name in ["csr-p256.pem", "csr-ed25519.pem"] {
        let good = der(name);
        for at in 0..good.len() {
            assert!(
                CertificationRequest::from_der(&good[..at]).is_err(),
                "cut at {at}"
            );
            for flip in [0x01, 0x20, 0x80, 0xFF] {
                let mut changed = good.clone();
                changed[at] ^= flip;
                let verified = CertificationRequest::from_der(&changed).map(|csr| csr.verify());
                assert!(
                    !matches!(verified, Ok(Ok(()))),
                    "{name}: octet {at} changed and still verifies"
                );
            }
        }
        assert!(CertificationRequest::from_der(&[good.as_slice(), &[0]].concat()).is_err());
    }
    assert_eq!(
        CertificationRequest::from_der(&vec![0; 70_000]).unwrap_err(),
        CsrError::TooLong(70_000)
    );
}
