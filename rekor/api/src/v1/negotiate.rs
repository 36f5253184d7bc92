//! What go-openapi checks of a request before a handler sees it: media types, the body's size, query
//! parameters (go-openapi/runtime `middleware/context.go`, BindValidRequest: content type first, then Accept,
//! then the parameters).

use axum::body::HttpBody;
use axum::extract::{Query, Request};
use common_server::body::{Read, Reader};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Uri, request};
use rekor_entry::Object;
use serde::Deserialize;

use super::error::{ApiError, Place, Rule, Violation};

/// What all operations but one answer with.
pub(crate) const JSON: &str = "application/json";
/// What `publicKey` answers with.
pub(crate) const PEM: &str = "application/x-pem-file";

/// Checks a request for an operation that reads and writes JSON and takes its body.
///
/// `parameter` is the name under which the schema knows the body.
pub(crate) async fn json_body(
    request: Request,
    parameter: &str,
    bodies: &Reader,
) -> Result<(request::Parts, Read), ApiError> {
    let (parts, body) = request.into_parts();
    let empty = HttpBody::is_end_stream(&body);
    // A form that is taken is one to answer in, whatever `Accept` says (BindValidRequest, its default offer).
    if empty {
        accepts(&parts.headers, &[JSON])?;
    } else {
        content_type(&parts.headers)?;
    }
    let body = bodies.read_of(&parts, body).await?;
    if body.bytes.is_empty() {
        return Err(Violation::new(parameter, Place::Body, Rule::Required).into());
    }
    Ok((parts, body))
}

/// Reads a body as the object that an operation expects; `null` is one without members, as in Go.
pub(crate) fn object<'a, T: Deserialize<'a> + Default>(
    body: &'a [u8],
    parameter: &'static str,
) -> Result<T, ApiError> {
    serde_json::from_slice::<Option<Object<T>>>(body)
        .map(|given| given.map_or_else(T::default, |Object(members)| members))
        .map_err(|cause| ApiError::Malformed { parameter, cause })
}

fn content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    // RFC 9110 §8.3: what is not declared is octets (go-openapi/runtime `headers.go`).
    let declared = headers
        .get(CONTENT_TYPE)
        .map_or("application/octet-stream", |value| {
            value.to_str().unwrap_or_default()
        });
    let media = declared.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case(JSON) {
        Ok(())
    } else {
        Err(ApiError::ContentType(media.to_owned()))
    }
}

/// The first of `offers` that the client takes (RFC 9110 §12.5.1); no `Accept` means anything.
pub(crate) fn accepts(
    headers: &HeaderMap,
    offers: &'static [&'static str],
) -> Result<&'static str, ApiError> {
    let ranges: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .collect();
    let takes = |offer: &str, range: &str| {
        let family = offer.split('/').next().unwrap_or_default();
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let refused = parts.any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            name.trim().eq_ignore_ascii_case("q")
                && value.trim().parse::<f32>().is_ok_and(|quality| quality <= 0.0)
        });
        let matches = media.eq_ignore_ascii_case(offer)
            || media == "*/*"
            || media
                .strip_suffix("/*")
                .is_some_and(|given| given.eq_ignore_ascii_case(family));
        matches && !refused
    };
    offers
        .iter()
        .find(|offer| ranges.is_empty() || ranges.iter().any(|range| takes(offer, range)))
        .copied()
        .ok_or(ApiError::NotAcceptable(offers))
}

/// The query of a request. Of a repeated parameter the last one counts (go-openapi/runtime `values.go`),
/// others are ignored.
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn of(uri: &Uri) -> Self {
        Params(
            Query::try_from_uri(uri)
                .map(|Query(pairs)| pairs)
                .unwrap_or_default(),
        )
    }

    /// An absent parameter and an empty one are the same.
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// An `int64` parameter of at least `minimum`.
    pub(crate) fn integer(&self, name: &str, minimum: u64) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let broken = |rule| ApiError::from(Violation::new(name, Place::Query, rule));
        let value: i64 = text.parse().map_err(|_| {
            broken(Rule::Type {
                expected: "int64",
                got: text.to_owned(),
            })
        })?;
        match u64::try_from(value) {
            Ok(value) if value >= minimum => Ok(Some(value)),
            _ => Err(broken(Rule::AtLeast(minimum))),
        }
    }

    /// The same, for a parameter without which there is nothing to answer.
    pub(crate) fn required_integer(&self, name: &str, minimum: u64) -> Result<u64, ApiError> {
        self.integer(name, minimum)?
            .ok_or_else(|| Violation::new(name, Place::Query, Rule::Required).into())
    }

    /// `treeID`, decimal digits; rekor-cli sends it empty when unset.
    pub(crate) fn tree_id(&self) -> Result<Option<&str>, ApiError> {
        match self.get("treeID") {
            Some(text) if !text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Err(Violation::new("treeID", Place::Query, Rule::Pattern("^[0-9]+$")).into())
            }
            other => Ok(other),
        }
    }
}

#[cfg(test)]
mod tests;
