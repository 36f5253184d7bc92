//! Who else can reach the private keys. They are written for the owner only; a restored backup, a copy or a mounted volume
//! may have forgotten that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::layout::Layout;

/// Every bit of the group and of others (POSIX `<sys/stat.h>`).
const OTHERS: u32 = 0o077;

/// The keys folder and the key files that users other than the owner have any access to.
#[must_use]
pub(crate) fn exposed(layout: &Layout) -> Vec<PathBuf> {
    let folder = layout.keys();
    // What cannot be listed or looked at cannot be judged; whoever needs it says so.
    let files = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut keys: Vec<_> = files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pem"))
        .collect();
    keys.sort();
    [folder, layout.tls_authority_key()]
        .into_iter()
        .chain(keys)
        .filter(|path| is_exposed(path))
        .collect()
}

fn is_exposed(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0)
}
