#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn what_does_not_fit_asks_to_retry() {
    let busy = [
        ApiError::from(Refused),
        ApiError::from(ReadError::Busy),
        // Also where it is the chain beside a leaf that could not be read.
        ApiError::from(BesideError::Read(ReadError::Busy)),
    ];
    for error in busy {
        let answer = error.into_response();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let seconds: u32 = answer.headers()[header::RETRY_AFTER]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=3).contains(&seconds));
    }
    let missing = BesideError::MissingIssuer(common_tlog::Hash([0; 32]));
    let answer = ApiError::from(missing).into_response();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.headers().contains_key(header::RETRY_AFTER));
}
