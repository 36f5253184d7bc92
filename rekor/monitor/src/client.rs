//! HTTP reads of one log: bounded in size, time, number and place.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{StatusCode, redirect};
use tokio::sync::Semaphore;
use url::Url;

/// Redirects followed, all to the same origin.
const REDIRECTS: usize = 3;

/// How hard a log is asked.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests at once.
    pub parallel: usize,
    /// Time for one request, its body included.
    pub timeout: Duration,
    /// Times a request is sent before its failure counts.
    pub attempts: u32,
    /// Wait before the second attempt; it doubles from there on, and half of it is drawn at random.
    pub first_delay: Duration,
    /// Longest wait, also where a `Retry-After` asks for more.
    pub longest_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parallel: 8,
            timeout: Duration::from_secs(30),
            attempts: 6,
            first_delay: Duration::from_millis(250),
            longest_delay: Duration::from_secs(30),
        }
    }
}

/// A read that gave nothing usable.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not a log's URL.
    #[error("expected an http:// or https:// URL without query, fragment or password, got {0:?}")]
    Url(String),
    /// No client can be made.
    #[error("no HTTP client can be made: {0}")]
    Client(String),
    /// Nobody answered, several times.
    #[error("{url} does not answer: {reason}")]
    NoAnswer {
        /// What was asked for.
        url: String,
        /// The last failure.
        reason: String,
    },
    /// A status that says neither yes nor no.
    #[error("{url}: expected status 200 or 404, got {got}")]
    Status {
        /// What was asked for.
        url: String,
        /// What came.
        got: StatusCode,
    },
    /// Longer than what was asked for can be.
    #[error("{url}: expected at most {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The bound.
        limit: usize,
    },
    /// Compressed though it was not asked for.
    #[error("{url}: expected no content encoding, got {got:?}")]
    Encoded {
        /// What was asked for.
        url: String,
        /// The encoding.
        got: String,
    },
}

/// A client of one log. Clones share their bounds.
#[derive(Clone, Debug)]
pub struct Client {
    base: Url,
    http: reqwest::Client,
    limits: Limits,
    room: Arc<Semaphore>,
}

/// Whether another attempt may succeed.
enum Failure {
    Passing(FetchError, Option<Duration>),
    Final(FetchError),
}

