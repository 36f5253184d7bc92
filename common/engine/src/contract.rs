//! The obligations of [`Storage`] as a test suite, to be run on every back end:
//!
//! ```ignore
//! common_engine::contract::check(async || Arc::new(MyStorage::empty().await)).await;
//! ```
//!
//! A back end that several processes may open at once also passes [`check_replicas`] with a handle of each.
//!
//! What keeps [`crate::Records`] passes [`check_records`].
//!
//! It panics with the obligation that was not met. What only a crash can show (durability) each back end tests
//! itself.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test suite"
)]

mod limits;
mod records;
mod replicas;

use std::sync::Arc;

use bytes::Bytes;
use common_tlog::{Hash, TileId, empty_root};

use self::limits::{questions_at_the_edges_have_answers, values_come_back_as_they_were};
pub use self::records::check_records;
pub use self::replicas::check_replicas;
use crate::index::IndexKey;
use crate::storage::{Batch, Commit, HeadChange, LogBatch, Place, Storage, StoredLog};
use crate::types::{Attachment, Head, LogId, LogInfo, LogKind, LogSpec, LogState, StoredLeaf};

const A: LogId = LogId(1);
const B: LogId = LogId::MAX;

/// Runs the whole suite. `new_store` gives an empty store each time.
pub async fn check<S: Storage>(new_store: impl AsyncFn() -> Arc<S>) {
    an_empty_store_has_nothing(&*new_store().await).await;
    a_log_is_created_once(&*new_store().await).await;
    a_commit_is_visible_as_a_whole(&*new_store().await).await;
    a_commit_compares_size_and_root(&*new_store().await).await;
    a_conflict_in_one_log_stores_nothing_of_another(&*new_store().await).await;
    only_an_active_log_takes_commits(&*new_store().await).await;
    a_leaf_is_never_overwritten(&*new_store().await).await;
    tiles_grow_and_attachments_stay(&*new_store().await).await;
    rows_are_found_in_order_and_in_bounds(&*new_store().await).await;
    everything_comes_in_pages(&*new_store().await).await;
    a_large_batch_comes_back_byte_for_byte(&*new_store().await).await;
    a_reserved_handle_is_the_same_store(new_store().await).await;
    values_come_back_as_they_were(&*new_store().await).await;
    questions_at_the_edges_have_answers(&*new_store().await).await;
    check_replicas(async || {
        let store = new_store().await;
        [Arc::clone(&store), store]
    })
    .await;
}

fn log(id: LogId) -> StoredLog {
    let spec = LogSpec {
        kind: LogKind::RekorV1,
        origin: format!("log {} - 'quoted'; ünïcode", id.0),
        tree_id: u64::MAX,
        key_id: "key".to_owned(),
        leaf_limit: u32::MAX,
        created: 1,
    };
    let head = Head {
        size: 0,
        root: empty_root(),
        checkpoint: "empty\n".to_owned(),
        time: 2,
    };
    StoredLog {
        info: LogInfo {
            id,
            spec,
            state: LogState::Active,
        },
        head,
    }
}

fn leaf(index: u64, data: Vec<u8>) -> StoredLeaf {
    StoredLeaf {
        index,
        time: 1_800_000_000_000,
        data: data.into(),
        extra: vec![0; (index % 3) as usize].into(),
    }
}

fn root(size: u64) -> Hash {
    if size == 0 {
        empty_root()
    } else {
        Hash([(size % 251) as u8; 32])
    }
}

/// A part that moves a log from one size to another.
fn part(log: LogId, from: u64, to: u64) -> LogBatch {
    let head = Head {
        size: to,
        root: root(to),
        checkpoint: format!("size {to}\n"),
        time: to,
    };
    LogBatch {
        log,
        head: HeadChange {
            from_size: from,
            from_root: root(from),
            to: head,
        },
        leaves: (from..to)
            .map(|index| leaf(index, format!("{} {index}", log.0).into_bytes()))
            .collect(),
        tiles: vec![(TileId { level: 0, index: 0 }, Bytes::from(vec![to as u8; 32]))],
    }
}

fn batch(logs: Vec<LogBatch>) -> Batch {
    Batch {
        logs,
        index: Vec::new(),
        attachments: Vec::new(),
    }
}

async fn head(store: &dyn Storage, log: LogId) -> Head {
    store
        .logs()
        .await
        .unwrap()
        .into_iter()
        .find(|row| row.info.id == log)
        .unwrap()
        .head
}

