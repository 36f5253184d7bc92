#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::cmp::Reverse;
use std::collections::BTreeSet;

use common_engine::{Batch, Commit, LogId, Storage};
use sqlx::ConnectOptions;

use super::merge::FLUSH;
use super::*;
use crate::sqlite::tests::store;
use crate::sqlite::{FILE, SqliteStorage, connect_options};

const LOG: LogId = LogId(9);

/// Numbers without a pattern, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A storage beside what must be in its index.
struct Model {
    storage: SqliteStorage,
    rows: BTreeSet<(IndexKey, Place)>,
    random: Random,
    next: u64,
}

impl Model {
    async fn new(path: &std::path::Path) -> Self {
        Self {
            storage: store(path).await,
            rows: BTreeSet::new(),
            random: Random(7),
            next: 0,
        }
    }

    /// Keys of all kinds: of one row, of some, and one that a third of all rows has.
    fn batch(&mut self, count: u64) -> Vec<(IndexKey, Place)> {
        let mut rows: Vec<_> = (0..count)
            .map(|_| {
                let key = match self.random.below(3) {
                    0 => 1 << 40,
                    1 => self.random.below(50) << 58,
                    _ => self.random.below(u64::from(u32::MAX)) << 32,
                };
                self.next += 1;
                (
                    IndexKey(key),
                    Place {
                        log: LOG,
                        index: self.next,
                    },
                )
            })
            .collect();
        rows.sort_unstable();
        rows
    }

    async fn commit(&mut self, count: u64) {
        let rows = self.batch(count);
        let batch = Batch {
            logs: Vec::new(),
            index: rows.clone(),
            attachments: Vec::new(),
        };
        assert_eq!(self.storage.commit(&batch).await.unwrap(), Commit::Committed);
        self.rows.extend(rows);
    }

    /// Rows reach the transaction, and then it fails.
    async fn fail(&mut self) {
        let rows = self.batch(40);
        let mut slot = self.storage.inner.writer.lock().await;
        let mut transaction = slot.as_mut().unwrap().begin().await.unwrap();
        let pending = self
            .storage
            .inner
            .index
            .store(&mut transaction, &rows)
            .await
            .unwrap();
        transaction.rollback().await.unwrap();
        drop(pending);
    }

    async fn check(&mut self) {
        check(&self.storage, &self.rows, &mut self.random).await;
    }

    async fn count(&self, what: &'static str) -> i64 {
        sqlx::query_scalar(what)
            .fetch_one(&self.storage.inner.public)
            .await
            .unwrap()
    }
}

