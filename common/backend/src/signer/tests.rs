#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod services;

use std::process::Command;

use common_pki::key::PublicKey;

use super::*;

/// Surroundings with these variables.
pub(super) fn env(variables: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Env {
    Env::new(
        variables,
        Arc::new(|| UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000)),
    )
}

/// A keyring over a folder, with nothing in its surroundings.
pub(super) fn keyring(folder: impl Into<PathBuf>) -> Keyring {
    Keyring::new(folder, env(|_| None))
}

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
    let ring = keyring(folder.path());
    let (made, uri) = ring.create("file:", "rekor-v2-1", KeyAlgorithm::Ed25519).unwrap();
    assert_eq!(uri, "file:rekor-v2-1.pem");
    let opened = ring.open(&uri).unwrap();
    assert_eq!(works(&*opened).spki_der(), works(&*made).spki_der());
    assert!(!opened.waits());
}

#[test]
fn an_encrypted_file_needs_its_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let pass = |passphrase: &'static str| env(move |name| (name == "PASS").then(|| passphrase.to_owned()));
    let ring = |passphrase| Keyring::new(folder.path(), pass(passphrase));
    let place = "file:?passphrase=env:PASS";
    let (made, uri) = ring("right")
        .create(place, "tuf-root-1", KeyAlgorithm::EcdsaP256)
        .unwrap();
    assert_eq!(uri, "file:tuf-root-1.pem?passphrase=env:PASS");
    let opened = ring("right").open(&uri).unwrap();
    assert_eq!(works(&*opened).spki_der(), works(&*made).spki_der());
    for (holder, uri, expected) in [
        (ring("wrong"), uri.as_str(), "wrong passphrase"),
        (ring(""), &uri, "expected a secret in env:PASS"),
        (ring("right"), "file:tuf-root-1.pem", "names no passphrase"),
        (
            ring("right"),
            "file:tuf-root-1.pem?passphrase=file:/nonexistent",
            "No such file",
        ),
        (
            ring("right"),
            "file:tuf-root-1.pem?pass=x",
            "expected ?passphrase",
        ),
    ] {
        let error = holder.open(uri).err().unwrap().to_string();
        assert!(error.contains(expected), "{uri}: {error}");
    }
    // A file as openssl writes it, with PBKDF2, and its passphrase in a file.
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "from a file\n").unwrap();
    let written = Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-384",
            "-aes-256-cbc",
        ])
        .arg("-pass")
        .arg(format!("file:{}", secret.display()))
        .arg("-out")
        .arg(folder.path().join("openssl.pem"))
        .output()
        .unwrap();
    assert!(written.status.success(), "{written:?}");
    let uri = format!("file:openssl.pem?passphrase=file:{}", secret.display());
    works(&*keyring(folder.path()).open(&uri).unwrap());
}

#[test]
fn a_secret_within_a_uri_is_refused_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let ring = keyring(folder.path());
    for uri in [
        "file:?passphrase=hunter2",
        "file:a.pem?passphrase=hunter2",
        "file:a.pem?passphrase=/run/hunter2",
        "file:a.pem?passphrase=env:",
        "file:a.pem?hunter2",
        "fil:a.pem?passphrase=hunter2",
        "pkcs11:token=t?pin-source=hunter2",
        "pkcs11:token=t?pin-value=hunter2",
    ] {
        let refusals = [
            check(uri).unwrap_err(),
            ring.open(uri).err().unwrap(),
            ring.create(uri, "ct-log-1", KeyAlgorithm::EcdsaP256)
                .err()
                .unwrap(),
        ];
        for error in refusals {
            let wrong = matches!(error, KeyringError::Uri { .. } | KeyringError::Scheme(_));
            assert!(wrong && !error.to_string().contains("hunter2"), "{uri}: {error}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let error = read_secret(&env(|_| None), "hunter2").unwrap_err().to_string();
    assert!(
        error.contains("env:NAME") && !error.contains("hunter2"),
        "{error}"
    );
    for uri in [
        "file:",
        "file:a.pem?passphrase=file:/run/p",
        "pkcs11:token=t?pin-source=env:PIN",
        "exec:/bin/sign?key=a",
        "awskms:///alias/a",
        "hashivault://a?version=1",
    ] {
        check(uri).unwrap();
    }
}

#[test]
fn other_places_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ring = keyring(folder.path());
    for uri in ["file:../../etc/passwd", "file:", "file:.x.pem", "file:a/b.pem"] {
        let error = ring.open(uri).err().unwrap();
        assert!(matches!(error, KeyringError::Uri { .. }), "{uri}: {error}");
    }
    for uri in ["", "x.pem", "https://example.com/key"] {
        let error = ring.open(uri).err().unwrap();
        assert!(matches!(error, KeyringError::Scheme(_)), "{uri}: {error}");
    }
    let error = ring.open("file:x.pem").err().unwrap();
    assert!(matches!(error, KeyringError::Missing(_)), "{error}");
    std::fs::write(folder.path().join("x.pem"), "not a key").unwrap();
    let error = ring.open("file:x.pem").err().unwrap();
    assert!(matches!(error, KeyringError::Key { .. }), "{error}");
}
