#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use common_pki::key::{KeyAlgorithm, LocalSigner, Signer as _};
use serde_json::{Value, json};

use super::*;

/// A key of cosign 3.1.3: `COSIGN_PASSWORD=pass cosign generate-key-pair`.
const COSIGN_KEY: &str = include_str!("cosign.key");
const COSIGN_PUB: &str = include_str!("cosign.pub");

fn secretbox_of(change: impl FnOnce(&mut Value)) -> String {
    let (label, content) = pem::decode_private(COSIGN_KEY.as_bytes()).unwrap();
    let mut json: Value = serde_json::from_slice(&content).unwrap();
    change(&mut json);
    pem::encode(&label, json.to_string().as_bytes())
}

#[test]
fn a_key_of_cosign_opens_with_its_password_alone() {
    assert!(is_encrypted(COSIGN_KEY));
    let key = LocalSigner::from_pkcs8_pem(&decrypt(COSIGN_KEY, "pass").unwrap()).unwrap();
    assert_eq!(key.public_key().to_pem().trim(), COSIGN_PUB.trim());
    let older = COSIGN_KEY.replace("ENCRYPTED SIGSTORE", "ENCRYPTED COSIGN");
    assert!(is_encrypted(&older) && decrypt(&older, "pass").is_ok());
    for wrong in ["", "Pass", "pass "] {
        assert!(decrypt(COSIGN_KEY, wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_damaged_or_greedy_key_file_is_refused() {
    for (what, change) in [
        (
            "other scheme",
            (|it| it["kdf"]["name"] = json!("argon2")) as fn(&mut Value),
        ),
        ("other cipher", |it| it["cipher"]["name"] = json!("aes")),
        ("4 GiB", |it| it["kdf"]["params"]["N"] = json!(1 << 22)),
        ("overflow", |it| it["kdf"]["params"]["N"] = json!(1_u64 << 63)),
        ("no power of two", |it| it["kdf"]["params"]["N"] = json!(65535)),
        ("zero", |it| it["kdf"]["params"]["N"] = json!(0)),
        ("one", |it| it["kdf"]["params"]["N"] = json!(1)),
        ("no blocks", |it| it["kdf"]["params"]["r"] = json!(0)),
        ("many passes", |it| it["kdf"]["params"]["p"] = json!(1000)),
        ("short nonce", |it| it["cipher"]["nonce"] = json!("AAAA")),
        ("short ciphertext", |it| it["ciphertext"] = json!("AAAA")),
        ("no ciphertext", |it| it["ciphertext"] = json!("")),
        ("no base64", |it| it["kdf"]["salt"] = json!("*")),
        ("other salt", |it| it["kdf"]["salt"] = json!("AAAA")),
    ] {
        assert!(decrypt(&secretbox_of(change), "pass").is_err(), "{what}");
    }
    assert!(decrypt(&secretbox_of(|_| {}), "pass").is_ok());
}

#[test]
fn an_encrypted_pkcs8_key_opens_too_and_a_plain_one_is_not_taken_for_one() {
    let (key, plain) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).unwrap();
    assert!(!is_encrypted(&plain));
    assert!(decrypt(&plain, "pass").is_err());
    let encrypted = encrypt(&plain, "pass").unwrap();
    assert!(is_encrypted(&encrypted));
    assert!(decrypt(&encrypted, "other").is_err());
    let again = LocalSigner::from_pkcs8_pem(&decrypt(&encrypted, "pass").unwrap()).unwrap();
    assert_eq!(again.public_key().spki_der(), key.public_key().spki_der());
}
