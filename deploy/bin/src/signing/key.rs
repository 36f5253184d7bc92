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
    let wrong = |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", path.display()));
    let pem = Zeroizing::new(read(path)?);
    let text = std::str::from_utf8(&pem).map_err(|error| wrong(&error))?;
    if !encrypted::is_encrypted(text) {
        return LocalSigner::from_pkcs8_pem(text).map_err(|error| wrong(&error));
    }
    let plain = encrypted::decrypt(text, &password(path)?).map_err(|error| wrong(&error))?;
    LocalSigner::from_pkcs8_pem(&plain).map_err(|error| wrong(&error))
}

fn password(path: &Path) -> Result<Zeroizing<String>, Failure> {
    if let Ok(given) = std::env::var(PASSWORD_VARIABLE) {
        return Ok(Zeroizing::new(given));
    }
    // From the terminal itself, whatever standard input is.
    rpassword::prompt_password(format!("Password of {}: ", path.display()))
        .map(Zeroizing::new)
        .map_err(|_| {
            Failure::failed(format!(
                "{} is encrypted, and there is no terminal to ask for its password: set {PASSWORD_VARIABLE}",
                path.display()
            ))
        })
}
