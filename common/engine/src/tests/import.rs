//! A log of somebody else is taken over, in pieces.

use std::sync::Arc;

use bytes::Bytes;
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::{KeyHint, Note};
use common_tlog::proof::verify_inclusion;
use common_tlog::{Hash, RightEdge, leaf_hash};

use super::harness::*;
use crate::memory::MemoryStorage;
use crate::{
    Engine, Import, ImportError, ImportTarget, ImportedLeaf, Indexed, LeafTerms, LogConfig, LogId, LogState,
    NoAnchor, Options, Storage,
};

const OLD: LogId = LogId(9);
const ORIGIN: &str = "theirs";
const VERSION: u32 = 7;

fn leaf(index: u64) -> ImportedLeaf {
    ImportedLeaf {
        time: 1_000 * index,
        data: Bytes::from(format!("leaf {}", index / 2)),
        extra: Bytes::from(format!("promise {index}")),
        terms: LeafTerms {
            terms: vec![format!("term {}", index % 3)],
            complete: index != 300,
        },
        attachments: Vec::new(),
    }
}

fn target(size: u64) -> ImportTarget {
    let hashes: Vec<Hash> = (0..size).map(|index| leaf_hash(&leaf(index).data)).collect();
    let root = RightEdge::empty().grow(&hashes).unwrap().edge().root();
    let mut note = Note::new(Checkpoint::new(ORIGIN, size, root).to_string()).unwrap();
    note.push(ORIGIN, KeyHint([9; 4]), vec![9; 64]).unwrap();
    ImportTarget {
        size,
        root,
        checkpoint: note.to_string(),
    }
}

fn configuration() -> LogConfig {
    let log = TestLog {
        origin: ORIGIN.to_owned(),
        stamped: false,
    };
    config(OLD, Arc::new(log), ORIGIN)
}

async fn begin(storage: &Arc<MemoryStorage>) -> Import {
    let storage = Arc::clone(storage) as Arc<dyn Storage>;
    Import::open(storage, OLD, configuration().spec, VERSION)
        .await
        .unwrap()
}

#[tokio::test]
async fn leaves_times_and_checkpoint_are_as_they_were_and_an_attempt_goes_on_from_the_last() {
    let (storage, target) = (Arc::new(MemoryStorage::new()), target(700));
    let mut next = 0;
    for count in [300, 1, 255, 144] {
        // Each attempt knows no more than the store.
        let mut import = begin(&storage).await;
        assert_eq!(import.size(), next);
        import
            .append((next..next + count).map(leaf).collect(), &target)
            .await
            .unwrap();
        next += count;
    }
    begin(&storage).await.finish(&target).await.unwrap();
    begin(&storage).await.finish(&target).await.unwrap();

    // Its index is whole from the beginning, and says what cannot be told.
    let secret = storage.secret().await.unwrap();
    let indexed = crate::terms::load(storage.as_ref(), &secret, OLD, VERSION)
        .await
        .unwrap();
    assert_eq!(
        indexed,
        Some(Indexed {
            until: 0,
            from: 0,
            partial_below: 301
        })
    );

    let mut logs = configs();
    logs.push(configuration());
    let now = Arc::new(std::sync::atomic::AtomicU64::new(1_800_000_000_000));
    let engine = Engine::open(storage, logs, Arc::new(NoAnchor), clock(&now), Options::default());
    let engine = engine.await.unwrap();
    assert_eq!(engine.log(OLD).unwrap().state, LogState::Frozen);
    let head = engine.head(OLD).unwrap();
    assert_eq!(
        (head.size, head.root, &head.checkpoint),
        (700, target.root, &target.checkpoint)
    );
    for index in [0, 1, 255, 256, 299, 300, 699] {
        let (stored, expected) = (engine.leaf(OLD, index).await.unwrap().unwrap(), leaf(index));
        assert_eq!(
            (stored.time, &stored.data, &stored.extra),
            (expected.time, &expected.data, &expected.extra)
        );
        let proof = engine.inclusion_proof(OLD, index, 700).await.unwrap();
        verify_inclusion(index, 700, &leaf_hash(&stored.data), &proof, &head.root).unwrap();
    }
    // The other log may have had a leaf twice: either is found by its hash.
    let found = engine
        .find_leaf(OLD, &leaf_hash(&leaf(4).data))
        .await
        .unwrap()
        .unwrap();
    assert!([4, 5].contains(&found.index));
    assert_eq!(engine.search("term 1", 1_000).await.unwrap().len(), 233);
}

#[tokio::test]
async fn leaves_that_were_not_signed_are_not_taken() {
    let (storage, target) = (Arc::new(MemoryStorage::new()), target(10));
    let mut import = begin(&storage).await;
    let mut wrong: Vec<_> = (0..10).map(leaf).collect();
    wrong[3].data = Bytes::from("another");
    assert!(matches!(
        import.append(wrong, &target).await,
        Err(ImportError::Root { size: 10, .. })
    ));
    let more = (0..11).map(leaf).collect();
    assert!(matches!(
        import.append(more, &target).await,
        Err(ImportError::TooMany {
            expected: 10,
            got: 11
        })
    ));
    let mut long: Vec<_> = (0..2).map(leaf).collect();
    long[1].data = vec![0; 65_536].into();
    assert!(matches!(
        import.append(long, &target).await,
        Err(ImportError::TooLarge { index: 1, .. })
    ));
    let mut backwards: Vec<_> = (0..2).map(leaf).collect();
    backwards.reverse();
    assert!(matches!(
        import.append(backwards, &target).await,
        Err(ImportError::Time {
            index: 1,
            expected: 1_000,
            got: 0
        })
    ));
    assert_eq!(import.size(), 0);
    assert!(matches!(
        begin(&storage).await.finish(&target).await,
        Err(ImportError::Root { size: 0, .. })
    ));
    // What was right is taken all the same.
    import.append((0..10).map(leaf).collect(), &target).await.unwrap();
    import.finish(&target).await.unwrap();
    let mut late = begin(&storage).await;
    assert!(matches!(
        late.append(vec![leaf(10)], &super::import::target(11)).await,
        Err(ImportError::Finished(10))
    ));
}

/// A source that answers with an older head than before: the leaves up to it are in, as the middle of a longer log.
#[tokio::test]
async fn a_log_is_not_closed_under_a_note_that_nobody_signed() {
    let storage = Arc::new(MemoryStorage::new());
    let mut import = begin(&storage).await;
    import
        .append((0..10).map(leaf).collect(), &target(20))
        .await
        .unwrap();
    let ended = begin(&storage).await.finish(&target(10)).await;
    assert!(matches!(ended, Err(ImportError::Unsigned(10))), "{ended:?}");
    assert!(!begin(&storage).await.is_closed());
    // Its end, when it comes, is the signed one.
    let mut import = begin(&storage).await;
    import
        .append((10..20).map(leaf).collect(), &target(20))
        .await
        .unwrap();
    import.finish(&target(20)).await.unwrap();
    assert!(begin(&storage).await.is_closed());
}

/// Rows of a log that nobody serves yet must not stand in for those of one that is served.
#[tokio::test]
async fn an_import_under_way_takes_no_place_in_a_search() {
    let storage = Arc::new(MemoryStorage::new());
    let engine = open(&storage).await;
    let mut found = entry("found");
    found.terms = vec!["term 1".to_owned()];
    engine.submit(V1, found).await.unwrap();
    let mut import = begin(&storage).await;
    import
        .append((0..100).map(leaf).collect(), &target(200))
        .await
        .unwrap();
    assert_eq!(engine.search("term 1", 5).await.unwrap(), vec![(V1, 0)]);
}
