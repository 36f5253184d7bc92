//! What was seen of TUF repositories, kept from run to run, so that nobody can show this client an earlier state of one.
//!
//! A file for each repository and each root that trust in it began with: another beginning is another trust.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use common_bundle::tuf::Seen;
use common_pki::key::sha256;

/// Why what was seen cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeenError {
    /// A file or folder.
    #[error("{}: {cause}\nWhat was seen of a repository is kept there; --tuf-seen DIR names another folder", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Changed by somebody else, or damaged.
    #[error("{}: not what was written there: {cause}\nWithout the file, the next update trusts what it sees first", .path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// What the parser says.
        cause: serde_json::Error,
    },
}

/// The folder of a user (XDG Base Directory Specification, `XDG_DATA_HOME`), where there is one.
pub(crate) fn folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
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
        match fs::read(&self.file) {
            Ok(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|cause| SeenError::Json {
                    path: self.file.clone(),
                    cause,
                }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Keeps `seen`, unless another process has kept something newer meanwhile.
    ///
    /// # Errors
    /// [`SeenError`].
    pub(crate) fn keep(&self, seen: &Seen) -> Result<(), SeenError> {
        let failed = |cause| self.failed(cause);
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let lock = File::create(self.folder.join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        if self.read()?.is_some_and(|kept| kept >= *seen) {
            return Ok(());
        }
        let json = serde_json::to_vec(seen).map_err(|cause| failed(cause.into()))?;
        let mut next = tempfile::NamedTempFile::new_in(&self.folder).map_err(failed)?;
        next.write_all(&json).map_err(failed)?;
        next.as_file().sync_all().map_err(failed)?;
        next.persist(&self.file).map_err(|error| failed(error.error))?;
        Ok(())
    }

    fn failed(&self, cause: io::Error) -> SeenError {
        SeenError::File {
            path: self.file.clone(),
            cause,
        }
    }
}

#[cfg(test)]
mod tests;
