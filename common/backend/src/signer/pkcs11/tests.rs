#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::signer::Keyring;
use crate::signer::tests::{env, works};

/// Where Debian, Fedora and Homebrew put SoftHSM.
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// SoftHSM finds its tokens by an environment variable, and a module is loaded once in a process: the tests that use one
/// run in a process of their own each, started with it.
fn in_token(test: &str) -> Option<(PathBuf, Keyring)> {
    let module = MODULES.iter().map(Path::new).find(|path| path.exists());
    let Some(module) = module else {
        println!("skipped: SoftHSM is not installed (apt-get install softhsm2)");
        return None;
    };
    if std::env::var("SIGBOX_TEST_TOKEN").is_ok() {
        let env = env(|name| match name {
            "SIGBOX_PKCS11_PIN" => Some("1234".to_owned()),
            "WRONG" => Some("4321".to_owned()),
            _ => None,
        });
        return Some((module.to_owned(), Keyring::new("/nonexistent", env)));
    }
    let folder = tempfile::tempdir().unwrap();
    let (config, tokens) = (folder.path().join("softhsm2.conf"), folder.path().join("tokens"));
    std::fs::create_dir(&tokens).unwrap();
    std::fs::write(&config, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
    let init = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            "sigbox",
            "--pin",
            "1234",
            "--so-pin",
            "12345678",
        ])
        .env("SOFTHSM2_CONF", &config)
        .output()
        .unwrap();
    assert!(init.status.success(), "{init:?}");
    let run = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("signer::pkcs11::tests::{test}"),
            "--nocapture",
        ])
        .env("SOFTHSM2_CONF", &config)
        .env("SIGBOX_TEST_TOKEN", "1")
        .output()
        .unwrap();
    assert!(
        run.status.success() && String::from_utf8_lossy(&run.stdout).contains("1 passed"),
        "{}{}",
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
    None
}

#[test]
fn a_token_makes_keys_and_signs_with_them() {
    let Some((module, keyring)) = in_token("a_token_makes_keys_and_signs_with_them") else {
        return;
    };
    let place = format!("pkcs11:token=sigbox?module-path={}", module.display());
    for (id, algorithm) in [
        ("ct-log-1", KeyAlgorithm::EcdsaP256),
        ("fulcio-root-1", KeyAlgorithm::EcdsaP384),
        ("rekor-v2-1", KeyAlgorithm::Ed25519),
    ] {
        let (made, uri) = keyring.create(&place, id, algorithm).unwrap();
        assert_eq!(made.public_key().algorithm(), algorithm);
        assert!(uri.contains(&format!("object={id}")), "{uri}");
        let opened = keyring.open(&uri).unwrap();
        assert_eq!(works(&*opened).spki_der(), works(&*made).spki_der());
        assert!(opened.waits());
        let error = keyring.create(&place, id, algorithm).err().unwrap();
        assert!(matches!(error, KeyringError::Exists(_)), "{error}");
        keyring.create(&uri, id, algorithm).unwrap();
        let error = keyring.create(&uri, id, KeyAlgorithm::EcdsaP521).err().unwrap();
        assert!(matches!(error, KeyringError::Algorithm { .. }), "{error}");
    }
    // Many at once, more than there are threads for.
    let signer = keyring
        .open(&format!(
            "pkcs11:token=sigbox;object=ct-log-1?module-path={}",
            module.display()
        ))
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..25).for_each(|_| drop(works(&*signer))));
        }
    });
}

#[test]
fn a_missing_token_key_or_pin_is_named() {
    let Some((module, keyring)) = in_token("a_missing_token_key_or_pin_is_named") else {
        return;
    };
    let module = module.display();
    for (uri, expected) in [
        (
            format!("pkcs11:token=sigbox;object=none?module-path={module}"),
            "is missing",
        ),
        (
            format!("pkcs11:token=other;object=x?module-path={module}"),
            "a token of that name",
        ),
        (format!("pkcs11:token=sigbox?module-path={module}"), "object="),
        (
            "pkcs11:token=sigbox;object=x?module-path=/nonexistent.so".to_owned(),
            "nonexistent.so",
        ),
        ("pkcs11:token=sigbox;object=x".to_owned(), "SIGBOX_PKCS11_MODULE"),
    ] {
        let error = keyring.open(&uri).err().unwrap().to_string();
        assert!(error.contains(expected), "{uri}: {error}");
    }
    // Another name of the same token, so that it is not logged in yet.
    for (source, expected) in [
        ("env:NONE", "expected a secret in env:NONE"),
        ("env:WRONG", "PIN"),
    ] {
        let uri = format!("pkcs11:slot-id=99;token=sigbox;object=x?module-path={module}&pin-source={source}");
        let error = keyring.open(&uri).err().unwrap().to_string();
        assert!(
            error.contains(expected) || error.contains("a token of that name"),
            "{uri}: {error}"
        );
    }
}

#[test]
fn uris_are_read_as_rfc_7512_writes_them() {
    let uri = "pkcs11:token=The%20token;serial=0123;object=ct-log;id=%01%02;type=private?module-path=/lib/x.so&pin-source=file:/run/pin";
    let parsed = TokenUri::parse(uri).unwrap();
    assert_eq!(parsed.token.as_deref(), Some("The token"));
    assert_eq!(parsed.serial.as_deref(), Some("0123"));
    let find = parsed.find().unwrap();
    assert_eq!(
        (find.label.as_deref(), find.id.as_deref()),
        (Some("ct-log"), Some([1, 2].as_slice()))
    );
    assert_eq!(parsed.to_string(), uri);
    let mut place =
        TokenUri::parse("pkcs11:token=The%20token?module-path=/lib/x.so&pin-source=file:/run/pin").unwrap();
    assert!(place.find().is_none());
    place.set_object("a;b");
    assert_eq!(
        place.to_string(),
        "pkcs11:token=The%20token;object=a%3Bb?module-path=/lib/x.so&pin-source=file:/run/pin"
    );
    assert_eq!(TokenUri::parse(&place.to_string()).unwrap().find(), place.find());
    for (wrong, expected) in [
        ("pkcs11:object=x", "token=LABEL"),
        ("pkcs11:token=x?pin-value=1234", "pin-source"),
        ("pkcs11:token=x?pin-source=1234", "never the PIN itself"),
        ("pkcs11:token=x;colour=red?pin-source=1234", "unknown attribute"),
        ("pkcs11:token", "NAME=VALUE"),
        ("pkcs11:token=x;colour=red", "unknown attribute"),
        ("pkcs11:slot-id=one", "number"),
    ] {
        let error = TokenUri::parse(wrong).unwrap_err().to_string();
        assert!(error.contains(expected), "{wrong}: {error}");
        assert!(!error.contains("1234"), "{error}");
    }
}