async fn a_reserved_handle_is_the_same_store<S: Storage>(store: Arc<S>) {
    let reserved = Arc::clone(&store).reserved();
    store.create_log(&log(A)).await.unwrap();
    assert_eq!(reserved.logs().await.unwrap(), store.logs().await.unwrap());
    let committed = reserved.commit(&batch(vec![part(A, 0, 3)])).await.unwrap();
    assert_eq!(committed, Commit::Committed);
    let before = store.logs().await.unwrap();
    reserved.probe().await.unwrap();
    store.probe().await.unwrap();
    assert_eq!(store.logs().await.unwrap(), before, "a probe changes nothing");
    assert_eq!(
        store.leaves(A, 0, 9).await.unwrap(),
        reserved.leaves(A, 0, 9).await.unwrap()
    );
}

async fn an_empty_store_has_nothing(store: &dyn Storage) {
    assert_eq!(
        store.secret().await.unwrap(),
        store.secret().await.unwrap(),
        "the secret never changes"
    );
    assert_eq!(store.logs().await.unwrap(), vec![]);
    assert_eq!(store.leaves(A, 0, 10).await.unwrap(), vec![]);
    assert_eq!(
        store.leaves(LogId(u32::MAX), u64::MAX, u32::MAX).await.unwrap(),
        vec![]
    );
    assert_eq!(store.leaves_at(&[]).await.unwrap(), vec![]);
    assert_eq!(
        store
            .leaves_at(&[Place {
                log: A,
                index: u64::MAX
            }])
            .await
            .unwrap(),
        vec![None]
    );
    assert_eq!(store.tiles(A, &[]).await.unwrap(), Vec::<Option<Bytes>>::new());
    assert_eq!(
        store
            .tiles(
                A,
                &[TileId {
                    level: 63,
                    index: u64::MAX
                }]
            )
            .await
            .unwrap(),
        vec![None]
    );
    assert_eq!(store.find(&[], 10).await.unwrap(), vec![]);
    assert_eq!(store.find(&[IndexKey(0)], u32::MAX).await.unwrap(), vec![]);
    assert_eq!(store.attachment("none").await.unwrap(), None);
    assert_eq!(
        store.set_state(A, LogState::Frozen).await.unwrap(),
        Commit::Conflict
    );
    assert_eq!(
        store.commit(&batch(vec![part(A, 0, 1)])).await.unwrap(),
        Commit::Conflict,
        "no such log"
    );
}

async fn a_log_is_created_once(store: &dyn Storage) {
    assert_eq!(store.create_log(&log(B)).await.unwrap(), Commit::Committed);
    assert_eq!(store.create_log(&log(A)).await.unwrap(), Commit::Committed);
    assert_eq!(
        store.logs().await.unwrap(),
        vec![log(A), log(B)],
        "rows come back equal, in order"
    );
    assert_eq!(
        store.create_log(&log(A)).await.unwrap(),
        Commit::Conflict,
        "the number is taken"
    );
    let mut other = log(LogId(3));
    other.info.spec.origin = log(A).info.spec.origin;
    assert_eq!(
        store.create_log(&other).await.unwrap(),
        Commit::Conflict,
        "the origin is taken"
    );
    assert_eq!(store.logs().await.unwrap(), vec![log(A), log(B)]);
}

async fn a_commit_is_visible_as_a_whole(store: &dyn Storage) {
    store.create_log(&log(A)).await.unwrap();
    store.create_log(&log(B)).await.unwrap();
    let place = Place { log: B, index: 1 };
    let attachment = Attachment {
        key: "sha256:a".to_owned(),
        data: Bytes::from_static(b"attached"),
    };
    let whole = Batch {
        logs: vec![part(A, 0, 3), part(B, 0, 2)],
        index: vec![(IndexKey(9), place)],
        attachments: vec![attachment],
    };
    assert_eq!(store.commit(&whole).await.unwrap(), Commit::Committed);
    assert_eq!(
        (head(store, A).await, head(store, B).await),
        (part(A, 0, 3).head.to, part(B, 0, 2).head.to)
    );
    assert_eq!(store.leaves(A, 0, 100).await.unwrap(), whole.logs[0].leaves);
    assert_eq!(store.leaves(A, 1, 1).await.unwrap(), whole.logs[0].leaves[1..2]);
    assert_eq!(
        store.leaves(B, 0, 100).await.unwrap(),
        whole.logs[1].leaves,
        "logs do not mix"
    );
    let missing = Place { log: B, index: 2 };
    let found = store
        .leaves_at(&[place, missing, Place { log: A, index: 0 }, place])
        .await
        .unwrap();
    let second = Some(whole.logs[1].leaves[1].clone());
    assert_eq!(
        found,
        vec![
            second.clone(),
            None,
            Some(whole.logs[0].leaves[0].clone()),
            second
        ]
    );
    let tile = TileId { level: 0, index: 0 };
    let absent = TileId { level: 1, index: 0 };
    let tiles = store.tiles(A, &[absent, tile]).await.unwrap();
    assert_eq!(tiles, vec![None, Some(whole.logs[0].tiles[0].1.clone())]);
    assert_eq!(
        store.find(&[IndexKey(9)], 10).await.unwrap(),
        vec![(IndexKey(9), place)]
    );
    assert_eq!(
        store.attachment("sha256:a").await.unwrap(),
        Some(Bytes::from_static(b"attached"))
    );
}

