#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use common_engine::{Storage, SubmitError};
use common_tlog::leaf_hash;

use super::super::tests::{LOG, engine, entry, fill, folder, store};
use super::super::{FILE, SqliteStorage, connect_options};
use super::*;

fn log_bytes(dir: &Path) -> u64 {
    std::fs::metadata(dir.join(format!("{FILE}-wal")))
        .map(|file| file.len())
        .unwrap()
}

/// How often the log has started over (`sqlite.org/fileformat2.html` §4.1, checkpoint sequence number).
fn starts(dir: &Path) -> u32 {
    let mut header = [0; 16];
    let mut log = std::fs::File::open(dir.join(format!("{FILE}-wal"))).unwrap();
    match log.read_exact(&mut header) {
        Ok(()) => u32::from_be_bytes(header[12..].try_into().unwrap()),
        // Nothing has been written to it yet.
        Err(_) => 0,
    }
}

/// Pages in the log, or -1 while another connection moves them.
async fn pages(options: &SqliteConnectOptions) -> i64 {
    let mut connection = options.connect().await.unwrap();
    let pass = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut connection);
    pass.await.unwrap().get(1)
}

/// The write-ahead log is emptied beside the commits, and does not grow with the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_stays_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Arc::new(store(dir.path()).await);
    let inner = Arc::clone(&storage.inner);
    let engine = engine(dir.path(), storage).await.unwrap();
    let large = "x".repeat(30_000);
    for round in 0..12 {
        fill(&engine, &format!("{large} {round}"), 300).await;
    }
    let pages = pages(&inner.options).await;
    // All in all some 27,000 pages of leaves were written.
    assert!(pages < 24_000, "{pages} pages in the log");
    assert_eq!(engine.head(LOG).unwrap().size, 3_600);
}

/// Two readers that take turns, so that there is always one: a log that starts over only when nobody reads it would keep
/// everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_write_ahead_log_stays_bounded_under_steady_reads() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Arc::new(store(dir.path()).await);
    let options = storage.inner.options.clone().read_only(true);
    let engine = engine(dir.path(), storage).await.unwrap();
    let (mut one, mut other) = (options.connect().await.unwrap(), options.connect().await.unwrap());
    let readers = tokio::spawn(async move {
        sqlx::query("BEGIN").execute(&mut other).await.unwrap();
        loop {
            sqlx::query("BEGIN").execute(&mut one).await.unwrap();
            let read = sqlx::query("SELECT count(*) FROM logs").fetch_one(&mut one);
            read.await.unwrap();
            sqlx::query("COMMIT").execute(&mut other).await.unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
            std::mem::swap(&mut one, &mut other);
        }
    });
    let (large, first) = ("x".repeat(30_000), starts(dir.path()));
    let mut rounds = 0..60;
    // From the eighth round of 9 MB on it is due; with `PASSIVE` alone it did not happen in 60.
    while starts(dir.path()) == first {
        let round = rounds.next().expect("the log starts over while readers go on");
        fill(&engine, &format!("{large} {round}"), 300).await;
    }
    assert!(!readers.is_finished());
    readers.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_is_moved_before_it_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let first = engine(dir.path(), Arc::new(store(dir.path()).await))
        .await
        .unwrap();
    fill(&first, "first", 20).await;
    let crashed = tempfile::tempdir().unwrap();
    for name in [FILE.to_owned(), format!("{FILE}-wal")] {
        std::fs::copy(dir.path().join(&name), crashed.path().join(&name)).unwrap();
    }
    assert!(log_bytes(crashed.path()) > 0);

    // Another program holds on to what the log says: what is in it cannot be moved, so it is not shown.
    let mut other = connect_options(&crashed.path().join(FILE))
        .connect()
        .await
        .unwrap();
    for statement in ["BEGIN", "SELECT count(*) FROM leaves"] {
        sqlx::query(statement).fetch_all(&mut other).await.unwrap();
    }
    let refused = SqliteStorage::open(folder(crashed.path())).await;
    assert!(matches!(refused, Err(SqliteError::InUse)), "{refused:?}");
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();

    let opened = store(crashed.path()).await;
    assert_eq!(
        log_bytes(crashed.path()),
        0,
        "it is in the main file, which was synced"
    );
    assert_eq!(opened.logs().await.unwrap()[0].head.size, 20);
}

const CHILD: &str = "SIGBOX_TEST_FAILING_DISK";

