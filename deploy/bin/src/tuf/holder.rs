//! What a holder has: a private key, and its public half for the others.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use common_backend::signer::{Env, Keyring, encrypted, read_secret};
use common_bundle::tuf::Key;
use common_pki::key::{KeyAlgorithm, LocalSigner, PublicKey, Signer};
use zeroize::Zeroizing;

use crate::clock;
use crate::console::Console;
use crate::disk;
use crate::exit::Failure;
use crate::signing::key::{prompt, unlock};

/// Where a passphrase is. It is never an argument, which every user of the machine can read.
#[derive(Debug, Clone)]
pub(super) enum Passphrase {
    /// Somebody types it.
    Prompt,
    /// `file:/PATH` or `env:NAME`.
    Source(String),
}

impl FromStr for Passphrase {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Passphrase, &'static str> {
        match text.split_once(':') {
            None if text == "prompt" => Ok(Passphrase::Prompt),
            Some(("file" | "env", rest)) if !rest.is_empty() => Ok(Passphrase::Source(text.to_owned())),
            _ => Err("expected prompt, file:/PATH or env:NAME, never the passphrase itself"),
        }
    }
}

impl Passphrase {
    fn read(&self, path: &Path) -> Result<Zeroizing<String>, Failure> {
        match self {
            Passphrase::Prompt => prompt(path, "name it with --passphrase file:/PATH or env:NAME"),
            Passphrase::Source(source) => {
                read_secret(&Env::process(clock::system()), source).map_err(Failure::failed)
            }
        }
    }

    /// One for a new key: a slip of the hand would lose it.
    fn choose(&self, path: &Path) -> Result<Zeroizing<String>, Failure> {
        let chosen = self.read(path)?;
        if matches!(self, Passphrase::Prompt) && self.read(path)? != chosen {
            return Err(Failure::failed(
                "expected the same password twice; no key was made",
            ));
        }
        if chosen.is_empty() {
            return Err(Failure::failed(
                "expected a password, got an empty one; no key was made",
            ));
        }
        Ok(chosen)
    }
}

/// Makes a key pair: P-256, which every TUF client verifies.
pub(super) fn generate(
    file: &Path,
    passphrase: Option<&Passphrase>,
    console: Console,
) -> Result<(), Failure> {
    let (signer, mut pem) = LocalSigner::generate(KeyAlgorithm::EcdsaP256).map_err(Failure::failed)?;
    if let Some(passphrase) = passphrase {
        pem = encrypted::encrypt(&pem, &passphrase.choose(file)?).map_err(Failure::failed)?;
    }
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
pub(super) fn private(key: &str, passphrase: Option<&Passphrase>) -> Result<Arc<dyn Signer>, Failure> {
    if key.contains(':') {
        if passphrase.is_some() {
            return Err(Failure::usage(
                "--passphrase is of a file: a signer URI says itself where its secret is",
            ));
        }
        let keyring = Keyring::new(".", Env::process(clock::system()));
        return keyring.open(key).map_err(Failure::failed);
    }
    let path = Path::new(key);
    let asked = passphrase.unwrap_or(&Passphrase::Prompt);
    let signer = unlock(path, passphrase.is_some(), || asked.read(path))?;
    Ok(Arc::new(signer))
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = disk::read(path).map_err(Failure::failed)?;
    let bytes = bytes.ok_or_else(|| Failure::failed(format!("{}: there is no such file", path.display())))?;
    String::from_utf8(bytes).map_err(|_| Failure::failed(format!("{}: expected PEM text", path.display())))
}
