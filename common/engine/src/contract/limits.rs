//! The largest and the oddest values that a store must give back as they were.

use bytes::Bytes;
use common_tlog::TileId;

use super::{A, B, batch, head, log, part};
use crate::index::IndexKey;
use crate::storage::{Commit, Place, Storage};
use crate::types::Attachment;

pub(super) async fn values_come_back_as_they_were(store: &dyn Storage) {
    let mut odd = log(A);
    odd.info.spec.key_id = "'; DROP TABLE logs; -- \u{10ffff}\n".to_owned();
    odd.info.spec.created = u64::MAX;
    odd.head.time = u64::MAX;
    store.create_log(&odd).await.unwrap();
    store.create_log(&log(B)).await.unwrap();
    assert_eq!(store.logs().await.unwrap()[0], odd);

    let mut whole = batch(vec![part(A, 0, 5)]);
    let leaves = &mut whole.logs[0].leaves;
    let every_byte: Vec<u8> = (0..=255).collect();
    leaves[0].data = Bytes::new();
    leaves[0].extra = Bytes::new();
    leaves[1].data = every_byte.repeat(1 << 14).into();
    leaves[1].extra = every_byte.repeat(1 << 10).into();
    leaves[2].time = u64::MAX;
    leaves[3].data = Bytes::from(vec![0; 2_500]);
    leaves[4].data = every_byte.into();
    whole.logs[0].tiles = vec![
        (TileId { level: 0, index: 0 }, Bytes::from(vec![0; 32])),
        (
            TileId {
                level: 0,
                index: (1 << 32) - 1,
            },
            Bytes::from(vec![0xff; 8_192]),
        ),
    ];
    // A checkpoint with the cosignatures of a thousand witnesses.
    whole.logs[0].head.to.checkpoint = "— witness.example/α AAAA\n".repeat(1_000);
    whole.logs[0].head.to.time = u64::MAX;
    let keys = [
        "k".repeat(1_024),
        "nul \0 inside".to_owned(),
        "nul".to_owned(),
        "%_\\'\"".to_owned(),
    ];
    whole.attachments = keys
        .iter()
        .map(|key| Attachment {
            key: key.clone(),
            data: Bytes::from(key.repeat(999).into_bytes()),
        })
        .collect();
    // Twice in one batch, as when two entries bring the same certificate: the first one stays.
    whole.attachments.push(Attachment {
        key: "nul".to_owned(),
        data: Bytes::from_static(b"second"),
    });
    assert_eq!(store.commit(&whole).await.unwrap(), Commit::Committed);
    assert_eq!(head(store, A).await, whole.logs[0].head.to);
    assert_eq!(store.leaves(A, 0, u32::MAX).await.unwrap(), whole.logs[0].leaves);
    let tiles: Vec<TileId> = whole.logs[0].tiles.iter().map(|(tile, _)| *tile).collect();
    let stored = store.tiles(A, &tiles).await.unwrap();
    assert!(
        stored
            .iter()
            .zip(&whole.logs[0].tiles)
            .all(|(got, (_, put))| got.as_ref() == Some(put))
    );
    for attachment in &whole.attachments[..keys.len()] {
        assert_eq!(
            store.attachment(&attachment.key).await.unwrap().as_ref(),
            Some(&attachment.data)
        );
    }
}

pub(super) async fn questions_at_the_edges_have_answers(store: &dyn Storage) {
    store.create_log(&log(A)).await.unwrap();
    store.create_log(&log(B)).await.unwrap();
    store
        .commit(&batch(vec![part(A, 0, 3), part(B, 0, 3)]))
        .await
        .unwrap();
    assert_eq!(
        store.leaves(A, 0, u32::MAX).await.unwrap().len(),
        3,
        "and none of the other log"
    );
    assert_eq!(store.leaves(A, 0, 0).await.unwrap(), vec![]);
    for start in [3, u64::from(u32::MAX), (1 << 40) - 1, 1 << 40, 1 << 63, u64::MAX] {
        assert_eq!(store.leaves(A, start, 10).await.unwrap(), vec![], "from {start}");
        assert_eq!(
            store.leaves(B, start, u32::MAX).await.unwrap(),
            vec![],
            "from {start}"
        );
        let place = Place { log: A, index: start };
        assert_eq!(store.leaves_at(&[place]).await.unwrap(), vec![None]);
        let tile = TileId {
            level: 0,
            index: start,
        };
        assert_eq!(store.tiles(A, &[tile]).await.unwrap(), vec![None]);
    }
    let high = TileId {
        level: u8::MAX,
        index: 0,
    };
    assert_eq!(store.tiles(A, &[high]).await.unwrap(), vec![None]);
    assert_eq!(store.tiles(A, &[]).await.unwrap(), vec![]);
    assert_eq!(store.leaves_at(&[]).await.unwrap(), vec![]);
    assert_eq!(store.find(&[], 10).await.unwrap(), vec![]);
    assert_eq!(store.find(&[IndexKey(u64::MAX)], u32::MAX).await.unwrap(), vec![]);
    assert_eq!(store.attachment("").await.unwrap(), None);
    assert_eq!(store.index_rows(None, 0).await.unwrap(), vec![]);
    assert_eq!(store.attachments(Some("\u{10ffff}"), 10).await.unwrap(), vec![]);
    let nowhere = crate::types::LogId(9);
    assert_eq!(store.leaves(nowhere, 0, 10).await.unwrap(), vec![]);
    let state = crate::types::LogState::ReadOnly;
    assert_eq!(store.set_state(nowhere, state).await.unwrap(), Commit::Conflict);
    let elsewhere = batch(vec![part(nowhere, 0, 1)]);
    assert_eq!(store.commit(&elsewhere).await.unwrap(), Commit::Conflict);
}
