#![allow(clippy::unwrap_used, reason = "tests")]

use common_server::admission::Bounds;

use crate::testing::{Stack, get, post};
use crate::{v1, v2};

#[tokio::test]
async fn what_does_not_fit_is_pushed_back() {
    let limits = v2::Limits {
        writes: Bounds::fixed(0),
        reads: Bounds::fixed(0),
        ..v2::Limits::default()
    };
    let stack = Stack::with(v1::Limits::default(), limits).await;
    // Nothing of it is looked at.
    let reply = post(&stack.v2, "/api/v2/log/entries", "{").await;
    assert_eq!(reply.status.as_u16(), 503);
    assert!(["1", "2", "3"].contains(&reply.header("retry-after")));
    assert_eq!(reply.json()["code"], 14, "UNAVAILABLE");
    assert_eq!(reply.message(), "reached max pushback; retry");
    assert_eq!(
        get(&stack.v2, "/api/v2/checkpoint").await.status,
        200,
        "the head is in memory"
    );
    // Nothing is read to learn that a tile is not there.
    assert_eq!(get(&stack.v2, "/api/v2/tile/0/000").await.status, 404);
}
