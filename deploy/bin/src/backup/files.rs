//! The files of a data folder that are not the database, all as of one moment.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common_backend::archive::{FileEntry, TooMuch, fits};
use common_tlog::{Hash, sha256};

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
    /// More than could be restored.
    #[error(
        "{} is not backed up, because it could not be restored: {excess}. Move results of old commits out of {} \
         (PLATFORM/ORG/REPO@COMMIT.json; what is moved is not served any more)",
        .folder.display(), .scorecard.display()
    )]
    TooMuch {
        /// The data folder.
        folder: PathBuf,
        /// What grows in it.
        scorecard: PathBuf,
        /// What there is too much of.
        excess: TooMuch,
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

/// What two readings in a row agree on by their digests; `None` if they never do. One reading is held at a time, because
/// it may be as large as a backup can be.
fn settled<T, D: PartialEq>(
    mut read: impl FnMut() -> Result<(T, D), CollectError>,
) -> Result<Option<T>, CollectError> {
    let (_, mut before) = read()?;
    for _ in 0..ATTEMPTS {
        let (after, digest) = read()?;
        if digest == before {
            return Ok(Some(after));
        }
        before = digest;
        std::thread::sleep(PAUSE);
    }
    Ok(None)
}

/// One file of the folder, none if it is not there.
pub(crate) fn one(layout: &Layout, path: &Path) -> Result<Vec<FileEntry>, CollectError> {
    let name = name_of(layout, path)?;
    Ok(read(layout, &name)?.into_iter().collect())
}

/// In `keys` everything but the registry; elsewhere what is a private key by its content.
fn is_private(file: &FileEntry) -> bool {
    let of_keys = file.path.starts_with("keys/") && file.path != "keys/registry.json";
    of_keys || file.data.windows(PRIVATE.len()).any(|window| window == PRIVATE)
}

/// A file that a folder lists.
struct Listed {
    /// Path within the data folder.
    name: String,
    /// Bytes of its name and content.
    bytes: u64,
}

/// All files in the order of their names, and a digest over them.
fn read_all(layout: &Layout) -> Result<(Vec<FileEntry>, Hash), CollectError> {
    let mut listed = Vec::new();
    for folder in [
        layout.keys(),
        layout.tuf(),
        layout.trust(),
        layout.tls(),
        layout.scorecard(),
    ] {
        list(layout, &folder, MAX_DEPTH, &mut listed)?;
    }
    check_sum(layout, &listed)?;
    listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let (mut files, mut digest) = (Vec::new(), Hash::default());
    for Listed { name, .. } in &listed {
        if let Some(file) = read(layout, name)? {
            digest = digest_with(&digest, &file);
            files.push(file);
        }
    }
    Ok((files, digest))
}

/// The digest of what was read before, and of a file behind it.
fn digest_with(before: &Hash, file: &FileEntry) -> Hash {
    let length = (file.path.len() as u64).to_be_bytes();
    let (path, mode) = (file.path.as_bytes(), file.mode.to_be_bytes());
    sha256(&[&before.0, &length, path, &mode, &file.data])
}

/// Before anything is read: what does not fit into a backup may not fit into memory either.
fn check_sum(layout: &Layout, listed: &[Listed]) -> Result<(), CollectError> {
    let bytes = listed
        .iter()
        .fold(0u64, |sum, file| sum.saturating_add(file.bytes));
    fits(listed.len() as u64, bytes).map_err(|excess| CollectError::TooMuch {
        folder: layout.root().to_owned(),
        scorecard: layout.scorecard(),
        excess,
    })
}

fn list(layout: &Layout, folder: &Path, depth: usize, listed: &mut Vec<Listed>) -> Result<(), CollectError> {
    let depth = depth
        .checked_sub(1)
        .ok_or_else(|| strange(folder, "a folder in folders"))?;
    let Some(entries) = there(folder, fs::read_dir(folder))? else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry.map_err(|source| CollectError::Read {
            path: folder.to_owned(),
            source,
        })?;
        let path = entry.path();
        // A key may be a link into a mounted secret: its content is what counts.
        let Some(metadata) = there(&path, fs::metadata(&path))? else {
            continue;
        };
        if metadata.is_dir() {
            list(layout, &path, depth, listed)?;
        } else if !is_unfinished(&path, &metadata) {
            check_file(&path, &metadata)?;
            let name = name_of(layout, &path)?;
            let bytes = metadata.len().saturating_add(name.len() as u64);
            listed.push(Listed { name, bytes });
        }
    }
    Ok(())
}

/// A write that is under way, or was cut: nobody reads it under this name. A folder may be called so.
fn is_unfinished(path: &Path, metadata: &Metadata) -> bool {
    metadata.is_file() && path.extension().is_some_and(|extension| extension == "new")
}

