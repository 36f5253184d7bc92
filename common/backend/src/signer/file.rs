//! Keys in files of the `keys` folder: PKCS #8 in PEM, encrypted (RFC 8018 §6.2, PBES2) where a passphrase is named.

use std::io;
use std::path::Path;
use std::sync::Arc;

use common_pki::key::{KeyAlgorithm, LocalSigner, PRIVATE_KEY_LABEL, SignError, Signer};
use common_pki::pem;
use der::Encode;
use der::asn1::OctetStringRef;
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::{pbes2, scrypt};
use zeroize::Zeroizing;

use super::{Env, KeyringError, secret};
use crate::durable;

/// RFC 5958 §3 and RFC 7468 §11.
const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// scrypt's N is two to this, with r = 8 and p = 1: 32 MiB and a tenth of a second for each key.
const SCRYPT_LOG_N: u8 = 15;

/// Name of a file, and where its passphrase is.
struct FileUri<'a> {
    name: &'a str,
    passphrase: Option<&'a str>,
}

fn parse<'a>(uri: &str, rest: &'a str) -> Result<FileUri<'a>, KeyringError> {
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    let passphrase = match query.split_once('=') {
        Some(("passphrase", source)) => Some(source),
        None if query.is_empty() => None,
        _ => {
            return Err(KeyringError::Uri {
                uri: uri.to_owned(),
                problem: "expected ?passphrase=file:/path or ?passphrase=env:NAME after the name",
            });
        }
    };
    Ok(FileUri { name, passphrase })
}

/// The key in a file.
pub(super) fn open(folder: &Path, env: &Env, uri: &str, rest: &str) -> Result<Arc<dyn Signer>, KeyringError> {
    let FileUri { name, passphrase } = parse(uri, rest)?;
    // A registry is edited by hand at times: it must not name files elsewhere.
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(KeyringError::Uri {
            uri: uri.to_owned(),
            problem: "expected file: and the name of a file in the keys folder",
        });
    }
    let path = folder.join(name);
    let text = match std::fs::read(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeyringError::Missing(path.display().to_string()));
        }
        Err(source) => return Err(KeyringError::File { path, source }),
    };
    let wrong = |source| KeyringError::Key {
        at: path.display().to_string(),
        source,
    };
    let text = std::str::from_utf8(&text).map_err(|_| wrong(SignError::PrivateKey("not PEM text")))?;
    let signer = match passphrase {
        None if text.contains(ENCRYPTED_LABEL) => {
            return Err(wrong(SignError::PrivateKey(
                "it is encrypted, and the URI names no passphrase: file:NAME.pem?passphrase=file:/path",
            )));
        }
        None => LocalSigner::from_pkcs8_pem(text),
        Some(source) => {
            let passphrase = secret::read(env, source)?;
            decrypt(text, &passphrase).and_then(|plain| LocalSigner::from_pkcs8_pem(&plain))
        }
    };
    Ok(Arc::new(signer.map_err(wrong)?))
}

/// Generates a key and writes it for the owner only, over whatever an interrupted first start left there.
pub(super) fn create(
    folder: &Path,
    env: &Env,
    place: &str,
    id: &str,
    algorithm: KeyAlgorithm,
) -> Result<(Arc<dyn Signer>, String), KeyringError> {
    let rest = place.strip_prefix("file:").unwrap_or_default();
    let FileUri { passphrase, .. } = parse(place, rest)?;
    let name = format!("{id}.pem");
    let path = folder.join(&name);
    let wrong = |source| KeyringError::Key {
        at: path.display().to_string(),
        source,
    };
    let (signer, plain) = LocalSigner::generate(algorithm).map_err(wrong)?;
    let text = match passphrase {
        Some(source) => encrypt(&plain, &secret::read(env, source)?).map_err(wrong)?,
        None => plain,
    };
    durable::write(&path, text.as_bytes()).map_err(|source| KeyringError::File {
        path: path.clone(),
        source,
    })?;
    Ok((Arc::new(signer), format!("file:{name}{rest}")))
}

/// The PEM of the plain key in an encrypted one.
fn decrypt(text: &str, passphrase: &str) -> Result<Zeroizing<String>, SignError> {
    let (label, der) = pem::decode_private(text.as_bytes())
        .map_err(|_| SignError::PrivateKey("expected one PEM block \"ENCRYPTED PRIVATE KEY\""))?;
    if label != ENCRYPTED_LABEL {
        return Err(SignError::PrivateKey(
            "it is not encrypted, and the URI names a passphrase: nothing would protect it",
        ));
    }
    let plain = EncryptedPrivateKeyInfoRef::try_from(der.as_slice())
        .and_then(|encrypted| encrypted.decrypt(passphrase))
        .map_err(|_| {
            SignError::PrivateKey("it cannot be decrypted: a wrong passphrase, or another scheme than PBES2")
        })?;
    Ok(Zeroizing::new(pem::encode(PRIVATE_KEY_LABEL, plain.as_bytes())))
}

/// PBES2 with scrypt and AES-256-CBC (RFC 7914 §7, RFC 8018), which OpenSSL reads as well.
fn encrypt(plain: &str, passphrase: &str) -> Result<Zeroizing<String>, SignError> {
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
    Ok(Zeroizing::new(pem::encode(ENCRYPTED_LABEL, &der)))
}
