#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::super::tests::{LOG, engine, fill, store};
use super::*;
use common_engine::{Batch, LogState, Storage};

/// Names and contents of all files of the database but `-shm`, which is an index in memory with a name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| name.starts_with("sigbox.db") && !name.ends_with("-shm"))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_is_read_beside_and_never_written() {
    let dir = tempfile::tempdir().unwrap();
    let server = engine(dir.path(), Arc::new(store(dir.path()).await))
        .await
        .unwrap();
    fill(&server, "first", 300).await;
    let reader = SqliteStorage::open_read_only(dir.path()).await.unwrap();
    assert_eq!(reader.logs().await.unwrap()[0].head.size, 300);
    assert_eq!(reader.integrity().await.unwrap(), [""; 0]);
    // What is committed later is seen too.
    fill(&server, "second", 20).await;
    assert_eq!(reader.logs().await.unwrap()[0].head.size, 320);
    assert_eq!(reader.leaves(LOG, 318, 8).await.unwrap().len(), 2);

    let nothing = Batch {
        logs: Vec::new(),
        index: Vec::new(),
        attachments: Vec::new(),
    };
    let before = files(dir.path());
    let written = [
        reader.commit(&nothing).await.map(drop),
        reader.set_state(LOG, LogState::Frozen).await.map(drop),
        reader
            .create_log(&reader.logs().await.unwrap()[0])
            .await
            .map(drop),
        reader.probe().await,
    ];
    for outcome in written {
        assert!(outcome.unwrap_err().to_string().contains("for reading only"));
    }
    reader.close().await;
    assert!(files(dir.path()) == before, "a file was changed");
    fill(&server, "third", 20).await;
    server.shutdown().await;
}

/// A folder with what is in the files while a server runs.
async fn crashed() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let server = engine(dir.path(), Arc::new(store(dir.path()).await))
        .await
        .unwrap();
    fill(&server, "first", 300).await;
    let crashed = tempfile::tempdir().unwrap();
    for name in ["sigbox.db", "sigbox.db-wal"] {
        fs::copy(dir.path().join(name), crashed.path().join(name)).unwrap();
    }
    server.shutdown().await;
    crashed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_in_the_log_is_read_and_stays_there() {
    let crashed = crashed().await;
    let before = files(crashed.path());
    let log = &before[1];
    assert!(
        log.0.ends_with("-wal") && log.1.len() > 20_000,
        "the log holds the leaves"
    );
    let reader = SqliteStorage::open_read_only(crashed.path()).await.unwrap();
    assert_eq!(reader.logs().await.unwrap()[0].head.size, 300);
    assert_eq!(reader.leaves(LOG, 0, 1_000).await.unwrap().len(), 300);
    reader.close().await;
    drop(reader);
    assert!(files(crashed.path()) == before, "a file was changed");
    // The next start recovers it as if nobody had looked.
    let server = engine(crashed.path(), Arc::new(store(crashed.path()).await))
        .await
        .unwrap();
    fill(&server, "second", 10).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_folder_without_a_database_gets_none() {
    let dir = tempfile::tempdir().unwrap();
    let error = SqliteStorage::open_read_only(dir.path()).await.unwrap_err();
    assert!(error.to_string().starts_with("there is no database "), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_at_rest_is_read_without_an_index_and_nobody_writes_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let storage = Arc::new(store(dir.path()).await);
    let server = engine(dir.path(), storage.clone()).await.unwrap();
    fill(&server, "first", 300).await;
    let busy = at_rest(dir.path(), &path).unwrap_err();
    assert!(busy.contains("in use"), "{busy}");
    server.shutdown().await;
    storage.close().await;

    // As the last user leaves it. What is left of this one may still have the lock for a moment.
    let copy = tempfile::tempdir().unwrap();
    let dir = copy.path();
    fs::copy(&path, dir.join(FILE)).unwrap();
    fs::write(dir.join("lock"), "1\n").unwrap();
    let path = dir.join(FILE);
    let names = || fs::read_dir(dir).unwrap().count();
    let (before, count) = (files(dir), names());
    let rest = at_rest(dir, &path).unwrap();
    let reader = SqliteStorage::read_with(still(&path), Some(rest)).await.unwrap();
    assert_eq!(reader.logs().await.unwrap()[0].head.size, 300);
    assert_eq!(reader.leaves(LOG, 0, 1_000).await.unwrap().len(), 300);
    assert_eq!(reader.integrity().await.unwrap(), [""; 0]);
    assert!(reader.probe().await.is_err());
    assert_eq!(names(), count, "no index and no log was made");
    assert!(crate::folder::DataFolder::open(dir).is_err());
    reader.close().await;
    drop(reader);
    assert!(files(dir) == before, "a file was changed");
    store(dir).await.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_is_not_passed_over() {
    let crashed = crashed().await;
    let path = crashed.path().join(FILE);
    let why = at_rest(crashed.path(), &path).unwrap_err();
    assert!(
        why.contains("sigbox.db-wal has ") && why.contains("left by a crash"),
        "{why}"
    );
    fs::write(crashed.path().join("sigbox.db-wal"), "").unwrap();
    at_rest(crashed.path(), &path).unwrap();
}

/// Another user's folder is neither empty nor damaged. Tests may run as root, to whom no folder is closed: a link in a circle
/// cannot be followed by anybody.
#[tokio::test]
async fn what_cannot_be_looked_at_is_not_missing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let error = SqliteStorage::open_read_only(dir.path()).await.unwrap_err();
    assert!(matches!(error, SqliteError::Unreadable { .. }), "{error}");
    assert!(!error.may_be_damage(), "{error}");
    fs::remove_file(&path).unwrap();
    fs::write(&path, [b'x'; 8_192]).unwrap();
    let error = SqliteStorage::open_read_only(dir.path()).await.unwrap_err();
    assert!(error.may_be_damage(), "{error}");
}
