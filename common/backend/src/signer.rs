//! Private keys by their URI: where a key is kept is the operator's choice, for each key alone, and nobody else's
//! business.
//!
//! | URI | Kept |
//! |---|---|
//! | `file:NAME.pem[?passphrase=SOURCE]` | in the `keys` folder, PKCS #8, encrypted where a passphrase is named |
//! | `pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=SOURCE` | on a token (RFC 7512) |
//! | `awskms:///KEY` | AWS KMS |
//! | `gcpkms://projects/…/cryptoKeyVersions/V` | Google Cloud KMS |
//! | `azurekms://VAULT/KEY/VERSION` | Azure Key Vault |
//! | `hashivault://KEY?version=N` | Vault or OpenBao, transit |
//! | `exec:/PROGRAM?key=NAME` | wherever a program of the operator's signs |
//!
//! A SOURCE is `file:/path` or `env:NAME`: no secret is ever part of a URI, which stays in the registry.
//!
//! A key is opened once, at the start. What comes out is a [`Signer`]; whoever signs neither knows nor cares. Keys outside
//! the process are asked within a time limit, and their signatures verified before they are used (`guard`).

mod aws;
mod azure;
mod ecdsa;
pub mod encrypted;
mod exec;
mod file;
mod gcp;
mod guard;
mod http;
mod pkcs11;
mod remote;
mod secret;
mod token;
mod vault;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use common_pki::key::{KeyAlgorithm, SignError, Signer};

pub use secret::read as read_secret;

/// The schemes of [`Keyring::open`], for messages.
const SCHEMES: &str =
    "file:NAME.pem, pkcs11:…, awskms:///…, gcpkms://…, azurekms://…, hashivault://… or exec:/PROGRAM";

/// A key cannot be opened or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Not the URI of a place that is known here.
    #[error("expected {SCHEMES}, got {:?}", secret::shown(.0))]
    Scheme(String),
    /// Of a known scheme, and malformed.
    #[error("{:?}: {problem}", secret::shown(.uri))]
    Uri {
        /// What was given.
        uri: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no such key.
    #[error("{0} is missing")]
    Missing(String),
    /// A key that was to be made is there already.
    #[error(
        "{0} exists already, perhaps of another instance or of a start that was cut short: remove it, or name it in full \
         (object=…) to use it"
    )]
    Exists(String),
    /// A key that was to be used is of another kind.
    #[error("{uri} is a key of type {got}, expected {expected}")]
    Algorithm {
        /// The key.
        uri: String,
        /// What is needed.
        expected: KeyAlgorithm,
        /// What is there.
        got: KeyAlgorithm,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A passphrase, PIN or credential is not where it should be.
    #[error("expected a secret in {0}, got none")]
    Secret(String),
    /// What should say where a secret is may be the secret.
    #[error("expected file:/path or env:NAME, where the secret is, never the secret itself")]
    NoSource,
    /// A token or service cannot be used.
    #[error("{uri}: {problem}")]
    Device {
        /// What was to be used.
        uri: String,
        /// What it says.
        problem: String,
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

/// Whether `uri` can be that of a key, or of a place for keys, and has no secret in it. Nothing is opened, and nobody asked.
///
/// # Errors
/// [`KeyringError::Scheme`] or [`KeyringError::Uri`].
pub fn check(uri: &str) -> Result<(), KeyringError> {
    match uri.split_once(':') {
        Some(("file", rest)) => file::check(uri, rest),
        Some(("pkcs11", _)) => pkcs11::check(uri),
        Some(("exec" | "awskms" | "gcpkms" | "azurekms" | "hashivault", _)) => Ok(()),
        _ => Err(KeyringError::Scheme(uri.to_owned())),
    }
}

type Variables = dyn Fn(&str) -> Option<String> + Send + Sync;
type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What keys outside the process need beside their URI: the environment, where PINs, credentials and addresses of services
/// are, and the time, which requests to services carry.
#[derive(Clone)]
pub struct Env {
    variables: Arc<Variables>,
    clock: Clock,
}

impl Env {
    /// From a function from names to values.
    pub fn new(variables: impl Fn(&str) -> Option<String> + Send + Sync + 'static, clock: Clock) -> Env {
        Env {
            variables: Arc::new(variables),
            clock,
        }
    }

    /// The process's own.
    pub fn process(clock: Clock) -> Env {
        Env::new(|name| std::env::var(name).ok(), clock)
    }

    /// The value of a variable that is set and not empty.
    fn get(&self, name: &str) -> Option<String> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }

    /// Unix seconds.
    fn now(&self) -> u64 {
        (self.clock)()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs()
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}

/// Opens and makes keys.
#[derive(Debug, Clone)]
pub struct Keyring {
    folder: PathBuf,
    env: Env,
}

impl Keyring {
    /// With `folder` as the place of `file:` keys.
    pub fn new(folder: impl Into<PathBuf>, env: Env) -> Keyring {
        Keyring {
            folder: folder.into(),
            env,
        }
    }

    /// The private key at `uri`. May wait for a device: call it off the asynchronous threads.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn open(&self, uri: &str) -> Result<Arc<dyn Signer>, KeyringError> {
        let env = &self.env;
        match uri.split_once(':') {
            Some(("file", rest)) => file::open(&self.folder, env, uri, rest),
            Some(("pkcs11", _)) => pkcs11::open(env, uri),
            Some(("exec", rest)) => remote::open(uri, exec::Program::parse(env, uri, rest)?),
            Some(("awskms", rest)) => remote::open(uri, aws::AwsKms::new(env, uri, rest)?),
            Some(("gcpkms", rest)) => remote::open(uri, gcp::GcpKms::new(env, uri, rest)?),
            Some(("azurekms", rest)) => remote::open(uri, azure::AzureKms::new(env, uri, rest)?),
            Some(("hashivault", rest)) => remote::open(uri, vault::Vault::new(env, uri, rest)?),
            _ => Err(KeyringError::Scheme(uri.to_owned())),
        }
    }

    /// Makes a key called `id` at `place`, and gives the URI to open it by. A place is a URI without the key's own name
    /// (`file:`, `pkcs11:token=…`); a URI that names a key is used as it is, if the key is of that kind: key services and
    /// programs make theirs themselves.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn create(
        &self,
        place: &str,
        id: &str,
        algorithm: KeyAlgorithm,
    ) -> Result<(Arc<dyn Signer>, String), KeyringError> {
        match place.split_once(':') {
            Some(("file", rest)) if rest.is_empty() || rest.starts_with('?') => {
                file::create(&self.folder, &self.env, place, id, algorithm)
            }
            Some(("pkcs11", _)) => pkcs11::create(&self.env, place, id, algorithm),
            _ => existing(self.open(place)?, place, algorithm),
        }
    }
}

/// A key that is there, if it is of the kind that is needed.
fn existing(
    signer: Arc<dyn Signer>,
    uri: &str,
    expected: KeyAlgorithm,
) -> Result<(Arc<dyn Signer>, String), KeyringError> {
    let got = signer.public_key().algorithm();
    if got == expected {
        Ok((signer, uri.to_owned()))
    } else {
        Err(KeyringError::Algorithm {
            uri: uri.to_owned(),
            expected,
            got,
        })
    }
}

#[cfg(test)]
mod tests;
