//! The folder that a restore makes.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use common_backend::anchor::FileAnchor;
use common_backend::archive::{About, FileEntry};
use common_bundle::trust::{Registry, Role};
use common_engine::{Anchor, AnchorError, Published, StoredLog};

use crate::backup::beside;
use crate::disk::{self, FileError};
use crate::keys::{Keys, KeysError};
use crate::layout::Layout;
use crate::repository::{self, RepositoryError};
use crate::site::Roles;

/// Largest private key file.
const MAX_KEY: u64 = 64 << 10;
/// The one file that makes a folder startable.
const REGISTRY: &str = "keys/registry.json";

/// The folder cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// Something is there.
    #[error("{} exists and is not empty: restore into a new folder", .0.display())]
    Taken(PathBuf),
    /// An earlier restore was interrupted.
    #[error("{} exists: an earlier restore was interrupted, or one is running. If none is, remove it: rm -r {}", .0.display(), crate::paste::quoted(&.0.to_string_lossy()))]
    Partial(PathBuf),
    /// A path that no data folder has.
    #[error(
        "the backup holds a file {0:?}, which does not belong into a data folder: it was not made by sigbox"
    )]
    Path(String),
    /// No keys at all.
    #[error("the backup was made --without-keys: give the folder with the private keys, --keys DIR")]
    KeysMissing,
    /// Not all of them.
    #[error("{} lacks {file}, a private key of the instance: expected the folder with all of them, --keys DIR", .folder.display())]
    KeyMissing {
        /// The folder that was given.
        folder: PathBuf,
        /// The file.
        file: String,
    },
    /// Keys twice.
    #[error("the backup contains the private keys: leave --keys out")]
    KeysTwice,
    /// A file could not be handled.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key is not the one that the registry lists.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The trust repository cannot be continued.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The record of published checkpoints could not be written.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The registry cannot be written.
    #[error("the key registry: {0}")]
    Registry(#[from] common_bundle::trust::TrustError),
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    move |source| FolderError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Where to restore.
pub(super) struct Target {
    path: PathBuf,
}

impl Target {
    /// A folder that is not there, or empty.
    pub(super) fn new(path: &Path) -> Result<Target, FolderError> {
        let path = std::path::absolute(path).map_err(failed(path))?;
        match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(FolderError::Taken(path));
            }
            Err(error) => return Err(failed(&path)(error)),
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(FolderError::Taken(path));
                }
            }
        }
        Ok(Target { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder under its temporary name, with all files but the registry, and checks the private keys.
    pub(super) fn create(
        &self,
        about: &About,
        keys: Option<&Path>,
        registry: &Registry,
    ) -> Result<Partial, FolderError> {
        match (about.with_keys, keys) {
            (false, None) => return Err(FolderError::KeysMissing),
            (true, Some(_)) => return Err(FolderError::KeysTwice),
            _ => {}
        }
        // All of them before anything is written.
        for file in &about.files {
            check_path(&file.path)?;
        }
        let path = beside(&self.path, ".partial");
        if path.symlink_metadata().is_ok() {
            return Err(FolderError::Partial(path));
        }
        disk::create_folder(&path)?;
        let partial = Partial {
            layout: Layout::new(path),
            target: self.path.clone(),
        };
        for file in about
            .files
            .iter()
            .filter(|file| file.path != REGISTRY && file.path != "published")
        {
            partial.write(file)?;
        }
        if let Some(keys) = keys {
            partial.copy_keys(keys)?;
        }
        let loaded = Keys::load(&partial.layout, registry.clone(), Roles::all());
        loaded.map_err(|error| {
            // Nobody knows the folder that is being made.
            let lacking = match &error {
                KeysError::Missing { place } => Path::new(place).strip_prefix(partial.layout.keys()).ok(),
                _ => None,
            };
            match (lacking, keys) {
                (Some(file), Some(given)) => FolderError::KeyMissing {
                    folder: given.to_owned(),
                    file: file.display().to_string(),
                },
                _ => error.into(),
            }
        })?;
        Ok(partial)
    }
}

/// The folder while it is made; dropped unfinished, it is removed.
pub(super) struct Partial {
    layout: Layout,
    target: PathBuf,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Once it is finished it has another name. What stays in spite of this is told at the next restore.
        let _ = fs::remove_dir_all(self.layout.root());
    }
}

impl Partial {
    pub(super) fn path(&self) -> &Path {
        self.layout.root()
    }

    fn write(&self, file: &FileEntry) -> Result<(), FolderError> {
        let path = self.layout.root().join(&file.path);
        if let Some(folder) = path.parent() {
            disk::create_folder(folder)?;
        }
        disk::write(&path, &file.data)?;
        // Never writable by others, whatever the backup says.
        let mode = fs::Permissions::from_mode(file.mode & 0o755);
        fs::set_permissions(&path, mode).map_err(failed(&path))
    }

