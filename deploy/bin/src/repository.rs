//! The trust repository of the data folder: written from the key registry, served from memory, signed anew before it
//! expires.
//!
//! Files are written in the order the TUF writer gives, each durably, `timestamp.json` last: whatever a power cut leaves,
//! the timestamp that is there leads to files that are there. They are served only once all are written, so no client
//! has seen a version that a restart would write again with other content.

pub(crate) mod ceremony;
mod due;
mod handover;
mod validity;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use common_bundle::trust::{Registry, Role, TrustError};
use common_bundle::tuf::{
    self, Files, KeySet, Lifetimes, RootKeys, Signers, Target, TufError, published_targets,
};
use common_pki::key::Signer;

use crate::clock::Clock;
use crate::disk::{self, FileError};
use crate::files::{FileSet, Freshness, StaticFile};
use crate::keys::{Keys, KeysError};
use crate::layout::Layout;
use crate::repository::due::Due;
pub(crate) use crate::repository::handover::lists;
pub(crate) use crate::repository::validity::Validity;

/// Folder of the targets within a repository (TUF §6.2).
const TARGETS: &str = "targets";

/// The repository cannot be written or continued.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepositoryError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Metadata cannot be made.
    #[error("the TUF repository cannot be signed: {0}")]
    Tuf(#[from] TufError),
    /// The stored metadata cannot be continued.
    #[error(
        "the TUF repository in {folder} cannot be continued: {source}; restore the folder from your backup, because \
         clients refuse a repository that starts again at version 1"
    )]
    Stored {
        /// Where it is.
        folder: String,
        /// What is wrong with it.
        source: TufError,
    },
    /// Nothing to continue from, although clients have seen a repository.
    #[error(
        "{folder}/timestamp.json is missing but the store holds logs: restore the folder from your backup, because clients \
         refuse a repository that starts again at version 1"
    )]
    Lost {
        /// Where it was.
        folder: String,
    },
    /// The registry gives no trust files.
    #[error("the key registry gives no trust files: {0}")]
    Trust(#[from] TrustError),
    /// The TUF keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Writing was interrupted.
    #[error("writing the trust repository was interrupted: {0}")]
    Interrupted(tokio::task::JoinError),
}

/// The repository and the files exported beside it.
#[derive(Clone)]
pub(crate) struct Repository {
    layout: Layout,
    metadata: tuf::Repository,
    /// Absent where it is kept offline: then its holders sign.
    root_key: Option<Arc<dyn Signer>>,
    online_key: Arc<dyn Signer>,
    /// The key that follows it, where the holders of the root have yet to list it.
    next_online_key: Option<Arc<dyn Signer>>,
    tuf: FileSet,
    trust: FileSet,
    validity: Validity,
}

impl Repository {
    /// Creates the repository, or continues the one in the folder: with targets as the registry has them now, and
    /// metadata that is fresh. Where logs exist it is never created: they come after it, so there has been one.
    ///
    /// # Errors
    /// [`RepositoryError`]; what was published before is untouched then.
    pub(crate) fn open(
        layout: Layout,
        keys: &Keys,
        logs_exist: bool,
        now: SystemTime,
    ) -> Result<Repository, RepositoryError> {
        let root_key = root_key(keys)?;
        let (_, online_key) = keys.active(Role::TufOnline)?;
        let targets = published_targets(&keys.published())?;
        let folder = layout.tuf();
        disk::create_folder(&folder.join(TARGETS))?;
        // Without a timestamp nothing has ever been served from here: the first start was cut short.
        let published = disk::read(&folder.join("timestamp.json"))?.is_some();
        let lifetimes = Lifetimes::default();
        let metadata = if published {
            load(&layout)?
        } else if logs_exist {
            return Err(RepositoryError::Lost {
                folder: folder.display().to_string(),
            });
        } else {
            let first = root_key.as_ref().ok_or(KeysError::NoKey(Role::TufRoot))?;
            let roles = roles(first, &online_key);
            let (created, files) = with_signers(Some(first), &online_key, |signers| {
                tuf::Repository::create(&roles, &targets, lifetimes, now, signers)
            })?;
            store(&layout, &files)?;
            created
        };
        let mut repository = Repository {
            layout,
            metadata,
            root_key,
            online_key,
            next_online_key: next_online_key(keys)?,
            tuf: FileSet::default(),
            trust: FileSet::default(),
            validity: Validity::default(),
        };
        repository.complete(now)?;
        repository.take_up_root(now)?;
        repository.set_targets(&targets, now)?;
        repository.refresh(now)?;
        repository.export(&keys.published())?;
        repository.publish()?;
        Ok(repository)
    }

