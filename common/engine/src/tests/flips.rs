//! One flipped bit in anything that a small store holds, and in memory on the way to the signature (DigiCert Yeti2022,
//! June 2021: one bit, and a log that signed over it).
//!
//! A start and a reload refuse before anything is signed and name the leaf or tile. What they cannot notice is listed
//! in [`Unnoticed`], each with the reason; none of it is ever served as if it were right. `SIGBOX_FAULTS=all` flips
//! every byte of the large parts too.

use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common_tlog::{Hash, TileId};

use super::harness::*;
use super::workload::run_paused;
use crate::memory::{Contents, Fault, MemoryStorage};
use crate::{
    Attachment, Corrupt, Engine, Entry, LogConfig, LogId, NoAnchor, OpenError, Options, Personality, Place,
    ReadError, SealError, Sealed, StoreError, StoredLeaf, SubmitError,
};

/// Leaves of the log: a full tile, and four in the last one.
const SIZE: u64 = 260;

/// Why neither a start nor a reload notices. `sigbox fsck` reads everything, and does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unnoticed {
    /// Leaves before the last tile are not read at a start, which must not grow with the log. They are hashed again
    /// whenever they are read.
    OldLeaf,
    /// The same, for full tiles left of the right edge. Proofs from them are verified before they leave.
    FullTile,
    /// Beside the tree: no root covers them.
    ExtraOrTime,
    /// No root covers the index either. A wrong row leads to another leaf, whose identity does not match; the entry is
    /// not found as a duplicate then.
    IndexRow,
    /// No root covers it; whoever asked for it by digest compares.
    Attachment,
    /// The engine holds no keys. Clients verify the signature, and the next commit replaces it.
    Signature,
    /// Beside the tree. Within the tolerance of the clock.
    HeadTime,
    /// Only for display.
    Created,
}

/// One byte of what is stored.
#[derive(Clone, Copy, Debug)]
enum Spot {
    LeafData(Place, usize),
    LeafIndex(Place, usize),
    LeafTime(Place, usize),
    LeafExtra(Place, usize),
    Tile(LogId, TileId, usize),
    HeadSize(LogId, usize),
    HeadRoot(LogId, usize),
    HeadTime(LogId, usize),
    Checkpoint(LogId, usize),
    Origin(LogId, usize),
    TreeId(LogId, usize),
    KeyId(LogId, usize),
    LeafLimit(LogId, usize),
    Created(LogId, usize),
    IndexRow(usize, usize),
    Attachment(usize),
}

fn flip_number(number: &mut u64, byte: usize, bit: u8) {
    *number ^= 1 << (8 * byte as u32 + u32::from(bit));
}

fn flip_bytes(bytes: &mut bytes::Bytes, byte: usize, bit: u8) {
    let mut flipped = bytes.to_vec();
    flipped[byte] ^= 1 << bit;
    *bytes = flipped.into();
}

/// Stays within ASCII: a back end gives text or an error.
fn flip_text(text: &mut String, byte: usize, bit: u8) {
    let mut flipped = text.clone().into_bytes();
    flipped[byte] ^= 1 << (bit % 7);
    *text = String::from_utf8(flipped).unwrap();
}

