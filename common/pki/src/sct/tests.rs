#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;
use crate::cert::{
    CaProfile, Certificate, Serial, TbsCertificate, distinguished_name, empty_name, ext, self_signed_root,
};
use crate::key::{KeyAlgorithm, LocalSigner};
use crate::testdata::{read, vectors};

fn log() -> LocalSigner {
    LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0
}

fn entry() -> SignedEntry {
    SignedEntry::Precert {
        issuer_key_hash: [7; 32],
        tbs: vec![0x30, 0],
    }
}

#[test]
fn layouts_of_rfc_6962() {
    let leaf = merkle_tree_leaf(0x0102_0304_0506_0708, &entry(), &[9]).unwrap();
    let mut wanted = vec![0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1];
    wanted.extend([7; 32]);
    wanted.extend([0, 0, 2, 0x30, 0, 0, 1, 9]);
    assert_eq!(leaf, wanted);
    assert_eq!(
        signed_data(0x0102_0304_0506_0708, &entry(), &[9]).unwrap(),
        wanted
    );
    assert_eq!(
        timestamped_entry(0x0102_0304_0506_0708, &entry(), &[9]).unwrap(),
        wanted[2..]
    );
    let parsed = TimestampedEntry::from_leaf(&leaf).unwrap();
    assert_eq!(
        parsed,
        TimestampedEntry {
            timestamp: 0x0102_0304_0506_0708,
            entry: entry(),
            extensions: vec![9]
        }
    );

    let x509 = merkle_tree_leaf(1, &SignedEntry::X509(vec![5, 6]), &[]).unwrap();
    assert_eq!(x509, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 5, 6, 0, 0]);
    assert_eq!(
        x509_extra_data(&[&[1], &[2, 3]]).unwrap(),
        [0, 0, 9, 0, 0, 1, 1, 0, 0, 2, 2, 3]
    );
    assert_eq!(
        precert_extra_data(&[8], &[&[1]]).unwrap(),
        [0, 0, 1, 8, 0, 0, 4, 0, 0, 1, 1]
    );
    let sth = sth_signed_data(2, 3, &[4; 32]);
    assert_eq!(sth.len(), 50);
    assert_eq!(sth[..18], [0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
}

#[test]
fn leaf_index_has_forty_bits() {
    assert_eq!(
        leaf_index_extension(0x01_0203_0405).unwrap(),
        [0, 0, 5, 1, 2, 3, 4, 5]
    );
    assert!(leaf_index_extension(1 << 40).is_err());
    for index in [0, 255, 256, (1 << 40) - 1] {
        assert_eq!(leaf_index(&leaf_index_extension(index).unwrap()), Some(index));
    }
    // Another extension before it, none, a wrong length, a cut one.
    assert_eq!(leaf_index(&[1, 0, 1, 9, 0, 0, 5, 0, 0, 0, 0, 3]), Some(3));
    for bad in [&[][..], &[0, 0, 4, 0, 0, 0, 1], &[0, 0, 5, 0, 0], &[1, 0, 0]] {
        assert_eq!(leaf_index(bad), None);
    }
}

#[test]
fn signed_timestamps_verify_and_round_trip() {
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Rsa2048] {
        let log = LocalSigner::generate(algorithm).unwrap().0;
        let extension = leaf_index_extension(42).unwrap();
        let sct = Sct::sign(&log, 1234, &entry(), &extension).unwrap();
        assert_eq!(sct.verify(&entry(), log.public_key()), Ok(()));
        assert_eq!(Sct::from_bytes(&sct.to_bytes().unwrap()).unwrap(), sct);
        let response = AddChainResponse::from(&sct);
        let json = serde_json::to_value(&response).unwrap();
        assert_eq!(json["extensions"], "AAAFAAAAACo=");
        assert_eq!(Sct::try_from(&response).unwrap(), sct);

        let other = SignedEntry::X509(vec![1]);
        assert!(sct.verify(&other, log.public_key()).is_err());
        assert!(
            Sct {
                timestamp: 1235,
                ..sct.clone()
            }
            .verify(&entry(), log.public_key())
            .is_err()
        );
        assert!(
            Sct {
                extensions: Vec::new(),
                ..sct.clone()
            }
            .verify(&entry(), log.public_key())
            .is_err()
        );
        assert_eq!(
            sct.verify(&entry(), self::log().public_key()),
            Err(SctError::OtherLog)
        );
        let bytes = sct.to_bytes().unwrap();
        for at in 0..bytes.len() {
            assert!(Sct::from_bytes(&bytes[..at]).is_err());
            let mut changed = bytes.clone();
            changed[at] ^= 0x41;
            let verified = Sct::from_bytes(&changed).and_then(|sct| sct.verify(&entry(), log.public_key()));
            assert!(verified.is_err(), "octet {at} changed and still verifies");
        }
        assert!(Sct::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
    }
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP384] {
        let log = LocalSigner::generate(algorithm).unwrap().0;
        assert!(
            Sct::sign(&log, 1, &entry(), &[]).is_err(),
            "{algorithm} is no log key"
        );
    }
}