impl Client {
    /// For the log whose `checkpoint` and `tile/` are below `base`. Nothing on loopback is asked through a proxy.
    ///
    /// # Errors
    /// [`FetchError::Url`] for anything but such a URL.
    pub fn new(base: &str, limits: Limits) -> Result<Self, FetchError> {
        let wrong = || FetchError::Url(base.chars().take(300).collect());
        let mut url = Url::parse(base).map_err(|_| wrong())?;
        let host = url
            .host_str()
            .filter(|_| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(wrong)?;
        let plain = url.query().is_none() && url.fragment().is_none();
        if !plain || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong());
        }
        let mut builder = reqwest::Client::builder()
            .timeout(limits.timeout)
            .redirect(redirect::Policy::custom(same_origin));
        if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
            builder = builder.no_proxy();
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self {
            base: url,
            http: builder
                .build()
                .map_err(|error| FetchError::Client(error.to_string()))?,
            limits,
            room: Arc::new(Semaphore::new(limits.parallel.max(1))),
        })
    }

    /// Where the log is, with a slash at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        self.base.as_str()
    }

    /// The body at `path`, of at most `limit` bytes; `None` where the log says 404.
    ///
    /// # Errors
    /// [`FetchError`], after several attempts where another one may succeed.
    pub async fn get(&self, path: &str, limit: usize) -> Result<Option<Bytes>, FetchError> {
        self.ask(path, None, limit).await
    }

    /// The same of what `path` answers to this JSON. It must be a question, for it may be asked several times.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn post(
        &self,
        path: &str,
        json: String,
        limit: usize,
    ) -> Result<Option<Bytes>, FetchError> {
        self.ask(path, Some(json.into()), limit).await
    }

    async fn ask(&self, path: &str, json: Option<Bytes>, limit: usize) -> Result<Option<Bytes>, FetchError> {
        let url = self
            .base
            .join(path)
            .map_err(|_| FetchError::Url(format!("{}{path}", self.base)))?;
        // Held while waiting too: a log that is overloaded is asked less.
        let _room = self.room.acquire().await;
        let mut delay = self.limits.first_delay;
        let mut attempt = 1;
        loop {
            let (error, asked) = match self.attempt(&url, json.clone(), limit).await {
                Ok(body) => return Ok(body),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error, asked)) => (error, asked),
            };
            if attempt >= self.limits.attempts {
                return Err(error);
            }
            let wait = asked.unwrap_or_default().max(jittered(delay));
            tokio::time::sleep(wait.min(self.limits.longest_delay)).await;
            delay = delay.saturating_mul(2).min(self.limits.longest_delay);
            attempt = attempt.saturating_add(1);
        }
    }

    async fn attempt(&self, url: &Url, json: Option<Bytes>, limit: usize) -> Result<Option<Bytes>, Failure> {
        let no_answer = |error: &reqwest::Error| {
            let error = FetchError::NoAnswer {
                url: url.to_string(),
                reason: innermost(error),
            };
            Failure::Passing(error, None)
        };
        let too_large = || {
            Failure::Final(FetchError::TooLarge {
                url: url.to_string(),
                limit,
            })
        };
        let request = match json {
            None => self.http.get(url.clone()),
            Some(json) => {
                let request = self.http.post(url.clone());
                request.header(CONTENT_TYPE, "application/json").body(json)
            }
        };
        let request = request.header(ACCEPT_ENCODING, "identity");
        let mut answer = request.send().await.map_err(|error| no_answer(&error))?;
        match answer.status() {
            StatusCode::OK => {}
            // C2SP tlog-tiles "Partial Tiles": the one status that says that there is none.
            StatusCode::NOT_FOUND => return Ok(None),
            got => {
                let error = FetchError::Status {
                    url: url.to_string(),
                    got,
                };
                let passing = got == StatusCode::TOO_MANY_REQUESTS || got.is_server_error();
                return Err(if passing {
                    let after = answer.headers().get(RETRY_AFTER);
                    let seconds = after.and_then(|value| value.to_str().ok()?.parse().ok());
                    Failure::Passing(error, seconds.map(Duration::from_secs))
                } else {
                    Failure::Final(error)
                });
            }
        }
        let encoding = answer.headers().get(CONTENT_ENCODING);
        if let Some(got) = encoding.filter(|value| value.as_bytes() != b"identity") {
            return Err(Failure::Final(FetchError::Encoded {
                url: url.to_string(),
                got: String::from_utf8_lossy(got.as_bytes()).chars().take(40).collect(),
            }));
        }
        if answer
            .content_length()
            .is_some_and(|length| length > limit as u64)
        {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(part) = answer.chunk().await.map_err(|error| no_answer(&error))? {
            if body.len().saturating_add(part.len()) > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&part);
        }
        Ok(Some(body.freeze()))
    }
}

/// Follows a redirect within scheme, host and port: who serves a log does not choose whom this machine talks to.
fn same_origin(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let first = attempt.previous().first();
    let same = first.is_some_and(|first| first.origin() == attempt.url().origin());
    if !same {
        attempt.error("a redirect to another host")
    } else if attempt.previous().len() > REDIRECTS {
        attempt.error("too many redirects")
    } else {
        attempt.follow()
    }
}

/// Between half and all of it, so that clients that failed together do not come back together.
fn jittered(delay: Duration) -> Duration {
    let mut random = [0];
    // Without randomness it is half.
    let _ = aws_lc_rs::rand::fill(&mut random);
    let [random] = random;
    let half = delay.checked_div(2).unwrap_or_default();
    let part = half.saturating_mul(u32::from(random)).checked_div(255);
    half.saturating_add(part.unwrap_or_default())
}

/// The last cause: the ones around it repeat the URL.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