fn flip(contents: &mut Contents, spot: Spot, bit: u8) {
    let row = |contents: &mut Contents, log: LogId, change: &mut dyn FnMut(&mut crate::StoredLog)| {
        change(contents.logs.get_mut(&log).unwrap());
    };
    match spot {
        Spot::LeafData(place, at) => flip_bytes(&mut contents.leaves.get_mut(&place).unwrap().data, at, bit),
        Spot::LeafIndex(place, at) => {
            flip_number(&mut contents.leaves.get_mut(&place).unwrap().index, at, bit)
        }
        Spot::LeafTime(place, at) => flip_number(&mut contents.leaves.get_mut(&place).unwrap().time, at, bit),
        Spot::LeafExtra(place, at) => {
            flip_bytes(&mut contents.leaves.get_mut(&place).unwrap().extra, at, bit)
        }
        Spot::Tile(log, tile, at) => flip_bytes(contents.tiles.get_mut(&(log, tile)).unwrap(), at, bit),
        Spot::HeadSize(log, at) => row(contents, log, &mut |row| flip_number(&mut row.head.size, at, bit)),
        Spot::HeadRoot(log, at) => row(contents, log, &mut |row| row.head.root.0[at] ^= 1 << bit),
        Spot::HeadTime(log, at) => row(contents, log, &mut |row| flip_number(&mut row.head.time, at, bit)),
        Spot::Checkpoint(log, at) => row(contents, log, &mut |row| {
            flip_text(&mut row.head.checkpoint, at, bit)
        }),
        Spot::Origin(log, at) => row(contents, log, &mut |row| {
            flip_text(&mut row.info.spec.origin, at, bit)
        }),
        Spot::TreeId(log, at) => row(contents, log, &mut |row| {
            flip_number(&mut row.info.spec.tree_id, at, bit)
        }),
        Spot::KeyId(log, at) => row(contents, log, &mut |row| {
            flip_text(&mut row.info.spec.key_id, at, bit)
        }),
        Spot::LeafLimit(log, at) => row(contents, log, &mut |row| {
            row.info.spec.leaf_limit ^= 1 << (8 * at as u32 + u32::from(bit));
        }),
        Spot::Created(log, at) => row(contents, log, &mut |row| {
            flip_number(&mut row.info.spec.created, at, bit);
        }),
        Spot::IndexRow(number, at) => {
            let mut row = *contents.index.iter().nth(number).unwrap();
            contents.index.remove(&row);
            if at < 8 {
                flip_number(&mut row.0.0, at, bit);
            } else {
                flip_number(&mut row.1.index, at - 8, bit);
            }
            contents.index.insert(row);
        }
        Spot::Attachment(at) => flip_bytes(contents.attachments.values_mut().next().unwrap(), at, bit),
    }
}

/// Every byte of the store.
fn spots(contents: &Contents) -> Vec<Spot> {
    let mut spots = Vec::new();
    for (place, leaf) in &contents.leaves {
        spots.extend((0..leaf.data.len()).map(|at| Spot::LeafData(*place, at)));
        spots.extend((0..leaf.extra.len()).map(|at| Spot::LeafExtra(*place, at)));
        spots.extend((0..8).flat_map(|at| [Spot::LeafIndex(*place, at), Spot::LeafTime(*place, at)]));
    }
    for ((log, tile), bytes) in &contents.tiles {
        spots.extend((0..bytes.len()).map(|at| Spot::Tile(*log, *tile, at)));
    }
    for (log, row) in &contents.logs {
        let (log, spec) = (*log, &row.info.spec);
        spots.extend((0..32).map(|at| Spot::HeadRoot(log, at)));
        spots.extend((0..row.head.checkpoint.len()).map(|at| Spot::Checkpoint(log, at)));
        spots.extend((0..spec.origin.len()).map(|at| Spot::Origin(log, at)));
        spots.extend((0..spec.key_id.len()).map(|at| Spot::KeyId(log, at)));
        spots.extend((0..4).map(|at| Spot::LeafLimit(log, at)));
        for at in 0..8 {
            spots.extend([
                Spot::HeadSize(log, at),
                Spot::HeadTime(log, at),
                Spot::TreeId(log, at),
                Spot::Created(log, at),
            ]);
        }
    }
    for number in 0..contents.index.len() {
        spots.extend((0..16).map(|at| Spot::IndexRow(number, at)));
    }
    let attached = contents.attachments.values().map(bytes::Bytes::len).sum();
    spots.extend((0..attached).map(Spot::Attachment));
    spots
}

fn in_last_tile(place: Place) -> bool {
    place.log == CT || place.index >= 256
}

