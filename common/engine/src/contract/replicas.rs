//! Obligations that show only when several callers are at work at once, on one handle or on the handles of several
//! replicas.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common_tlog::TileId;
use tokio::task::JoinSet;

use super::{A, B, batch, head, leaf, log, part};
use crate::index::IndexKey;
use crate::storage::{Batch, Commit, LogBatch, Place, Storage};
use crate::types::{Attachment, LogId, LogState};

const C: LogId = LogId(7);

/// Runs this part of the suite with two handles on one empty store: those of two replicas, or the same one twice.
pub async fn check_replicas<S: Storage>(new_pair: impl AsyncFn() -> [Arc<S>; 2]) {
    one_of_many_racing_commits_wins(new_pair().await).await;
    racing_commits_of_overlapping_logs_all_end(new_pair().await).await;
    a_log_that_was_closed_takes_no_commit(new_pair().await).await;
    nobody_sees_half_a_commit(new_pair().await).await;
    a_commit_is_visible_to_everybody_at_once(new_pair().await).await;
}

fn attachment(key: String) -> Attachment {
    Attachment {
        data: Bytes::from(key.clone().into_bytes()),
        key,
    }
}

/// A commit that loses leaves no trace, whatever it had written before it lost.
async fn one_of_many_racing_commits_wins<S: Storage>(stores: [Arc<S>; 2]) {
    const RACERS: u64 = 8;
    stores[0].create_log(&log(A)).await.unwrap();
    for size in 0..6 {
        let mut racers = JoinSet::new();
        for racer in 0..RACERS {
            let store = Arc::clone(&stores[(racer % 2) as usize]);
            racers.spawn(async move {
                let mut own = batch(vec![part(A, size, size + 1)]);
                own.logs[0].leaves[0].data = format!("{size} by {racer}").into();
                own.logs[0].tiles[0].1 = Bytes::from(vec![racer as u8; 32]);
                own.index = vec![(IndexKey(size * RACERS + racer), Place { log: A, index: size })];
                own.attachments = vec![attachment(format!("{size} by {racer}"))];
                (racer, store.commit(&own).await.unwrap())
            });
        }
        let outcomes = racers.join_all().await;
        let winners: Vec<u64> = outcomes
            .iter()
            .filter(|(_, outcome)| *outcome == Commit::Committed)
            .map(|(racer, _)| *racer)
            .collect();
        let [winner] = winners[..] else {
            panic!("one commit moves a head, not {winners:?}")
        };
        for store in &stores {
            let leaves = store.leaves(A, size, 10).await.unwrap();
            assert_eq!(leaves.len(), 1);
            assert_eq!(leaves[0].data, format!("{size} by {winner}"));
            let tile = TileId { level: 0, index: 0 };
            assert_eq!(
                store.tiles(A, &[tile]).await.unwrap(),
                [Some(Bytes::from(vec![winner as u8; 32]))]
            );
            for racer in 0..RACERS {
                let stored = store.attachment(&format!("{size} by {racer}")).await.unwrap();
                let rows = store.find(&[IndexKey(size * RACERS + racer)], 9).await.unwrap();
                assert_eq!(
                    (stored.is_some(), rows.len()),
                    (racer == winner, usize::from(racer == winner)),
                    "a commit that lost stores nothing"
                );
            }
        }
    }
}

