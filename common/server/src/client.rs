//! Who asks, when nobody has said so: the address of the peer, or the one a trusted proxy names.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use ipnet::IpNet;

use crate::quota::Quota;
use crate::reply;

/// Proxies in a row that are looked through.
const MOST_PROXIES: usize = 8;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A client by its address. With IPv6 it is the network of 64 bits, of which one host has all addresses (RFC 6177 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// An IPv4 address.
    V4([u8; 4]),
    /// The first half of an IPv6 address.
    V6([u16; 4]),
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Client {
        match address.to_canonical() {
            IpAddr::V4(address) => Client::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Client::V6([a, b, c, d])
            }
        }
    }
}

/// Whom a request counts for, as `serve` puts it into its extensions. It is absent where nobody counts: this machine is exempt, and
/// trusted proxies where they name nobody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose(pub(crate) Client);

/// Proxies whose word about a client's address is taken.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Those within these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> TrustedProxies {
        TrustedProxies(networks)
    }

    /// Whether `address` is one.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who sent a request: the peer, or when that is a proxy, the last address in `X-Forwarded-For` that is none.
    /// What stands before that one is the client's own word.
    pub(crate) fn sender(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut sender = peer;
        let hops = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .rev()
            .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops.take(MOST_PROXIES) {
            if !self.contains(sender) {
                break;
            }
            let Some(address) = address(hop) else { break };
            sender = address;
        }
        sender
    }
}

/// An address as proxies write it: bare, in brackets, with or without a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}

/// How often each client may ask.
#[derive(Clone)]
pub struct ClientLimit {
    /// The buckets.
    pub quota: Quota,
    /// Whose word is taken.
    pub proxies: TrustedProxies,
    /// Whether clients on this machine are limited too.
    pub loopback: bool,
    /// Paths that are not counted here.
    pub exempt: fn(&str) -> bool,
}

/// Wraps `router` so that a client over its limit gets 429 with `Retry-After`. What is answered with a 5xx does not count.
/// Requests carry their peer as `serve` puts it there.
pub fn limit(router: Router, limit: ClientLimit) -> Router {
    router.layer(from_fn_with_state(Arc::new(limit), within))
}

async fn within(State(limit): State<Arc<ClientLimit>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let sender = peer.map(|ConnectInfo(peer)| limit.proxies.sender(peer.ip(), request.headers()));
    let counted = sender
        .map(|sender| sender.to_canonical())
        .filter(|sender| limit.loopback || !sender.is_loopback())
        .filter(|_| !(limit.exempt)(request.uri().path()));
    let Some(sender) = counted else {
        return next.run(request).await;
    };
    match limit.quota.spend(&Client::from(sender)) {
        Ok(spent) => {
            let answer = next.run(request).await;
            if answer.status().is_server_error() {
                spent.give_back();
            }
            answer
        }
        Err(exhausted) => {
            let mut answer = reply::error(StatusCode::TOO_MANY_REQUESTS, exhausted.to_string());
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(exhausted.seconds));
            answer
        }
    }
}

#[cfg(test)]
mod tests;