/// `None` if the flip must be noticed.
fn unnoticed(spot: Spot, contents: &Contents, bit: u8) -> Option<Unnoticed> {
    match spot {
        Spot::LeafData(place, _) | Spot::LeafIndex(place, _) => {
            (!in_last_tile(place)).then_some(Unnoticed::OldLeaf)
        }
        Spot::LeafTime(..) | Spot::LeafExtra(..) => Some(Unnoticed::ExtraOrTime),
        Spot::Tile(V1, TileId { level: 0, index: 0 }, _) => Some(Unnoticed::FullTile),
        Spot::Checkpoint(log, at) => {
            let text = contents.logs[&log].head.checkpoint.find("\n\n").unwrap();
            (at > text + 1).then_some(Unnoticed::Signature)
        }
        Spot::HeadTime(log, at) => {
            let time = contents.logs[&log].head.time;
            let mut flipped = time;
            flip_number(&mut flipped, at, bit);
            (flipped <= time + 60_000).then_some(Unnoticed::HeadTime)
        }
        Spot::Created(..) => Some(Unnoticed::Created),
        Spot::IndexRow(..) => Some(Unnoticed::IndexRow),
        Spot::Attachment(_) => Some(Unnoticed::Attachment),
        Spot::Tile(..)
        | Spot::HeadSize(..)
        | Spot::HeadRoot(..)
        | Spot::Origin(..)
        | Spot::TreeId(..)
        | Spot::KeyId(..)
        | Spot::LeafLimit(..) => None,
    }
}

/// Whether the refusal names the place that is wrong.
fn names(spot: Spot, refusal: &Corrupt) -> bool {
    match (spot, refusal) {
        (Spot::LeafData(place, _), Corrupt::Leaf { log, index, .. }) => {
            (place.log, place.index) == (*log, *index)
        }
        (Spot::LeafIndex(place, _), Corrupt::LeafMissing(log, index)) => {
            (place.log, place.index) == (*log, *index)
        }
        (Spot::Tile(of, tile, at), Corrupt::Leaf { log, index, .. }) => {
            of == *log && tile.level == 0 && tile.index * 256 + at as u64 / 32 == *index
        }
        // A hash above the leaves: it takes the whole tile below to tell which.
        (Spot::Tile(of, tile, _), Corrupt::Root { log, .. }) => of == *log && tile.level > 0,
        (
            Spot::HeadSize(of, _),
            Corrupt::Root { log, .. } | Corrupt::TileMissing { log, .. } | Corrupt::TileWidth { log, .. },
        ) => of == *log,
        (Spot::HeadSize(of, _), Corrupt::Size(log, _)) => of == *log,
        (Spot::HeadRoot(of, _), Corrupt::Root { log, size, .. }) => of == *log && *size > 0,
        (Spot::Checkpoint(of, _), Corrupt::Checkpoint { log, .. } | Corrupt::CheckpointSyntax(log)) => {
            of == *log
        }
        _ => false,
    }
}

/// Counts the heads that are signed, and flips bits in memory.
struct Signer {
    inner: TestLog,
    signed: Arc<AtomicU64>,
    /// Leaf whose bytes change once they are hashed, and which byte of them.
    flips: Option<(u64, usize)>,
}

impl Personality for Signer {
    fn seal(&self, entry: &Entry, index: u64, time: u64) -> Result<Sealed, SealError> {
        self.inner.seal(entry, index, time)
    }

    fn checkpoint(&self, size: u64, root: &Hash, time: u64) -> Result<String, SealError> {
        self.signed.fetch_add(1, Ordering::Relaxed);
        self.inner.checkpoint(size, root, time)
    }

    fn identity(&self, leaf: &StoredLeaf, hash: &Hash) -> Hash {
        let identity = self.inner.identity(leaf, hash);
        if let Some((index, at)) = self.flips.filter(|(index, _)| *index == leaf.index) {
            assert_eq!(index, leaf.index);
            // The engine has hashed the leaf and holds it: what now happens to it is what a bad memory does.
            let mut memory = std::fs::File::options()
                .write(true)
                .open("/proc/self/mem")
                .unwrap();
            let address = leaf.data[at..].as_ptr().addr() as u64;
            memory.seek(SeekFrom::Start(address)).unwrap();
            memory.write_all(&[leaf.data[at] ^ 0x20]).unwrap();
        }
        identity
    }
}

