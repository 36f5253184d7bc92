//! Files that survive a power cut: after [`write`] returns, the old content is gone and the new one is on disk;
//! before, a reader finds the old or the new one, never a part.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Replaces `path` by `content`, readable by its owner only.
///
/// The folder stays open throughout, so that an error of an earlier write-back to it is reported here and not lost
/// (sunlight `internal/durable/path.go`). One writer per path: the temporary name is fixed.
///
/// # Errors
/// The file has the old content then, except after an error of the last step, where either may be on disk.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let parent = parent(path);
    let folder = File::open(&parent)?;
    let mut name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?
        .to_owned();
    name.push(".new");
    let temporary = parent.join(name);
    // A left-over of a crash: it was never renamed, so nobody has seen it.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    folder.sync_all()
}

/// Creates a folder that only its owner may enter, with its parents, and makes its name durable.
///
/// # Errors
/// When it cannot be created, or something else has the name.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent(path);
    create_folder(&parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => return Err(error),
        _ => {}
    }
    File::open(path)?.sync_all()?;
    File::open(parent)?.sync_all()
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests;