/// Runs itself again with a limit on the size of files, behind which a write fails: an error of the disk that hits the
/// large main file and not the small log.
#[test]
fn an_error_of_the_disk_while_pages_are_moved_is_final() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return child(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let storage = Arc::new(store(dir.path()).await);
        let engine = engine(dir.path(), Arc::clone(&storage)).await.unwrap();
        fill(&engine, &"x".repeat(30_000), 300).await;
        engine.shutdown().await;
        storage.close().await;
    });
    let size = std::fs::metadata(dir.path().join(FILE)).unwrap().len();
    assert!(size > 8 << 20, "{size}");
    run_limited(dir.path(), 4_096);
    assert!(
        log_bytes(dir.path()) > 0,
        "the log is still there for the next start"
    );
    runtime().block_on(async {
        let engine = engine(dir.path(), Arc::new(store(dir.path()).await))
            .await
            .unwrap();
        let acknowledged = leaf_hash(&entry("acknowledged 0".to_owned()).body);
        assert!(engine.find_leaf(LOG, &acknowledged).await.unwrap().is_some());
    });
}

/// Runs the test that calls it once more, in a process whose files cannot grow beyond so many KiB.
fn run_limited(dir: &Path, kib: u32) {
    let script = format!(r#"trap '' XFSZ; ulimit -f {kib}; exec "$0" --exact "$1" --nocapture"#);
    let name = std::thread::current().name().unwrap().to_owned();
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(script).arg(std::env::current_exe().unwrap());
    let output = shell.arg(name).env(CHILD, dir).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn child(dir: &Path) {
    runtime().block_on(async {
        let storage = Arc::new(store(dir).await);
        let inner = Arc::clone(&storage.inner);
        let engine = engine(dir, Arc::clone(&storage)).await.unwrap();
        fill(&engine, "acknowledged", 1).await;
        inner.pressure.high.notify_one();
        while inner.failed.get().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let refused = engine.submit(LOG, entry("refused".to_owned())).await;
        assert!(matches!(refused, Err(SubmitError::Unavailable)), "{refused:?}");
        assert!(!engine.is_writable());
        let writer = Arc::clone(&storage).reserved();
        for error in [
            writer.logs().await.unwrap_err(),
            writer.probe().await.unwrap_err(),
        ] {
            assert!(error.to_string().contains("restart the process"), "{error}");
        }
        assert!(engine.leaf(LOG, 0).await.unwrap().is_some(), "reads go on");
        engine.shutdown().await;
        storage.close().await;
    });
}

/// A disk that takes no more of the write-ahead log, and still gives what it has.
#[test]
fn a_trial_write_fails_where_a_commit_would() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return runtime().block_on(probe_a_full_disk(Path::new(&dir)));
    }
    let dir = tempfile::tempdir().unwrap();
    run_limited(dir.path(), 1_024);
    runtime().block_on(async {
        let engine = engine(dir.path(), Arc::new(store(dir.path()).await))
            .await
            .unwrap();
        assert!(
            engine.head(LOG).unwrap().size > 0,
            "what was acknowledged is there"
        );
        fill(&engine, "with room again", 1).await;
    });
}

async fn probe_a_full_disk(dir: &Path) {
    let storage = Arc::new(store(dir).await);
    let engine = engine(dir, Arc::clone(&storage)).await.unwrap();
    let writer = Arc::clone(&storage).reserved();
    let before = log_bytes(dir);
    writer.probe().await.unwrap();
    assert!(log_bytes(dir) > before, "a trial write reaches the disk");

    let large = "x".repeat(30_000);
    let mut entries = 0..1_000;
    for n in entries.by_ref() {
        let outcome = engine.submit(LOG, entry(format!("{large} {n}"))).await;
        if matches!(outcome, Err(SubmitError::Unavailable)) {
            break;
        }
        outcome.unwrap();
    }
    assert!(!entries.is_empty(), "the disk is full");
    let size = engine.head(LOG).unwrap().size;
    assert!(size > 0);
    // A commit needs some pages, a trial one: what is left is room for a few of them.
    let mut trials = 0..100;
    while writer.probe().await.is_ok() {
        trials
            .next()
            .expect("a trial write that writes fails on a full disk");
    }
    assert_eq!(writer.logs().await.unwrap()[0].head.size, size, "it can be read");
    let refused = engine.submit(LOG, entry("refused".to_owned())).await;
    assert!(matches!(refused, Err(SubmitError::Unavailable)), "{refused:?}");
    assert!(!engine.is_writable(), "no reload gives a writer on this disk");
    assert!(engine.leaf(LOG, 0).await.unwrap().is_some(), "reads go on");
    engine.shutdown().await;
}
