//! Services that reach each other inside the process, through the interfaces they have for the network.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use common_engine::SubmitError;
use common_pki::key::PublicKey;
use fulcio_ca::{CtError, CtLog, Fetch, FetchError, MAX_DOCUMENT};
use fulcio_ct::AddError;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;
use url::Url;

/// Reads the development issuer's documents from its router: no socket, no name lookup, and ready before the listeners.
pub(crate) struct OwnIssuer {
    /// The issuer URL, under which the router's paths are.
    pub(crate) url: String,
    /// The issuer's routes.
    pub(crate) routes: Router,
}

#[async_trait]
impl Fetch for OwnIssuer {
    async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        // Only our own issuer is configured, so nothing else is ever asked for: `up` makes no outbound connection.
        let path = url.as_str().strip_prefix(&self.url).ok_or(FetchError::Connect)?;
        let mut request = Request::get(path)
            .body(Body::empty())
            .map_err(|_| FetchError::Connect)?;
        let host = url.host_str().unwrap_or_default();
        request
            .headers_mut()
            .insert(header::HOST, host.parse().map_err(|_| FetchError::Connect)?);
        request
            .extensions_mut()
            .insert(ConnectInfo(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        let answer = match self.routes.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(|_| FetchError::Body)?
            .to_bytes();
        if body.len() > MAX_DOCUMENT {
            Err(FetchError::TooLarge)
        } else {
            Ok(body.to_vec())
        }
    }
}

/// The certificate log of this process, as the authority sees it.
pub(crate) struct OwnCtLog {
    /// The log.
    pub(crate) log: Arc<fulcio_ct::CtLog>,
    /// The key of its timestamps.
    pub(crate) key: PublicKey,
}

#[async_trait]
impl CtLog for OwnCtLog {
    async fn add_pre_chain(&self, precertificate: &[u8], chain: &[Vec<u8>]) -> Result<Vec<u8>, CtError> {
        let sct = self
            .log
            .add_pre_chain(precertificate, chain)
            .await
            .map_err(|error| match error {
                AddError::Refused(_) | AddError::Log(SubmitError::TooLarge { .. }) => {
                    CtError::Refused(error.to_string())
                }
                AddError::Log(_) | AddError::Overloaded(_) | AddError::Timestamp(_) => {
                    CtError::Unavailable(error.to_string())
                }
            })?;
        sct.to_bytes()
            .map_err(|error| CtError::Unavailable(error.to_string()))
    }

    fn public_key(&self, log_id: &[u8; 32]) -> Option<PublicKey> {
        (*log_id == self.key.fingerprint()).then(|| self.key.clone())
    }
}
