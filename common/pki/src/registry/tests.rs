#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn every_pair_is_found_by_each_of_its_names() {
    for algorithm in SigningAlgorithm::ALL {
        assert_eq!(
            SigningAlgorithm::from_proto_number(algorithm.proto_number()),
            Some(algorithm)
        );
        assert_eq!(
            SigningAlgorithm::from_proto_name(algorithm.proto_name()),
            Some(algorithm)
        );
        assert_eq!(
            SigningAlgorithm::from_flag_name(algorithm.flag_name()),
            Some(algorithm)
        );
        let found = SigningAlgorithm::from_key_and_hash(algorithm.key_algorithm(), algorithm.hash());
        assert_eq!(found, Some(algorithm));
    }
}

#[test]
fn defaults() {
    use KeyAlgorithm as K;
    assert_eq!(
        SigningAlgorithm::default_for(K::Ed25519),
        Some(SigningAlgorithm::Ed25519)
    );
    assert_eq!(
        SigningAlgorithm::default_for(K::EcdsaP521)
            .unwrap()
            .proto_number(),
        13
    );
    assert_eq!(
        SigningAlgorithm::default_for(K::Rsa3072).unwrap().flag_name(),
        "rsa-sign-pkcs1-3072-sha256"
    );
    assert_eq!(SigningAlgorithm::default_for(K::RsaOther(8192)), None);
}

#[test]
fn unknown_names_are_unknown() {
    // RSA-PSS, and PKIX_ECDSA_P256_HMAC_SHA_256.
    for number in [0, 1, 6, 16, 17, 18, 21, -1] {
        assert_eq!(SigningAlgorithm::from_proto_number(number), None);
    }
    assert_eq!(SigningAlgorithm::from_proto_name("pkix_ed25519"), None);
    assert_eq!(SigningAlgorithm::from_flag_name(""), None);
}
