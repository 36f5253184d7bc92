//! Keys in files of the `keys` folder: PKCS #8 in PEM, encrypted where a passphrase is named.

use std::io;
use std::path::Path;
use std::sync::Arc;

use common_pki::key::{KeyAlgorithm, LocalSigner, SignError, Signer};
use zeroize::Zeroizing;

use super::encrypted::{decrypt, encrypt, is_encrypted};
use super::{Env, KeyringError, secret};
use crate::durable;

/// Name of a file, and where its passphrase is.
struct FileUri<'a> {
    name: &'a str,
    passphrase: Option<&'a str>,
}

fn parse<'a>(uri: &str, rest: &'a str) -> Result<FileUri<'a>, KeyringError> {
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    let passphrase = match query.split_once('=') {
        Some(("passphrase", source)) if secret::is_source(source) => Some(source),
        None if query.is_empty() => None,
        _ => {
            return Err(KeyringError::Uri {
                uri: uri.to_owned(),
                problem: "expected ?passphrase=file:/path or ?passphrase=env:NAME after the name, never the passphrase itself",
            });
        }
    };
    Ok(FileUri { name, passphrase })
}

/// Whether it is the URI of a key in a file, or of the place for one.
pub(super) fn check(uri: &str, rest: &str) -> Result<(), KeyringError> {
    parse(uri, rest).map(|_| ())
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
        None if is_encrypted(text) => {
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
