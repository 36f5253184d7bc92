//! A timestamp over a signature (RFC 3161).

use common_pki::key::HashAlgorithm;
use common_pki::tsp::{ImprintAlgorithm, MessageImprint, TimeStampRequest, TspError};
use http::StatusCode;

use crate::http::{Client, HttpError};

/// Why there is no timestamp.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TimestampError {
    /// No answer, or a refusal.
    #[error("timestamp authority: {0}")]
    Http(#[from] HttpError),
    /// The request could not be made.
    #[error("timestamp authority: {0}")]
    Request(#[from] TspError),
}

/// Asks the authority, whose whole address is that of `client`, for a timestamp over `signature`. The answer is verified by
/// whoever trusts the authority.
///
/// # Errors
/// [`TimestampError`].
pub(crate) async fn request(client: &Client, signature: &[u8]) -> Result<Vec<u8>, TimestampError> {
    let imprint = MessageImprint {
        algorithm: ImprintAlgorithm::Strong(HashAlgorithm::Sha256),
        digest: HashAlgorithm::Sha256.digest(signature),
    };
    let request = TimeStampRequest {
        imprint,
        policy: None,
        nonce: None,
        certificates: false,
        extensions: false,
    };
    let answer = client
        .post("", "application/timestamp-query", request.to_der()?)
        .await?;
    // timestamp-server answers 200 or, with a flag, 201 (`cmd/timestamp-server/app/root.go`).
    let expected = if answer.status == StatusCode::CREATED {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(answer.expect(expected)?.to_vec())
}
