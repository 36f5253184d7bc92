//! Keys in files of the `keys` folder.

use std::io;
use std::path::Path;
use std::sync::Arc;

use common_pki::key::{KeyAlgorithm, LocalSigner, SignError, Signer};
use zeroize::Zeroizing;

use super::KeyringError;
use crate::durable;

/// The key in the file `name`.
pub(super) fn open(folder: &Path, uri: &str, name: &str) -> Result<Arc<dyn Signer>, KeyringError> {
    // A registry is edited by hand at times: it must not name files elsewhere.
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(KeyringError::Uri {
            uri: uri.to_owned(),
            problem: "expected file: and the name of a file in the keys folder",
        });
    }
    let path = folder.join(name);
    let pem = match std::fs::read(&path) {
        Ok(pem) => Zeroizing::new(pem),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeyringError::Missing(path.display().to_string()));
        }
        Err(source) => return Err(KeyringError::File { path, source }),
    };
    let wrong = |source| KeyringError::Key {
        at: path.display().to_string(),
        source,
    };
    let text = std::str::from_utf8(&pem).map_err(|_| wrong(SignError::PrivateKey("not PEM text")))?;
    Ok(Arc::new(LocalSigner::from_pkcs8_pem(text).map_err(wrong)?))
}

/// Generates a key and writes it for the owner only, over whatever an interrupted first start left there.
pub(super) fn create(
    folder: &Path,
    id: &str,
    algorithm: KeyAlgorithm,
) -> Result<(Arc<dyn Signer>, String), KeyringError> {
    let name = format!("{id}.pem");
    let path = folder.join(&name);
    let (signer, pem) = LocalSigner::generate(algorithm).map_err(|source| KeyringError::Key {
        at: path.display().to_string(),
        source,
    })?;
    durable::write(&path, pem.as_bytes()).map_err(|source| KeyringError::File { path, source })?;
    Ok((Arc::new(signer), format!("file:{name}")))
}