fn issue(log: &LocalSigner) -> (Certificate, PublicKey) {
    let ca = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap().0;
    let profile = CaProfile {
        subject: distinguished_name("sigbox", "root"),
        serial: Serial::new(&[1]).unwrap(),
        not_before: 0,
        not_after: 4_000_000_000,
    };
    let root = self_signed_root(profile, &ca).unwrap();
    let tbs = TbsCertificate {
        serial: Serial::new(&[2]).unwrap(),
        issuer: root.subject_der().to_vec(),
        not_before: 1,
        not_after: 600,
        subject: empty_name(),
        key: ca.public_key().clone(),
        extensions: vec![ext::digital_signature()],
    };
    let pre = tbs.sign_precertificate(&ca).unwrap();
    assert_eq!(is_precertificate(&pre), Ok(true));
    let sct = Sct::sign(
        log,
        5,
        &precert_entry(&pre, ca.public_key()),
        &leaf_index_extension(1).unwrap(),
    )
    .unwrap();
    let cert = tbs.sign_with_scts(&ca, &[sct.to_bytes().unwrap()]).unwrap();
    (cert, ca.public_key().clone())
}

#[test]
fn embedded_timestamps_verify() {
    let log = log();
    let (cert, issuer) = issue(&log);
    assert_eq!(is_precertificate(&cert), Ok(false));
    let sct = verify_embedded(&cert, &issuer, log.public_key()).unwrap();
    assert_eq!((sct.timestamp, leaf_index(&sct.extensions)), (5, Some(1)));
    assert_eq!(
        verify_embedded(&cert, &issuer, self::log().public_key()),
        Err(SctError::OtherLog)
    );
    let wrong_issuer = verify_embedded(&cert, log.public_key(), log.public_key());
    assert!(matches!(wrong_issuer, Err(SctError::Signature(_))));
    let bare = Certificate::chain_from_pem(&read("chain.pem"), 3)
        .unwrap()
        .remove(0);
    assert_eq!(
        verify_embedded(&bare, &issuer, log.public_key()),
        Err(SctError::NoSct)
    );
}

#[test]
fn the_entry_of_a_precertificate_is_read_by_itself() {
    let log = log();
    let (cert, issuer) = issue(&log);
    let tbs = precert_tbs(&cert);
    let entry = precert_entry(&cert, &issuer);
    assert!(matches!(entry, SignedEntry::Precert { tbs: logged, .. } if logged == tbs));
    let read = Certificate::from_tbs_der(&tbs).unwrap();
    assert_eq!(read.tbs_der(), tbs);
    assert_eq!(read.spki_der(), cert.spki_der());
    assert_eq!(read.extensions(), [ext::digital_signature()]);
    assert!(read.verify_signature(&issuer).is_err());
    assert!(embedded_scts(&read).is_ok_and(|scts| scts.is_empty()));
    for end in 0..tbs.len() {
        assert!(Certificate::from_tbs_der(&tbs[..end]).is_err(), "{end}");
    }
    assert!(Certificate::from_tbs_der(&[&tbs[..], &[0]].concat()).is_err());
    assert!(Certificate::from_tbs_der(cert.to_der()).is_err());
}

