//! How many files of a data folder a backup holds. The side that writes and the side that reads go by the same numbers, so
//! that what is written can be read back.

use super::FileEntry;

/// Most files: `scorecard` keeps one for each published commit, for ever.
pub const MAX_FILES: u64 = 1_000_000;
/// Most bytes of their names and contents together. Either side holds all of them in memory, once.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// More files than a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected at most {limit} {what}, got {got}")]
pub struct TooMuch {
    /// What is counted.
    pub what: &'static str,
    /// Most of them.
    pub limit: u64,
    /// How many there are.
    pub got: u64,
}

/// Whether a backup holds so many files, of so many bytes together.
///
/// # Errors
/// [`TooMuch`].
pub fn fits(files: u64, bytes: u64) -> Result<(), TooMuch> {
    let counted = [
        ("files", MAX_FILES, files),
        ("bytes of files", MAX_FILE_BYTES, bytes),
    ];
    match counted.into_iter().find(|(_, limit, got)| got > limit) {
        Some((what, limit, got)) => Err(TooMuch { what, limit, got }),
        None => Ok(()),
    }
}

/// Whether a backup holds these.
pub(super) fn check(files: &[FileEntry]) -> Result<(), TooMuch> {
    let bytes = files.iter().fold(0u64, |sum, file| {
        let one = (file.path.len() as u64).saturating_add(file.data.len() as u64);
        sum.saturating_add(one)
    });
    fits(files.len() as u64, bytes)
}

#[cfg(test)]
mod tests;
