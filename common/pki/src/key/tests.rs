#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use num_bigint::BigUint;

use super::*;
use crate::testdata::{MESSAGE, read};

fn key(name: &str) -> PublicKey {
    PublicKey::from_pem(&read(&format!("{name}.pem"))).unwrap()
}

/// Key, hash and signature of every line OpenSSL made.
fn signatures() -> Vec<(String, HashAlgorithm, Vec<u8>)> {
    let text = read("signatures.txt");
    let lines = text.lines().map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let hash = HashAlgorithm::from_name(fields[1]).unwrap();
        (fields[0].to_owned(), hash, STANDARD.decode(fields[2]).unwrap())
    });
    lines.collect()
}

#[test]
fn openssl_signatures_of_every_algorithm_and_hash() {
    let mut seen = 0;
    for (name, hash, sig) in signatures() {
        let key = key(&name);
        if name == "rsa-1024" {
            // Too small to verify with, but parsed, so that the answer can say why.
            let unsupported = SignatureError::Unsupported {
                key: KeyAlgorithm::RsaOther(1024),
                hash: "sha256",
            };
            assert_eq!(key.verify(hash, MESSAGE, &sig), Err(unsupported));
            continue;
        }
        seen += 1;
        assert_eq!(key.verify(hash, MESSAGE, &sig), Ok(()), "{name} {hash:?}");
        assert_eq!(
            key.verify(hash, b"another", &sig),
            Err(SignatureError::Invalid),
            "{name} {hash:?}"
        );
        if name != "ed25519" {
            assert_eq!(
                key.verify_digest(hash, &hash.digest(MESSAGE), &sig),
                Ok(()),
                "{name} {hash:?}"
            );
            let other = if hash == HashAlgorithm::Sha256 {
                HashAlgorithm::Sha384
            } else {
                HashAlgorithm::Sha256
            };
            assert_eq!(
                key.verify(other, MESSAGE, &sig),
                Err(SignatureError::Invalid),
                "{name} {other:?}"
            );
        }
        for bit in (0..sig.len() * 8).step_by(7) {
            let mut wrong = sig.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(
                key.verify(hash, MESSAGE, &wrong).is_err(),
                "{name} {hash:?} bit {bit}"
            );
        }
        for wrong in [
            [sig.as_slice(), &[0]].concat(),
            sig[..sig.len() - 1].to_vec(),
            Vec::new(),
        ] {
            assert!(
                key.verify(hash, MESSAGE, &wrong).is_err(),
                "{name} {hash:?} length {}",
                wrong.len()
            );
        }
    }
    assert_eq!(
        seen, 18,
        "three curves and two RSA sizes with three hashes, two more RSA sizes, Ed25519"
    );
}

#[test]
fn digests_must_have_the_length_of_their_hash() {
    let error = key("p256")
        .verify_digest(HashAlgorithm::Sha256, &[0; 48], &[])
        .unwrap_err();
    assert_eq!(
        error,
        SignatureError::DigestLength {
            expected: 32,
            got: 48
        }
    );
}

#[test]
fn p1363_signatures_verify_as_their_asn1_form() {
    for (name, hash, sig) in signatures() {
        let key = key(&name);
        let Some(len) = key.algorithm().field_len() else {
            assert!(
                key.verify_digest_p1363(hash, &hash.digest(MESSAGE), &sig)
                    .is_err()
            );
            continue;
        };
        let mut fixed = Vec::new();
        let mut reader = asn1::reader(&sig).unwrap();
        use der::{Decode as _, Reader as _};
        reader
            .sequence(|r| {
                for _ in 0..2 {
                    let number = der::asn1::UintRef::decode(r)?;
                    fixed.extend(vec![0; len - number.as_bytes().len()]);
                    fixed.extend(number.as_bytes());
                }
                Ok::<_, der::Error>(())
            })
            .unwrap();
        let digest = hash.digest(MESSAGE);
        assert_eq!(
            key.verify_digest_p1363(hash, &digest, &fixed),
            Ok(()),
            "{name} {hash:?}"
        );
        assert!(key.verify_digest(hash, &digest, &fixed).is_err(), "not ASN.1");
        fixed[0] ^= 1;
        assert!(key.verify_digest_p1363(hash, &digest, &fixed).is_err());
        assert!(key.verify_digest_p1363(hash, &digest, &fixed[1..]).is_err());
    }
}