async fn a_commit_compares_size_and_root(store: &dyn Storage) {
    store.create_log(&log(A)).await.unwrap();
    store.commit(&batch(vec![part(A, 0, 5)])).await.unwrap();
    let mut other_root = part(A, 5, 6);
    other_root.head.from_root = root(6);
    let mut other_size = part(A, 6, 7);
    other_size.head.from_root = root(5);
    for stale in [
        part(A, 0, 5),
        part(A, 4, 6),
        part(A, 6, 7),
        other_root,
        other_size,
    ] {
        let mut stale = batch(vec![stale]);
        stale.index.push((IndexKey(1), Place { log: A, index: 5 }));
        stale.attachments.push(Attachment {
            key: "k".to_owned(),
            data: Bytes::new(),
        });
        assert_eq!(store.commit(&stale).await.unwrap(), Commit::Conflict);
    }
    assert_eq!(head(store, A).await, part(A, 0, 5).head.to);
    assert_eq!(
        store.leaves(A, 0, 100).await.unwrap(),
        part(A, 0, 5).leaves,
        "a conflict stores nothing"
    );
    assert_eq!(store.find(&[IndexKey(1)], 10).await.unwrap(), vec![]);
    assert_eq!(store.attachment("k").await.unwrap(), None);
    assert_eq!(
        store.commit(&batch(vec![part(A, 5, 6)])).await.unwrap(),
        Commit::Committed
    );
}

async fn a_conflict_in_one_log_stores_nothing_of_another(store: &dyn Storage) {
    store.create_log(&log(A)).await.unwrap();
    store.create_log(&log(B)).await.unwrap();
    let outcome = store
        .commit(&batch(vec![part(A, 0, 2), part(B, 1, 2)]))
        .await
        .unwrap();
    assert_eq!(outcome, Commit::Conflict);
    assert_eq!(head(store, A).await.size, 0);
    assert_eq!(store.leaves(A, 0, 100).await.unwrap(), vec![]);
    assert_eq!(
        store.tiles(A, &[TileId { level: 0, index: 0 }]).await.unwrap(),
        vec![None]
    );
}

async fn only_an_active_log_takes_commits(store: &dyn Storage) {
    store.create_log(&log(A)).await.unwrap();
    assert_eq!(
        store.set_state(A, LogState::ReadOnly).await.unwrap(),
        Commit::Committed
    );
    assert_eq!(
        store.commit(&batch(vec![part(A, 0, 1)])).await.unwrap(),
        Commit::Conflict
    );
    assert_eq!(
        store.set_state(A, LogState::Active).await.unwrap(),
        Commit::Committed
    );
    assert_eq!(
        store.commit(&batch(vec![part(A, 0, 1)])).await.unwrap(),
        Commit::Committed
    );
    assert_eq!(
        store.set_state(A, LogState::Frozen).await.unwrap(),
        Commit::Committed
    );
    assert_eq!(
        store.commit(&batch(vec![part(A, 1, 2)])).await.unwrap(),
        Commit::Conflict
    );
    assert_eq!(
        store.set_state(A, LogState::Active).await.unwrap(),
        Commit::Conflict,
        "frozen is for ever"
    );
    assert_eq!(store.logs().await.unwrap()[0].info.state, LogState::Frozen);
}

