//! Files of the data folder: [`common_backend::durable`] writes that name the file they failed on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use common_backend::durable;

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", .path.display())]
pub(crate) struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Creates `folder` and its missing parents, for the owner only.
///
/// # Errors
/// [`FileError`].
pub(crate) fn create_folder(folder: &Path) -> Result<(), FileError> {
    durable::create_folder(folder).map_err(failed("create", folder))
}

/// Replaces `path` by `content` durably, for the owner only.
///
/// # Errors
/// [`FileError`].
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    durable::write(path, content).map_err(failed("write", path))
}

/// [`write`], unless the file has that content already.
///
/// # Errors
/// [`FileError`].
pub(crate) fn write_if_changed(path: &Path, content: &[u8]) -> Result<(), FileError> {
    match fs::read(path) {
        Ok(old) if old == content => Ok(()),
        _ => write(path, content),
    }
}

/// The content of `path`, `None` when there is no such file.
///
/// # Errors
/// [`FileError`] when it exists and cannot be read.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Names of the files in `folder`; none when there is no such folder.
///
/// # Errors
/// [`FileError`] when it exists and cannot be read.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, FileError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(
            entry
                .map_err(failed("read", folder))?
                .file_name()
                .into_string()
                .ok(),
        );
    }
    Ok(names)
}
