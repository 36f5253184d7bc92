//! Reading an issuer's documents over HTTP.
//!
//! A trait, so that tests need no network and an issuer in the same process may answer directly.

use std::error::Error as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::config::{ConfigError, IssuerConfig, KeyOrigin, Proxy};

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
    /// The host was chosen by a token and is not on the internet.
    #[error("expected a host with a public address, got one with a private address")]
    Private,
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

/// How the documents of an issuer are read.
pub type FetchFor = Arc<dyn Fn(&IssuerConfig) -> Result<Arc<dyn Fetch>, ConfigError> + Send + Sync>;

/// For keys that are not read: answers nothing.
pub(super) struct Nowhere;

#[async_trait]
impl Fetch for Nowhere {
    async fn get(&self, _: &Url) -> Result<Vec<u8>, FetchError> {
        Err(FetchError::Connect)
    }
}

/// [`Fetch`] over the network, TLS with the platform's roots and the installed rustls provider.
#[derive(Clone, Debug)]
pub struct HttpFetcher {
    client: reqwest::Client,
    public_only: bool,
}

impl HttpFetcher {
    /// A client as `origin` says.
    ///
    /// # Errors
    /// If no rustls provider is installed, the platform's roots cannot be read, or certificate or proxy are none.
    pub fn new(origin: &KeyOrigin) -> Result<Self, ConfigError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(ConfigError::Http("no TLS provider is installed".to_owned()));
        }
        let http = |what: &str| {
            let what = what.to_owned();
            move |cause: reqwest::Error| ConfigError::Http(format!("{what}{cause}"))
        };
        let same_origin = reqwest::redirect::Policy::custom(|attempt| {
            let from = attempt.previous().last().map(Url::origin);
            if from == Some(attempt.url().origin()) && attempt.previous().len() <= MAX_REDIRECTS {
                attempt.follow()
            } else {
                attempt.error(FetchError::Redirect)
            }
        });
        let mut builder = reqwest::Client::builder()
            .redirect(same_origin)
            .timeout(FETCH_TIMEOUT);
        builder = match &origin.proxy {
            // An issuer is reached directly unless the configuration says otherwise.
            Proxy::Direct => builder.no_proxy(),
            Proxy::Environment => environment_proxies(builder.no_proxy())?,
            Proxy::Url(url) => {
                let proxy = reqwest::Proxy::all(url).map_err(http("proxy: "))?;
                builder.no_proxy().proxy(proxy)
            }
        };
        if let Some(pem) = &origin.ca_cert {
            let certificates =
                reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(http("ca-cert: "))?;
            if certificates.is_empty() {
                return Err(ConfigError::Http(
                    "ca-cert: expected certificates in PEM, got none".to_owned(),
                ));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        if origin.public_only {
            builder = builder.dns_resolver(PublicHosts);
        }
        Ok(Self {
            client: builder.build().map_err(http(""))?,
            public_only: origin.public_only,
        })
    }

    /// One client for each way that an issuer may be reached.
    #[must_use]
    pub fn for_each() -> FetchFor {
        type Made = Vec<(KeyOrigin, Arc<dyn Fetch>)>;
        let made: Mutex<Made> = Mutex::default();
        Arc::new(move |issuer| {
            let origin = KeyOrigin {
                jwks: None,
                ..issuer.keys.clone()
            };
            let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, fetch)) = made.iter().find(|(one, _)| *one == origin) {
                return Ok(Arc::clone(fetch));
            }
            let fetch = Arc::new(Self::new(&origin)?) as Arc<dyn Fetch>;
            // A reload forgets nothing, but changes little: the list stays as long as there are ways configured.
            made.push((origin, Arc::clone(&fetch)));
            Ok(fetch)
        })
    }
}

/// `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, in capitals or not. The client's own reading of them comes with a feature that
/// also asks the desktop's settings.
fn environment_proxies(mut builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, ConfigError> {
    for name in ["HTTPS_PROXY", "HTTP_PROXY"] {
        let found = std::env::var(name).or_else(|_| std::env::var(name.to_lowercase()));
        let Some(url) = found.ok().filter(|url| !url.is_empty()) else {
            continue;
        };
        let made = match name {
            "HTTPS_PROXY" => reqwest::Proxy::https(url),
            _ => reqwest::Proxy::http(url),
        };
        // The URL may hold a password: it is not repeated.
        let proxy =
            made.map_err(|_| ConfigError::Http(format!("{name}: expected a URL, got something else")))?;
        builder = builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_env()));
    }
    Ok(builder)
}

/// Names that lead to this machine or its network are not resolved: the host was chosen by a token.
struct PublicHosts;

impl Resolve for PublicHosts {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if addresses.iter().any(|address| !is_public(address.ip())) {
                return Err(FetchError::Private.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Whether the address is on the internet (IANA special-purpose registries, as far as they lead to somebody's own network).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a, b & 0xc0) == (100, 64)
                || (a, b & 0xfe) == (198, 18)
                || v4.octets().starts_with(&[192, 0, 0]))
        }
        IpAddr::V6(v6) => match (v6.to_ipv4_mapped(), v6.segments()) {
            (Some(v4), _) => is_public(v4.into()),
            // RFC 6052 §2.1: the IPv4 address that is meant.
            (None, [0x64, 0xff9b, 0, 0, 0, 0, high, low]) => {
                is_public(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into())
            }
            // Global unicast, less documentation and 6to4.
            (None, [first, second, ..]) => {
                first & 0xe000 == 0x2000 && !(first == 0x2001 && second == 0xdb8) && first != 0x2002
            }
        },
    }
}

#[async_trait]
impl Fetch for HttpFetcher {
    async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            _ => None,
        };
        if self.public_only && address.is_some_and(|address| !is_public(address)) {
            return Err(FetchError::Private);
        }
        let request = self
            .client
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
    let mut source = cause.source();
    while let Some(inner) = source {
        if let Some(FetchError::Private) = inner.downcast_ref() {
            return FetchError::Private;
        }
        source = inner.source();
    }
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

#[cfg(test)]
mod tests;
