#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

/// Public keys and identifiers of the public Rekor v2 log and of rekor-tiles' end-to-end tests.
const LOG: &str = "log2025-1.rekor.sigstore.dev";
const LOG_KEY: &str = "t8rlp1knGwjfbcXAYPYAkn0XiLz1x8O4t0YkEhie244=";
const LOG_ID: &str = "zxGZFVvd0FEmjR8WrFwMdcAJ9vtaY/QXf44Y1wUeP6A=";
const LOG_VKEY: &str = "log2025-1.rekor.sigstore.dev+cf119915+AbfK5adZJxsI323FwGD2AJJ9F4i89cfDuLdGJBIYntuO";

fn ed25519(base64: &str) -> NoteKey {
    NoteKey::Ed25519(STANDARD.decode(base64).unwrap().try_into().unwrap())
}

#[test]
fn the_public_v2_logs_identifiers() {
    let key = ed25519(LOG_KEY);
    assert_eq!(key.id(LOG).to_base64(), LOG_ID);
    let key = VerifierKey {
        name: LOG.to_owned(),
        key,
    };
    assert_eq!(key.to_string(), LOG_VKEY);
    assert_eq!(VerifierKey::parse(LOG_VKEY), Ok(key));
}

#[test]
fn the_public_v1_logs_identifier_is_that_of_its_key() {
    let spki = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwrkBbmLSGtks4L3qX6yYY0zufBnhC8Ur\
                /iy55GhWP/9A/bY2LhC30M9+RYtw==";
    let key = NoteKey::Ecdsa(STANDARD.decode(spki).unwrap());
    assert_eq!(
        key.id("rekor.sigstore.dev").to_base64(),
        "wNI9atQGlz+VWfO6LRygH4QUfY/8W4RFwiT5i5WRgB0="
    );
    assert_eq!(key.id("another name"), key.id("rekor.sigstore.dev"));
    assert_eq!(key.hint("").to_string(), "c0d23d6a");
}

#[test]
fn every_kind_has_an_identifier_and_a_text_of_its_own() {
    let kinds = [
        NoteKey::Ed25519([7; 32]),
        NoteKey::Ecdsa(vec![7; 91]),
        NoteKey::Cosigner([7; 32]),
        NoteKey::TreeHead(Hash([7; 32])),
        NoteKey::Rsa(vec![7; 294]),
    ];
    let ids: std::collections::HashSet<_> = kinds.iter().map(|key| key.id("name")).collect();
    assert_eq!(ids.len(), kinds.len());
    for key in kinds {
        let key = VerifierKey {
            name: "name".to_owned(),
            key,
        };
        assert_eq!(VerifierKey::parse(&key.to_string()), Ok(key));
    }
    // What the identifiers hash, spelled out.
    assert_eq!(
        NoteKey::TreeHead(Hash([7; 32])).id("n"),
        sha256(&[b"n\n\x05", &[7; 32]])
    );
    assert_eq!(
        NoteKey::Rsa(vec![9]).id("n"),
        sha256(&[b"n\n\xffPKIX-RSA-PKCS#1v1.5\x09"])
    );
}

#[test]
fn malformed_verifier_keys_are_refused() {
    let wrong_hint = LOG_VKEY.replace("cf119915", "cf119916");
    assert!(matches!(
        VerifierKey::parse(&wrong_hint),
        Err(NoteKeyError::Hint { .. })
    ));
    assert!(matches!(
        VerifierKey::parse(&LOG_VKEY.replace("2025", "2026")),
        Err(NoteKeyError::Hint { .. })
    ));
    for bad in [
        "",
        "name",
        "name+00000000",
        "name+0000000+AQ==",
        "name+CF119915+AQ==",
        "name++AQ==",
        "n+00000000+AQ",
    ] {
        assert_eq!(VerifierKey::parse(bad), Err(NoteKeyError::Form), "{bad}");
    }
    assert_eq!(
        VerifierKey::parse("a b+00000000+AQ=="),
        Err(NoteKeyError::Name(NoteError::Name))
    );
    // No key, a short key, an unknown type, an RSA key without its type's name.
    for material in ["", "AQ==", "AQID", "CQID", "/wID", "Ag=="] {
        let key = format!("name+00000000+{material}");
        assert_eq!(
            VerifierKey::parse(&key),
            Err(NoteKeyError::Material),
            "{material}"
        );
    }
    let long = format!("name+00000000+{}", "A".repeat(MAX_TEXT));
    assert_eq!(VerifierKey::parse(&long), Err(NoteKeyError::Form));
}