/// Only files, of a size that belongs there.
fn check_file(path: &Path, metadata: &Metadata) -> Result<(), CollectError> {
    if !metadata.is_file() {
        return Err(strange(path, "not a file"));
    }
    if metadata.len() > MAX_FILE {
        return Err(strange(path, "larger than 64 MiB"));
    }
    Ok(())
}

/// A file by its path within the data folder, `None` if it is not there.
fn read(layout: &Layout, name: &str) -> Result<Option<FileEntry>, CollectError> {
    let path = layout.root().join(name);
    let Some(metadata) = there(&path, fs::metadata(&path))? else {
        return Ok(None);
    };
    check_file(&path, &metadata)?;
    let content = there(&path, fs::read(&path))?;
    Ok(content.map(|content| FileEntry {
        path: name.to_owned(),
        mode: metadata.permissions().mode() & 0o777,
        data: content.into(),
    }))
}

/// The path within the data folder.
fn name_of(layout: &Layout, path: &Path) -> Result<String, CollectError> {
    let name = path.strip_prefix(layout.root()).ok().and_then(Path::to_str);
    let name = name.ok_or_else(|| strange(path, "of a name that is not UTF-8"))?;
    Ok(name.to_owned())
}

/// `None` where nothing is any more: it was renamed or removed meanwhile, and the next reading shows it.
fn there<T>(path: &Path, found: io::Result<T>) -> Result<Option<T>, CollectError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CollectError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn strange(path: &Path, what: &'static str) -> CollectError {
    CollectError::Strange {
        path: path.to_owned(),
        what,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::rc::Rc;

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
    fn a_folder_may_be_called_as_a_write_that_is_under_way() {
        let (folder, layout) = folder();
        let org = folder.path().join("scorecard/git.example.com/org.new");
        fs::create_dir_all(&org).unwrap();
        fs::write(org.join("repo@newest.json"), "{}").unwrap();
        fs::write(org.join("repo@newest.json.new"), "half").unwrap();
        let files = collect(&layout, true).unwrap();
        let mut results = paths(&files);
        results.retain(|path| path.starts_with("scorecard/"));
        assert_eq!(results, ["scorecard/git.example.com/org.new/repo@newest.json"]);
    }

    #[test]
    fn more_than_could_be_restored_is_refused_before_it_is_read() {
        let (folder, layout) = folder();
        let org = folder.path().join("scorecard/github.com/org");
        fs::create_dir_all(&org).unwrap();
        for number in 0..17 {
            let path = org.join(format!("repo@{number}.json"));
            fs::File::create(path).unwrap().set_len(MAX_FILE).unwrap();
        }
        let error = collect(&layout, true).map(|files| files.len()).unwrap_err();
        assert!(matches!(error, CollectError::TooMuch { .. }), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("at most 1073741824 bytes of files, got 11408") && said.contains("Move results"),
            "{said}"
        );
    }

    #[test]
    fn files_that_never_rest_are_not_copied() {
        let mut reading = 0;
        let restless = settled(|| {
            reading += 1;
            Ok(((), reading))
        });
        assert_eq!(restless.unwrap(), None);
        let mut readings = [1, 2, 3, 3, 4].into_iter();
        let resting = settled(|| {
            let reading = readings.next();
            Ok((reading, reading))
        });
        assert_eq!(resting.unwrap(), Some(Some(3)));
    }

    #[test]
    fn one_reading_is_in_memory_at_a_time() {
        let held = Rc::new(());
        let mut readings = [1, 2, 2].into_iter();
        let resting = settled(|| {
            assert_eq!(Rc::strong_count(&held), 1, "the reading before is still held");
            Ok((Rc::clone(&held), readings.next()))
        });
        assert!(resting.unwrap().is_some());
    }

    #[test]
    fn a_change_of_anything_is_a_change_of_the_digest() {
        let (folder, layout) = folder();
        let (first, before) = read_all(&layout).unwrap();
        assert_eq!(read_all(&layout).unwrap(), (first, before));
        fs::write(folder.path().join("keys/other"), "changed!").unwrap();
        let (_, content) = read_all(&layout).unwrap();
        let mode = fs::Permissions::from_mode(0o444);
        fs::set_permissions(folder.path().join("keys/other"), mode).unwrap();
        let (_, permissions) = read_all(&layout).unwrap();
        fs::rename(folder.path().join("keys/other"), folder.path().join("keys/third")).unwrap();
        let (_, name) = read_all(&layout).unwrap();
        assert!(before != content && content != permissions && permissions != name);
    }
}
