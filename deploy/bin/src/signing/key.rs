//! The private key of a signature by key: PKCS #8, plain or under a password, or a key pair of cosign's.

use std::path::Path;

use common_backend::signer::encrypted;
use common_pki::key::LocalSigner;
use zeroize::Zeroizing;

use crate::exit::Failure;
use crate::trust_source::read;

/// Where cosign has the password of its keys; an empty one is one.
const PASSWORD_VARIABLE: &str = "COSIGN_PASSWORD";

/// Reads a key; of an encrypted one the password is in the environment, or asked for on the terminal.
///
/// # Errors
/// [`Failure`] names the file.
pub(crate) fn private_key(path: &Path) -> Result<LocalSigner, Failure> {
    unlock(path, false, || match std::env::var(PASSWORD_VARIABLE) {
        Ok(given) => Ok(Zeroizing::new(given)),
        Err(_) => prompt(path, &format!("set {PASSWORD_VARIABLE}")),
    })
}

/// Reads a key, with its password if it is encrypted. Where one was named it must be.
///
/// # Errors
/// [`Failure`] names the file.
pub(crate) fn unlock(
    path: &Path,
    named: bool,
    password: impl FnOnce() -> Result<Zeroizing<String>, Failure>,
) -> Result<LocalSigner, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", path.display()));
    let pem = Zeroizing::new(read(path)?);
    let text = std::str::from_utf8(&pem).map_err(|error| wrong(&error))?;
    if !named && !encrypted::is_encrypted(text) {
        return LocalSigner::from_pkcs8_pem(text).map_err(|error| wrong(&error));
    }
    let plain = encrypted::decrypt(text, &password()?).map_err(|error| wrong(&error))?;
    LocalSigner::from_pkcs8_pem(&plain).map_err(|error| wrong(&error))
}

/// Asks for the password of a key; `otherwise` says how to give it where nobody can be asked.
///
/// # Errors
/// [`Failure`] when there is no terminal.
pub(crate) fn prompt(path: &Path, otherwise: &str) -> Result<Zeroizing<String>, Failure> {
    // From the terminal itself, whatever standard input is.
    rpassword::prompt_password(format!("Password of {}: ", path.display()))
        .map(Zeroizing::new)
        .map_err(|_| {
            Failure::failed(format!(
                "there is no terminal to ask for the password of {}: {otherwise}",
                path.display()
            ))
        })
}
