//! The data folder, used by one process at a time.
//!
//! Two writers on one folder were behind every split view in the field that had no attacker. The lock belongs to
//! the open file and not to a name or a process number, so a crash releases it and a stale file does no harm. Who only
//! reads needs none, unless what is read must not change meanwhile ([`AtRest`]).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::durable::create_folder;

/// The file that is locked.
const LOCK: &str = "lock";

/// A data folder of which this process is the only user. Dropping it lets others in.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process uses it.
    #[error("the data folder {} is in use by process {holder}: stop it, or choose another folder", .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Its process number, or `unknown`.
        holder: String,
    },
    /// It cannot be created or written.
    #[error("the data folder {} cannot be used: {source}", .path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DataFolder {
    /// Creates the folder if it is missing, and locks it.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let path = path.into();
        match lock(&path) {
            Ok(Ok(lock)) => Ok(Self { path, _lock: lock }),
            Ok(Err(holder)) => Err(FolderError::InUse { path, holder }),
            Err(source) => Err(FolderError::Io { path, source }),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A data folder that nobody writes to, for as long as this lives. Nothing in it is changed, so it may be on a file system that
/// takes no writes.
#[derive(Debug)]
pub struct AtRest {
    /// Absent where no server ever ran on the folder: it is a copy.
    _lock: Option<File>,
}

impl AtRest {
    /// Keeps the folder as it is.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn keep(path: &Path) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Io {
            path: path.to_owned(),
            source,
        };
        let file = match File::open(path.join(LOCK)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self { _lock: None }),
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Self { _lock: Some(file) }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse {
                path: path.to_owned(),
                holder: holder(file),
            }),
        }
    }
}

/// The locked file, or who holds the lock.
fn lock(folder: &Path) -> io::Result<Result<File, String>> {
    create_folder(folder)?;
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(error),
        Err(TryLockError::WouldBlock) => return Ok(Err(holder(file))),
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Ok(file))
}

/// Who has the lock, for a message: whoever it is may just be writing that.
fn holder(file: File) -> String {
    let mut holder = String::new();
    let _ = file.take(20).read_to_string(&mut holder);
    let known = holder.trim().parse::<u32>().is_ok();
    if known {
        holder.trim().to_owned()
    } else {
        "unknown".to_owned()
    }
}

#[cfg(test)]
mod tests;