    /// The repository's files, as they are served.
    pub(crate) fn tuf(&self) -> FileSet {
        self.tuf.clone()
    }

    /// The exported files, as they are served.
    pub(crate) fn trust(&self) -> FileSet {
        self.trust.clone()
    }

    /// Until when clients accept what is served.
    pub(crate) fn validity(&self) -> Validity {
        self.validity.clone()
    }

    /// The current `root.json`.
    pub(crate) fn root(&self) -> Bytes {
        self.tuf
            .get("root.json")
            .map(|file| file.content)
            .unwrap_or_default()
    }

    /// One look at what is due. Whatever goes wrong, clients go on with what is published until it expires, and the next
    /// round tries again: without rounds the repository would expire for certain.
    pub(crate) async fn round(self, clock: &Clock) -> Repository {
        let (mut repository, clock) = (self.clone(), Arc::clone(clock));
        // Signing and flushing files take their time.
        let worked = tokio::task::spawn_blocking(move || {
            // Published even if nothing was due: the round before may have failed between the two.
            let outcome = repository
                .take_up_root(clock())
                .and_then(|()| repository.refresh(clock()))
                .and_then(|_| repository.publish());
            (repository, outcome)
        });
        match worked.await {
            Ok((repository, outcome)) => {
                if let Err(error) = outcome {
                    tracing::error!(%error, "the trust repository was not signed anew");
                }
                repository
            }
            Err(error) => {
                tracing::error!(%error, "signing the trust repository anew was interrupted");
                self.reloaded()
            }
        }
    }

    /// Takes up what is on disk: an interrupted round may have written more than this copy knows of.
    fn reloaded(mut self) -> Repository {
        match load(&self.layout) {
            Ok(metadata) => self.metadata = metadata,
            Err(error) => tracing::error!(%error, "the trust repository on disk cannot be continued"),
        }
        self
    }

    /// Publishes the root that holders have signed and somebody handed in, if there is one. One that clients would not
    /// take is put aside, with the reason: the repository goes on as it is.
    fn take_up_root(&mut self, now: SystemTime) -> Result<(), RepositoryError> {
        let Some(proposal) = ceremony::handed_in(&self.layout)? else {
            return Ok(());
        };
        let mut next = self.metadata.clone();
        let mut online_key = Arc::clone(&self.online_key);
        let accepted = proposal.and_then(|proposal| {
            if proposal.root() == next.root() {
                // A power cut came between publishing and clearing away.
                return Ok(Files::new());
            }
            if let Some(key) = &self.next_online_key
                && proposal.root().lists(tuf::Role::Timestamp, key.public_key())
            {
                online_key = Arc::clone(key);
            }
            with_signers(self.root_key.as_ref(), &online_key, |signers| {
                next.accept_root(&proposal, Lifetimes::default(), now, signers)
            })
        });
        match accepted {
            Ok(files) => {
                store(&self.layout, &files)?;
                self.metadata = next;
                self.online_key = online_key;
                let root = self.stored_root()?;
                disk::create_folder(&self.layout.trust())?;
                disk::write_if_changed(&self.layout.trust().join("root.json"), &root)?;
                self.trust.put("root.json", exported(root));
                Ok(ceremony::done(&self.layout)?)
            }
            Err(error) => {
                tracing::error!(%error, "the root that was handed in is not published");
                Ok(ceremony::refuse(&self.layout, &error)?)
            }
        }
    }

