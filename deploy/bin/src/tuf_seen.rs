//! What was seen of TUF repositories, kept from run to run, so that nobody can show this client an earlier state of one.
//!
//! A file for each repository and each root that trust in it began with: another beginning is another trust.

use std::fs::File;
use std::path::{Path, PathBuf};

use common_bundle::tuf::Seen;
use common_pki::key::sha256;

use crate::disk::{self, FileError};
use crate::xdg;

/// Why what was seen cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeenError {
    /// A file or folder.
    #[error("{0}\nWhat was seen of a repository is kept there; --tuf-seen DIR names another folder")]
    File(#[from] FileError),
    /// Changed by somebody else, or damaged.
    #[error("{}: not what was written there: {cause}\nWithout the file, the next update trusts what it sees first", .path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// What the parser says.
        cause: serde_json::Error,
    },
}

/// The folder of a user, where there is one.
pub(crate) fn folder() -> Option<PathBuf> {
    let data = xdg::folder("XDG_DATA_HOME", ".local/share");
    data.map(|data| data.join("sigbox/tuf"))
}

/// Where what was seen of one repository is kept.
pub(crate) struct Kept {
    folder: PathBuf,
    file: PathBuf,
}

impl Kept {
    /// Of the repository at `url`, in which trust began with `root`.
    pub(crate) fn new(folder: &Path, url: &str, root: &[u8]) -> Kept {
        let name = sha256(format!("{} {}", hex::encode(sha256(root)), url.trim_end_matches('/')).as_bytes());
        Kept {
            folder: folder.to_owned(),
            file: folder.join(format!("{}.json", hex::encode(name))),
        }
    }

    /// What was kept, if anything was.
    ///
    /// # Errors
    /// [`SeenError`].
    pub(crate) fn read(&self) -> Result<Option<Seen>, SeenError> {
        let Some(json) = disk::read(&self.file)? else {
            return Ok(None);
        };
        let seen = serde_json::from_slice(&json);
        seen.map(Some).map_err(|cause| self.wrong(cause))
    }

    /// Keeps `seen`, unless another process has kept something newer meanwhile.
    ///
    /// # Errors
    /// [`SeenError`].
    pub(crate) fn keep(&self, seen: &Seen) -> Result<(), SeenError> {
        disk::create_folder(&self.folder)?;
        let path = self.folder.join("lock");
        let lock = File::create(&path).map_err(disk::failed("create", &path))?;
        lock.lock().map_err(disk::failed("lock", &path))?;
        if self.read()?.is_some_and(|kept| kept >= *seen) {
            return Ok(());
        }
        let json = serde_json::to_vec(seen).map_err(|cause| self.wrong(cause))?;
        Ok(disk::write(&self.file, &json)?)
    }

    fn wrong(&self, cause: serde_json::Error) -> SeenError {
        SeenError::Json {
            path: self.file.clone(),
            cause,
        }
    }
}

#[cfg(test)]
mod tests;
