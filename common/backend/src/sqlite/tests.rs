#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use common_engine::{Engine, OpenError, Outcome};
use common_tlog::leaf_hash;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::anchor::FileAnchor;
use crate::testlog::open_engine;
pub(super) use crate::testlog::{LOG, entry, fill};

pub(super) fn folder(path: &Path) -> Arc<DataFolder> {
    Arc::new(DataFolder::open(path).unwrap())
}

pub(super) async fn store(path: &Path) -> SqliteStorage {
    SqliteStorage::open(folder(path)).await.unwrap()
}

pub(super) async fn engine(path: &Path, storage: Arc<SqliteStorage>) -> Result<Engine, OpenError> {
    let anchor = Arc::new(FileAnchor::new(path.join("published")));
    open_engine(storage, anchor).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_of_storage_holds() {
    let dirs = std::sync::Mutex::new(Vec::new());
    common_engine::contract::check(async || {
        let dir = tempfile::tempdir().unwrap();
        let storage = Arc::new(store(dir.path()).await);
        dirs.lock().unwrap().push(dir);
        storage
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_continues_after_a_restart_and_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let first = engine(dir.path(), Arc::new(store(dir.path()).await))
        .await
        .unwrap();
    fill(&first, "first", 700).await;
    let head = first.head(LOG).unwrap();
    assert_eq!(first.search("all", u32::MAX).await.unwrap().len(), 700);
    // A copy of the files as they are now, write-ahead log and all, is what a crash would leave.
    let crashed = tempfile::tempdir().unwrap();
    for name in ["sigbox.db", "sigbox.db-wal"] {
        std::fs::copy(dir.path().join(name), crashed.path().join(name)).unwrap();
    }
    first.shutdown().await;
    drop(first);
    std::fs::copy(dir.path().join("published"), crashed.path().join("published")).unwrap();

    let after_crash = engine(crashed.path(), Arc::new(store(crashed.path()).await))
        .await
        .unwrap();
    assert_eq!(
        after_crash.head(LOG).unwrap(),
        head,
        "what was acknowledged is there"
    );
    fill(&after_crash, "second", 300).await;
    assert_eq!(after_crash.head(LOG).unwrap().size, 1_000);
    let proof = after_crash.consistency_proof(LOG, 700, 1_000).await.unwrap();
    let root = after_crash.head(LOG).unwrap().root;
    common_tlog::proof::verify_consistency(700, 1_000, &head.root, &root, &proof).unwrap();
    for index in [0, 255, 256, 699, 999] {
        let leaf = after_crash.leaf(LOG, index).await.unwrap().unwrap();
        let again = after_crash.find_leaf(LOG, &leaf_hash(&leaf.data)).await.unwrap();
        assert_eq!(again, Some(leaf));
        after_crash.inclusion_proof(LOG, index, 1_000).await.unwrap();
    }
    let duplicate = after_crash
        .submit(LOG, entry("first 0".to_owned()))
        .await
        .unwrap();
    assert!(matches!(duplicate, Outcome::Duplicate(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let first = engine(dir.path(), Arc::new(store(&data).await)).await.unwrap();
    fill(&first, "first", 10).await;
    first.shutdown().await;
    drop(first);
    let reopened = store(&data).await;
    reopened.close().await;
    drop(reopened);
    let backup = std::fs::read(data.join("sigbox.db")).unwrap();
    let second = engine(dir.path(), Arc::new(store(&data).await)).await.unwrap();
    fill(&second, "second", 10).await;
    second.shutdown().await;
    drop(second);
    let newest = store(&data).await;
    newest.close().await;
    drop(newest);

    std::fs::write(data.join("sigbox.db"), backup).unwrap();
    let error = engine(dir.path(), Arc::new(store(&data).await))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("size 10") && error.contains("size 20"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_tile_leaf_or_root_is_refused_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let first = engine(dir.path(), Arc::new(store(&data).await)).await.unwrap();
    fill(&first, "first", 260).await;
    first.shutdown().await;
    drop(first);
    for (damage, named) in [
        (
            "UPDATE tiles SET hashes = zeroblob(length(hashes)) WHERE tile = (1 << 44) + 1",
            "leaf 256",
        ),
        (
            "UPDATE leaves SET data = CAST(data || 'x' AS BLOB) WHERE place = (1 << 40) + 258",
            "leaf 258",
        ),
        ("UPDATE logs SET root = zeroblob(32)", "says 0000"),
        (
            "UPDATE logs SET checkpoint = replace(checkpoint, '260', '261')",
            "checkpoint",
        ),
        ("UPDATE logs SET kind = 'other'", "log row"),
    ] {
        let copy = tempfile::tempdir().unwrap();
        let closed = store(&data).await;
        closed.close().await;
        drop(closed);
        std::fs::copy(data.join("sigbox.db"), copy.path().join("sigbox.db")).unwrap();
        let mut connection = connect_options(&copy.path().join("sigbox.db"))
            .connect()
            .await
            .unwrap();
        sqlx::query(damage).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let error = engine(copy.path(), Arc::new(store(copy.path()).await))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let storage = store(&data).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let files: Vec<_> = std::fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.len() >= 4, "database, log, index and lock: {files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600));
    storage.close().await;
    drop(storage);
}

#[tokio::test]
async fn an_unknown_layout_and_a_foreign_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let storage = store(dir.path()).await;
    storage.close().await;
    drop(storage);
    let options = connect_options(&dir.path().join(FILE));
    for (change, expected) in [
        ("UPDATE store SET version = 4", "layout 4"),
        ("ALTER TABLE store RENAME TO other", "not made by sigbox"),
    ] {
        let mut connection = options.connect().await.unwrap();
        sqlx::query(change).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let error = SqliteStorage::open(folder(dir.path()))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    std::fs::write(
        dir.path().join(FILE),
        "not a database, but a text of some length".repeat(100),
    )
    .unwrap();
    SqliteStorage::open(folder(dir.path())).await.unwrap_err();
}

#[tokio::test]
async fn secrets_differ_between_stores_and_survive_a_restart() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = store(one.path()).await;
    let secret = first.secret().await.unwrap();
    first.close().await;
    drop(first);
    assert_eq!(store(one.path()).await.secret().await.unwrap(), secret);
    assert_ne!(store(two.path()).await.secret().await.unwrap(), secret);
}

#[tokio::test]
async fn commits_sync_and_never_checkpoint_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let storage = store(dir.path()).await;
    let mut slot = storage.inner.writer.lock().await;
    let connection = slot.as_mut().unwrap();
    for (pragma, expected) in [
        ("PRAGMA synchronous", 2),
        ("PRAGMA wal_autocheckpoint", 0),
        ("PRAGMA mmap_size", 0),
        ("PRAGMA fullfsync", 1),
    ] {
        let value: Option<i64> = sqlx::query_scalar(pragma)
            .fetch_optional(&mut *connection)
            .await
            .unwrap();
        assert_eq!(value.unwrap_or(0), expected, "{pragma}");
    }
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn libraries_with_the_wal_reset_bug_are_refused() {
    for (version, sound) in [
        ("3.51.3", true),
        ("3.51.2", false),
        ("3.50.9", false),
        ("4.0.0", true),
        ("3.53", true),
        ("x", false),
    ] {
        assert_eq!(is_sound(version), sound, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_reads_never_keep_the_writer_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let storage = store(dir.path()).await;
    let inner = Arc::clone(&storage.inner);
    let engine = engine(dir.path(), Arc::new(storage)).await.unwrap();
    fill(&engine, "old", 1).await;
    let mut taken = Vec::new();
    for _ in 0..READERS {
        taken.push(inner.public.acquire().await.unwrap());
    }
    // Every connection of the public is in use, and more wait for one.
    let own = engine.clone();
    let waiting = tokio::spawn(async move { own.leaf(LOG, 0).await });
    let submitted = tokio::time::timeout(Duration::from_secs(5), fill(&engine, "new", 50));
    submitted.await.unwrap();
    assert_eq!(engine.head(LOG).unwrap().size, 51);
    drop(taken);
    assert!(waiting.await.unwrap().unwrap().is_some());
}
