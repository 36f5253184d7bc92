//! Request parameters, from a query or a form body, read once and bounded.

use crate::error::{Kind, OAuthError};
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header;

const MAX_PARAMETERS: usize = 32;
/// The longest value in bytes: a `state` may be large, everything else is short.
const MAX_VALUE: usize = 4096;

/// Decoded parameters, each name at most once.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads `application/x-www-form-urlencoded` text.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, OAuthError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(text) {
            if pairs.len() >= MAX_PARAMETERS {
                return Err(OAuthError::invalid_request(format!(
                    "expected at most {MAX_PARAMETERS} parameters, got more"
                )));
            }
            if name.len().max(value.len()) > MAX_VALUE {
                return Err(OAuthError::invalid_request(format!(
                    "expected values of at most {MAX_VALUE} bytes, got more"
                )));
            }
            // RFC 6749 §3.1 and §3.2: parameters MUST NOT be included more than once.
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(OAuthError::invalid_request(format!(
                    "parameter {name} given more than once"
                )));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// The value, unless absent or empty: "parameters sent without a value MUST be treated as if they were omitted"
    /// (RFC 6749 §3.1). sigstore-python relies on it with its empty `client_secret`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The value, or the refusal that names what is missing.
    pub(crate) fn require(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name)
            .ok_or_else(|| OAuthError::invalid_request(format!("expected parameter {name}, got none")))
    }
}

/// A form body, with OAuth's own errors for everything that is wrong with it.
pub(crate) struct Form(pub(crate) Parameters);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = OAuthError;

    async fn from_request(request: Request, state: &S) -> Result<Self, OAuthError> {
        expect_media_type(&request, "application/x-www-form-urlencoded")?;
        let body = read_body(request, state).await?;
        Parameters::parse(&body).map(Self)
    }
}

/// The whole body within the router's limit.
pub(crate) async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, OAuthError> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
            OAuthError::new(
                Kind::BodyTooLarge,
                format!("expected a body of at most {} bytes, got more", crate::BODY_LIMIT),
            )
        } else {
            OAuthError::invalid_request("the body could not be read")
        }
    })
}

/// Refuses a body of any other media type. This also keeps foreign web pages out: a browser sends JSON across origins only
/// after asking, and nothing here answers that question.
pub(crate) fn expect_media_type(request: &Request, expected: &str) -> Result<(), OAuthError> {
    let got = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("none");
    let essence = got.split_once(';').map_or(got, |(essence, _)| essence).trim();
    if essence.eq_ignore_ascii_case(expected) {
        Ok(())
    } else {
        Err(OAuthError::invalid_request(format!(
            "expected Content-Type {expected}, got {got}"
        )))
    }
}
