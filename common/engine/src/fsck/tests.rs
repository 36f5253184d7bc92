#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]
//! The engine's own part; what the kinds of logs keep is damaged byte by byte in the tests of `deploy/bin`.

use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::{KeyHint, Note};
use common_tlog::{TileId, leaf_hash};

use super::*;
use crate::memory::{Contents, MemoryStorage};
use crate::storage::Place;
use crate::types::{Attachment, Entry, LogKind, Outcome, Personality, Sealed};
use crate::{Clock, Engine, IndexKey, LogConfig, NoAnchor, Options, SealError};

const LOG: LogId = LogId(4);

/// The body is the leaf; its term and its attachment are named by it.
struct Plain;

fn term(body: &[u8]) -> String {
    format!("body:{}", leaf_hash(body))
}

impl Personality for Plain {
    fn seal(&self, entry: &Entry, _index: u64, _time: u64) -> Result<Sealed, SealError> {
        Ok(Sealed {
            leaf: entry.body.clone(),
            extra: entry.aux.clone(),
        })
    }

    fn checkpoint(&self, size: u64, root: &Hash, _time: u64) -> Result<String, SealError> {
        let text = Checkpoint::new("log.test", size, *root).to_string();
        let mut note = Note::new(text).map_err(SealError::new)?;
        note.push("log.test", KeyHint([1; 4]), vec![7; 64])
            .map_err(SealError::new)?;
        Ok(note.to_string())
    }
}

impl KindCheck for Plain {
    fn head(&self, _head: &Head) -> Result<(), Flaw> {
        Ok(())
    }

    fn terms(&self, leaf: &StoredLeaf) -> Result<Terms, Flaw> {
        Ok(Terms {
            known: vec![term(&leaf.data), "all".to_owned()],
            later: Vec::new(),
            complete: true,
        })
    }

    fn attachments(&self, leaf: &StoredLeaf) -> Result<Vec<String>, Flaw> {
        Ok(String::from_utf8(leaf.extra.to_vec())
            .into_iter()
            .filter(|key| !key.is_empty())
            .collect())
    }

    fn leaf(&self, _leaf: &StoredLeaf, _attachments: &[Bytes]) -> Result<(), Flaw> {
        Ok(())
    }

    fn attachment(&self, key: &str, data: &[u8]) -> Option<Result<(), Flaw>> {
        let got = String::from_utf8_lossy(data).into_owned();
        let flaw = Flaw {
            what: "data",
            expected: key.to_owned(),
            got: got.clone(),
        };
        key.starts_with("note")
            .then_some(if got == key { Ok(()) } else { Err(flaw) })
    }
}

fn spec() -> LogSpec {
    LogSpec {
        kind: LogKind::RekorV2,
        origin: "log.test".to_owned(),
        tree_id: 0,
        key_id: String::new(),
        leaf_limit: 65_535,
        created: 0,
    }
}

fn entry(number: usize) -> Entry {
    let body = Bytes::from(format!("entry {number}"));
    let key = if number.is_multiple_of(50) {
        format!("note {number}")
    } else {
        String::new()
    };
    let attachments = (!key.is_empty()).then(|| Attachment {
        key: key.clone(),
        data: Bytes::from(key.clone()),
    });
    Entry {
        identity: leaf_hash(&body),
        terms: vec![term(&body), "all".to_owned()],
        aux: key.into(),
        body,
        attachments: attachments.into_iter().collect(),
    }
}

