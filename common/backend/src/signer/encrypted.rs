//! Private keys under a passphrase: PKCS #8 by PBES2 (RFC 8018 §6.2), and the form of cosign's key pairs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common_pki::key::{PRIVATE_KEY_LABEL, SignError};
use common_pki::pem;
use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use der::Encode;
use der::asn1::OctetStringRef;
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::{pbes2, scrypt};
use serde::Deserialize;
use zeroize::Zeroizing;

/// RFC 5958 §3 and RFC 7468 §11.
const PKCS8_LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// What cosign writes, now and before its version 2 (sigstore `pkg/cryptoutils/privatekey.go`).
const COSIGN_LABELS: [&str; 2] = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];
/// scrypt's N is two to this, with r = 8 and p = 1: 32 MiB and a tenth of a second for each key.
const SCRYPT_LOG_N: u8 = 15;
/// Most memory that a file may make scrypt take, in octets; cosign's keys take a quarter.
const MAX_SCRYPT_MEMORY: u64 = 256 << 20;
/// Most passes over it.
const MAX_SCRYPT_P: u32 = 4;

const WRONG: SignError =
    SignError::PrivateKey("it cannot be decrypted: a wrong passphrase, or another scheme");

/// Whether the file holds a key that needs a passphrase.
#[must_use]
pub fn is_encrypted(text: &str) -> bool {
    text.contains(PKCS8_LABEL) || COSIGN_LABELS.iter().any(|label| text.contains(label))
}

/// The PEM of the plain key in an encrypted one.
///
/// # Errors
/// [`SignError::PrivateKey`].
pub fn decrypt(text: &str, passphrase: &str) -> Result<Zeroizing<String>, SignError> {
    let (label, content) = pem::decode_private(text.as_bytes())
        .map_err(|_| SignError::PrivateKey("expected one PEM block of an encrypted private key"))?;
    let plain = match label.as_str() {
        PKCS8_LABEL => pbes2(&content, passphrase),
        label if COSIGN_LABELS.contains(&label) => secretbox(&content, passphrase),
        _ => Err(SignError::PrivateKey(
            "it is not encrypted, and a passphrase is named: nothing would protect it",
        )),
    }?;
    Ok(Zeroizing::new(pem::encode(PRIVATE_KEY_LABEL, &plain)))
}

fn pbes2(der: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>, SignError> {
    let plain = EncryptedPrivateKeyInfoRef::try_from(der)
        .and_then(|encrypted| encrypted.decrypt(passphrase))
        .map_err(|_| WRONG)?;
    Ok(Zeroizing::new(plain.as_bytes().to_vec()))
}

/// JSON in the PEM block (go-securesystemslib `encrypted/encrypted.go`).
#[derive(Deserialize)]
struct Secretbox {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: KdfParams,
    salt: String,
}

#[derive(Deserialize)]
struct KdfParams {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// scrypt, and NaCl's secretbox under what it derives.
fn secretbox(json: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>, SignError> {
    const MALFORMED: SignError = SignError::PrivateKey("expected the JSON of a key that cosign encrypted");
    let Secretbox {
        kdf,
        cipher,
        ciphertext,
    } = serde_json::from_slice(json).map_err(|_| MALFORMED)?;
    if kdf.name != "scrypt" || cipher.name != "nacl/secretbox" {
        return Err(SignError::PrivateKey(
            "it is encrypted by another scheme than scrypt and nacl/secretbox",
        ));
    }
    let octets = |text: &str| STANDARD.decode(text).map_err(|_| MALFORMED);
    let KdfParams { n, r, p } = kdf.params;
    let memory = n
        .checked_mul(u64::from(r))
        .and_then(|blocks| blocks.checked_mul(128));
    if !n.is_power_of_two() || memory.is_none_or(|memory| memory > MAX_SCRYPT_MEMORY) || p > MAX_SCRYPT_P {
        return Err(SignError::PrivateKey(
            "its scrypt parameters are none, or take more than 256 MiB or 4 passes",
        ));
    }
    let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| MALFORMED)?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| MALFORMED)?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.as_bytes(), &octets(&kdf.salt)?, &params, key.as_mut()).map_err(|_| WRONG)?;
    let nonce: [u8; 24] = octets(&cipher.nonce)?.try_into().map_err(|_| MALFORMED)?;
    let plain = XSalsa20Poly1305::new(Key::from_slice(key.as_ref()))
        .decrypt(Nonce::from_slice(&nonce), octets(&ciphertext)?.as_slice());
    plain.map(Zeroizing::new).map_err(|_| WRONG)
}

/// PBES2 with scrypt and AES-256-CBC (RFC 7914 §7, RFC 8018), which OpenSSL reads as well.
///
/// # Errors
/// [`SignError::PrivateKey`].
pub fn encrypt(plain: &str, passphrase: &str) -> Result<Zeroizing<String>, SignError> {
    const FAILED: SignError = SignError::PrivateKey("it cannot be encrypted");
    let (_, der) = pem::decode_private(plain.as_bytes()).map_err(|_| FAILED)?;
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| FAILED)?;
    aws_lc_rs::rand::fill(&mut iv).map_err(|_| FAILED)?;
    let cost = scrypt::Params::new(SCRYPT_LOG_N, 8, 1).map_err(|_| FAILED)?;
    let scheme = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).map_err(|_| FAILED)?;
    let data = scheme.encrypt(passphrase, &der).map_err(|_| FAILED)?;
    let encrypted = EncryptedPrivateKeyInfoRef {
        encryption_algorithm: scheme.into(),
        encrypted_data: OctetStringRef::new(&data).map_err(|_| FAILED)?,
    };
    let der = encrypted.to_der().map_err(|_| FAILED)?;
    Ok(Zeroizing::new(pem::encode(PKCS8_LABEL, &der)))
}

#[cfg(test)]
mod tests;
