#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::key::HashAlgorithm;
use crate::testdata::{MESSAGE, read};

#[test]
fn generated_keys_sign_and_survive_their_pem() {
    use KeyAlgorithm::{EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa2048};
    for algorithm in [EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa2048] {
        let (signer, pem) = LocalSigner::generate(algorithm).unwrap();
        assert_eq!(signer.public_key().algorithm(), algorithm);
        let again = LocalSigner::from_pkcs8_pem(&pem).unwrap();
        assert_eq!(again.public_key(), signer.public_key());
        let hash = signer.public_key().default_hash();
        for signer in [&signer, &again] {
            let sig = signer.sign(MESSAGE).unwrap();
            assert_eq!(
                again.public_key().verify(hash, MESSAGE, &sig),
                Ok(()),
                "{algorithm}"
            );
            assert!(
                again.public_key().verify(hash, b"other", &sig).is_err(),
                "{algorithm}"
            );
        }
        assert_eq!(signer.public_key().check_strength(), Ok(()));
    }
}

#[test]
fn openssl_keys_sign() {
    for name in ["p256", "p384", "p521", "rsa-2048", "ed25519"] {
        let signer = LocalSigner::from_pkcs8_pem(&read(&format!("{name}.key"))).unwrap();
        assert_eq!(
            signer.public_key().to_pem(),
            read(&format!("{name}.pem")),
            "{name}"
        );
        let sig = signer.sign(MESSAGE).unwrap();
        assert_eq!(
            signer
                .public_key()
                .verify(signer.public_key().default_hash(), MESSAGE, &sig),
            Ok(())
        );
    }
}

#[test]
fn refused_private_keys() {
    for text in [
        read("p256-sec1.key"),
        read("p256.pem"),
        String::new(),
        read("chain.pem"),
    ] {
        assert!(matches!(
            LocalSigner::from_pkcs8_pem(&text),
            Err(SignError::PrivateKey(_))
        ));
    }
    let cut = read("p256.key").replace("MIGH", "MIGG");
    assert!(LocalSigner::from_pkcs8_pem(&cut).is_err());
    assert!(matches!(
        LocalSigner::generate(KeyAlgorithm::RsaOther(1024)),
        Err(SignError::Unsupported(KeyAlgorithm::RsaOther(1024)))
    ));
}

#[test]
fn debug_output_shows_no_private_key() {
    let (signer, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let text = format!("{signer:?}");
    assert!(
        text.starts_with("LocalSigner { public: PublicKey(ECDSA P-256 "),
        "{text}"
    );
    assert!(
        signer.sign(b"x").unwrap() != signer.sign(b"x").unwrap(),
        "nonces differ"
    );
    assert_eq!(signer.public_key().default_hash(), HashAlgorithm::Sha256);
}
