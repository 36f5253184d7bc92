#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use super::*;
use crate::check::tests::log;

#[tokio::test]
async fn entries_are_read_and_proven_anywhere() {
    let log = log(Dialect::Entries, 600).await;
    let (_, checkpoint) = log.reader.checkpoint().await.unwrap();
    for index in [0, 1, 255, 256, 511, 512, 599] {
        let proven = log.reader.entry(index, &checkpoint).await.unwrap();
        assert_eq!(proven.leaf, format!("leaf {index}").into_bytes());
        assert!(!proven.proof.is_empty());
    }
    assert!(matches!(
        log.reader.entry(600, &checkpoint).await,
        Err(EntryError::Beyond {
            index: 600,
            size: 600
        })
    ));
}

#[tokio::test]
async fn an_entry_that_the_checkpoint_does_not_hold_is_refused() {
    let log = log(Dialect::Entries, 300).await;
    let (_, checkpoint) = log.reader.checkpoint().await.unwrap();
    let (bundle, tile) = ("tile/entries/000", "tile/0/000");
    for (path, at) in [(bundle, 5), (tile, 40)] {
        let whole = log.files.lock().unwrap()[path].clone();
        log.files.lock().unwrap().get_mut(path).unwrap()[at] ^= 1;
        let refused = log.reader.entry(0, &checkpoint).await;
        assert!(
            matches!(refused, Err(EntryError::Proof(_))),
            "{path}: {refused:?}"
        );
        log.files.lock().unwrap().insert(path.to_owned(), whole);
    }
    log.files.lock().unwrap().remove(tile);
    assert!(matches!(
        log.reader.entry(0, &checkpoint).await,
        Err(EntryError::Missing(_))
    ));
    log.files.lock().unwrap().remove(bundle);
    assert!(matches!(
        log.reader.entry(0, &checkpoint).await,
        Err(EntryError::Missing(_))
    ));
}

#[tokio::test]
async fn certificates_are_not_taken_for_entries() {
    let log = log(Dialect::Certificates, 3).await;
    let (_, checkpoint) = log.reader.checkpoint().await.unwrap();
    assert!(matches!(
        log.reader.entry(0, &checkpoint).await,
        Err(EntryError::Certificates)
    ));
}