    fn copy_keys(&self, from: &Path) -> Result<(), FolderError> {
        disk::create_folder(&self.layout.keys())?;
        for name in disk::names(from)?.iter().filter(|name| name.ends_with(".pem")) {
            let path = from.join(name);
            let size = fs::metadata(&path).map_err(failed(&path))?.len();
            if size > MAX_KEY {
                let reason = format!("{size} bytes, expected a private key of at most {MAX_KEY}");
                return Err(failed(&path)(io::Error::other(reason)));
            }
            let pem = zeroize::Zeroizing::new(fs::read(&path).map_err(failed(&path))?);
            disk::write(&self.layout.keys().join(name), &pem)?;
        }
        Ok(())
    }

    /// Writes what a start compares the logs with, brings the trust repository above what clients have seen, and gives
    /// the folder its name.
    pub(super) async fn finish(
        self,
        logs: &[StoredLog],
        registry: Registry,
        missed: u64,
        now: SystemTime,
    ) -> Result<(), FolderError> {
        let heads: Vec<Published> = logs.iter().map(Published::from).collect();
        FileAnchor::new(self.layout.published()).advance(&heads).await?;
        let json = registry.to_json()?;
        // Otherwise the trust repository is another process'.
        if registry.in_use(Role::TufOnline).is_some() {
            let keys = Keys::load(&self.layout, registry, Roles::all())?;
            repository::skip_versions(&self.layout, &keys, missed, now)?;
        }
        disk::write(&self.layout.registry(), json.as_bytes())?;
        let (from, to) = (self.layout.root(), &self.target);
        fs::File::open(from)
            .and_then(|folder| folder.sync_all())
            .map_err(failed(from))?;
        // An empty folder of that name is replaced, anything else is not (POSIX rename).
        fs::rename(from, to).map_err(failed(to))?;
        let parent = to.parent().unwrap_or(Path::new("/"));
        fs::File::open(parent)
            .and_then(|folder| folder.sync_all())
            .map_err(failed(parent))
    }
}

/// Only what a backup copies: a path within one of the folders, without detours.
fn check_path(path: &str) -> Result<(), FolderError> {
    let mut parts = Path::new(path).components();
    let first = match parts.next() {
        Some(Component::Normal(first)) => first.to_str().unwrap_or_default(),
        _ => "",
    };
    let plain = !path.contains('\0') && parts.clone().all(|part| matches!(part, Component::Normal(_)));
    let (within, depth) = (
        ["keys", "tuf", "trust", "tls", "scorecard"].contains(&first),
        parts.count(),
    );
    if plain && ((within && (1..=4).contains(&depth)) || path == "published") {
        Ok(())
    } else {
        Err(FolderError::Path(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn paths_stay_within_the_folders_of_a_data_folder() {
        for good in [
            "keys/registry.json",
            "tuf/targets/ab.pub",
            "published",
            "tls/ca.pem",
        ] {
            assert!(check_path(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "keys",
            "keys/",
            "../keys/a",
            "keys/../../a",
            "/etc/passwd",
            "sigbox.db",
            "lock",
            "keys/./../../x",
            "published/x",
            "tuf/a/b/c/d/e",
            "keys/\0",
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_without_the_keys_is_named_as_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("old"));
        let url: crate::public_url::PublicUrl = "http://localhost:3000".parse().unwrap();
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000);
        let keys = Keys::open(&layout, &url.into(), &crate::keys::Places::default(), now).unwrap();
        let about = About {
            created: 0,
            version: String::new(),
            with_keys: false,
            secret: common_engine::IndexSecret([0; 32]),
            logs: Vec::new(),
            files: Vec::new(),
        };
        let target = Target::new(&folder.path().join("new")).unwrap();
        let wrong = folder.path().join("wrong");
        fs::create_dir(&wrong).unwrap();
        let refused = target.create(&about, Some(&wrong), keys.registry());
        let said = refused.err().unwrap().to_string();
        assert!(
            said.starts_with(&format!("{} lacks ", wrong.display())) && !said.contains("partial"),
            "{said}"
        );
        target
            .create(&about, Some(&layout.keys()), keys.registry())
            .unwrap();
        assert!(!folder.path().join("new.partial").exists());
    }

    #[test]
    fn what_is_there_is_never_restored_over() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Target::new(&folder.path().join("new")).is_ok());
        assert!(Target::new(folder.path()).is_ok(), "an empty folder");
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(matches!(Target::new(folder.path()), Err(FolderError::Taken(_))));
        assert!(matches!(
            Target::new(&folder.path().join("file")),
            Err(FolderError::Taken(_))
        ));
    }
}
