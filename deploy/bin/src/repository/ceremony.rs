//! Where a root that its holders have signed is handed in: a file in the data folder, so that whoever may write there may
//! hand it in, and a server that is down takes it up at its next start.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use common_bundle::tuf::{Proposal, TufError};

use crate::disk::{self, FileError};
use crate::layout::Layout;

/// How often a running server looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The root that is handed in.
pub(crate) fn inbox(layout: &Layout) -> PathBuf {
    layout.root().join("next-root.json")
}

/// Why the last one was not published.
pub(crate) fn refusal(layout: &Layout) -> PathBuf {
    layout.root().join("next-root.refused")
}

/// Waits until one is handed in.
pub(crate) async fn proposed(layout: &Layout) {
    let inbox = inbox(layout);
    while !tokio::fs::try_exists(&inbox).await.unwrap_or_default() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is handed in, if anything is.
pub(super) fn handed_in(layout: &Layout) -> Result<Option<Result<Proposal, TufError>>, FileError> {
    Ok(disk::read(&inbox(layout))?.map(|json| Proposal::parse(&json)))
}

/// It is published.
pub(super) fn done(layout: &Layout) -> Result<(), FileError> {
    remove(inbox(layout))
}

/// It cannot be published.
pub(super) fn refuse(layout: &Layout, why: &TufError) -> Result<(), FileError> {
    disk::write(&refusal(layout), format!("{why}\n").as_bytes())?;
    remove(inbox(layout))
}

pub(crate) fn remove(path: PathBuf) -> Result<(), FileError> {
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk::failed("remove", &path)(error)),
        _ => Ok(()),
    }
}
