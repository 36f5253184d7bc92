//! The files of a data folder that are not the database, all as of one moment.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common_backend::archive::FileEntry;

use crate::layout::Layout;

/// Largest file that is copied, and how deep folders go: the trust repository has one folder within.
const MAX_FILE: u64 = 64 << 20;
const MAX_DEPTH: usize = 4;
/// Twice read the same, so often at most. The trust repository is signed anew in a fraction of a second.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(200);
/// What every PEM of a private key says (RFC 7468 §10, §13).
const PRIVATE: &[u8] = b"PRIVATE KEY-----";

/// The files cannot be copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing that belongs there.
    #[error("{} is {what}: it does not belong into a data folder, move it away", .path.display())]
    Strange {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Somebody writes to them all the time.
    #[error("the files of {} change all the time: nothing could be copied", .0.display())]
    Restless(PathBuf),
}

/// The files of the folders `keys`, `tuf`, `trust`, `tls` and `scorecard`. Each is read twice; if nothing has changed from one time to
/// the other, all of them stood so at one moment in between.
pub(crate) fn collect(layout: &Layout, with_keys: bool) -> Result<Vec<FileEntry>, CollectError> {
    let mut files = settled(|| read_all(layout))?.ok_or(CollectError::Restless(layout.root().to_owned()))?;
    files.retain(|file| with_keys || !is_private(file));
    Ok(files)
}

/// What two readings in a row agree on; `None` if they never do.
fn settled<T: PartialEq>(
    mut read: impl FnMut() -> Result<T, CollectError>,
) -> Result<Option<T>, CollectError> {
    let mut before = read()?;
    for _ in 0..ATTEMPTS {
        let after = read()?;
        if after == before {
            return Ok(Some(after));
        }
        before = after;
        std::thread::sleep(PAUSE);
    }
    Ok(None)
}

/// One file of the folder, none if it is not there.
pub(crate) fn one(layout: &Layout, path: &Path) -> Result<Vec<FileEntry>, CollectError> {
    let mut files = Vec::new();
    if path.exists() {
        files.push(read(layout, path)?);
    }
    Ok(files)
}

/// In `keys` everything but the registry; elsewhere what is a private key by its content.
fn is_private(file: &FileEntry) -> bool {
    let of_keys = file.path.starts_with("keys/") && file.path != "keys/registry.json";
    of_keys || file.data.windows(PRIVATE.len()).any(|window| window == PRIVATE)
}

fn read_all(layout: &Layout) -> Result<Vec<FileEntry>, CollectError> {
    let mut files = Vec::new();
    for folder in [
        layout.keys(),
        layout.tuf(),
        layout.trust(),
        layout.tls(),
        layout.scorecard(),
    ] {
        read_folder(layout, &folder, MAX_DEPTH, &mut files)?;
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read_folder(
    layout: &Layout,
    folder: &Path,
    depth: usize,
    files: &mut Vec<FileEntry>,
) -> Result<(), CollectError> {
    let failed = |source| CollectError::Read {
        path: folder.to_owned(),
        source,
    };
    let strange = |what| CollectError::Strange {
        path: folder.to_owned(),
        what,
    };
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| strange("a folder in folders"))?;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        // A write that is under way, or was cut: nobody reads it under this name.
        if path.extension().is_some_and(|extension| extension == "new") {
            continue;
        }
        // A key may be a link into a mounted secret: its content is what counts.
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => read_folder(layout, &path, depth, files)?,
            Ok(_) => files.push(read(layout, &path)?),
            // It was renamed meanwhile; the next reading shows it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(CollectError::Read { path, source }),
        }
    }
    Ok(())
}

fn read(layout: &Layout, path: &Path) -> Result<FileEntry, CollectError> {
    let failed = |source| CollectError::Read {
        path: path.to_owned(),
        source,
    };
    let strange = |what| CollectError::Strange {
        path: path.to_owned(),
        what,
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(strange("not a file"));
    }
    if metadata.len() > MAX_FILE {
        return Err(strange("larger than 64 MiB"));
    }
    let name = path.strip_prefix(layout.root()).ok().and_then(Path::to_str);
    Ok(FileEntry {
        path: name
            .ok_or_else(|| strange("of a name that is not UTF-8"))?
            .to_owned(),
        mode: metadata.permissions().mode() & 0o777,
        data: fs::read(path).map_err(failed)?.into(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    fn folder() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in [
            ("keys/registry.json", "{}"),
            ("keys/a.pem", "-----BEGIN PRIVATE KEY-----"),
            ("keys/other", "anything"),
            ("tls/ca.pem", "-----BEGIN CERTIFICATE-----"),
            ("tls/ca.key.pem", "-----BEGIN EC PRIVATE KEY-----"),
            ("tuf/timestamp.json", "{}"),
            ("tuf/timestamp.json.new", "half"),
            ("tuf/targets/x.json", "{}"),
            ("sigbox.db", "not by this way"),
            ("lock", "1"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let layout = Layout::new(folder.path().to_owned());
        (folder, layout)
    }

    fn paths(files: &[FileEntry]) -> Vec<&str> {
        files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn keys_trust_and_tls_are_copied_and_nothing_else() {
        let (_folder, layout) = folder();
        let files = collect(&layout, true).unwrap();
        assert_eq!(
            paths(&files),
            [
                "keys/a.pem",
                "keys/other",
                "keys/registry.json",
                "tls/ca.key.pem",
                "tls/ca.pem",
                "tuf/targets/x.json",
                "tuf/timestamp.json"
            ]
        );
        assert!(one(&layout, &layout.published()).unwrap().is_empty());
    }

    #[test]
    fn without_keys_there_is_no_private_key_whatever_its_name() {
        let (_folder, layout) = folder();
        let files = collect(&layout, false).unwrap();
        assert_eq!(
            paths(&files),
            [
                "keys/registry.json",
                "tls/ca.pem",
                "tuf/targets/x.json",
                "tuf/timestamp.json"
            ]
        );
    }

    #[test]
    fn files_that_never_rest_are_not_copied() {
        let mut reading = 0;
        let restless = settled(|| {
            reading += 1;
            Ok(reading)
        });
        assert_eq!(restless.unwrap(), None);
        let mut readings = [1, 2, 3, 3, 4].into_iter();
        let resting = settled(|| Ok(readings.next()));
        assert_eq!(resting.unwrap(), Some(Some(3)));
    }
}
