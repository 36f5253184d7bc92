#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use super::*;
use crate::key::{HashAlgorithm, KeyAlgorithm, LocalSigner, Signer};
use crate::testdata::{read, vectors};

const NOW: u64 = 1_800_000_000;

fn openssl_chain() -> Vec<Certificate> {
    Certificate::chain_from_pem(&read("chain.pem"), 3).unwrap()
}

pub(crate) struct Authorities {
    pub(crate) root_signer: LocalSigner,
    pub(crate) root: Certificate,
    pub(crate) signer: LocalSigner,
    pub(crate) intermediate: Certificate,
}

fn profile(name: &str, serial: u8) -> CaProfile {
    CaProfile {
        subject: distinguished_name("sigbox", name),
        serial: Serial::new(&[serial]).unwrap(),
        not_before: NOW - 1000,
        not_after: NOW + 1_000_000,
    }
}

fn signer(algorithm: KeyAlgorithm) -> LocalSigner {
    LocalSigner::generate(algorithm).unwrap().0
}

fn authorities() -> Authorities {
    let root_signer = signer(KeyAlgorithm::EcdsaP384);
    let root = self_signed_root(profile("root", 1), &root_signer).unwrap();
    let signer = signer(KeyAlgorithm::EcdsaP256);
    let intermediate = intermediate(
        profile("intermediate", 2),
        signer.public_key(),
        &oid::CODE_SIGNING,
        &root,
        &root_signer,
    )
    .unwrap();
    Authorities {
        root_signer,
        root,
        signer,
        intermediate,
    }
}

fn leaf_tbs(issuer: &Certificate, key: &PublicKey) -> TbsCertificate {
    TbsCertificate {
        serial: Serial::from_random([0xFF; 20]),
        issuer: issuer.subject_der().to_vec(),
        not_before: NOW,
        not_after: NOW + 600,
        subject: empty_name(),
        key: key.clone(),
        extensions: vec![
            ext::digital_signature(),
            ext::extended_key_usage(&oid::CODE_SIGNING, false),
            ext::subject_key_identifier(key),
            ext::authority_key_identifier(&issuer.subject_key_identifier().unwrap().unwrap()),
            SubjectAltName::Email("dev@example.com".to_owned())
                .to_extension()
                .unwrap(),
            ext::raw_text(ext::sigstore_oid(1).unwrap(), "https://issuer.example"),
            ext::utf8_string(ext::sigstore_oid(8).unwrap(), "https://issuer.example"),
        ],
    }
}

fn options<'a>(a: &'a Authorities, roots: &'a [Certificate], mid: &'a [Certificate]) -> VerifyOptions<'a> {
    assert!(a.root.is_ca());
    VerifyOptions {
        intermediates: mid,
        roots,
        at: NOW,
        purpose: Some(oid::CODE_SIGNING),
    }
}

#[test]
fn built_chain_verifies_and_reads_back() {
    let a = authorities();
    let key = signer(KeyAlgorithm::Ed25519);
    let leaf = leaf_tbs(&a.intermediate, key.public_key())
        .sign(&a.signer)
        .unwrap();
    let (roots, mid) = ([a.root.clone()], [a.intermediate.clone()]);
    let chain = verify_chain(&leaf, &options(&a, &roots, &mid)).unwrap();
    assert_eq!(chain, [leaf.clone(), a.intermediate.clone(), a.root.clone()]);

    assert_eq!(leaf.serial()[0], 0x7F);
    assert_eq!(leaf.serial().len(), 20);
    assert_eq!((leaf.not_before(), leaf.not_after()), (NOW, NOW + 600));
    assert_eq!(leaf.subject_der(), [0x30, 0]);
    assert_eq!(leaf.public_key().unwrap(), key.public_key());
    assert_eq!(
        leaf.subject_alt_names().unwrap(),
        [SubjectAltName::Email("dev@example.com".to_owned())]
    );
    assert!(leaf.extension(&oid::SUBJECT_ALT_NAME).unwrap().critical);
    assert_eq!(leaf.sigstore_extension(1).unwrap(), "https://issuer.example");
    assert_eq!(leaf.sigstore_extension(8).unwrap(), "https://issuer.example");
    assert_eq!(leaf.sigstore_extension(9), None);
    assert_eq!(leaf.extension(&oid::KEY_USAGE).unwrap().value, [3, 2, 7, 0x80]);
    assert_eq!(a.intermediate.basic_constraints().unwrap(), Some((true, Some(0))));
    assert_eq!(a.root.basic_constraints().unwrap(), Some((true, None)));
    assert_eq!(a.root.extended_key_usage().unwrap(), None);
    assert_eq!(a.root.subject_attribute(&oid::ORGANIZATION).unwrap(), "sigbox");
    assert_eq!(a.root.subject_text(), "CN=root,O=sigbox");
    assert_eq!(
        a.root.signature_algorithm(),
        Some(SignatureAlgorithm::Ecdsa(HashAlgorithm::Sha384))
    );
    assert_eq!(Certificate::from_pem(&leaf.to_pem()).unwrap(), leaf);
    let oids: Vec<_> = leaf.extensions().iter().map(|ext| ext.oid).collect();
    let wanted: Vec<_> = leaf_tbs(&a.intermediate, key.public_key())
        .extensions
        .iter()
        .map(|ext| ext.oid)
        .collect();
    assert_eq!(oids, wanted, "the caller's order");
}