/// Commits of different sets of logs neither block each other for ever nor fail: each is in, or lost to another.
async fn racing_commits_of_overlapping_logs_all_end<S: Storage>(stores: [Arc<S>; 2]) {
    const ROUNDS: u64 = 12;
    for id in [A, C, B] {
        stores[0].create_log(&log(id)).await.unwrap();
    }
    let sets: [&'static [LogId]; 6] = [&[A, C], &[C, B], &[A, B], &[A, C, B], &[B], &[A]];
    let mut committers = JoinSet::new();
    for (number, set) in (0u64..).zip(sets) {
        let store = Arc::clone(&stores[(number % 2) as usize]);
        committers.spawn(async move {
            let mut done = 0;
            let mut lost = 0u32;
            while done < ROUNDS {
                let mut parts = Vec::new();
                for id in set {
                    let from = head(&*store, *id).await.size;
                    parts.push(part(*id, from, from + 1));
                }
                let mut own = batch(parts);
                // The same attachments in every commit, in another order each time.
                let keys = (0..5).map(|key| attachment(format!("shared {}", (key * (number + 1)) % 5)));
                own.attachments = keys.collect();
                match store.commit(&own).await.unwrap() {
                    Commit::Committed => done += 1,
                    Commit::Conflict => {
                        lost += 1;
                        assert!(lost < 10_000, "a committer never has its turn");
                        // Those who win need not wait for those who lost: let them end.
                        tokio::time::sleep(Duration::from_millis(number)).await;
                    }
                }
                tokio::task::yield_now().await;
            }
        });
    }
    committers.join_all().await;
    for id in [A, C, B] {
        let expected = sets.iter().filter(|set| set.contains(&id)).count() as u64 * ROUNDS;
        assert_eq!(head(&*stores[1], id).await.size, expected);
        assert_eq!(
            stores[1].leaves(id, 0, 1_000).await.unwrap(),
            part(id, 0, expected).leaves
        );
    }
}

/// [`Storage::set_state`] returns after every commit that still saw the old state.
async fn a_log_that_was_closed_takes_no_commit<S: Storage>([one, two]: [Arc<S>; 2]) {
    one.create_log(&log(A)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let committer = {
        let (store, stop) = (Arc::clone(&one), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut size = 0;
            while !stop.load(Ordering::Relaxed) {
                if store.commit(&batch(vec![part(A, size, size + 1)])).await.unwrap() == Commit::Committed {
                    size += 1;
                }
                tokio::task::yield_now().await;
            }
            size
        })
    };
    for closed in [LogState::ReadOnly, LogState::ReadOnly, LogState::Frozen] {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(two.set_state(A, closed).await.unwrap(), Commit::Committed);
        let final_head = head(&*two, A).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(head(&*two, A).await, final_head, "the log was closed before");
        assert_eq!(head(&*one, A).await, final_head);
        if closed != LogState::Frozen {
            assert_eq!(
                two.set_state(A, LogState::Active).await.unwrap(),
                Commit::Committed
            );
        }
    }
    stop.store(true, Ordering::Relaxed);
    assert_eq!(committer.await.unwrap(), head(&*two, A).await.size);
}

/// Leaves that each commit of [`nobody_sees_half_a_commit`] adds to each of two logs.
const STEP: u64 = 70;
const ROUNDS: u64 = 40;

/// Moves both logs from `size`, with a row and an attachment for each leaf of the first; the tile tells the size.
fn step(size: u64) -> Batch {
    let parts = [A, B].map(|id| {
        let next = part(id, size, size + STEP);
        let tile = (size + STEP).to_be_bytes().repeat(4);
        LogBatch {
            tiles: vec![(TileId { level: 0, index: 0 }, tile.into())],
            ..next
        }
    });
    let mut whole = batch(parts.into());
    let places = (size..size + STEP).map(|index| Place { log: A, index });
    whole.index = places.map(|place| (IndexKey(1), place)).collect();
    whole.attachments = vec![attachment(format!("{}", size + STEP))];
    whole
}

fn size_in(tile: Option<&Bytes>) -> u64 {
    tile.map_or(0, |bytes| u64::from_be_bytes(bytes[..8].try_into().unwrap()))
}

async fn nobody_sees_half_a_commit<S: Storage>([one, two]: [Arc<S>; 2]) {
    one.create_log(&log(A)).await.unwrap();
    one.create_log(&log(B)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut readers = JoinSet::new();
    for store in [Arc::clone(&one), Arc::clone(&two)] {
        let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        readers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                look(&*store, &acknowledged).await;
                // A store in memory never waits by itself.
                tokio::task::yield_now().await;
            }
        });
    }
    for round in 0..ROUNDS {
        let size = round * STEP;
        assert_eq!(one.commit(&step(size)).await.unwrap(), Commit::Committed);
        acknowledged.store(size + STEP, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
    // At least one look each, however slow the store is.
    look(&*two, &acknowledged).await;
    stop.store(true, Ordering::Relaxed);
    readers.join_all().await;
}

/// What one reader sees, in the order that a proof is made in, and then backwards.
async fn look(store: &dyn Storage, acknowledged: &AtomicU64) {
    let tile = [TileId { level: 0, index: 0 }];
    let before = acknowledged.load(Ordering::SeqCst);
    let logs = store.logs().await.unwrap();
    let size = logs[0].head.size;
    assert!(size >= before, "an acknowledged commit is not visible");
    assert_eq!(logs[1].head.size, size, "one commit moved both heads");
    for id in [A, B] {
        assert!(size_in(store.tiles(id, &tile).await.unwrap()[0].as_ref()) >= size);
        if let Some(last) = size.checked_sub(1) {
            let place = Place { log: id, index: last };
            assert!(store.leaves_at(&[place]).await.unwrap()[0].is_some());
            let leaves = store.leaves(id, size - STEP, STEP as u32).await.unwrap();
            assert_eq!(leaves, part(id, size - STEP, size).leaves);
        }
    }
    if size > 0 {
        assert!(store.attachment(&size.to_string()).await.unwrap().is_some());
    }
    let rows = store.find(&[IndexKey(1)], u32::MAX).await.unwrap().len() as u64;
    assert!(
        rows >= size && rows.is_multiple_of(STEP),
        "{rows} rows at size {size}"
    );
    let leaves = store.leaves(B, 0, u32::MAX).await.unwrap().len() as u64;
    assert!(
        leaves >= rows && leaves.is_multiple_of(STEP),
        "{leaves} leaves, {rows} rows"
    );
    let tile = size_in(store.tiles(B, &tile).await.unwrap()[0].as_ref());
    assert!(tile >= leaves);
    let last = store.logs().await.unwrap()[0].head.size;
    assert!(last >= tile, "what is stored belongs to a head");
}

async fn a_commit_is_visible_to_everybody_at_once<S: Storage>(stores: [Arc<S>; 2]) {
    stores[0].create_log(&log(A)).await.unwrap();
    let reserved: Vec<Arc<dyn Storage>> = stores.iter().map(|store| Arc::clone(store).reserved()).collect();
    let readers: Vec<&dyn Storage> = stores
        .iter()
        .map(|store| &**store as &dyn Storage)
        .chain(reserved.iter().map(AsRef::as_ref))
        .collect();
    let mut seen = BTreeSet::new();
    for size in 0..20u64 {
        let place = Place { log: A, index: size };
        let mut next = batch(vec![part(A, size, size + 1)]);
        next.index = vec![(IndexKey(size), place)];
        next.attachments = vec![attachment(size.to_string())];
        let writer = &stores[(size % 2) as usize];
        assert_eq!(writer.commit(&next).await.unwrap(), Commit::Committed);
        seen.insert(leaf(size, format!("{} {size}", A.0).into_bytes()).index);
        for reader in &readers {
            assert_eq!(head(*reader, A).await, next.logs[0].head.to);
            assert_eq!(reader.leaves(A, size, 9).await.unwrap(), next.logs[0].leaves);
            assert_eq!(reader.find(&[IndexKey(size)], 9).await.unwrap(), next.index);
            assert!(reader.attachment(&size.to_string()).await.unwrap().is_some());
            let tile = reader.tiles(A, &[next.logs[0].tiles[0].0]).await.unwrap();
            assert_eq!(tile, [Some(next.logs[0].tiles[0].1.clone())]);
        }
    }
    assert_eq!(seen.len(), 20);
}
