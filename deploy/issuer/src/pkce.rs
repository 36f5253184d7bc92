//! Proof Key for Code Exchange (RFC 7636), method S256 only.

use crate::error::OAuthError;
use crate::form::Parameters;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A code challenge: the SHA-256 of a verifier only the client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge([u8; 32]);

impl Challenge {
    /// The challenge of a request, if it has one. `plain`, also when merely implied by a missing method (RFC 7636 §4.3), is
    /// refused: it protects nothing.
    pub(crate) fn read(parameters: &Parameters) -> Result<Option<Self>, OAuthError> {
        let Some(challenge) = parameters.get("code_challenge") else {
            return Ok(None);
        };
        match parameters.get("code_challenge_method") {
            Some("S256") => {}
            other => {
                let got = other.unwrap_or("none");
                return Err(OAuthError::invalid_request(format!(
                    "expected code_challenge_method S256, got {got}"
                )));
            }
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(challenge)
            .ok()
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).map(Some).ok_or_else(|| {
            OAuthError::invalid_request(
                "expected code_challenge to be the unpadded base64url of a SHA-256 digest",
            )
        })
    }

    /// RFC 7636 §4.6.
    pub(crate) fn verify(&self, verifier: Option<&str>) -> Result<(), OAuthError> {
        let verifier =
            verifier.ok_or_else(|| OAuthError::invalid_grant("expected code_verifier, got none"))?;
        // RFC 7636 §4.1: 43 to 128 unreserved characters.
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
            return Err(OAuthError::invalid_grant(
                "expected code_verifier of 43 to 128 unreserved characters",
            ));
        }
        let digest = digest::digest(&digest::SHA256, verifier.as_bytes());
        verify_slices_are_equal(digest.as_ref(), &self.0)
            .map_err(|_| OAuthError::invalid_grant("code_verifier does not match the code_challenge"))
    }
}