#[test]
fn every_kind_of_issuer_key_signs() {
    use KeyAlgorithm::{EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa2048};
    for algorithm in [EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa2048] {
        let signer = signer(algorithm);
        let root = self_signed_root(profile("root", 9), &signer).unwrap();
        assert_eq!(root.verify_signature(signer.public_key()), Ok(()), "{algorithm}");
        let roots = [root.clone()];
        let options = VerifyOptions {
            intermediates: &[],
            roots: &roots,
            at: NOW,
            purpose: None,
        };
        assert_eq!(verify_chain(&root, &options).unwrap(), [root]);
    }
}

#[test]
fn openssl_agrees_about_our_chain() {
    let a = authorities();
    let key = signer(KeyAlgorithm::EcdsaP256);
    let mut tbs = leaf_tbs(&a.intermediate, key.public_key());
    tbs.extensions.push(Extension {
        oid: oid::CERTIFICATE_POLICIES,
        critical: false,
        value: asn1::sequence(&[&asn1::sequence(&[&asn1::oid(&oid::TSA_POLICY)])]),
    });
    let leaf = tbs.sign(&a.signer).unwrap();
    let dir = std::env::temp_dir().join(format!("sigbox-pki-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for (name, cert) in [("leaf", &leaf), ("mid", &a.intermediate), ("root", &a.root)] {
        std::fs::write(dir.join(name), cert.to_pem()).unwrap();
    }
    let output = std::process::Command::new("openssl")
        .args([
            "verify",
            "-x509_strict",
            "-attime",
            &NOW.to_string(),
            "-CAfile",
            "root",
            "-untrusted",
            "mid",
            "leaf",
        ])
        .current_dir(&dir)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn precertificate_and_certificate_differ_in_the_last_extension_only() {
    let a = authorities();
    let tbs = leaf_tbs(&a.intermediate, signer(KeyAlgorithm::EcdsaP256).public_key());
    let pre = tbs.sign_precertificate(&a.signer).unwrap();
    let fin = tbs.sign_with_scts(&a.signer, &[vec![1, 2, 3]]).unwrap();
    assert_eq!(pre.extensions().last(), Some(&ext::poison()));
    assert_eq!(fin.extensions().last().unwrap().oid, oid::SCT_LIST);
    assert_eq!(
        fin.extensions().last().unwrap().value,
        [0x04, 7, 0, 5, 0, 3, 1, 2, 3]
    );
    let algorithm = SignatureAlgorithm::of_key(a.signer.public_key());
    let plain = tbs.to_der(algorithm).unwrap();
    assert_eq!(crate::sct::precert_tbs(&pre), plain);
    assert_eq!(crate::sct::precert_tbs(&fin), plain);
    // A verifier that does not know the poison must refuse the precertificate.
    let (roots, mid) = ([a.root.clone()], [a.intermediate.clone()]);
    let error = verify_chain(&pre, &options(&a, &roots, &mid)).unwrap_err();
    assert!(matches!(error, ChainError::CriticalExtension(_, oid::CT_POISON)));
}

#[test]
fn chains_that_must_not_verify() {
    let a = authorities();
    let key = signer(KeyAlgorithm::EcdsaP256);
    let tbs = leaf_tbs(&a.intermediate, key.public_key());
    let leaf = tbs.sign(&a.signer).unwrap();
    let (roots, mid) = ([a.root.clone()], [a.intermediate.clone()]);
    let base = options(&a, &roots, &mid);

    let at = |at| verify_chain(&leaf, &VerifyOptions { at, ..base.clone() });
    assert!(at(NOW + 600).is_ok(), "the last second counts");
    assert!(matches!(
        at(NOW + 601).unwrap_err(),
        ChainError::Validity {
            at: 1_800_000_601,
            ..
        }
    ));
    assert!(matches!(at(NOW - 1).unwrap_err(), ChainError::Validity { .. }));

    let wrong_purpose = VerifyOptions {
        purpose: Some(oid::TIME_STAMPING),
        ..base.clone()
    };
    assert!(matches!(
        verify_chain(&leaf, &wrong_purpose).unwrap_err(),
        ChainError::Purpose(..)
    ));
    let no_mid = VerifyOptions {
        intermediates: &[],
        ..base.clone()
    };
    assert!(matches!(
        verify_chain(&leaf, &no_mid).unwrap_err(),
        ChainError::UnknownIssuer(_)
    ));
    let no_root = VerifyOptions {
        roots: &[],
        ..base.clone()
    };
    assert!(matches!(
        verify_chain(&leaf, &no_root).unwrap_err(),
        ChainError::UnknownIssuer(_)
    ));

    // A root of the same name with another key.
    let other = authorities();
    let wrong = [other.root.clone()];
    assert!(
        verify_chain(
            &leaf,
            &VerifyOptions {
                roots: &wrong,
                ..base.clone()
            }
        )
        .is_err()
    );

    // Signed by a key that is not the intermediate's.
    let forged = tbs.sign(&other.signer).unwrap();
    assert!(matches!(
        verify_chain(&forged, &base).unwrap_err(),
        ChainError::Signature(_)
    ));

    // A leaf in the place of an authority.
    let mut below = leaf_tbs(&leaf, signer(KeyAlgorithm::EcdsaP256).public_key());
    below.issuer = leaf.subject_der().to_vec();
    let below = below.sign(&key).unwrap();
    let bag = [leaf.clone(), a.intermediate.clone()];
    let through_leaf = VerifyOptions {
        intermediates: &bag,
        ..base.clone()
    };
    assert!(matches!(
        verify_chain(&below, &through_leaf).unwrap_err(),
        ChainError::NotAnAuthority(_)
    ));

    // Path length 0 allows no authority below the intermediate.
    let sub = signer(KeyAlgorithm::EcdsaP256);
    let deep = intermediate(
        profile("deep", 3),
        sub.public_key(),
        &oid::CODE_SIGNING,
        &a.intermediate,
        &a.signer,
    )
    .unwrap();
    let deep_leaf = leaf_tbs(&deep, key.public_key()).sign(&sub).unwrap();
    let bag = [deep, a.intermediate.clone()];
    let too_deep = VerifyOptions {
        intermediates: &bag,
        ..base.clone()
    };
    assert!(matches!(
        verify_chain(&deep_leaf, &too_deep).unwrap_err(),
        ChainError::PathLength(_)
    ));

    // An intermediate for another purpose.
    let tsa = intermediate(
        profile("tsa", 4),
        sub.public_key(),
        &oid::TIME_STAMPING,
        &a.root,
        &a.root_signer,
    )
    .unwrap();
    let stray = leaf_tbs(&tsa, key.public_key()).sign(&sub).unwrap();
    let bag = [tsa];
    let nested = VerifyOptions {
        intermediates: &bag,
        ..base
    };
    assert!(matches!(
        verify_chain(&stray, &nested).unwrap_err(),
        ChainError::Purpose(..)
    ));
}

#[test]
fn a_bag_of_lookalikes_costs_a_bounded_number_of_signatures() {
    let a = authorities();
    let leaf = leaf_tbs(&a.intermediate, a.signer.public_key())
        .sign(&a.signer)
        .unwrap();
    // Two hundred self-issued authorities of the intermediate's name and key identifier, none of which signed.
    let mut bag = Vec::new();
    for n in 0..200_u8 {
        let fake = signer(KeyAlgorithm::EcdsaP256);
        let mut tbs = leaf_tbs(&a.intermediate, fake.public_key());
        tbs.serial = Serial::new(&[1, n]).unwrap();
        tbs.subject = a.intermediate.subject_der().to_vec();
        let id = a.intermediate.subject_key_identifier().unwrap().unwrap();
        tbs.extensions = vec![
            ext::certificate_signing(),
            ext::certificate_authority(None),
            Extension {
                oid: oid::SUBJECT_KEY_IDENTIFIER,
                critical: false,
                value: asn1::octet_string(&id),
            },
        ];
        bag.push(tbs.sign(&fake).unwrap());
    }
    let roots = [a.root.clone()];
    let error = verify_chain(&leaf, &options(&a, &roots, &bag)).unwrap_err();
    assert_eq!(error, ChainError::TooComplex);
}

#[test]
fn openssl_chain_and_names() {
    let chain = openssl_chain();
    let options = VerifyOptions {
        intermediates: &chain[1..2],
        roots: &chain[2..],
        at: chain[0].not_before(),
        purpose: Some(oid::CODE_SIGNING),
    };
    assert_eq!(verify_chain(&chain[0], &options).unwrap(), chain);
    let names: Vec<String> = chain[0]
        .subject_alt_names()
        .unwrap()
        .iter()
        .map(SubjectAltName::text)
        .collect();
    let wanted = [
        "example.com",
        "dev@example.com",
        "192.0.2.7",
        "2001:db8::1",
        "https://example.com/a?b=c",
        "dev!example.com",
    ];
    assert_eq!(names, wanted);
    assert_eq!(chain[0].sigstore_extension(8).unwrap(), "https://issuer.example");
    assert_eq!(chain[0].subject_attribute(&oid::COMMON_NAME).unwrap(), "leaf");
    // Our identifiers of keys are the ones OpenSSL computes.
    for cert in &chain {
        let wanted = cert.subject_key_identifier().unwrap().unwrap();
        assert_eq!(ext::key_identifier(cert.public_key().unwrap()), wanted);
    }
}

#[test]
fn each_kind_of_name_reads_back() {
    let a = authorities();
    let names = [
        SubjectAltName::Dns("a.example".to_owned()),
        SubjectAltName::Email("a@b.example".to_owned()),
        SubjectAltName::Ip("10.0.0.1".parse().unwrap()),
        SubjectAltName::Ip("2001:db8::2".parse().unwrap()),
        SubjectAltName::Uri("https://x.example/y z".to_owned()),
        SubjectAltName::Username("käthe!example.com".to_owned()),
    ];
    for name in names {
        let mut tbs = leaf_tbs(&a.intermediate, a.signer.public_key());
        tbs.extensions[4] = name.to_extension().unwrap();
        assert_eq!(tbs.sign(&a.signer).unwrap().subject_alt_names().unwrap(), [name]);
    }
    assert_eq!(
        SubjectAltName::Email("käthe@example.com".to_owned()).to_extension(),
        None,
        "IA5String is ASCII"
    );
}

#[test]
fn no_changed_certificate_verifies_or_panics() {
    for cert in openssl_chain() {
        let good = cert.to_der();
        let chain = openssl_chain();
        let issuer = chain
            .iter()
            .find(|c| c.subject_der() == cert.issuer_der())
            .unwrap();
        let key = issuer.public_key().unwrap();
        for at in 0..good.len() {
            assert!(Certificate::from_der(&good[..at]).is_err(), "cut at {at}");
            for flip in [0x01, 0x10, 0x80, 0xFF] {
                let mut changed = good.to_vec();
                changed[at] ^= flip;
                let Ok(changed) = Certificate::from_der(&changed) else {
                    continue;
                };
                assert!(
                    changed.verify_signature(key).is_err(),
                    "octet {at} changed and still verifies"
                );
                let _ = (
                    changed.subject_alt_names(),
                    changed.extended_key_usage(),
                    changed.basic_constraints(),
                );
                let _ = (
                    changed.subject_text(),
                    changed.sigstore_extension(8),
                    changed.authority_key_identifier(),
                );
                let _ = crate::sct::embedded_scts(&changed);
            }
        }
        assert!(
            Certificate::from_der(&[good, &[0]].concat()).is_err(),
            "trailing octet"
        );
    }
}

#[test]
fn rules_of_rfc_5280() {
    let a = authorities();
    let mut tbs = leaf_tbs(&a.intermediate, a.signer.public_key());
    tbs.extensions.push(ext::digital_signature());
    assert_eq!(
        tbs.sign(&a.signer).unwrap_err(),
        BuildError::Malformed(CertError::Malformed("duplicate extension"))
    );
    tbs.extensions = (100..200)
        .map(|n| ext::raw_text(ext::sigstore_oid(n).unwrap(), "x"))
        .collect();
    assert_eq!(
        tbs.sign(&a.signer).unwrap_err(),
        BuildError::Malformed(CertError::Malformed("more than 64 extensions"))
    );
    assert!(Serial::new(&[0, 0]).is_err());
    assert!(Serial::new(&[0x80; 20]).is_err(), "21 octets with its sign");
    assert_eq!(Serial::new(&[0, 0x80]).unwrap().as_bytes(), [0, 0x80]);
    assert_eq!(Serial::from_random([0; 20]).as_bytes(), [1]);
    tbs.extensions.clear();
    // RFC 5280 §4.1.2.5: GeneralizedTime from 2050 on.
    tbs.not_after = 2_524_608_000;
    let cert = tbs.sign(&a.signer).unwrap();
    assert_eq!(cert.not_after(), 2_524_608_000);
    assert!(
        cert.tbs_der()
            .windows(17)
            .any(|window| window == b"\x18\x0F20500101000000Z")
    );
    tbs.not_after = u64::MAX;
    assert_eq!(tbs.sign(&a.signer).unwrap_err(), BuildError::Time(u64::MAX));
    assert_eq!(
        Certificate::from_der(&vec![0; 70_000]).unwrap_err(),
        CertError::TooLong(70_000)
    );
}

#[test]
fn an_authority_needs_its_own_key_and_a_key_identifier() {
    let a = authorities();
    let key = signer(KeyAlgorithm::EcdsaP256);
    let wrong = timestamping_leaf(profile("tsa", 5), key.public_key(), &a.root, &a.signer).unwrap_err();
    assert!(matches!(wrong, BuildError::Issuer(_)));
    let leaf = leaf_tbs(&a.intermediate, key.public_key())
        .sign(&a.signer)
        .unwrap();
    let wrong = timestamping_leaf(profile("tsa", 5), a.signer.public_key(), &leaf, &key).unwrap_err();
    assert!(matches!(wrong, BuildError::Issuer(_)));
}

#[test]
fn public_good_certificates_chain_at_their_times() {
    use base64::Engine as _;
    let Some(vectors) = vectors() else { return };
    let json = |path: std::path::PathBuf| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let cert = |value: &serde_json::Value| {
        let raw = value["rawBytes"].as_str().unwrap();
        Certificate::from_der(&base64::engine::general_purpose::STANDARD.decode(raw).unwrap()).unwrap()
    };
    let root = json(vectors.join("public-good/trusted_root.json"));
    let mut authorities = Vec::new();
    for kind in ["certificateAuthorities", "timestampAuthorities"] {
        for authority in root[kind].as_array().unwrap() {
            let chain: Vec<_> = authority["certChain"]["certificates"]
                .as_array()
                .unwrap()
                .iter()
                .map(cert)
                .collect();
            authorities.push(chain);
        }
    }
    assert!(authorities.len() >= 3);
    for chain in &authorities {
        let (root, rest) = chain.split_last().unwrap();
        let Some(first) = rest.first() else { continue };
        let options = VerifyOptions {
            intermediates: rest,
            roots: std::slice::from_ref(root),
            at: first.not_before(),
            purpose: None,
        };
        assert_eq!(verify_chain(first, &options).unwrap().len(), chain.len());
    }
    let bundle = json(vectors.join("conformance/happy-path-v0.3/bundle.sigstore.json"));
    let leaf = cert(&bundle["verificationMaterial"]["certificate"]);
    assert_eq!(leaf.subject_alt_names().unwrap().len(), 1);
    assert_eq!(
        leaf.sigstore_extension(8).unwrap(),
        "https://token.actions.githubusercontent.com"
    );
    let verified = authorities.iter().filter(|chain| {
        let (root, rest) = chain.split_last().unwrap();
        let options = VerifyOptions {
            intermediates: rest,
            roots: std::slice::from_ref(root),
            at: leaf.not_before(),
            purpose: Some(oid::CODE_SIGNING),
        };
        verify_chain(&leaf, &options).is_ok()
    });
    assert_eq!(verified.count(), 1, "one authority issued it");
}