    /// Whether the server can sign a root by itself: not once its key is in other hands.
    pub(crate) fn signs_roots(&self) -> bool {
        let root = self.metadata.root();
        let alone = root
            .roles
            .get(tuf::Role::Root.name())
            .is_some_and(|keys| keys.threshold == 1);
        let key = self.root_key.as_ref();
        alone && key.is_some_and(|key| root.lists(tuf::Role::Root, key.public_key()))
    }

    fn stored_root(&self) -> Result<Vec<u8>, FileError> {
        Ok(disk::read(&self.layout.tuf().join("root.json"))?.unwrap_or_default())
    }

    fn set_targets(&mut self, targets: &[Target], now: SystemTime) -> Result<(), RepositoryError> {
        let metadata = &mut self.metadata;
        let files = with_signers(self.root_key.as_ref(), &self.online_key, |signers| {
            metadata.set_targets(targets, Lifetimes::default(), now, signers)
        })?;
        Ok(store(&self.layout, &files)?)
    }

    /// Signs what is due; whether anything was.
    fn refresh(&mut self, now: SystemTime) -> Result<bool, RepositoryError> {
        let lifetimes = Lifetimes::default();
        let due = Due::at(now, &self.metadata, lifetimes);
        for (role, expires) in due.expiries() {
            let left = expires.system_time().duration_since(now).unwrap_or_default();
            metrics::gauge!("sigbox_tuf_expires_in_seconds", "role" => role.name()).set(left.as_secs_f64());
        }
        let (root_key, online_key) = (self.root_key.as_ref(), &self.online_key);
        // On a copy: metadata in memory must never be ahead of what was written, or a version would be skipped over a
        // file that does not exist.
        let mut next = self.metadata.clone();
        let mut files = Files::new();
        if due.root() {
            match with_signers(root_key, online_key, |signers| {
                next.renew_root(lifetimes, now, signers)
            }) {
                Ok(renewed) => files.extend(renewed),
                Err(TufError::TooFewSigners { threshold, .. }) => tracing::warn!(
                    expires = %next.root().expires,
                    threshold,
                    "the TUF root expires and its holders must sign the next one: sigbox tuf propose"
                ),
                Err(error) => return Err(error.into()),
            }
        }
        if due.online() {
            files.extend(with_signers(root_key, online_key, |signers| {
                next.refresh(lifetimes, now, signers)
            })?);
        }
        store(&self.layout, &files)?;
        self.metadata = next;
        Ok(!files.is_empty())
    }

    /// Writes what people and tools take from the `trust` folder, and serves the same.
    fn export(&self, registry: &Registry) -> Result<(), RepositoryError> {
        let mut all = vec![
            ("root.json", self.stored_root()?),
            (
                "trusted_root.json",
                registry.trusted_root()?.to_json()?.into_bytes(),
            ),
        ];
        for (name, config) in registry.signing_configs()? {
            all.push((name, config.to_json()?.into_bytes()));
        }
        match registry.client_trust_config() {
            Ok(config) => all.push(("client_trust_config.json", config.to_json()?.into_bytes())),
            // As long as a service of another process is not known.
            Err(TrustError::MissingRole(_)) => {}
            Err(error) => return Err(error.into()),
        }
        disk::create_folder(&self.layout.trust())?;
        let mut files = BTreeMap::new();
        for (name, content) in all {
            disk::write_if_changed(&self.layout.trust().join(name), &content)?;
            files.insert(name.to_owned(), exported(content));
        }
        self.trust.replace(files);
        Ok(())
    }

