//! The archive's form: regular files in a tar, sorted, without owners or times, so that the same trust gives the same bytes.

use std::io::Read as _;
use std::path::Path;

use super::Files;

/// Most files an archive may hold: a root for each rotation, and a target for each key, twice over.
const MOST_FILES: usize = 1024;
/// Most bytes of one archive.
const MOST_BYTES: u64 = 64 << 20;

/// It is no archive of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Read(String, std::io::Error),
    /// It cannot be made.
    #[error("the archive cannot be made: {0}")]
    Write(#[from] std::io::Error),
    /// Something else than a file, or a name that is none.
    #[error("{0}: expected regular files alone, got {1:?}")]
    Entry(String, String),
    /// Too much.
    #[error("{0}: expected at most {MOST_FILES} files of {MOST_BYTES} bytes in all, got more")]
    TooLarge(String),
}

/// Packs files.
///
/// # Errors
/// [`ArchiveError::Write`] when a path is too long for the format.
pub(super) fn pack(files: &Files) -> Result<Vec<u8>, ArchiveError> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_slice())?;
    }
    Ok(archive.into_inner()?)
}

/// Reads an archive into memory. Nothing is written: a path in it is a name to look up, not a place.
///
/// # Errors
/// [`ArchiveError`].
pub(super) fn unpack(file: &Path) -> Result<Files, ArchiveError> {
    let name = file.display().to_string();
    let read = |error| ArchiveError::Read(name.clone(), error);
    let mut archive = tar::Archive::new(std::fs::File::open(file).map_err(read)?.take(MOST_BYTES));
    let mut files = Files::new();
    for entry in archive.entries().map_err(read)? {
        let mut entry = entry.map_err(read)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !entry.header().entry_type().is_file() {
            return Err(ArchiveError::Entry(name, path));
        }
        if files.len() >= MOST_FILES || entry.size() > MOST_BYTES {
            return Err(ArchiveError::TooLarge(name));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(read)?;
        if files.insert(path.clone(), content).is_some() {
            return Err(ArchiveError::Entry(name, path));
        }
    }
    Ok(files)
}
