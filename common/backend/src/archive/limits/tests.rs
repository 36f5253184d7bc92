#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use std::path::Path;

use bytes::Bytes;
use common_engine::IndexSecret;
use tempfile::TempDir;

use super::super::{About, Archive, ArchiveError, Writer};
use super::*;

/// A backup of files alone.
async fn written(files: Vec<FileEntry>, path: &Path) -> Result<u64, ArchiveError> {
    let about = About {
        created: 0,
        version: String::new(),
        with_keys: false,
        secret: IndexSecret([7; 32]),
        logs: Vec::new(),
        files,
    };
    Writer::create(path).await?.finish(&about).await
}

#[tokio::test]
async fn as_many_files_as_years_of_results_have_are_read_back() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("backup");
    let file = |number: u32| FileEntry {
        path: format!("scorecard/github.com/org/repo@{number}.json"),
        mode: 0o644,
        data: number.to_string().into(),
    };
    let files: Vec<FileEntry> = (0..10_500).map(file).collect();
    written(files.clone(), &path).await.unwrap();
    let archive = Archive::open(&path).await.unwrap();
    assert!(archive.about().files == files);
}

#[tokio::test]
async fn what_could_not_be_read_back_is_not_written() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("backup");
    // More than 1 GiB, in the memory of 64 MiB.
    let data = Bytes::from(vec![0u8; 64 << 20]);
    let file = |number: u32| FileEntry {
        path: format!("scorecard/github.com/org/repo@{number}.json"),
        mode: 0o644,
        data: data.clone(),
    };
    let error = written((0..17).map(file).collect(), &path).await.unwrap_err();
    assert!(matches!(error, ArchiveError::TooMuch { .. }), "{error}");
    let said = error.to_string();
    assert!(
        said.contains("at most 1073741824 bytes of files, got 11408") && said.contains("scorecard"),
        "{said}"
    );
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn the_limits_are_the_last_that_fit() {
    assert!(fits(MAX_FILES, MAX_FILE_BYTES).is_ok());
    let files = fits(MAX_FILES + 1, 0).unwrap_err();
    assert_eq!((files.limit, files.got), (MAX_FILES, MAX_FILES + 1));
    let bytes = fits(0, MAX_FILE_BYTES + 1).unwrap_err();
    assert_eq!((bytes.limit, bytes.got), (MAX_FILE_BYTES, MAX_FILE_BYTES + 1));
}
