//! Reading an issuer's documents over HTTP.
//!
//! A trait, so that tests need no network and an issuer in the same process may answer directly.

use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use super::config::ConfigError;

/// Longest answer that is read, in bytes. Real key sets are a few KiB; upstream has no cap.
pub const MAX_DOCUMENT: usize = 1 << 20;
/// How long one document may take.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Redirects followed within one origin.
const MAX_REDIRECTS: usize = 3;

/// Why a document could not be read. Shown to clients, so it names no address they do not know.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Nobody answers there.
    #[error("no connection")]
    Connect,
    /// Too slow.
    #[error("no answer within {} s", FETCH_TIMEOUT.as_secs())]
    Timeout,
    /// A redirect to another origin: keys would come from somebody else (fulcio #2354).
    #[error("redirect to another origin refused")]
    Redirect,
    /// Not 200.
    #[error("expected status 200, got {0}")]
    Status(u16),
    /// Longer than [`MAX_DOCUMENT`].
    #[error("expected at most {MAX_DOCUMENT} bytes, got more")]
    TooLarge,
    /// The connection failed midway.
    #[error("the answer broke off")]
    Body,
}

/// Gets a document by URL.
///
/// An implementation reads no more than [`MAX_DOCUMENT`] bytes and follows no redirect to another origin.
/// The caller bounds the time.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// The body of a 200 answer.
    async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError>;
}

/// [`Fetch`] over the network, TLS with the platform's roots and the installed rustls provider.
///
/// Proxy variables of the environment are ignored: an issuer is reached directly.
#[derive(Clone, Debug)]
pub struct HttpFetcher(reqwest::Client);

impl HttpFetcher {
    /// A client.
    ///
    /// # Errors
    /// If no rustls provider is installed, or the platform's roots cannot be read.
    pub fn new() -> Result<Self, ConfigError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(ConfigError::Http("no TLS provider is installed".to_owned()));
        }
        let same_origin = reqwest::redirect::Policy::custom(|attempt| {
            let from = attempt.previous().last().map(Url::origin);
            if from == Some(attempt.url().origin()) && attempt.previous().len() <= MAX_REDIRECTS {
                attempt.follow()
            } else {
                attempt.error(FetchError::Redirect)
            }
        });
        reqwest::Client::builder()
            .redirect(same_origin)
            .timeout(FETCH_TIMEOUT)
            .no_proxy()
            .build()
            .map(Self)
            .map_err(|cause| ConfigError::Http(cause.to_string()))
    }
}

#[async_trait]
impl Fetch for HttpFetcher {
    async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        let request = self
            .0
            .get(url.clone())
            .header(http::header::ACCEPT, "application/json");
        let mut response = request.send().await.map_err(|cause| classify(&cause))?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|cause| classify(&cause))? {
            if body.len().saturating_add(chunk.len()) > MAX_DOCUMENT {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn classify(cause: &reqwest::Error) -> FetchError {
    if cause.is_redirect() {
        FetchError::Redirect
    } else if cause.is_timeout() {
        FetchError::Timeout
    } else if cause.is_connect() {
        FetchError::Connect
    } else {
        FetchError::Body
    }
}
