//! Private keys by their URI: where a key is kept is the operator's choice, for each key alone, and nobody else's
//! business.
//!
//! | URI | Kept |
//! |---|---|
//! | `file:NAME.pem` | in the `keys` folder, PKCS #8 |
//!
//! A key is opened once, at the start. What comes out is a [`Signer`]; whoever signs neither knows nor cares.

mod file;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use common_pki::key::{KeyAlgorithm, SignError, Signer};

/// The schemes of [`Keyring::open`], for messages.
const SCHEMES: &str = "file:NAME.pem";

/// A key cannot be opened or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Not the URI of a place that is known here.
    #[error("expected {SCHEMES}, got {0:?}")]
    Scheme(String),
    /// Of a known scheme, and malformed.
    #[error("{uri:?}: {problem}")]
    Uri {
        /// What was given.
        uri: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no such key.
    #[error("{0} is missing")]
    Missing(String),
    /// A file could not be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// What is there is no usable key.
    #[error("{at}: {source}")]
    Key {
        /// Where it is.
        at: String,
        /// What is wrong with it.
        source: SignError,
    },
}

/// Opens and makes keys.
#[derive(Debug, Clone)]
pub struct Keyring {
    folder: PathBuf,
}

impl Keyring {
    /// With `folder` as the place of `file:` keys.
    pub fn new(folder: impl Into<PathBuf>) -> Keyring {
        Keyring {
            folder: folder.into(),
        }
    }

    /// The private key at `uri`. May wait for a device: call it off the asynchronous threads.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn open(&self, uri: &str) -> Result<Arc<dyn Signer>, KeyringError> {
        match split(uri) {
            Some(("file", name)) => file::open(&self.folder, uri, name),
            _ => Err(KeyringError::Scheme(uri.to_owned())),
        }
    }

    /// Makes a key called `id` at `place`, a URI without the name, and gives the URI to open it by.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn create(
        &self,
        place: &str,
        id: &str,
        algorithm: KeyAlgorithm,
    ) -> Result<(Arc<dyn Signer>, String), KeyringError> {
        match split(place) {
            Some(("file", "")) => file::create(&self.folder, id, algorithm),
            _ => Err(KeyringError::Scheme(place.to_owned())),
        }
    }
}

fn split(uri: &str) -> Option<(&str, &str)> {
    uri.split_once(':')
}

#[cfg(test)]
mod tests;