async fn a_leaf_is_never_overwritten(store: &dyn Storage) {
    store.create_log(&log(A)).await.unwrap();
    store.create_log(&log(B)).await.unwrap();
    store.commit(&batch(vec![part(A, 0, 2)])).await.unwrap();
    let mut over = part(A, 2, 3);
    over.leaves = vec![leaf(1, b"another".to_vec())];
    store.commit(&batch(vec![over, part(B, 0, 1)])).await.unwrap_err();
    assert_eq!(head(store, A).await.size, 2);
    assert_eq!(head(store, B).await.size, 0, "a failed commit stores nothing");
    assert_eq!(store.leaves(A, 0, 100).await.unwrap(), part(A, 0, 2).leaves);
    let next = batch(vec![part(A, 2, 3), part(B, 0, 1)]);
    assert_eq!(
        store.commit(&next).await.unwrap(),
        Commit::Committed,
        "the store is usable after an error"
    );
}

async fn tiles_grow_and_attachments_stay(store: &dyn Storage) {
    store.create_log(&log(A)).await.unwrap();
    let (partial, full) = (Bytes::from(vec![1; 32]), Bytes::from(vec![2; 256 * 32]));
    let (low, high) = (TileId { level: 0, index: 7 }, TileId { level: 7, index: 0 });
    for (size, bytes) in [(0, &partial), (1, &full)] {
        let mut next = batch(vec![part(A, size, size + 1)]);
        next.logs[0].tiles = vec![(low, bytes.clone()), (high, partial.clone())];
        let data = Bytes::from(vec![size as u8; 3]);
        next.attachments = vec![
            Attachment {
                key: "k".to_owned(),
                data,
            },
            Attachment {
                key: format!("{size}"),
                data: Bytes::new(),
            },
        ];
        assert_eq!(store.commit(&next).await.unwrap(), Commit::Committed);
    }
    assert_eq!(
        store.tiles(A, &[low, high, low]).await.unwrap(),
        vec![Some(full.clone()), Some(partial), Some(full)]
    );
    assert_eq!(
        store.attachment("k").await.unwrap(),
        Some(Bytes::from(vec![0; 3])),
        "the first one stays"
    );
    assert_eq!(store.attachment("1").await.unwrap(), Some(Bytes::new()));
}

async fn rows_are_found_in_order_and_in_bounds(store: &dyn Storage) {
    store.create_log(&log(A)).await.unwrap();
    store.create_log(&log(B)).await.unwrap();
    let place = |log, index| Place { log, index };
    let keys = [0, 1, u64::from(u32::MAX), i64::MAX as u64, 1 << 63, u64::MAX].map(IndexKey);
    let mut whole = batch(vec![part(A, 0, 40), part(B, 0, 40)]);
    let places = (0..40)
        .map(|index| place(A, index))
        .chain((0..40).map(|index| place(B, index)));
    let places: Vec<Place> = places.collect();
    whole.index = keys
        .iter()
        .flat_map(|key| places.iter().map(|place| (*key, *place)))
        .collect();
    assert_eq!(store.commit(&whole).await.unwrap(), Commit::Committed);
    let expected: Vec<_> = keys
        .iter()
        .flat_map(|key| places.iter().rev().map(|place| (*key, *place)))
        .collect();
    let mut shuffled = keys.to_vec();
    shuffled.reverse();
    shuffled.extend([IndexKey(5), IndexKey(1)]);
    assert_eq!(store.find(&shuffled, u32::MAX).await.unwrap(), expected);
    assert_eq!(store.find(&keys, 81).await.unwrap(), expected[..81]);
    assert_eq!(
        store.find(&[keys[4]], 2).await.unwrap(),
        [(keys[4], place(B, 39)), (keys[4], place(B, 38))]
    );
    assert_eq!(store.find(&keys, 0).await.unwrap(), vec![]);
    for key in keys {
        let below = async |log, below, limit| store.find_below(key, log, below, limit).await.unwrap();
        let all: Vec<u64> = (0..40).rev().collect();
        assert_eq!(below(A, u64::MAX, u32::MAX).await, all);
        assert_eq!(below(B, u64::MAX, u32::MAX).await, all);
        assert_eq!(below(A, 40, 40).await, all);
        assert_eq!(below(A, 39, 3).await, [38, 37, 36]);
        assert_eq!(below(B, 1, 3).await, [0]);
        assert_eq!(below(A, 0, 3).await, []);
        assert_eq!(below(A, 40, 0).await, []);
        assert_eq!(below(LogId(2), 40, 3).await, [], "a log that there is not");
    }
    let unknown = store.find_below(IndexKey(5), A, u64::MAX, 3).await.unwrap();
    assert_eq!(unknown, []);
    let mut rows = batch(Vec::new());
    rows.index = vec![(IndexKey(6), place(A, 39)), (IndexKey(6), place(B, 7))];
    assert_eq!(
        store.commit(&rows).await.unwrap(),
        Commit::Committed,
        "rows of leaves that are there already move no head"
    );
    let found = store.find_below(IndexKey(6), B, 40, 3).await.unwrap();
    assert_eq!(found, [7]);
    let many: Vec<IndexKey> = (0..5_000).map(|n| IndexKey(n * 2 + 1)).collect();
    assert_eq!(
        store.find(&many, u32::MAX).await.unwrap().len(),
        80,
        "only key 1 is among them"
    );
}

