//! The data folder, used by one process at a time.
//!
//! Two writers on one folder were behind every split view in the field that had no attacker. The lock belongs to
//! the open file and not to a name or a process number, so a crash releases it and a stale file does no harm.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::durable::create_folder;

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
        .open(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(error),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only for the message; the holder may just be writing it.
            let _ = file.take(20).read_to_string(&mut holder);
            let known = holder.trim().parse::<u32>().is_ok();
            return Ok(Err(if known {
                holder.trim().to_owned()
            } else {
                "unknown".to_owned()
            }));
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Ok(file))
}

#[cfg(test)]
mod tests;
