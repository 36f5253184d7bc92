#![allow(clippy::unwrap_used, reason = "tests")]
//! What a page holds, and what is read for it at once.

use bytes::Bytes;

use super::*;
use crate::testing::{Stack, TILES, dsse_request, post};

/// A page of a hundred leaves of a MiB each, of several logs, for sixteen clients, was gigabytes.
#[tokio::test]
async fn what_was_found_keeps_no_leaf() {
    let stack = Stack::new().await;
    let reply = post(&stack.v2, "/api/v2/log/entries", dsse_request().to_string()).await;
    assert_eq!(reply.status, 201, "{:?}", reply.body);
    let stored = stack.engine.leaf(TILES, 0).await.unwrap().unwrap();
    // A copy: the store has the other one.
    let leaf = StoredLeaf {
        data: Bytes::copy_from_slice(&stored.data),
        extra: Bytes::copy_from_slice(&stored.extra),
        ..stored
    };
    let hit = ask(LogKind::RekorV2, &leaf, &[]).unwrap();
    assert!(leaf.data.is_unique() && leaf.extra.is_unique());
    assert_eq!(
        (hit.index, hit.time, hit.leaf_hash),
        (0, leaf.time, leaf_hash(&leaf.data))
    );
}

#[test]
fn leaves_are_read_by_their_bytes_and_not_by_count_alone() {
    // The longest leaf of a log, room on the page, leaves at once.
    for (leaf_limit, room, expected) in [
        (65_535, 1, 16),
        (65_535, 100, 100),
        (65_535, 1_000, 128),
        (1 << 20, 1, 16),
        (1 << 20, 100, 16),
        (16 << 20, 100, 1),
        (u32::MAX, 100, 1),
        (0, 100, 100),
    ] {
        assert_eq!(at_once(leaf_limit, room), expected, "{leaf_limit}, {room}");
    }
}