/// A store of 700 leaves, made in many batches.
async fn store() -> MemoryStorage {
    let storage = Arc::new(MemoryStorage::new());
    let log = LogConfig {
        id: LOG,
        spec: spec(),
        personality: Arc::new(Plain),
    };
    let clock = Clock::new(|| UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let anchor = Arc::new(NoAnchor);
    let engine = Engine::open(storage.clone(), vec![log], anchor, clock, Options::default())
        .await
        .unwrap();
    for batch in 0..7 {
        let submitted: Vec<_> = (batch * 100..batch * 100 + 100)
            .map(|number| {
                let engine = engine.clone();
                tokio::spawn(async move { engine.submit(LOG, entry(number)).await })
            })
            .collect();
        for one in submitted {
            assert!(matches!(one.await.unwrap().unwrap(), Outcome::Sequenced(_)));
        }
    }
    engine.shutdown().await;
    MemoryStorage::with_contents(storage.contents())
}

async fn check(storage: &MemoryStorage, published: &[Published]) -> Report {
    let logs = [LogCheck {
        id: LOG,
        spec: spec(),
        kind: Arc::new(Plain),
    }];
    let fsck = Fsck {
        storage,
        logs: &logs,
        published,
        limit: 50,
        progress: &|_| {},
    };
    fsck.run().await.unwrap()
}

async fn damaged(change: impl FnOnce(&mut Contents)) -> Vec<String> {
    let storage = store().await;
    storage.damage(change);
    let report = check(&storage, &[]).await;
    report.findings.iter().map(ToString::to_string).collect()
}

fn starts(findings: &[String], expected: &[&str]) {
    let same = findings.len() == expected.len()
        && findings
            .iter()
            .zip(expected)
            .all(|(got, expected)| got.starts_with(expected));
    assert!(same, "expected {expected:#?}, got {findings:#?}");
}

#[tokio::test]
async fn a_sound_store_is_clean_and_counted() {
    let storage = store().await;
    let steps = Mutex::new(Vec::new());
    let logs = [LogCheck {
        id: LOG,
        spec: spec(),
        kind: Arc::new(Plain),
    }];
    let head = storage.contents().logs[&LOG].head.clone();
    let fsck = Fsck {
        storage: &storage,
        logs: &logs,
        published: &[Published {
            origin: "log.test".to_owned(),
            size: head.size,
            root: head.root,
        }],
        limit: 50,
        progress: &|step| steps.lock().unwrap().push(step),
    };
    let report = fsck.run().await.unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
    assert_eq!((report.logs[0].size, report.logs[0].root), (700, head.root));
    assert_eq!((report.index_rows, report.attachments), (2_100, 14));
    let steps = steps.into_inner().unwrap();
    assert_eq!(steps[0], Progress::Log { log: LOG, size: 700 });
    for last in [
        Progress::Leaves(700),
        Progress::Index(2_100),
        Progress::Attachments(14),
    ] {
        assert!(steps.contains(&last), "{last:?}");
    }
}

#[tokio::test]
async fn leaves_that_are_missing_or_behind_the_head_are_named() {
    let found = damaged(|contents| {
        contents.leaves.remove(&Place { log: LOG, index: 300 });
        let mut leaf = contents.leaves[&Place { log: LOG, index: 3 }].clone();
        leaf.index = 900;
        contents.leaves.insert(Place { log: LOG, index: 900 }, leaf);
    })
    .await;
    let rows = found.iter().filter(|line| line.starts_with("index row ")).count();
    assert_eq!(rows, 3, "the rows of the missing leaf are nobody's: {found:#?}");
    let found: Vec<String> = found
        .into_iter()
        .filter(|line| !line.starts_with("index row "))
        .collect();
    starts(
        &found,
        &[
            "log 4 leaf 300: leaf: expected a leaf, got none",
            "log 4 leaf 900: leaf: expected none",
        ],
    );
}

#[tokio::test]
async fn tiles_that_are_missing_or_behind_the_head_are_named() {
    let found = damaged(|contents| {
        contents.tiles.remove(&(LOG, TileId { level: 0, index: 1 }));
        let tile = contents.tiles[&(LOG, TileId { level: 0, index: 0 })].clone();
        contents.tiles.insert((LOG, TileId { level: 0, index: 3 }), tile);
    })
    .await;
    starts(
        &found,
        &[
            "log 4 tile/0/001: tile: expected a tile, got none",
            "log 4 tile/0/003.p/1: tile: expected 0 hashes",
        ],
    );
}

#[tokio::test]
async fn index_rows_that_are_missing_or_nobodys_are_named() {
    let found = damaged(|contents| {
        let row = *contents
            .index
            .iter()
            .find(|(_, place)| place.index == 17)
            .unwrap();
        contents.index.remove(&row);
        contents
            .index
            .insert((IndexKey(5), Place { log: LOG, index: 18 }));
        contents
            .index
            .insert((IndexKey(6), Place { log: LOG, index: 700 }));
        contents.index.insert((
            IndexKey(7),
            Place {
                log: LogId(9),
                index: 1,
            },
        ));
    })
    .await;
    starts(
        &found,
        &[
            "index row 0000000000000007 of log 9 leaf 1: place: expected a log of this store",
            "index row 0000000000000006 of log 4 leaf 700: place: expected a leaf below 700",
            "log 4 leaf 17: index row: expected a row for each key",
            "index row 0000000000000005 of log 4 leaf 18: key: expected one that the leaf yields",
        ],
    );
}

#[tokio::test]
async fn attachments_that_are_missing_or_nobodys_are_named() {
    let found = damaged(|contents| {
        contents.attachments.remove("note 50");
        contents
            .attachments
            .insert("note 100".to_owned(), Bytes::from_static(b"other"));
        contents.attachments.insert("unknown".to_owned(), Bytes::new());
    })
    .await;
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].contains("attachment: expected note 50, got none of this name"),
        "{found:#?}"
    );
    starts(
        &found[1..],
        &[
            "attachment \"note 100\": data: expected note 100, got other",
            "attachment \"unknown\": key: ",
        ],
    );
}

#[tokio::test]
async fn another_secret_is_told_at_once_and_rows_are_bounded() {
    let storage = store().await;
    storage.damage(|contents| {
        let other = contents
            .index
            .iter()
            .map(|(key, place)| (IndexKey(!key.0), *place));
        contents.index = other.collect();
    });
    let report = check(&storage, &[]).await;
    assert!(
        report.findings[0].what.starts_with("index secret"),
        "{}",
        report.findings[0]
    );
    assert_eq!(report.findings.len(), 50);
    assert!(report.more > 1_000, "{}", report.more);
}

#[tokio::test]
async fn a_head_of_any_size_ends() {
    for size in [701, 70_000, 1 << 40, u64::MAX] {
        let found = damaged(|contents| {
            contents.logs.get_mut(&LOG).unwrap().head.size = size;
        })
        .await;
        assert!(
            found.iter().any(|line| line.starts_with("log 4 head: ")),
            "{size}: {found:#?}"
        );
    }
}

#[tokio::test]
async fn published_checkpoints_are_a_prefix() {
    let storage = store().await;
    let of = |origin: &str, size: u64| Published {
        origin: origin.to_owned(),
        size,
        root: leaf_hash(b"another tree"),
    };
    let wrong = [of("log.test", 600), of("log.test", 701), of("other.test", 1)];
    let report = check(&storage, &wrong).await;
    let at: Vec<&At> = report.findings.iter().map(|finding| &finding.at).collect();
    assert_eq!(at, [&At::Log(LOG), &At::Log(LOG), &At::Store]);
    assert!(
        report
            .findings
            .iter()
            .all(|finding| finding.what == "published checkpoint")
    );
}
