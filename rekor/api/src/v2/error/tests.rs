#![allow(clippy::unwrap_used, reason = "tests")]

use common_engine::{Corrupt, LogId, SealError, StorageError};

use super::*;

#[tokio::test]
async fn every_cause_has_its_status_and_code() {
    let sealed = SubmitError::Seal(SealError::new("pin of the key is 1234"));
    for (error, status, code) in [
        (ApiError::from(SubmitError::Overloaded), 503, 14),
        (SubmitError::Unavailable.into(), 503, 14),
        (SubmitError::ShuttingDown.into(), 503, 14),
        (SubmitError::TooLarge { limit: 5, got: 6 }.into(), 400, 3),
        (sealed.into(), 503, 14),
        (
            ReadError::from(StorageError::new("pool 1234 timed out")).into(),
            503,
            14,
        ),
        (
            ReadError::from(Corrupt::LeafMissing(LogId(1234), 7)).into(),
            500,
            13,
        ),
        (ReadError::UnknownLog(LogId(1234)).into(), 500, 13),
        (cpu::Overloaded.into(), 503, 14),
        (BodyError::Overloaded.into(), 503, 14),
        (BodyError::TooLarge { limit: 4 }.into(), 400, 3),
        (BodyError::Unreadable.into(), 400, 3),
        (ApiError::NotFound, 404, 5),
        (ApiError::WrongMethod, 501, 12),
    ] {
        let message = error.to_string();
        let response = error.into_response();
        assert_eq!(response.status(), status, "{message}");
        assert_eq!(
            response.headers().contains_key(RETRY_AFTER),
            status == 503,
            "{message}"
        );
        assert!(!message.contains("1234"), "internals are never shown");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        assert_eq!(
            body,
            format!("{{\"code\":{code},\"message\":\"{message}\",\"details\":[]}}")
        );
    }
}

#[tokio::test]
async fn pushback_is_worded_as_upstream() {
    let body = axum::body::to_bytes(ApiError::Pushback.into_response().into_body(), usize::MAX)
        .await
        .unwrap();
    assert_eq!(
        body,
        "{\"code\":14,\"message\":\"reached max pushback; retry\",\"details\":[]}"
    );
}