fn signers(signed: &Arc<AtomicU64>, flips: Option<(u64, usize)>) -> Vec<LogConfig> {
    let mut logs = configs();
    for config in &mut logs {
        let inner = TestLog {
            origin: config.spec.origin.clone(),
            stamped: config.id == CT,
        };
        config.personality = Arc::new(Signer {
            inner,
            signed: Arc::clone(signed),
            flips: flips.filter(|_| config.id == V1),
        });
    }
    logs
}

async fn start(storage: Arc<MemoryStorage>, logs: Vec<LogConfig>) -> Result<Engine, OpenError> {
    let options = Options {
        threads: 1,
        ..Options::default()
    };
    let millis = Arc::new(AtomicU64::new(1_800_000_000_000));
    Engine::open(storage, logs, Arc::new(NoAnchor), clock(&millis), options).await
}

fn small_store() -> Contents {
    run_paused(async {
        let storage = Arc::new(MemoryStorage::new());
        let engine = open(&storage).await;
        fill(&engine, V1, "a", SIZE as usize - 1).await;
        let attachments = vec![Attachment {
            key: "sha256:x".to_owned(),
            data: bytes::Bytes::from_static(b"attached"),
        }];
        let last = Entry {
            attachments,
            terms: vec!["term".to_owned()],
            ..entry("last")
        };
        engine.submit(V1, last).await.unwrap();
        fill(&engine, CT, "b", 3).await;
        engine.shutdown().await;
        storage.contents()
    })
}

/// The flips to make: every byte of what must be noticed, and a part of what is large.
fn flips(contents: &Contents) -> Vec<(Spot, u8)> {
    let all = std::env::var("SIGBOX_FAULTS").is_ok_and(|value| value == "all");
    let mut flips = Vec::new();
    for (number, spot) in spots(contents).into_iter().enumerate() {
        let bit = (number % 8) as u8;
        let large = matches!(
            unnoticed(spot, contents, bit),
            Some(Unnoticed::OldLeaf | Unnoticed::FullTile | Unnoticed::IndexRow | Unnoticed::ExtraOrTime)
        );
        if all || !large || number % 61 == 0 {
            flips.push((spot, bit));
        }
    }
    flips
}

#[test]
fn a_start_refuses_every_flipped_byte_that_it_reads_and_names_it() {
    let contents = small_store();
    let (mut refused, mut accepted) = (0, std::collections::BTreeMap::<Unnoticed, usize>::new());
    for (spot, bit) in flips(&contents) {
        let mut damaged = contents.clone();
        flip(&mut damaged, spot, bit);
        let expected = unnoticed(spot, &contents, bit);
        let signed = Arc::new(AtomicU64::new(0));
        let started = run_paused(async {
            let storage = Arc::new(MemoryStorage::with_contents(damaged));
            let engine = start(storage, signers(&signed, None)).await?;
            never_served(&engine, spot).await;
            engine.shutdown().await;
            Ok(())
        });
        assert_eq!(signed.load(Ordering::Relaxed), 0, "{spot:?}: nothing is signed");
        match (started, expected) {
            (Ok(()), Some(reason)) => *accepted.entry(reason).or_default() += 1,
            // A signature line must still parse.
            (
                Err(OpenError::Store(StoreError::Corrupt(Corrupt::CheckpointSyntax(_)))),
                Some(Unnoticed::Signature),
            ) => {
                refused += 1;
            }
            (Err(OpenError::Store(StoreError::Corrupt(corrupt))), None) => {
                assert!(names(spot, &corrupt), "{spot:?}: {corrupt}");
                refused += 1;
            }
            (Err(OpenError::Spec { .. } | OpenError::Clock { .. }), None) => refused += 1,
            (other, expected) => panic!("{spot:?} bit {bit}: {other:?}, expected {expected:?}"),
        }
    }
    println!("flips: {refused} refused at a start, not noticed by it: {accepted:?}");
    assert!(refused > 600);
}

