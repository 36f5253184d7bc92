//! What a holder has: a private key, and its public half for the others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common_backend::signer::{Env, Keyring};
use common_bundle::tuf::Key;
use common_pki::key::{KeyAlgorithm, LocalSigner, PublicKey, Signer};

use crate::clock;
use crate::console::Console;
use crate::disk;
use crate::exit::Failure;

/// Makes a key pair: P-256, which every TUF client verifies.
pub(super) fn generate(file: &Path, console: Console) -> Result<(), Failure> {
    let (signer, pem) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).map_err(Failure::failed)?;
    let mut public = file.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    write_new(file, pem.as_bytes())?;
    write_new(&public, signer.public_key().to_pem().as_bytes())?;
    let id = Key::new(signer.public_key())
        .and_then(|key| key.id())
        .map_err(Failure::failed)?;
    console.good("made", &format!("key {id}"));
    console.remark(&format!(
        "keep {} on a machine of your own, and give {} to whoever proposes the root",
        file.display(),
        public.display()
    ));
    Ok(())
}

/// Writes a file that must not be there yet: what a holder signed or made is never overwritten by accident.
pub(super) fn write_new(path: &Path, content: &[u8]) -> Result<(), Failure> {
    if path.exists() {
        return Err(Failure::failed(format!(
            "{} exists already: name another file, or remove it if it is not needed",
            path.display()
        )));
    }
    disk::write(path, content).map_err(Failure::failed)
}

pub(super) fn public(path: &Path) -> Result<PublicKey, Failure> {
    let pem = read_text(path)?;
    PublicKey::from_pem(&pem).map_err(|error| {
        Failure::failed(format!(
            "{}: expected a public key in PEM: {error}",
            path.display()
        ))
    })
}

/// A private key by the path of its file, or by a signer URI.
pub(super) fn private(key: &str) -> Result<Arc<dyn Signer>, Failure> {
    if key.contains(':') {
        let keyring = Keyring::new(".", Env::process(clock::system()));
        return keyring.open(key).map_err(Failure::failed);
    }
    let path = Path::new(key);
    let pem = zeroize::Zeroizing::new(read_text(path)?);
    let signer = LocalSigner::from_pkcs8_pem(&pem);
    let signer = signer.map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    Ok(Arc::new(signer))
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = disk::read(path).map_err(Failure::failed)?;
    let bytes = bytes.ok_or_else(|| Failure::failed(format!("{}: there is no such file", path.display())))?;
    String::from_utf8(bytes).map_err(|_| Failure::failed(format!("{}: expected PEM text", path.display())))
}