async fn everything_comes_in_pages(store: &dyn Storage) {
    store.create_log(&log(A)).await.unwrap();
    assert_eq!(store.index_rows(None, 10).await.unwrap(), vec![]);
    assert_eq!(store.attachments(None, 10).await.unwrap(), vec![]);
    let mut whole = batch(vec![part(A, 0, 7)]);
    let places = (0..7).map(|index| Place { log: A, index });
    let keys = [0, 1, i64::MAX as u64, 1 << 63, u64::MAX].map(IndexKey);
    whole.index = keys
        .iter()
        .flat_map(|key| places.clone().map(|place| (*key, place)))
        .collect();
    let attachment = |key: &str| Attachment {
        key: key.to_owned(),
        data: Bytes::copy_from_slice(key.as_bytes()),
    };
    // In the order of bytes, which is neither that of a language nor of UTF-16.
    whole.attachments = ["", "A", "B", "a", "a:", "é", "\u{ffff}", "\u{10000}"]
        .map(attachment)
        .to_vec();
    store.commit(&whole).await.unwrap();
    for page in [1, 2, 7, 1_000] {
        let mut rows = Vec::new();
        loop {
            let next = store.index_rows(rows.last().copied(), page).await.unwrap();
            assert!(next.len() <= page as usize);
            if next.is_empty() {
                break;
            }
            rows.extend(next);
        }
        assert_eq!(rows, whole.index);
        let mut found: Vec<Attachment> = Vec::new();
        loop {
            let after = found.last().map(|last| last.key.clone());
            let next = store.attachments(after.as_deref(), page).await.unwrap();
            if next.is_empty() {
                break;
            }
            found.extend(next);
        }
        assert_eq!(found, whole.attachments);
    }
    let nowhere = Place {
        log: LogId(u32::MAX),
        index: u64::MAX,
    };
    assert_eq!(
        store.index_rows(Some((keys[3], nowhere)), 1).await.unwrap(),
        whole.index[28..29],
        "a page may begin behind a place that does not exist"
    );
}

async fn a_large_batch_comes_back_byte_for_byte(store: &dyn Storage) {
    store.create_log(&log(A)).await.unwrap();
    let mut large = batch(vec![part(A, 0, 1_500)]);
    for (leaf, index) in large.logs[0].leaves.iter_mut().zip(0u32..) {
        let size = if index % 100 == 0 { 70_000 } else { index % 7 };
        leaf.data = (0..size).map(|byte| (byte ^ index) as u8).collect();
    }
    large.logs[0].tiles = (0..6)
        .map(|n| (TileId { level: 0, index: n }, Bytes::from(vec![n as u8; 8_192])))
        .collect();
    let rows = (0..1_500).flat_map(|index| {
        let place = Place { log: A, index };
        [
            (IndexKey(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)), place),
            (IndexKey(index % 3), place),
        ]
    });
    large.index = rows.collect();
    large.index.sort_unstable();
    large.index.dedup();
    assert_eq!(store.commit(&large).await.unwrap(), Commit::Committed);
    assert_eq!(store.leaves(A, 0, 2_000).await.unwrap(), large.logs[0].leaves);
    let places: Vec<Place> = (0..1_500).rev().map(|index| Place { log: A, index }).collect();
    let found: Vec<StoredLeaf> = store
        .leaves_at(&places)
        .await
        .unwrap()
        .into_iter()
        .flatten()
        .collect();
    assert!(found.iter().rev().eq(&large.logs[0].leaves));
    let tiles: Vec<TileId> = large.logs[0].tiles.iter().map(|(tile, _)| *tile).collect();
    let stored: Vec<Bytes> = store
        .tiles(A, &tiles)
        .await
        .unwrap()
        .into_iter()
        .flatten()
        .collect();
    assert!(
        stored
            .iter()
            .eq(large.logs[0].tiles.iter().map(|(_, bytes)| bytes))
    );
}
