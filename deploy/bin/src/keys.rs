//! The keys of a data folder: created at the first start, loaded and checked against the registry at every later one.
//!
//! A power cut during the first start leaves key files and no registry, because the registry is written last and the
//! logs that name its keys are created after that: the next start makes new keys over the orphans. Once the registry
//! exists it is never regenerated; a key file that is missing or differs from it stops the start.

pub(crate) mod command;
mod create;
pub(crate) mod others;
mod permissions;
pub(crate) mod places;
pub(crate) mod quiet;
mod retired;
pub(crate) mod runner;
mod succession;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use common_backend::signer::{Env, Keyring, KeyringError};
use common_bundle::trust::{KeyRecord, Registry, Role, TrustError};
use common_pki::cert::{BuildError, CertError, Certificate};
use common_pki::key::{KeyAlgorithm, Signer};

use crate::clock;
use crate::disk::{self, FileError};
pub(crate) use crate::keys::permissions::exposed;
pub(crate) use crate::keys::places::Places;
use crate::keys::retired::Retired;
pub(crate) use crate::keys::succession::Wanted;
use crate::layout::Layout;
use crate::site::{Roles, Site};

/// Where the development issuer's key is made: in the `keys` folder.
const FILES: &str = "file:";
/// The certificate log that an instance begins with.
const FIRST_CT_LOG: &str = "ct-log-1";
/// Key of the development issuer: clients do not trust it through Sigstore, so it is not in the registry.
const ISSUER_KEY: &str = "development-issuer";

