#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use common_pki::key::Signer as _;
use serde_json::json;

use super::*;
use crate::trust::testkit::signer;

#[test]
fn canonical_json_is_olpcs() {
    let value = json!({"b": 1, "a": "line\nnext \"quoted\" back\\slash <&>", "c": [true, null, -5]});
    let text = String::from_utf8(canonical(Role::Root, &value).unwrap()).unwrap();
    assert_eq!(
        text,
        "{\"a\":\"line\nnext \\\"quoted\\\" back\\\\slash <&>\",\"b\":1,\"c\":[true,null,-5]}"
    );
    assert!(matches!(
        canonical(Role::Root, &json!(1.5)),
        Err(TufError::Json { role: Role::Root, .. })
    ));
}

#[test]
fn keys_have_the_form_and_identifier_all_clients_know() {
    // From the recorded repository that cosign, sigstore-python and sigstore-js accepted.
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEDK+bS3H/Ijzf3cdARq83csI17aHL\n\
               47mN3up89tGCHysS3nmpZggLMeCK7zUtrSbosGADffDaboTW6bDepzukwg==\n-----END PUBLIC KEY-----\n";
    let key = Key::new(&PublicKey::from_pem(pem).unwrap()).unwrap();
    assert_eq!(
        (key.keytype.as_str(), key.scheme.as_str()),
        ("ecdsa", "ecdsa-sha2-nistp256")
    );
    assert_eq!(key.keyval.public, pem);
    assert_eq!(
        key.id().unwrap(),
        "081015d137f7533482689011dd83310ebd8030629b5fbb9f44acb75bba09a177"
    );
}

#[test]
fn only_keys_that_clients_verify_are_written() {
    let ed25519 = Key::new(signer(KeyAlgorithm::Ed25519).public_key()).unwrap();
    assert_eq!(
        (ed25519.keytype.as_str(), ed25519.keyval.public.len()),
        ("ed25519", 64)
    );
    assert!(ed25519.public_key().is_some());
    let p384 = Key::new(signer(KeyAlgorithm::EcdsaP384).public_key());
    assert!(matches!(p384, Err(TufError::KeyKind(kind)) if kind.contains("P-384")));
}

#[test]
fn a_key_counts_only_with_its_own_scheme() {
    let mut key = Key::new(signer(KeyAlgorithm::EcdsaP256).public_key()).unwrap();
    key.keytype = "ecdsa-sha2-nistp256".to_owned();
    assert!(key.public_key().is_some(), "the older spelling");
    for (keytype, scheme) in [
        ("ecdsa", "ecdsa-sha2-nistp384"),
        ("ecdsa", "ed25519"),
        ("rsa", "rsassa-pss-sha256"),
        ("", ""),
    ] {
        let other = Key {
            keytype: keytype.to_owned(),
            scheme: scheme.to_owned(),
            ..key.clone()
        };
        assert!(other.public_key().is_none(), "{keytype} {scheme}");
    }
    let short = Key {
        keytype: "ed25519".to_owned(),
        scheme: "ed25519".to_owned(),
        keyval: KeyValue {
            public: "00".repeat(31),
        },
    };
    assert!(short.public_key().is_none());
}

#[test]
fn target_names_stay_in_their_folder() {
    for good in [
        "a",
        "trusted_root.json",
        "registry.npmjs.org/keys.json",
        "a-b_c.D9",
    ] {
        assert!(check_target_name(good).is_ok(), "{good}");
    }
    for bad in [
        "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", ".hidden", "a\\b", "a b", "a%2fb", "a?b",
        "é",
    ] {
        assert!(
            matches!(check_target_name(bad), Err(TufError::TargetName(name)) if name == bad),
            "{bad}"
        );
    }
    assert!(check_target_name(&"a".repeat(256)).is_err());
    assert_eq!(target_path("dir/file", Some("d1")), "targets/dir/d1.file");
    assert_eq!(target_path("file", Some("d1")), "targets/d1.file");
    assert_eq!(target_path("dir/file", None), "targets/dir/file");
}

#[test]
fn a_root_keeps_its_rules() {
    let key = Key::new(signer(KeyAlgorithm::EcdsaP256).public_key()).unwrap();
    let role = |keyids: &[&str], threshold| RoleKeys {
        keyids: keyids.iter().map(|id| (*id).to_owned()).collect(),
        threshold,
    };
    let root = |first: RoleKeys| Root {
        kind: "root".to_owned(),
        spec_version: SPEC_VERSION.to_owned(),
        version: 1,
        expires: Timestamp::from_unix(0).unwrap(),
        consistent_snapshot: true,
        keys: BTreeMap::from([("k".to_owned(), key.clone())]),
        roles: Role::ALL
            .into_iter()
            .map(|each| {
                (
                    each.name().to_owned(),
                    if each == Role::Root {
                        first.clone()
                    } else {
                        role(&["k"], 1)
                    },
                )
            })
            .collect(),
    };
    assert!(root(role(&["k"], 1)).check().is_ok());
    for bad in [
        role(&["k"], 0),
        role(&[], 0),
        role(&["k"], 2),
        role(&["k", "k"], 1),
        role(&["k", "k"], 2),
    ] {
        assert!(
            matches!(
                root(bad.clone()).check(),
                Err(TufError::Invalid { role: Role::Root, .. })
            ),
            "{bad:?}"
        );
    }
    let mut incomplete = root(role(&["k"], 1));
    incomplete.roles.remove("snapshot");
    assert!(incomplete.check().is_err());
}

#[test]
fn metadata_of_another_role_or_form_is_refused() {
    let parse = |signed: Value| {
        let bytes = serde_json::to_vec(&json!({"signatures": [], "signed": signed})).unwrap();
        Envelope::parse::<Timestamped>(Role::Timestamp, &bytes).map(|_| ())
    };
    let good = json!({"_type": "timestamp", "spec_version": "1.0", "version": 1,
        "expires": "2030-01-01T00:00:00Z", "meta": {}});
    assert!(parse(good.clone()).is_ok());
    for (member, value) in [
        ("_type", json!("snapshot")),
        ("spec_version", json!("2.0")),
        ("version", json!(0)),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        assert!(matches!(parse(bad), Err(TufError::Invalid { .. })), "{member}");
    }
    for (member, value) in [
        ("version", json!(-1)),
        ("version", json!(1.5)),
        ("expires", json!("soon")),
        ("meta", json!([])),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        assert!(matches!(parse(bad), Err(TufError::Json { .. })), "{member}");
    }
    let large = vec![b' '; Role::Timestamp.max_bytes() + 1];
    assert!(matches!(
        Envelope::parse::<Timestamped>(Role::Timestamp, &large),
        Err(TufError::TooLarge { .. })
    ));
}
