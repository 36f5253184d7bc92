//! Files that a command writes where its user says.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file that others may be reading, or that was all they had: there is the old content or the new, never a part. A new
/// file has the permissions that [`fs::write`] would give it, one that is replaced keeps its own. What is no file of its own, a
/// link, a pipe or a terminal such as `/dev/stdout`, is written to where it is.
///
/// # Errors
/// The new content is not there; of what would have been replaced, the old is.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    // Not what a link leads to: `/dev/stdout` may lead to a file that is open, and must stay the one it is.
    let old = match fs::symlink_metadata(path) {
        Ok(old) if old.is_file() => Some(old),
        Ok(_) => return fs::write(path, content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut new = beside(path)?;
    if let Some(old) = old {
        new.as_file().set_permissions(old.permissions())?;
    }
    new.write_all(content)?;
    // What is not renamed is removed when it goes out of scope.
    new.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Whether [`replace`] can write there, as far as that shows before: for who does something in between that is done for good.
/// Nothing is written. What is no file and no folder is not touched: a pipe that is opened and closed has ended for its reader.
///
/// # Errors
/// What [`replace`] would answer.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    let in_place = match fs::symlink_metadata(path) {
        Ok(old) => !old.is_file(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if !in_place {
        return beside(path).map(drop);
    }
    match fs::metadata(path) {
        Ok(led_to) if led_to.is_file() || led_to.is_dir() => {
            fs::OpenOptions::new().write(true).open(path).map(drop)
        }
        Ok(_) => Ok(()),
        // A link to a file that would be made.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            check(&path.parent().unwrap_or(path).join(fs::read_link(path)?))
        }
        Err(error) => Err(error),
    }
}

/// A new file in the folder of another, with what the umask leaves of its permissions.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    tempfile::Builder::new()
        .prefix(".sigbox-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("out.json"), folder.path().join("other"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let names = || fs::read_dir(folder.path()).unwrap().count();

        replace(&path, b"old").unwrap();
        fs::write(&other, "").unwrap();
        assert_eq!(mode(&path), mode(&other), "as others are made");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let mut reader = fs::File::open(&path).unwrap();
        replace(&path, b"new content").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new content");
        assert_eq!(mode(&path), 0o640);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "old", "who had it open has all of the old one");

        fs::create_dir(folder.path().join("folder")).unwrap();
        replace(&folder.path().join("folder"), b"x").unwrap_err();
        replace(&folder.path().join("absent/file"), b"x").unwrap_err();
        assert_eq!(names(), 3, "nothing is left behind");
    }

    #[test]
    fn what_a_link_leads_to_is_written_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut reader = fs::File::open(&path).unwrap();
        replace(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "new");
        replace(Path::new("/dev/null"), b"x").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn what_could_not_be_written_is_known_before_and_nothing_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, at(name)).unwrap();
        fs::write(at("file"), "old").unwrap();
        link("file", "link");
        link("new", "dangling");
        link("absent/new", "astray");
        let entries = || fs::read_dir(folder.path()).unwrap().count();
        let before = entries();
        for name in ["file", "new", "link", "dangling", "/dev/null"] {
            check(&at(name)).unwrap();
        }
        for name in ["absent/new", "file/new", "", "astray"] {
            check(&at(name)).unwrap_err();
            replace(&at(name), b"x").unwrap_err();
        }
        assert_eq!(fs::read(at("file")).unwrap(), b"old");
        assert_eq!(entries(), before);
    }
}
