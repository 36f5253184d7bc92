//! The commands' own HTTP client: answers of bounded size, errors that name the URL.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use common_server::reply::ErrorBody;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use tower::ServiceExt;
use url::Url;

/// Longest answer read: room for the ten entries of a Rekor v1 that are asked for at once, large ones among them.
const ANSWER_LIMIT: usize = 64 << 20;
/// Time for one request, connecting included.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How much of an unexpected body an error quotes.
const QUOTE_LIMIT: usize = 300;
/// What to ask a person where an instance of ours was expected.
const IS_IT_UP: &str = "; is `sigbox up` running there?";

/// A request had no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Not an instance's URL.
    #[error("expected an http:// or https:// URL without query or fragment, got {0:?}")]
    Url(String),
    /// Nobody answered.
    #[error("{url} does not answer ({reason}){hint}")]
    NoAnswer {
        /// The URL.
        url: String,
        /// The transport's finding.
        reason: String,
        /// What to look at, where it is known who should have answered.
        hint: &'static str,
    },
    /// The answer is longer than any honest one.
    #[error("{url} answered more than {ANSWER_LIMIT} bytes")]
    TooLarge {
        /// The URL.
        url: String,
    },
    /// Another status.
    #[error("{url}: expected status {expected}, got {got}: {body}")]
    Status {
        /// The URL.
        url: String,
        /// The status that was expected.
        expected: StatusCode,
        /// The status that came.
        got: StatusCode,
        /// The beginning of the body.
        body: String,
    },
}

impl HttpError {
    /// Nobody answered, whoever it was.
    fn no_answer(url: &str, reason: String) -> HttpError {
        HttpError::NoAnswer {
            url: url.to_owned(),
            reason,
            hint: "",
        }
    }

    /// The same with what to look at where nobody answered.
    fn hinting(self, hint: &'static str) -> HttpError {
        match self {
            HttpError::NoAnswer { url, reason, .. } => HttpError::NoAnswer { url, reason, hint },
            other => other,
        }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The URL asked.
    pub(crate) url: String,
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// Where it says that something is.
    pub(crate) fn location(&self) -> Option<String> {
        Some(self.headers.get(header::LOCATION)?.to_str().ok()?.to_owned())
    }

    /// The body when the status is `expected`.
    ///
    /// # Errors
    /// [`HttpError::Status`] with the beginning of the body.
    pub(crate) fn expect(self, expected: StatusCode) -> Result<Bytes, HttpError> {
        if self.status == expected {
            return Ok(self.body);
        }
        // Every service says in `message` what was wrong; the rest of the body repeats the status.
        let body = match serde_json::from_slice::<ErrorBody>(&self.body) {
            Ok(error) => error.message.into(),
            Err(_) => String::from_utf8_lossy(&self.body),
        };
        let body = body
            .trim()
            .chars()
            .filter(|c| !c.is_control())
            .take(QUOTE_LIMIT)
            .collect();
        Err(HttpError::Status {
            url: self.url,
            expected,
            got: self.status,
            body,
        })
    }
}

/// A client of one server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    base: String,
    transport: Transport,
    hint: &'static str,
}

/// How a server is asked.
#[derive(Debug, Clone)]
enum Transport {
    Network(reqwest::Client),
    /// It is this process: what its listeners serve is asked without them.
    Within(Router),
}

impl Client {
    /// For an instance of ours at `base`: where nobody answers, its errors ask whether one runs there.
    ///
    /// # Errors
    /// [`HttpError::Url`] when `base` is no such URL.
    pub(crate) fn instance(base: &str) -> Result<Client, HttpError> {
        let client = Client::new(base)?;
        Ok(Client {
            hint: IS_IT_UP,
            ..client
        })
    }

