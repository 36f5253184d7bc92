#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use common_tlog::leaf_hash;

use super::*;
use crate::Dialect;
use crate::check::tests::{Log, log};
use crate::source::Tiled;

fn tiled(log: &Log, dialect: Dialect) -> Source {
    Source::Tiled(Tiled::new(log.reader.clone(), dialect))
}

async fn head(log: &Log) -> Head {
    let (note, checkpoint) = log.reader.checkpoint().await.unwrap();
    Head {
        origin: checkpoint.origin,
        size: checkpoint.size,
        root: checkpoint.root,
        signed: note.to_string(),
    }
}

/// Reads to the head; gives the tree and the leaves, with the index of the first.
async fn read(source: &Source, mut tree: CompactRange, head: &Head) -> (CompactRange, Vec<(u64, Leaf)>) {
    let mut leaves = Vec::new();
    loop {
        let step = advance(source, &tree, head).await.unwrap();
        assert_eq!(step.first, tree.size());
        leaves.extend((step.first..).zip(step.leaves));
        tree = step.tree;
        if tree.size() == head.size {
            return (tree, leaves);
        }
    }
}

fn tree_of(size: u64) -> CompactRange {
    let mut tree = CompactRange::new();
    for index in 0..size {
        tree.append_hash(leaf_hash(format!("leaf {index}").as_bytes()))
            .unwrap();
    }
    tree
}

#[tokio::test]
async fn every_leaf_comes_once_and_the_tree_is_the_logs() {
    for dialect in Dialect::ALL {
        for size in [0, 1, 255, 256, 700, 2_048, 2_049, 4_500] {
            let log = log(dialect, size).await;
            let head = head(&log).await;
            let (tree, leaves) = read(&tiled(&log, dialect), CompactRange::new(), &head).await;
            assert_eq!((tree.size(), tree.root()), (size, head.root));
            assert!(leaves.iter().map(|(index, _)| *index).eq(0..size), "{size}");
        }
    }
}

#[tokio::test]
async fn a_log_is_joined_at_its_end() {
    for size in [0, 1, 2, 63, 64, 65, 66, 129, 130, 257, 1_000, 1_025, 2_050] {
        let log = log(Dialect::Entries, size).await;
        let source = tiled(&log, Dialect::Entries);
        let head = head(&log).await;
        assert_eq!(join(&source, &head).await.unwrap(), tree_of(size), "{size}");
        let claims = Head {
            root: leaf_hash(b"other"),
            ..head
        };
        let refused = join(&source, &claims).await;
        assert!(
            matches!(
                refused,
                Err(FollowError::Inconsistent(Inconsistent::Leaves { .. }))
            ),
            "{size}"
        );
    }
}

#[tokio::test]
async fn what_is_new_is_read_from_where_one_was() {
    let log = log(Dialect::Entries, 3_000).await;
    let source = tiled(&log, Dialect::Entries);
    let head = head(&log).await;
    for from in [1, 2, 255, 256, 511, 2_048, 2_999, 3_000] {
        let (tree, leaves) = read(&source, tree_of(from), &head).await;
        assert_eq!(tree.root(), head.root);
        assert!(leaves.iter().map(|(index, _)| *index).eq(from..3_000));
    }
}

#[tokio::test]
async fn another_history_is_told_from_wrong_leaves() {
    let log = log(Dialect::Entries, 3_000).await;
    let source = tiled(&log, Dialect::Entries);
    let head = head(&log).await;
    for size in [1, 100, 2_047, 2_999, 3_000] {
        let mut other = tree_of(size - 1);
        other.append_hash(leaf_hash(b"another leaf")).unwrap();
        let refused = advance(&source, &other, &head).await;
        let Err(FollowError::Inconsistent(Inconsistent::Forked { from, root, to, .. })) = refused else {
            panic!("{size}: {refused:?}")
        };
        assert_eq!((from, root, to), (size, other.root(), 3_000));
    }
    let path = "tile/entries/001".to_owned();
    let changed = |from: u64| {
        let source = source.clone();
        let head = head.clone();
        async move { advance(&source, &tree_of(from), &head).await }
    };
    let last = log.files.lock().unwrap().get_mut(&path).unwrap().pop().unwrap();
    log.files.lock().unwrap().get_mut(&path).unwrap().push(last ^ 1);
    for from in [0, 300] {
        let refused = changed(from).await;
        assert!(
            matches!(
                refused,
                Err(FollowError::Inconsistent(Inconsistent::Leaves { .. }))
            ),
            "{refused:?}"
        );
    }
    // A bundle that is cut is no proof of anything: another time it may be whole.
    log.files.lock().unwrap().get_mut(&path).unwrap().truncate(40);
    assert!(matches!(changed(300).await, Err(FollowError::Source(_))));
    log.files.lock().unwrap().remove(&path);
    assert!(matches!(changed(300).await, Err(FollowError::Source(_))));
}

#[tokio::test]
async fn a_head_that_is_behind_is_no_fork() {
    let log = log(Dialect::Entries, 10).await;
    let refused = advance(&tiled(&log, Dialect::Entries), &tree_of(11), &head(&log).await).await;
    assert!(
        matches!(refused, Err(FollowError::Behind { seen: 11, got: 10 })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_head_is_held_against_the_one_before_it_whatever_is_read() {
    let log = log(Dialect::Entries, 300).await;
    let (source, head) = (tiled(&log, Dialect::Entries), head(&log).await);
    for size in [0, 1, 2, 256, 299, 300] {
        extends(&source, size, tree_of(size).root(), &head).await.unwrap();
    }
    let other = leaf_hash(b"another root");
    let refused = extends(&source, 299, other, &head).await;
    assert!(
        matches!(
            refused,
            Err(FollowError::Inconsistent(Inconsistent::Forked { .. }))
        ),
        "{refused:?}"
    );
    let refused = extends(&source, 300, other, &head).await;
    assert!(
        matches!(
            refused,
            Err(FollowError::Inconsistent(Inconsistent::Contradiction {
                size: 300,
                ..
            }))
        ),
        "{refused:?}"
    );
    let late = extends(&source, 301, other, &head).await;
    assert!(
        matches!(late, Err(FollowError::Behind { seen: 301, got: 300 })),
        "{late:?}"
    );
}
