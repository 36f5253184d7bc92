#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ::tests::postgres::Server;
use common_engine::{Record, Records as _, Shelf};

use super::*;
use crate::postgres::{PostgresConfig, PostgresError, PostgresStorage};
use crate::sqlite::SqliteError;

const SHELF: Shelf = Shelf("names");

fn record(key: &str, data: &str) -> Record {
    Record {
        key: key.to_owned(),
        alias: None,
        time: 1,
        data: data.as_bytes().to_vec().into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_in_sqlite() {
    let folders = Mutex::new(Vec::new());
    common_engine::contract::check_records(async || {
        let folder = tempfile::tempdir().unwrap();
        let open = async || Arc::new(SqliteRecords::open(folder.path()).await.unwrap());
        let handles = [open().await, open().await];
        folders.lock().unwrap().push(folder);
        handles
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_in_postgresql() {
    let server = Server::shared();
    let name = server.database();
    let count = Mutex::new(0);
    common_engine::contract::check_records(async || {
        let number = {
            let mut count = count.lock().unwrap();
            *count += 1;
            *count
        };
        let config = PostgresConfig::new(&server.url(&name), &format!("records_{number}")).unwrap();
        PostgresStorage::open(config.clone()).await.unwrap().close().await;
        let open = async || Arc::new(PostgresRecords::open(config.clone()).await.unwrap());
        [open().await, open().await]
    })
    .await;
}

/// A table of records alone would keep the logs out of the schema.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_logs_come_first_in_postgresql() {
    let server = Server::shared();
    let config = PostgresConfig::new(&server.url(&server.database()), "sigbox").unwrap();
    let early = PostgresRecords::open(config.clone()).await;
    assert!(matches!(early, Err(PostgresError::Foreign(_))), "{early:?}");
    PostgresStorage::open(config.clone()).await.unwrap().close().await;
    let records = PostgresRecords::open(config.clone()).await.unwrap();
    records.add(SHELF, &[record("k", "v")]).await.unwrap();
    records.close().await;
    // And the logs still open.
    PostgresStorage::open(config).await.unwrap().close().await;
}

#[tokio::test]
async fn what_is_deleted_is_overwritten_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let records = SqliteRecords::open(folder.path()).await.unwrap();
    let secret = "somebody@example.com, of whom nothing must stay";
    let found = |expected: bool| {
        let files = std::fs::read_dir(folder.path()).unwrap();
        let found = files.into_iter().any(|file| holds(&file.unwrap().path(), secret));
        assert_eq!(found, expected);
    };
    records
        .add(SHELF, &[record("k", secret), record("l", "another")])
        .await
        .unwrap();
    found(true);
    assert!(records.remove(SHELF, "k").await.unwrap());
    found(false);
    records.close().await;
    found(false);
}

fn holds(path: &Path, text: &str) -> bool {
    let content = std::fs::read(path).unwrap();
    content.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn the_file_is_its_owner_s_and_of_this_version() {
    let folder = tempfile::tempdir().unwrap();
    let missing = SqliteRecords::open_existing(folder.path()).await;
    assert!(matches!(missing, Err(SqliteError::Missing(_))), "{missing:?}");
    // What cannot be looked at, here a link in a circle, may be there: it is not said that nothing was kept.
    let path = folder.path().join(FILE);
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let closed = SqliteRecords::open_existing(folder.path()).await;
    assert!(
        matches!(closed, Err(SqliteError::Unreadable { .. })),
        "{closed:?}"
    );
    std::fs::remove_file(&path).unwrap();
    let records = SqliteRecords::open(folder.path()).await.unwrap();
    records.add(SHELF, &[record("k", "v")]).await.unwrap();
    let mode = std::fs::metadata(folder.path().join(FILE))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    records.close().await;
    let again = SqliteRecords::open_existing(folder.path()).await.unwrap();
    assert!(again.by_key(SHELF, "k").await.unwrap().is_some());
    sqlx::query("PRAGMA user_version = 9")
        .execute(&again.0)
        .await
        .unwrap();
    again.close().await;
    let later = SqliteRecords::open(folder.path()).await.unwrap_err().to_string();
    assert!(later.contains("layout 9"), "{later}");
}