#[test]
fn ed25519ph_vector_of_rfc_8032() {
    // RFC 8032 §7.3, "TEST abc".
    let public = hex::decode("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf").unwrap();
    let sig = hex::decode(concat!(
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41",
        "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
    ))
    .unwrap();
    let algorithm = asn1::sequence(&[&asn1::oid(&oid::ED25519)]);
    let key = PublicKey::from_spki_der(&asn1::sequence(&[&algorithm, &asn1::bit_string(&public)])).unwrap();
    let digest = HashAlgorithm::Sha512.digest(b"abc");
    assert_eq!(key.verify_digest(HashAlgorithm::Sha512, &digest, &sig), Ok(()));
    // Pure Ed25519 over the same bytes is another signature, both ways round.
    assert!(key.verify(HashAlgorithm::Sha512, b"abc", &sig).is_err());
    assert!(key.verify(HashAlgorithm::Sha512, &digest, &sig).is_err());
    let mut wrong = sig.clone();
    wrong[40] ^= 1;
    assert!(key.verify_digest(HashAlgorithm::Sha512, &digest, &wrong).is_err());
    assert!(
        key.verify_digest(HashAlgorithm::Sha512, &HashAlgorithm::Sha512.digest(b"abd"), &sig)
            .is_err()
    );
    assert!(matches!(
        key.verify_digest(HashAlgorithm::Sha256, &[0; 32], &sig),
        Err(SignatureError::Unsupported { hash: "sha256", .. })
    ));
}

#[test]
fn pem_round_trip_is_canonical() {
    for name in ["p256", "p384", "p521", "ed25519", "rsa-2048", "rsa-8192"] {
        let text = read(&format!("{name}.pem"));
        let key = PublicKey::from_pem(&text).unwrap();
        assert_eq!(key.to_pem(), text, "{name}");
        assert_eq!(PublicKey::from_spki_der(key.spki_der()).unwrap(), key);
        assert_eq!(key.fingerprint(), sha256(key.spki_der()));
    }
    assert_eq!(key("rsa-3072").algorithm(), KeyAlgorithm::Rsa3072);
    assert_eq!(key("rsa-8192").algorithm(), KeyAlgorithm::RsaOther(8192));
}

#[test]
fn pkcs1_keys_get_a_subject_public_key_info() {
    let key = key("rsa-2048");
    assert_eq!(PublicKey::from_pkcs1_der(key.subject_public_key()).unwrap(), key);
    assert!(PublicKey::from_pkcs1_der(key.spki_der()).is_err());
}

#[test]
fn refused_keys() {
    let unsupported = |name: &str| {
        let error = PublicKey::from_pem(&read(&format!("{name}.pem"))).unwrap_err();
        assert!(matches!(error, KeyError::Unsupported(_)), "{name}: {error:?}");
    };
    unsupported("secp256k1");
    unsupported("explicit-parameters");
    let compressed = PublicKey::from_pem(&read("compressed-point.pem")).unwrap_err();
    assert!(matches!(compressed, KeyError::Invalid(_)));
    assert!(matches!(
        PublicKey::from_pem(&read("p256.key")).unwrap_err(),
        KeyError::Label(_)
    ));
    assert!(matches!(
        PublicKey::from_pem("").unwrap_err(),
        KeyError::Pem(PemError::NoBlock)
    ));

    let good = key("p256").spki_der().to_vec();
    let trailing = [good.as_slice(), &[0]].concat();
    assert!(matches!(
        PublicKey::from_spki_der(&trailing).unwrap_err(),
        KeyError::Der(_)
    ));
    // Off the curve: any change of a coordinate.
    let mut off = good.clone();
    *off.last_mut().unwrap() ^= 1;
    assert!(matches!(
        PublicKey::from_spki_der(&off).unwrap_err(),
        KeyError::Invalid(_)
    ));
    // A P-256 point under the name of P-384.
    let mixed = String::from_utf8_lossy(&[]).into_owned();
    assert!(PublicKey::from_spki_der(mixed.as_bytes()).is_err());
    assert_eq!(
        PublicKey::from_spki_der(&vec![0x30; 5000]).unwrap_err(),
        KeyError::TooLong(5000)
    );
    // The point at infinity.
    let curve = asn1::sequence(&[&asn1::oid(&oid::EC_PUBLIC_KEY), &asn1::oid(&oid::P256)]);
    assert!(PublicKey::from_spki_der(&asn1::sequence(&[&curve, &asn1::bit_string(&[0])])).is_err());
    let point = key("p256").subject_public_key().to_vec();
    let other = asn1::sequence(&[&asn1::oid(&oid::EC_PUBLIC_KEY), &asn1::oid(&oid::P384)]);
    assert!(PublicKey::from_spki_der(&asn1::sequence(&[&other, &asn1::bit_string(&point)])).is_err());
}

