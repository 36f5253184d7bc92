#![allow(clippy::unwrap_used, reason = "tests")]

use common_engine::{Corrupt, LogId, SealError, StorageError};

use super::*;
use crate::v1::TreeId;

async fn shown(error: ApiError) -> (u16, String, Response) {
    let (parts, body) = error.into_response().into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (
        parts.status.as_u16(),
        text,
        Response::from_parts(parts, axum::body::Body::empty()),
    )
}

#[tokio::test]
async fn what_the_engine_refuses_is_the_clients_or_ours_to_mend() {
    let sealed = || SubmitError::Seal(SealError::new("pin of the key is 1234"));
    for (cause, status, message) in [
        (SubmitError::Overloaded, 503, "the log is overloaded, retry later"),
        (
            SubmitError::Unavailable,
            503,
            "the log could not store the entry, retry later",
        ),
        (
            SubmitError::ShuttingDown,
            503,
            "the log could not store the entry, retry later",
        ),
        (
            SubmitError::ReadOnly,
            405,
            "this log is read-only: no entry can be added",
        ),
        (
            SubmitError::Frozen,
            405,
            "this log is read-only: no entry can be added",
        ),
        (
            SubmitError::TooLarge { limit: 5, got: 6 },
            400,
            "error processing entry: the canonical entry has 6 bytes, a leaf of this log at most 5",
        ),
        (sealed(), 503, "the log could not store the entry, retry later"),
    ] {
        let (got, text, response) = shown(cause.into()).await;
        assert_eq!(
            (got, text),
            (
                status,
                format!("{{\"code\":{status},\"message\":\"{message}\"}}\n")
            )
        );
        assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503);
        assert_eq!(response.headers().contains_key(ALLOW), status == 405);
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_may_be_asked_again_a_corrupt_one_not() {
    let log = LogId(1);
    for (cause, status, message) in [
        (
            ReadError::from(StorageError::new("pool of /var/lib/db timed out")),
            503,
            "the log could not be read, retry later",
        ),
        (
            Corrupt::LeafMissing(log, 7).into(),
            500,
            "unexpected error communicating with transparency log",
        ),
        (
            ReadError::UnknownLog(log),
            500,
            "unexpected error communicating with transparency log",
        ),
    ] {
        let (got, text, response) = shown(cause.into()).await;
        let expected = format!("{{\"code\":{status},\"message\":\"{message}\"}}\n");
        assert_eq!((got, text), (status, expected));
        assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503);
    }
}

#[tokio::test]
async fn a_full_queue_asks_to_retry() {
    for error in [
        ApiError::from(cpu::Overloaded),
        ApiError::from(BodyError::Overloaded),
    ] {
        let (status, _, response) = shown(error).await;
        assert_eq!(status, 503);
        let seconds = response.headers().get(RETRY_AFTER).unwrap().to_str().unwrap();
        assert!(["1", "2", "3"].contains(&seconds), "{seconds}");
    }
}

#[tokio::test]
async fn a_duplicate_names_the_entry_that_is_there() {
    let id = EntryId {
        tree: TreeId::new(0x10).unwrap(),
        leaf: common_tlog::Hash([0xab; 32]),
    };
    let text = format!("0000000000000010{}", "ab".repeat(32));
    let (status, body, response) = shown(ApiError::Duplicate {
        id,
        location: HeaderValue::from_static("/x"),
    })
    .await;
    assert_eq!(status, 409);
    let message = format!("an equivalent entry already exists in the transparency log with UUID {text}");
    assert_eq!(body, format!("{{\"code\":409,\"message\":\"{message}\"}}\n"));
    assert_eq!(response.headers().get(ETAG).unwrap().to_str().unwrap(), text);
    assert_eq!(response.headers().get(LOCATION).unwrap().to_str().unwrap(), "/x");
}

#[test]
fn violations_read_like_go_openapis() {
    for (rule, code, text) in [
        (
            Rule::Type {
                expected: "int64",
                got: "a\"b".to_owned(),
            },
            601,
            "f in query must be of type int64: \"a\\\"b\"",
        ),
        (Rule::Required, 602, "f in query is required"),
        (
            Rule::AtMostChars(2),
            603,
            "f in query should be at most 2 chars long",
        ),
        (Rule::Pattern("^a$"), 605, "f in query should match '^a$'"),
        (Rule::OneOf("a b"), 606, "f in query should be one of [a b]"),
        (
            Rule::AtLeast(1),
            609,
            "f in query should be greater than or equal to 1",
        ),
        (
            Rule::AtMostItems(10),
            611,
            "f in query should have at most 10 items",
        ),
        (
            Rule::AtLeastItems(1),
            612,
            "f in query should have at least 1 items",
        ),
    ] {
        let violation = Violation::new("f", Place::Query, rule);
        assert_eq!((violation.to_string().as_str(), violation.code()), (text, code));
    }
}