/// A flip that a start does not notice is an error where it is read, and never an answer.
async fn never_served(engine: &Engine, spot: Spot) {
    let named = match spot {
        Spot::LeafData(place, _) | Spot::LeafIndex(place, _) => place.index,
        Spot::Tile(_, TileId { level: 0, index: 0 }, at) => at as u64 / 32,
        _ => return,
    };
    let corrupt = match engine.leaf(V1, named).await {
        Err(ReadError::Store(StoreError::Corrupt(corrupt))) => corrupt,
        other => panic!("{spot:?}: {other:?}"),
    };
    let at = match corrupt {
        Corrupt::Leaf { index, .. } | Corrupt::LeafMissing(_, index) => index,
        other => panic!("{spot:?}: {other}"),
    };
    assert_eq!(at, named, "{spot:?}");
}

#[test]
fn a_reload_refuses_every_flipped_byte_that_it_reads_and_signs_nothing() {
    let contents = small_store();
    let mut refused = 0;
    for (spot, bit) in flips(&contents) {
        // What the configuration says is compared at a start, time before each batch.
        let read = matches!(
            spot,
            Spot::LeafData(..)
                | Spot::LeafIndex(..)
                | Spot::Tile(..)
                | Spot::HeadSize(..)
                | Spot::HeadRoot(..)
                | Spot::Checkpoint(..)
        );
        if !read || unnoticed(spot, &contents, bit).is_some() {
            continue;
        }
        run_paused(async {
            let (storage, signed) = (
                Arc::new(MemoryStorage::with_contents(contents.clone())),
                Arc::new(AtomicU64::new(0)),
            );
            let engine = start(Arc::clone(&storage), signers(&signed, None)).await.unwrap();
            storage.damage(|contents| flip(contents, spot, bit));
            // The look-up fails, and the writer has to reload.
            storage.fail(storage.calls().len(), Fault::Fails);
            let error = engine.submit(V1, entry("new")).await.unwrap_err();
            assert!(matches!(error, SubmitError::Unavailable));
            let reloads = || {
                storage
                    .calls()
                    .iter()
                    .skip(1)
                    .filter(|call| **call == "logs")
                    .count()
            };
            let first = reloads();
            while reloads() < first + 3 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            assert!(!engine.is_writable(), "{spot:?}");
            assert_eq!(signed.load(Ordering::Relaxed), 0, "{spot:?}");
            assert!(!storage.calls().contains(&"commit"), "{spot:?}");
            refused += 1;
            // The bit flips back, and the log goes on.
            storage.damage(|damaged| *damaged = contents.clone());
            while !engine.is_writable() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            let outcome = engine.submit(V1, entry("new")).await.unwrap();
            assert_eq!(outcome.receipt().leaf.index, SIZE);
            engine.shutdown().await;
        });
    }
    println!("flips: {refused} refused at a reload");
    assert!(refused > 400);
}

/// Between hashing and signing: the writer hashes again what it is about to store, and stops.
#[cfg(target_os = "linux")]
#[test]
fn a_bit_that_flips_in_memory_stops_the_writer_before_it_signs() {
    for (index, count) in [(0, 1), (2, 3), (255, 256), (299, 300)] {
        run_paused(async {
            let (storage, signed) = (Arc::new(MemoryStorage::new()), Arc::new(AtomicU64::new(0)));
            let engine = start(Arc::clone(&storage), signers(&signed, Some((index, 3))))
                .await
                .unwrap();
            let heads = signed.load(Ordering::Relaxed);
            // All in one batch.
            let entries = (0..count)
                .map(|n| (V1, entry(format!("body of entry {n}"))))
                .collect();
            let answers = submit_all(&engine, entries).await;
            assert!(
                answers
                    .iter()
                    .all(|answer| matches!(answer, Err(SubmitError::Unavailable)))
            );
            assert_eq!(signed.load(Ordering::Relaxed), heads, "no head was signed");
            assert!(!storage.calls().contains(&"commit") && storage.contents().leaves.is_empty());
            // The other log is sound.
            while !engine.is_writable() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            engine.submit(CT, entry("b")).await.unwrap();
            engine.shutdown().await;
        });
    }
}
