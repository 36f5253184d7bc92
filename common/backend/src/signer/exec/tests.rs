#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use common_pki::key::{KeyAlgorithm, LocalSigner, Signer};

use super::*;
use crate::signer::Keyring;
use crate::signer::guard::LIMIT;
use crate::signer::tests::{env, keyring, works};

fn program(folder: &Path, text: &str) -> String {
    let path = folder.join("signer");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    format!("exec:{}?key=ct-log-1", path.display())
}

/// A program that signs with openssl, as an operator may write it.
const OPENSSL: &str = r#"
here=$(dirname "$0"); request=$(cat)
case $request in
*'"operation":"public-key","key":"ct-log-1"'*)
    printf '{"publicKey":"%s"}' "$(openssl pkey -in "$here/key.pem" -pubout | sed 's/$/\\n/' | tr -d '\n')" ;;
*'"operation":"sign"'*)
    printf %s "$request" | sed 's/.*"message":"\([^"]*\)".*/\1/' | base64 -d >"$here/message"
    printf '{"signature":"%s"}' "$(openssl dgst -sha256 -sign "$here/key.pem" "$here/message" | base64 -w0)" ;;
*) echo "unknown request" >&2; exit 1 ;;
esac"#;

#[test]
fn a_program_signs() {
    let folder = tempfile::tempdir().unwrap();
    let (key, pem) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    fs::write(folder.path().join("key.pem"), pem.as_bytes()).unwrap();
    let uri = program(folder.path(), OPENSSL);
    let signer = keyring(folder.path()).open(&uri).unwrap();
    assert_eq!(works(&*signer).spki_der(), key.public_key().spki_der());
    assert!(signer.waits());
}

#[test]
fn a_program_that_fails_says_why_and_one_that_lies_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let ring = keyring(folder.path());
    let (key, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let pem = key.public_key().to_pem().replace('\n', "\\n");
    let answers = |rest: &str| {
        format!("case $(cat) in *public-key*) printf '%s' '{{\"publicKey\":\"{pem}\"}}';; *) {rest};; esac")
    };
    for (does, expected) in [
        ("echo 'the vault is sealed' >&2; exit 3", "the vault is sealed"),
        (r#"echo '{"error":"the vault is sealed"}'"#, "the vault is sealed"),
        (r#"echo '{"signature":"AAAA"}'"#, "does not verify"),
        ("echo yes", "JSON"),
        ("echo '{}'", "has no signature"),
    ] {
        let signer = ring.open(&program(folder.path(), &answers(does))).unwrap();
        let error = signer.sign(b"a message").unwrap_err();
        assert!(error.to_string().contains(expected), "{does}: {error}");
        let may_pass = matches!(error, SignError::Unavailable(_));
        assert_eq!(may_pass, expected == "the vault is sealed", "{does}: {error}");
    }
}

#[test]
fn a_program_that_hangs_is_ended_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (key, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let pem = key.public_key().to_pem().replace('\n', "\\n");
    let text = format!(
        "case $(cat) in *public-key*) printf '%s' '{{\"publicKey\":\"{pem}\"}}';; *) echo $$ >\"$(dirname \"$0\")/pid\"; exec sleep 60;; esac"
    );
    let signer = keyring(folder.path())
        .open(&program(folder.path(), &text))
        .unwrap();
    let began = Instant::now();
    assert!(matches!(
        signer.sign(b"a message"),
        Err(SignError::Unavailable(_))
    ));
    assert!(began.elapsed() < LIMIT * 2);
    let again = Instant::now();
    assert!(matches!(
        signer.sign(b"a message"),
        Err(SignError::Unavailable(_))
    ));
    assert!(again.elapsed() < LIMIT / 2, "it rests");
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    let gone = || {
        !Path::new(&format!("/proc/{}/cmdline", pid.trim())).exists()
            || fs::read(format!("/proc/{}/cmdline", pid.trim()))
                .unwrap_or_default()
                .is_empty()
    };
    while !gone() && began.elapsed() < LIMIT * 4 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(gone(), "the program was ended");
}

/// The server's environment has secrets that are none of the program's business.
#[test]
fn a_program_gets_the_environment_that_it_is_given_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (key, _) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let pem = key.public_key().to_pem().replace('\n', "\\n");
    let text = format!("/usr/bin/env >\"${{0%/*}}/environment\"; printf '%s' '{{\"publicKey\":\"{pem}\"}}'");
    let variables = |name: &str| {
        let value = match name {
            "PATH" => "/usr/bin:/bin",
            "SIGBOX_EXEC_ENV" => "VAULT_ADDR, VAULT_ROLE,NOT_SET",
            "VAULT_ADDR" => "https://vault.example",
            "VAULT_ROLE" => "signer",
            "HOME" | "NOT_SET" => return None,
            _ => "a secret",
        };
        Some(value.to_owned())
    };
    let ring = Keyring::new(folder.path(), env(variables));
    ring.open(&program(folder.path(), &text)).unwrap();
    let seen = fs::read_to_string(folder.path().join("environment")).unwrap();
    // A shell sets some of its own.
    let own = ["PWD=", "OLDPWD=", "SHLVL=", "_="];
    let mut seen: Vec<_> = seen
        .lines()
        .filter(|line| !own.iter().any(|own| line.starts_with(own)))
        .collect();
    seen.sort_unstable();
    let mut expected = ["USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR"]
        .map(|name| format!("{name}=a secret"))
        .to_vec();
    expected.extend(
        [
            "PATH=/usr/bin:/bin",
            "VAULT_ADDR=https://vault.example",
            "VAULT_ROLE=signer",
        ]
        .map(str::to_owned),
    );
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[test]
fn only_an_absolute_path_is_run() {
    let ring = keyring("/");
    for uri in ["exec:signer", "exec:", "exec:/bin/true?argument=x"] {
        let error = ring.open(uri).err().unwrap();
        assert!(matches!(error, KeyringError::Uri { .. }), "{uri}: {error}");
    }
}