#[test]
fn poison_must_be_critical_and_null() {
    let ca = log();
    let make = |poison| {
        let tbs = TbsCertificate {
            serial: Serial::new(&[2]).unwrap(),
            issuer: empty_name(),
            not_before: 1,
            not_after: 600,
            subject: empty_name(),
            key: ca.public_key().clone(),
            extensions: vec![poison],
        };
        is_precertificate(&tbs.sign(&ca).unwrap())
    };
    assert_eq!(make(ext::poison()), Ok(true));
    assert!(
        make(crate::cert::Extension {
            critical: false,
            ..ext::poison()
        })
        .is_err()
    );
    assert!(
        make(crate::cert::Extension {
            value: vec![5, 0, 0],
            ..ext::poison()
        })
        .is_err()
    );
}

#[test]
fn hostile_leaves_and_lists_are_errors() {
    let leaf = merkle_tree_leaf(1, &entry(), &[]).unwrap();
    for at in 0..leaf.len() {
        assert!(TimestampedEntry::from_leaf(&leaf[..at]).is_err());
    }
    assert!(TimestampedEntry::from_leaf(&[leaf.as_slice(), &[0]].concat()).is_err());
    let mut other = leaf;
    other[11] = 2;
    assert_eq!(
        TimestampedEntry::from_leaf(&other).unwrap_err(),
        SctError::Malformed("entry type")
    );
    let huge = SignedEntry::X509(vec![0; 1 << 24]);
    assert_eq!(
        merkle_tree_leaf(1, &huge, &[]).unwrap_err(),
        SctError::TooLong("certificate")
    );
    assert!(list_extension(&[vec![0; 40_000], vec![0; 40_000]]).is_err());
}

fn json(path: std::path::PathBuf) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The leaf of a bundle in any of its versions.
fn bundle_leaf(bundle: &Value) -> Option<Certificate> {
    let material = &bundle["verificationMaterial"];
    let raw = material["certificate"]["rawBytes"]
        .as_str()
        .or_else(|| material["x509CertificateChain"]["certificates"][0]["rawBytes"].as_str())?;
    Certificate::from_der(&STANDARD.decode(raw).ok()?).ok()
}

/// Any log and any authority of the trusted root under which the leaf's SCT verifies.
fn sct_verifies(leaf: &Certificate, root: &Value) -> bool {
    let logs: Vec<PublicKey> = root["ctlogs"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|log| {
            let der = STANDARD.decode(log["publicKey"]["rawBytes"].as_str()?).ok()?;
            PublicKey::from_spki_der(&der)
                .or_else(|_| PublicKey::from_pkcs1_der(&der))
                .ok()
        })
        .collect();
    assert!(!logs.is_empty());
    root["certificateAuthorities"]
        .as_array()
        .unwrap()
        .iter()
        .any(|authority| {
            let raw = authority["certChain"]["certificates"][0]["rawBytes"]
                .as_str()
                .unwrap();
            let issuer = Certificate::from_der(&STANDARD.decode(raw).unwrap()).unwrap();
            let key = issuer.public_key().unwrap();
            logs.iter().any(|log| verify_embedded(leaf, key, log).is_ok())
        })
}

#[test]
fn certificates_of_the_conformance_bundles() {
    let Some(vectors) = vectors() else { return };
    let public_good = json(vectors.join("public-good/trusted_root.json")).unwrap();
    let (mut good, mut bad) = (0, 0);
    for case in std::fs::read_dir(vectors.join("conformance")).unwrap() {
        let case = case.unwrap();
        let name = case.file_name().into_string().unwrap();
        let Some(leaf) = json(case.path().join("bundle.sigstore.json"))
            .as_ref()
            .and_then(bundle_leaf)
        else {
            continue;
        };
        let own = json(case.path().join("trusted_root.json"));
        let verified = sct_verifies(&leaf, own.as_ref().unwrap_or(&public_good));
        if name == "invalid-ct-key_fail" {
            assert!(!verified, "{name}");
            bad += 1;
        } else if !name.ends_with("_fail") {
            assert!(verified, "{name}");
            good += 1;
        }
    }
    assert!(good >= 10 && bad == 1, "{good} good, {bad} bad");
}
