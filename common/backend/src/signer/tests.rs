#![allow(clippy::unwrap_used, reason = "tests")]

use common_pki::key::PublicKey;

use super::*;

/// Signs something and verifies it.
pub(super) fn works(signer: &dyn Signer) -> PublicKey {
    let key = signer.public_key().clone();
    let signature = signer.sign(b"a message").unwrap();
    key.verify(key.default_hash(), b"a message", &signature).unwrap();
    key
}

#[test]
fn a_file_is_made_and_opened_by_its_uri() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Keyring::new(folder.path());
    let (made, uri) = keyring
        .create("file:", "rekor-v2-1", KeyAlgorithm::Ed25519)
        .unwrap();
    assert_eq!(uri, "file:rekor-v2-1.pem");
    let opened = keyring.open(&uri).unwrap();
    assert_eq!(works(&*opened).spki_der(), works(&*made).spki_der());
    assert!(!opened.waits());
}

#[test]
fn other_places_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Keyring::new(folder.path());
    for uri in ["file:../../etc/passwd", "file:", "file:.x.pem", "file:a/b.pem"] {
        let error = keyring.open(uri).err().unwrap();
        assert!(matches!(error, KeyringError::Uri { .. }), "{uri}: {error}");
    }
    for uri in ["", "x.pem", "https://example.com/key"] {
        let error = keyring.open(uri).err().unwrap();
        assert!(matches!(error, KeyringError::Scheme(_)), "{uri}: {error}");
    }
    let error = keyring.open("file:x.pem").err().unwrap();
    assert!(matches!(error, KeyringError::Missing(_)), "{error}");
    std::fs::write(folder.path().join("x.pem"), "not a key").unwrap();
    let error = keyring.open("file:x.pem").err().unwrap();
    assert!(matches!(error, KeyringError::Key { .. }), "{error}");
}