async fn check(storage: &SqliteStorage, rows: &BTreeSet<(IndexKey, Place)>, random: &mut Random) {
    let mut keys: Vec<IndexKey> = (0..20).map(|n| IndexKey(n << 58)).collect();
    keys.extend([IndexKey(1 << 40), IndexKey(12_345)]);
    for _ in 0..20 {
        let at = random.below(rows.len().max(1) as u64);
        keys.extend(rows.iter().nth(usize::try_from(at).unwrap()).map(|(key, _)| *key));
    }
    let mut expected: Vec<_> = rows
        .iter()
        .filter(|(key, _)| keys.contains(key))
        .copied()
        .collect();
    expected.sort_by_key(|(key, place)| (*key, Reverse(*place)));
    assert_eq!(storage.find(&keys, u32::MAX).await.unwrap(), expected);
    let few = expected.len().min(11);
    assert_eq!(storage.find(&keys, 11).await.unwrap(), expected[..few]);
    for key in keys {
        let own: Vec<_> = expected
            .iter()
            .filter(|row| row.0 == key)
            .take(3)
            .copied()
            .collect();
        assert_eq!(storage.find(&[key], 3).await.unwrap(), own);
    }
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = storage.index_rows(after, 97).await.unwrap();
        all.extend(page.iter().copied());
        if page.len() < 97 {
            break;
        }
        after = page.last().copied();
    }
    assert!(all.iter().eq(rows), "{} rows of {}", all.len(), rows.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_found_while_runs_are_merged_and_after_failures_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new(dir.path()).await;
    for round in 0..400u64 {
        let count = match round % 7 {
            0 => 0,
            6 => model.random.below(3 * FLUSH as u64),
            _ => model.random.below(20),
        };
        model.commit(count).await;
        match round % 50 {
            9 | 29 => model.fail().await,
            19 | 39 => {
                model.storage.close().await;
                drop(model.storage);
                model.storage = store(dir.path()).await;
            }
            _ => {}
        }
        if round % 5 == 0 {
            model.check().await;
        }
    }
    model.check().await;
    let levels = model
        .count("SELECT count(DISTINCT level) FROM index_runs WHERE state = 'live'")
        .await;
    assert!(levels >= 3, "{levels} levels");
    // Small commits later all that was merged is gone, and every row is stored once.
    for _ in 0..100 {
        model.commit(1).await;
    }
    assert_eq!(
        model
            .count("SELECT count(*) FROM index_runs WHERE state = 'dead'")
            .await,
        0
    );
    let groups = "SELECT count(*) FROM index_groups WHERE run NOT IN (SELECT run FROM index_runs)";
    assert_eq!(model.count(groups).await, 0);
    let growing = "SELECT count(*) FROM index_runs WHERE state = 'growing'";
    if model.count(growing).await == 0 {
        let bytes = model.count("SELECT sum(length(rows) - 8) FROM index_pages").await;
        let recent = model
            .count("SELECT coalesce(sum(length(rows) - 8), 0) FROM index_recent")
            .await;
        assert_eq!(bytes + recent, 16 * i64::try_from(model.rows.len()).unwrap());
    }
    model.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_go_on_while_what_they_read_is_merged() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new(dir.path()).await;
    model.commit(500).await;
    let known: Vec<_> = model.rows.iter().copied().collect();
    let storage = std::sync::Arc::new(model.storage);
    let (reader, wanted) = (std::sync::Arc::clone(&storage), known.clone());
    let looking = tokio::spawn(async move {
        for round in 0..600 {
            let (key, place) = wanted[round % wanted.len()];
            let found = reader.find(&[key], u32::MAX).await.unwrap();
            assert!(found.contains(&(key, place)), "{key:?}");
        }
    });
    let mut random = Random(3);
    for n in 0..300u64 {
        let index = (0..30).map(|m| {
            let place = Place {
                log: LOG,
                index: 10_000 + n * 30 + m,
            };
            (IndexKey(random.below(u64::MAX >> 31) << 31), place)
        });
        let mut index: Vec<_> = index.collect();
        index.sort_unstable();
        let (logs, attachments) = (Vec::new(), Vec::new());
        storage
            .commit(&Batch {
                logs,
                index,
                attachments,
            })
            .await
            .unwrap();
    }
    looking.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_beside_the_server_follows_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new(dir.path()).await;
    model.commit(10).await;
    let beside = SqliteStorage::open_read_only(dir.path()).await.unwrap();
    let mut random = Random(5);
    for count in [1, 5, 200, 0, 3, 700, 20, 20] {
        model.commit(count).await;
        check(&beside, &model.rows, &mut random).await;
    }
    beside.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_tree_of_version_1_becomes_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new(dir.path()).await;
    let rows = model.batch(333);
    model.storage.close().await;
    drop(model.storage);
    let mut old = connect_options(&dir.path().join(FILE)).connect().await.unwrap();
    for change in [
        "DROP TABLE index_recent",
        "DROP TABLE index_runs",
        "DROP TABLE index_groups",
        "DROP TABLE index_pages",
        "CREATE TABLE lookup (key INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (key, place)) STRICT, WITHOUT ROWID",
        "UPDATE store SET version = 1",
    ] {
        sqlx::query(change).execute(&mut old).await.unwrap();
    }
    for (key, place) in &rows {
        let query = sqlx::query("INSERT INTO lookup VALUES (?, ?)");
        let key = (key.0 ^ (1 << 63)).cast_signed();
        query
            .bind(key)
            .bind(crate::keys::place(*place).unwrap())
            .execute(&mut old)
            .await
            .unwrap();
    }
    old.close().await.unwrap();
    model.storage = store(dir.path()).await;
    model.rows.extend(rows);
    model.check().await;
    for _ in 0..60 {
        model.commit(30).await;
    }
    model.check().await;
    assert_eq!(
        model
            .count("SELECT count(*) FROM sqlite_schema WHERE name = 'lookup'")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filters_of_version_2_are_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new(dir.path()).await;
    for _ in 0..40 {
        model.commit(30).await;
    }
    model.storage.close().await;
    drop(model.storage);
    let mut old = connect_options(&dir.path().join(FILE)).connect().await.unwrap();
    for change in [
        "UPDATE index_groups SET summary = CAST(substr(summary, 20) AS BLOB)",
        "UPDATE store SET version = 2",
    ] {
        sqlx::query(change).execute(&mut old).await.unwrap();
    }
    old.close().await.unwrap();
    model.storage = store(dir.path()).await;
    model.check().await;
    for _ in 0..60 {
        model.commit(30).await;
    }
    model.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_part_is_an_error_and_never_an_absent_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new(dir.path()).await;
    model.commit(500).await;
    let key = *model.rows.iter().map(|(key, _)| key).max().unwrap();
    let mut slot = model.storage.inner.writer.lock().await;
    let change = "UPDATE index_pages SET rows = CAST(X'00' || substr(rows, 2) AS BLOB)";
    sqlx::query(change).execute(slot.as_mut().unwrap()).await.unwrap();
    drop(slot);
    model.storage.find(&[key], 1).await.unwrap_err();
    let mut slot = model.storage.inner.writer.lock().await;
    let change = "UPDATE index_groups SET summary = CAST(substr(summary, 2) || X'00' AS BLOB)";
    sqlx::query(change).execute(slot.as_mut().unwrap()).await.unwrap();
    drop(slot);
    model.storage.close().await;
    drop(model.storage);
    let folder = crate::sqlite::tests::folder(dir.path());
    SqliteStorage::open(folder).await.unwrap_err();
}