/// The keys cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The registry is not usable.
    #[error("{path}: {source}")]
    Registry {
        /// The registry's path.
        path: String,
        /// What is wrong with it.
        source: TrustError,
    },
    /// A key could not be made or opened.
    #[error("key {id}: {source}")]
    Key {
        /// The key's name.
        id: String,
        /// What is wrong.
        source: KeyringError,
    },
    /// A key that the registry names is not there.
    #[error("{place} is missing; restore it from your backup: a log never continues with another key")]
    Missing {
        /// Where it was.
        place: String,
    },
    /// Another key is there than the registry says.
    #[error("{uri} is another key than the registry lists under {id:?}; restore it from your backup")]
    Other {
        /// The signer's URI.
        uri: String,
        /// The record's id.
        id: String,
    },
    /// A key serves another purpose already.
    #[error(
        "key {id}: {uri} names one key, which is in use as {other}: two logs with one key are one log with two histories, and a \
         key that takes over is another one; make one in the key service, or for the program, and name it by --signer {name}=URI"
    )]
    Same {
        /// What the key would be.
        id: String,
        /// The signer's URI.
        uri: String,
        /// What it is.
        other: String,
        /// What the option calls it.
        name: String,
    },
    /// A key is there and does not sign.
    #[error("key {id} does not sign: {problem}; nothing was changed")]
    Trial {
        /// The key's name.
        id: String,
        /// What came of it.
        problem: String,
    },
    /// What another process exported is not there.
    #[error("{path} is missing: expected what `sigbox keys export` writes for the other process")]
    NotExported {
        /// Where it should be.
        path: String,
    },
    /// What another process exported lacks a key that was published.
    #[error(
        "key {0:?} of another process was published and is not in its file any more: what it signed would verify no longer"
    )]
    Gone(String),
    /// No key of a role is in use.
    #[error("the registry has no key in use for {0}")]
    NoKey(Role),
    /// `up` on a folder that `serve` runs.
    #[error(
        "this data folder is one of `sigbox serve`: with the development issuer of `sigbox up` its authority would issue to \
         anybody. Go on with `sigbox serve --config FILE`; `sigbox import` takes --config too"
    )]
    Production,
    /// The folder belongs to an instance of another name.
    #[error(
        "this data folder belongs to host {stored:?}, and the public URL asked for has {asked:?}: checkpoints carry the host \
         for good; use the former host, or another folder for a new instance"
    )]
    Host {
        /// The host of the registry.
        stored: String,
        /// The host asked for.
        asked: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Build(#[from] BuildError),
    /// A stored certificate cannot be read.
    #[error("certificate of key {id:?}: {source}")]
    Certificate {
        /// The record's id.
        id: String,
        /// What is wrong with it.
        source: CertError,
    },
    /// The record of a new key is refused.
    #[error("cannot register a key: {0}")]
    Record(#[from] TrustError),
    /// The certificate log cannot be named after its URL.
    #[error(transparent)]
    Origin(#[from] fulcio_ct::OriginError),
    /// The system has no random numbers, or its clock is before 1970.
    #[error("cannot make keys: {0}")]
    System(&'static str),
}

/// Registry and private keys.
#[derive(Clone)]
pub(crate) struct Keys {
    registry: Registry,
    /// Of the roles that the process has, and of no others: what another process signs with may be out of reach here.
    signers: HashMap<String, Arc<dyn Signer>>,
    roles: Roles,
    /// Of other processes, see [`others`].
    others: Vec<KeyRecord>,
}

impl Keys {
    /// The roles that the folder's registry has keys for, so that [`Keys::open`] would load and not create them.
    ///
    /// # Errors
    /// [`KeysError`] if there is a registry that cannot be read.
    pub(crate) fn listed(layout: &Layout) -> Result<BTreeSet<Role>, KeysError> {
        let registry = read_registry(layout)?;
        let keys = registry.into_iter().flat_map(|registry| registry.keys);
        Ok(keys.map(|key| key.role).collect())
    }

    /// Loads the keys that `site` has roles for, and creates at their `places` those of roles that never had any. The URLs of
    /// the registry follow `site`.
    ///
    /// # Errors
    /// [`KeysError`]; nothing that existed has been replaced then.
    pub(crate) fn open(
        layout: &Layout,
        site: &Site,
        places: &Places,
        now: SystemTime,
    ) -> Result<Keys, KeysError> {
        disk::create_folder(&layout.keys())?;
        let mut registry = match read_registry(layout)? {
            Some(mut registry) => {
                move_to(&mut registry, site)?;
                registry
            }
            None => Registry::new(site.url().host(), site.url().issuer()),
        };
        create::complete(&mut registry, layout, site, places, now)?;
        disk::write_if_changed(&layout.registry(), registry.to_json()?.as_bytes())?;
        Keys::load(layout, registry, site.roles().clone())
    }

    /// Loads the private keys that `registry` lists for `roles` as in use or about to be: each must be there, and be the one
    /// that is listed.
    ///
    /// # Errors
    /// [`KeysError`].
    pub(crate) fn load(layout: &Layout, registry: Registry, roles: Roles) -> Result<Keys, KeysError> {
        let mut signers = HashMap::new();
        for record in registry.keys.iter().filter(|record| signs(record, &roles)) {
            if let Some(signer) = load_where_kept(&keyring(layout), record)? {
                signers.insert(record.id.clone(), signer);
            }
        }
        Ok(Keys {
            registry,
            signers,
            roles,
            others: Vec::new(),
        })
    }

    /// What the process signs for.
    pub(crate) fn roles(&self) -> &Roles {
        &self.roles
    }

    /// What clients trust.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The key in use for a role.
    ///
    /// # Errors
    /// [`KeysError::NoKey`].
    pub(crate) fn active(&self, role: Role) -> Result<(&KeyRecord, Arc<dyn Signer>), KeysError> {
        let record = self.registry.in_use(role).ok_or(KeysError::NoKey(role))?;
        Ok((record, self.signer(record)?))
    }

    /// What signs with the key of `record`. A key that has ended, or is another process', signs nothing, wherever its private
    /// half may be.
    ///
    /// # Errors
    /// [`KeysError::Record`] if the public key does not parse.
    pub(crate) fn signer(&self, record: &KeyRecord) -> Result<Arc<dyn Signer>, KeysError> {
        match self.signers.get(&record.id) {
            Some(signer) => Ok(Arc::clone(signer)),
            None => Ok(Arc::new(Retired::new(record.public_key()?))),
        }
    }

    /// The certificates of a record, in its order.
    ///
    /// # Errors
    /// [`KeysError::Certificate`].
    pub(crate) fn chain(record: &KeyRecord) -> Result<Vec<Certificate>, KeysError> {
        let parse = |der: &Vec<u8>| {
            Certificate::from_der(der).map_err(|source| KeysError::Certificate {
                id: record.id.clone(),
                source,
            })
        };
        record.cert_chain.iter().map(parse).collect()
    }
}

/// The registry of the folder, `None` before the first start.
pub(crate) fn read_registry(layout: &Layout) -> Result<Option<Registry>, KeysError> {
    let path = layout.registry();
    let Some(json) = disk::read(&path)? else {
        return Ok(None);
    };
    let registry = Registry::parse(&json).map_err(|source| KeysError::Registry {
        path: path.display().to_string(),
        source,
    })?;
    Ok(Some(registry))
}

/// Whether the private half of a key is used: in use or about to be, and for one of `roles`.
fn signs(record: &KeyRecord, roles: &Roles) -> bool {
    record.valid_to.is_none() && roles.has(record.role)
}

/// Lets the registry follow another port or scheme.
fn move_to(registry: &mut Registry, site: &Site) -> Result<(), KeysError> {
    runner::check(registry, site)?;
    registry.oidc_url = site.url().issuer();
    for record in registry
        .keys
        .iter_mut()
        .filter(|record| record.valid_to.is_none())
    {
        place(record, site);
    }
    Ok(())
}

/// Says where the service of a key answers. A Rekor v2 shard is named by a host of its own and written to at the
/// instance's URL; a later certificate log has a place under `/shards`.
fn place(record: &mut KeyRecord, site: &Site) {
    let url = site.url_behind(record.role);
    record.service_url.clear();
    record.url = match record.role {
        Role::RekorV2 if record.origin != url.host() => {
            url.as_str().clone_into(&mut record.service_url);
            url.with_host(&record.origin)
        }
        Role::CtLog if record.id != FIRST_CT_LOG => url.join(&shard_path(&record.id)),
        role => service_url(role, site),
    };
}

/// Where a later shard is read, below the instance's URL.
pub(crate) fn shard_path(id: &str) -> String {
    format!("/shards/{id}")
}

/// Where the service behind a role answers.
fn service_url(role: Role, site: &Site) -> String {
    let url = site.url_behind(role);
    match role {
        Role::FulcioCa | Role::RekorV1 | Role::RekorV2 => url.as_str().to_owned(),
        Role::CtLog => url.join("/ct"),
        Role::Tsa => url.join("/api/v1/timestamp"),
        Role::TufRoot | Role::TufOnline => String::new(),
    }
}

fn keyring(layout: &Layout) -> Keyring {
    Keyring::new(layout.keys(), Env::process(clock::system()))
}

fn load(keyring: &Keyring, record: &KeyRecord) -> Result<Arc<dyn Signer>, KeysError> {
    let signer = keyring.open(&record.signer).map_err(|source| match source {
        KeyringError::Missing(place) => KeysError::Missing { place },
        source => KeysError::Key {
            id: record.id.clone(),
            source,
        },
    })?;
    if signer.public_key().spki_der() == record.spki {
        Ok(signer)
    } else {
        Err(KeysError::Other {
            uri: record.signer.clone(),
            id: record.id.clone(),
        })
    }
}

/// The private half of a key, or nothing where a TUF root's is not here: such are best kept offline, by holders who sign
/// each new root (`sigbox tuf`).
fn load_where_kept(keyring: &Keyring, record: &KeyRecord) -> Result<Option<Arc<dyn Signer>>, KeysError> {
    match load(keyring, record) {
        Err(KeysError::Missing { .. }) if record.role == Role::TufRoot => Ok(None),
        loaded => loaded.map(Some),
    }
}

/// Has the key `id` sign something: whoever may read a public key in a key service may not for that sign with it.
///
/// # Errors
/// [`KeysError::Trial`].
pub(crate) fn try_out(id: &str, signer: &dyn Signer) -> Result<(), KeysError> {
    let message = b"sigbox: does this key sign?";
    let key = signer.public_key();
    let tried = signer.sign(message).map_err(|error| error.to_string());
    let tried = tried.and_then(|signature| {
        let verified = key.verify(key.default_hash(), message, &signature);
        verified.map_err(|error| format!("its signature does not verify: {error}"))
    });
    tried.map_err(|problem| KeysError::Trial {
        id: id.to_owned(),
        problem,
    })
}

/// Makes the key `id` at `place`, and gives the URI to open it by.
fn make_key(
    keyring: &Keyring,
    place: &str,
    id: &str,
    algorithm: KeyAlgorithm,
) -> Result<(Arc<dyn Signer>, String), KeysError> {
    keyring
        .create(place, id, algorithm)
        .map_err(|source| KeysError::Key {
            id: id.to_owned(),
            source,
        })
}

/// The development issuer's key: made at the first start, always in the `keys` folder, worth nothing outside this machine.
///
/// # Errors
/// [`KeysError`].
pub(crate) fn development_issuer(layout: &Layout) -> Result<Arc<dyn Signer>, KeysError> {
    let keyring = keyring(layout);
    match keyring.open(&format!("{FILES}{ISSUER_KEY}.pem")) {
        Ok(signer) => Ok(signer),
        Err(KeyringError::Missing(_)) => Ok(make_key(&keyring, FILES, ISSUER_KEY, KeyAlgorithm::Rsa2048)?.0),
        Err(source) => Err(KeysError::Key {
            id: ISSUER_KEY.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests;