    /// For any server at `base`.
    ///
    /// # Errors
    /// [`HttpError::Url`] when `base` is no such URL.
    pub(crate) fn new(base: &str) -> Result<Client, HttpError> {
        let wrong = || HttpError::Url(base.to_owned());
        let url = Url::parse(base).map_err(|_| wrong())?;
        let host = url
            .host_str()
            .filter(|_| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(wrong)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong());
        }
        let client = network(base, host)?;
        let base = base.trim_end_matches('/').to_owned();
        Ok(Client {
            base,
            transport: Transport::Network(client),
            hint: "",
        })
    }

    /// For the instance of this very process, which its clients know as `base`.
    pub(crate) fn within(router: Router, base: &str) -> Client {
        Client {
            base: base.trim_end_matches('/').to_owned(),
            transport: Transport::Within(router),
            hint: "",
        }
    }

    /// The same for what is below `path`.
    pub(crate) fn below(&self, path: &str) -> Client {
        Client {
            base: format!("{}{path}", self.base),
            ..self.clone()
        }
    }

    /// The server's URL, without trailing slash.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// `GET` of a path.
    ///
    /// # Errors
    /// [`HttpError`] when there is no answer; any status is one.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, HttpError> {
        self.send(Method::GET, path, None, None).await
    }

    /// `GET` of a path, with a bearer token.
    ///
    /// # Errors
    /// [`HttpError`] when there is no answer; any status is one.
    pub(crate) async fn get_authorized(&self, path: &str, token: &str) -> Result<Answer, HttpError> {
        self.send(Method::GET, path, Some(token), None).await
    }

    /// `POST` of nothing, with a bearer token.
    ///
    /// # Errors
    /// [`HttpError`] when there is no answer; any status is one.
    pub(crate) async fn post_authorized(&self, path: &str, token: &str) -> Result<Answer, HttpError> {
        self.send(Method::POST, path, Some(token), None).await
    }

    /// `POST` of a body of some media type.
    ///
    /// # Errors
    /// [`HttpError`] when there is no answer; any status is one.
    pub(crate) async fn post(
        &self,
        path: &str,
        media_type: &str,
        body: Vec<u8>,
    ) -> Result<Answer, HttpError> {
        self.send(Method::POST, path, None, Some((media_type, body)))
            .await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Answer, HttpError> {
        let url = format!("{}{path}", self.base);
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, bearer(token));
        }
        let mut content = Vec::new();
        if let Some((media_type, body)) = body {
            request = request.header(header::CONTENT_TYPE, media_type);
            content = body;
        }
        let request = request.body(content).map_err(|_| HttpError::Url(url.clone()))?;
        match &self.transport {
            Transport::Network(client) => {
                let answer = over_network(client, url, request).await;
                answer.map_err(|error| error.hinting(self.hint))
            }
            Transport::Within(router) => {
                let within = tokio::time::timeout(TIMEOUT, within(router, url.clone(), request));
                within.await.unwrap_or_else(|_| {
                    let reason = format!("nothing within {} s", TIMEOUT.as_secs());
                    Err(HttpError::no_answer(&url, reason))
                })
            }
        }
    }
}

/// What asks a host; one on loopback never through a proxy.
fn network(url: &str, host: &str) -> Result<reqwest::Client, HttpError> {
    let mut builder = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        builder = builder.no_proxy();
    }
    builder
        .build()
        .map_err(|error| HttpError::no_answer(url, cause(&error)))
}

/// Sends any request, as a library makes it, to wherever it says.
///
/// # Errors
/// [`HttpError`] when there is no answer; any status is one.
pub(crate) async fn execute(request: Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, HttpError> {
    let url = request.uri().to_string();
    let client = network(&url, request.uri().host().unwrap_or_default())?;
    let answer = over_network(&client, url, request).await?;
    let mut response = http::Response::new(answer.body.to_vec());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}

/// A token as a header that no debug output shows.
pub(crate) fn bearer(token: &str) -> HeaderValue {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {token}")).unwrap_or(HeaderValue::from_static("Bearer"));
    value.set_sensitive(true);
    value
}

async fn over_network(
    client: &reqwest::Client,
    url: String,
    request: Request<Vec<u8>>,
) -> Result<Answer, HttpError> {
    let failed = |error: reqwest::Error| HttpError::no_answer(&url, cause(&error));
    let request = reqwest::Request::try_from(request).map_err(failed)?;
    let mut response = client.execute(request).await.map_err(failed)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len().saturating_add(chunk.len()) > ANSWER_LIMIT {
            return Err(HttpError::TooLarge { url });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        url,
        status,
        headers,
        body: body.into(),
    })
}

async fn within(router: &Router, url: String, request: Request<Vec<u8>>) -> Result<Answer, HttpError> {
    let response = match router.clone().oneshot(request.map(Body::from)).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (status, headers) = (response.status(), response.headers().clone());
    let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
    let body = body.map_err(|_| HttpError::TooLarge { url: url.clone() })?;
    Ok(Answer {
        url,
        status,
        headers,
        body: body.to_bytes(),
    })
}

/// The innermost cause: "Connection refused" rather than "error sending request".
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn only_of_an_instance_of_ours_is_it_asked_whether_it_is_up() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let nobody = "http://127.0.0.1:1";
        let ours = Client::instance(nobody).unwrap();
        for client in [ours.below("/tuf"), ours] {
            let said = client.get("/x").await.unwrap_err().to_string();
            assert!(said.ends_with("; is `sigbox up` running there?"), "{said}");
        }
        let another = Client::new(nobody).unwrap().get("/x").await.unwrap_err();
        let request = Request::get(format!("{nobody}/v2/foo")).body(Vec::new()).unwrap();
        let registry = execute(request).await.unwrap_err();
        for said in [another.to_string(), registry.to_string()] {
            assert!(said.contains(" does not answer ("), "{said}");
            assert!(!said.contains("sigbox"), "{said}");
        }
    }
}
