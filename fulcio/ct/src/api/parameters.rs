//! Query parameters of the RFC 6962 endpoints.

use super::error::ApiError;
use axum::extract::{FromRequestParts, Query};
use common_tlog::Hash;
use http::request::Parts;

const MAX_PARAMETERS: usize = 16;

/// The decoded query.
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let refused = || ApiError::Parameter("the query is malformed".to_owned());
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|_| refused())?;
        if pairs.len() > MAX_PARAMETERS {
            Err(refused())
        } else {
            Ok(Self(pairs))
        }
    }
}

impl Parameters {
    /// The first value, as Go's `FormValue` gives it.
    fn get(&self, name: &'static str) -> Result<&str, ApiError> {
        let found = self
            .0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str());
        found
            .filter(|value| !value.is_empty())
            .ok_or_else(|| ApiError::Parameter(format!("parameter '{name}' is required")))
    }

    /// A decimal number, as large as a tree can be (RFC 6962 §4: all in decimal).
    pub(crate) fn number(&self, name: &'static str) -> Result<u64, ApiError> {
        let malformed = || {
            ApiError::Parameter(format!(
                "parameter '{name}' is malformed: expected a decimal number from 0"
            ))
        };
        let text = self.get(name)?;
        // `parse` alone would accept a plus sign.
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed());
        }
        text.parse()
            .ok()
            .filter(|number| *number <= common_tlog::MAX_SIZE)
            .ok_or_else(malformed)
    }

    /// A base64 leaf hash. A `+` that was not percent-encoded has become a space on the way; base64 has none.
    pub(crate) fn hash(&self, name: &'static str) -> Result<Hash, ApiError> {
        let text = self.get(name)?.replace(' ', "+");
        Hash::from_base64(&text).map_err(|_| {
            ApiError::Parameter(format!(
                "parameter '{name}' is malformed: expected the base64 of 32 bytes"
            ))
        })
    }
}