#[test]
fn no_change_of_a_key_panics_or_passes_for_the_same_key() {
    for name in ["p256", "p521", "ed25519", "rsa-2048"] {
        let good = key(name);
        for at in 0..good.spki_der().len() {
            assert!(
                PublicKey::from_spki_der(&good.spki_der()[..at]).is_err(),
                "{name} cut at {at}"
            );
            for flip in [0x01, 0x80, 0xFF] {
                let mut changed = good.spki_der().to_vec();
                changed[at] ^= flip;
                if let Ok(other) = PublicKey::from_spki_der(&changed) {
                    assert_ne!(other.fingerprint(), good.fingerprint());
                    let _ = other.check_strength();
                }
            }
        }
    }
}

fn rsa_key(modulus: &BigUint, exponent: u32) -> PublicKey {
    let numbers = asn1::sequence(&[
        &asn1::unsigned(&modulus.to_bytes_be()),
        &asn1::unsigned(&exponent.to_be_bytes()),
    ]);
    PublicKey::from_pkcs1_der(&numbers).unwrap()
}

fn has_small_factor(n: &BigUint) -> bool {
    (3_u32..752).step_by(2).any(|d| n % d == BigUint::ZERO)
}

#[test]
fn strong_keys_are_strong() {
    for name in [
        "p256", "p384", "p521", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096",
    ] {
        assert_eq!(key(name).check_strength(), Ok(()), "{name}");
    }
}

#[test]
fn weak_rsa_keys() {
    assert_eq!(key("rsa-1024").check_strength(), Err(WeakKey::RsaSize(1024)));
    assert_eq!(key("rsa-8192").check_strength(), Err(WeakKey::RsaSize(8192)));
    assert_eq!(key("rsa-e3").check_strength(), Err(WeakKey::RsaExponent));
    let one = BigUint::from(1_u32);

    // A multiple of 751 and of no smaller prime.
    let mut cofactor: BigUint = (&one << 2038_u32) + &one;
    while has_small_factor(&cofactor) {
        cofactor += 2_u32;
    }
    assert_eq!(
        rsa_key(&(cofactor * 751_u32), 65537).check_strength(),
        Err(WeakKey::SmallFactor(751))
    );

    // (a - b)(a + b) with b small enough for Fermat.
    let b = BigUint::from(1_u32) << 200_u32;
    let mut a: BigUint = (&one << 1024_u32) - 3_u32;
    while has_small_factor(&(&a * &a - &b * &b)) {
        a -= 2_u32;
    }
    assert_eq!(
        rsa_key(&(&a * &a - &b * &b), 65537).check_strength(),
        Err(WeakKey::CloseFactors)
    );

    // A power of 65537 modulo the primorial, as the vulnerable generator makes both factors.
    let primorial = (2_u32..=167)
        .filter(|n| (2..*n).all(|d| n % d != 0))
        .fold(BigUint::from(1_u32), |product, prime| product * prime);
    let residue = BigUint::from(65537_u32).modpow(&BigUint::from(123_456_u32), &primorial);
    let mut roca = ((&one << 2047_u32) / &primorial + 1_u32) * &primorial + residue;
    while has_small_factor(&roca) {
        roca += &primorial * 2_u32;
    }
    assert_eq!(rsa_key(&roca, 65537).check_strength(), Err(WeakKey::Roca));
}

#[test]
fn small_order_ed25519_keys_are_weak_and_verify_nothing_prehashed() {
    let algorithm = asn1::sequence(&[&asn1::oid(&oid::ED25519)]);
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let key = PublicKey::from_spki_der(&asn1::sequence(&[&algorithm, &asn1::bit_string(&neutral)])).unwrap();
    assert_eq!(key.check_strength(), Err(WeakKey::SmallOrder));
    // R neutral, s zero: satisfies the bare equation for every message.
    let mut sig = [0; 64];
    sig[0] = 1;
    assert!(key.verify_digest(HashAlgorithm::Sha512, &[7; 64], &sig).is_err());
}

#[test]
fn a_cloned_key_shares_its_prepared_form() {
    let key = key("p256");
    let clone = key.clone();
    assert!(Arc::ptr_eq(&key.0, &clone.0));
    let [sha256, sha384, _] = &key.0.prepared;
    assert!(sha256.get().is_some(), "prepared when parsed");
    assert!(sha384.get().is_none(), "prepared when used");
    let _ = clone.verify(HashAlgorithm::Sha384, b"", b"");
    assert!(sha384.get().is_some());
}
