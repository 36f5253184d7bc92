//! Questions to key services: JSON over HTTPS, answers of bounded size, no redirects, nothing secret in an error.

use common_pki::key::SignError;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use url::Url;

use super::KeyringError;

/// Longest answer read; the longest honest one is a public key with what surrounds it.
const ANSWER_LIMIT: usize = 64 << 10;
/// How much of a refusal is told.
const QUOTE_LIMIT: usize = 300;

/// A client for one key service.
#[derive(Clone)]
pub(super) struct Http(Client);

impl Http {
    pub(super) fn new(uri: &str) -> Result<Http, KeyringError> {
        let builder = Client::builder().redirect(reqwest::redirect::Policy::none());
        let client = builder.build().map_err(|error| KeyringError::Device {
            uri: uri.to_owned(),
            problem: error.to_string(),
        })?;
        Ok(Http(client))
    }

    pub(super) fn get(&self, url: &str) -> RequestBuilder {
        self.0.request(Method::GET, url)
    }

    pub(super) fn post(&self, url: &str, content_type: &'static str, body: Vec<u8>) -> RequestBuilder {
        self.0
            .request(Method::POST, url)
            .header(CONTENT_TYPE, content_type)
            .body(body)
    }

    pub(super) fn post_json(&self, url: &str, body: &Value) -> RequestBuilder {
        self.post(url, "application/json", body.to_string().into_bytes())
    }
}

/// The JSON that answers `request`, if it is granted.
pub(super) async fn ask(service: &str, request: RequestBuilder) -> Result<Value, SignError> {
    // The URL of an error may hold more than a log should.
    let lost = |error: reqwest::Error| SignError::Unavailable(format!("{service}: {}", error.without_url()));
    let mut answer = request.send().await.map_err(lost)?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(lost)? {
        if body.len().saturating_add(chunk.len()) > ANSWER_LIMIT {
            return Err(SignError::Failed(format!(
                "{service} answered more than {ANSWER_LIMIT} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        let text: String = String::from_utf8_lossy(&body)
            .chars()
            .filter(|c| !c.is_control())
            .take(QUOTE_LIMIT)
            .collect();
        // Whatever it is, an operator may mend it while the server runs.
        return Err(SignError::Unavailable(format!(
            "{service} answered {status}: {text}"
        )));
    }
    serde_json::from_slice(&body).map_err(|error| SignError::Failed(format!("{service}: {error}")))
}

/// A member of the answer that must be text.
pub(super) fn text<'a>(service: &str, answer: &'a Value, pointer: &str) -> Result<&'a str, SignError> {
    answer
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or_else(|| SignError::Failed(format!("{service}: the answer has no {pointer}")))
}

/// A secret in a header, kept out of debug output.
pub(super) fn secret_header(name: &'static str, value: &str) -> Result<HeaderMap, SignError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| SignError::Failed(format!("the value of {name} is not one line of text")))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(HeaderName::from_static(name), value)]))
}

/// The base of a service: HTTPS, or anything on this machine.
pub(super) fn base(uri: &str, given: &str) -> Result<String, KeyringError> {
    let wrong = || KeyringError::Uri {
        uri: uri.to_owned(),
        problem: "expected the service at https://HOST, or http:// on a loopback address",
    };
    let url = Url::parse(given).map_err(|_| wrong())?;
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.host_str().is_none() || !(url.scheme() == "https" || url.scheme() == "http" && local) {
        return Err(wrong());
    }
    Ok(given.trim_end_matches('/').to_owned())
}
