//! Services that reach each other inside the process, through the interfaces they have for the network.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use common_engine::{Active, Closed, SubmitError};
use common_pki::key::PublicKey;
use fulcio_ca::{CtError, CtLog, Fetch, FetchError, MAX_DOCUMENT};
use fulcio_ct::{AcceptedRoots, AddError};
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

/// The certificate logs of this process, as the authority sees them: one takes precertificates, and all have made
/// timestamps that certificates may carry.
pub(crate) struct OwnCtLog {
    active: Active<Arc<fulcio_ct::CtLog>>,
    /// Oldest first.
    logs: ArcSwap<Vec<Arc<fulcio_ct::CtLog>>>,
}

impl OwnCtLog {
    /// `logs` oldest first, the last one takes precertificates; `None` without any.
    pub(crate) fn new(logs: Vec<Arc<fulcio_ct::CtLog>>) -> Option<OwnCtLog> {
        Some(OwnCtLog {
            active: Active::new(Arc::clone(logs.last()?)),
            logs: ArcSwap::from_pointee(logs),
        })
    }

    /// Waits until no precertificate is on its way, and holds up those that come.
    pub(crate) async fn close(&self) -> Closed<'_, Arc<fulcio_ct::CtLog>> {
        self.active.close().await
    }

    /// Knows one more log, which takes precertificates once the closed one is exchanged for it.
    pub(crate) fn add(&self, log: &Arc<fulcio_ct::CtLog>) {
        self.logs.rcu(|logs| {
            let mut logs = Vec::clone(logs);
            logs.push(Arc::clone(log));
            logs
        });
    }

    /// Has every log accept these roots.
    pub(crate) fn set_roots(&self, roots: &AcceptedRoots) {
        for log in self.logs.load().iter() {
            log.set_roots(roots.clone());
        }
    }
}

#[async_trait]
impl CtLog for OwnCtLog {
    async fn add_pre_chain(&self, precertificate: &[u8], chain: &[Vec<u8>]) -> Result<Vec<u8>, CtError> {
        // Held until it is in: a log is not closed while a precertificate is on its way there.
        let log = self.active.enter().await;
        let sct = log
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
        let logs = self.logs.load();
        let mut keys = logs.iter().rev().map(|log| log.public_key());
        keys.find(|key| key.fingerprint() == *log_id).cloned()
    }
}