    /// Serves what is on disk, all of it at once.
    fn publish(&self) -> Result<(), RepositoryError> {
        let folder = self.layout.tuf();
        let mut files = BTreeMap::new();
        for prefix in ["", "targets/"] {
            for name in disk::names(&folder.join(prefix))? {
                let path = format!("{prefix}{name}");
                if path == TARGETS || path.ends_with(".new") {
                    continue;
                }
                if let Some(content) = disk::read(&folder.join(&path))? {
                    files.insert(
                        path,
                        StaticFile {
                            content: content.into(),
                            freshness: freshness(&name),
                        },
                    );
                }
            }
        }
        self.tuf.replace(files);
        let ends = tuf::Role::ALL.map(|role| self.metadata.current(role).1);
        if let Some(earliest) = ends.into_iter().min_by_key(|end| end.unix()) {
            self.validity.set(earliest);
        }
        Ok(())
    }
}

/// Signs timestamp, snapshot and targets in the folder anew, each `count` versions further on. Clients refuse a repository
/// of which any goes back (TUF §5.4.3, §5.5.5), and one that was restored is behind by whatever was signed after the
/// backup.
///
/// # Errors
/// [`RepositoryError`].
pub(crate) fn skip_versions(
    layout: &Layout,
    keys: &Keys,
    count: u64,
    now: SystemTime,
) -> Result<(), RepositoryError> {
    let root_key = root_key(keys)?;
    let (_, online_key) = keys.active(Role::TufOnline)?;
    let mut metadata = load(layout)?;
    let files = with_signers(root_key.as_ref(), &online_key, |signers| {
        metadata.skip(count, Lifetimes::default(), now, signers)
    })?;
    Ok(store(layout, &files)?)
}

/// The metadata in the folder.
fn load(layout: &Layout) -> Result<tuf::Repository, RepositoryError> {
    let folder = layout.tuf();
    tuf::Repository::load(|path| std::fs::read(folder.join(path)).ok()).map_err(|source| {
        RepositoryError::Stored {
            folder: folder.display().to_string(),
            source,
        }
    })
}

/// The root key, unless it is kept elsewhere.
fn root_key(keys: &Keys) -> Result<Option<Arc<dyn Signer>>, KeysError> {
    match keys.active(Role::TufRoot) {
        Ok((_, signer)) => Ok(Some(signer)),
        Err(KeysError::NoKey(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The successor of the online key, where there is one.
fn next_online_key(keys: &Keys) -> Result<Option<Arc<dyn Signer>>, KeysError> {
    let successor = keys.registry().successor(Role::TufOnline);
    successor.map(|(key, _)| keys.signer(key)).transpose()
}

/// Root keys apart from the key that the server signs with by itself.
fn roles(root: &Arc<dyn Signer>, online: &Arc<dyn Signer>) -> RootKeys {
    let online = KeySet::single(online.public_key());
    RootKeys {
        root: KeySet::single(root.public_key()),
        targets: online.clone(),
        snapshot: online.clone(),
        timestamp: online,
    }
}

fn with_signers<T>(
    root: Option<&Arc<dyn Signer>>,
    online: &Arc<dyn Signer>,
    work: impl FnOnce(Signers<'_>) -> T,
) -> T {
    let root: Vec<&dyn Signer> = root.into_iter().map(|signer| &**signer).collect();
    let online: [&dyn Signer; 1] = [&**online];
    work(Signers {
        root: &root,
        targets: &online,
        snapshot: &online,
        timestamp: &online,
    })
}

fn store(layout: &Layout, files: &Files) -> Result<(), FileError> {
    for (path, content) in files {
        disk::write_if_changed(&layout.tuf().join(path), content)?;
    }
    Ok(())
}

fn exported(content: Vec<u8>) -> StaticFile {
    StaticFile {
        content: content.into(),
        freshness: Freshness::Revalidate,
    }
}

/// A name that begins with a version or a digest never gets other content (TUF §6.2).
fn freshness(name: &str) -> Freshness {
    let (head, _) = name.split_once('.').unwrap_or_default();
    let version = !head.is_empty() && head.bytes().all(|b| b.is_ascii_digit());
    let digest = head.len() == 64 && head.bytes().all(|b| b.is_ascii_hexdigit());
    if version || digest {
        Freshness::Immutable
    } else {
        Freshness::Revalidate
    }
}

#[cfg(test)]
mod tests;
