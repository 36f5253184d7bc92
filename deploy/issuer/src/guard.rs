//! Who is let in: requests that address us by our own name, and from loopback peers only unless every interface is
//! allowed.

use crate::error::{Kind, OAuthError};
use crate::issuer::{Exposure, Issuer};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Extensions, HeaderMap, Uri, header};
use std::net::SocketAddr;
use std::sync::Arc;

/// Refuses strangers before any endpoint runs.
pub(crate) async fn admit(
    State(issuer): State<Arc<Issuer>>,
    request: Request,
    next: Next,
) -> Result<Response, OAuthError> {
    if issuer.exposure == Exposure::LoopbackOnly {
        require_own_machine(&request)?;
    }
    require_own_name(&issuer, request.uri(), request.headers())?;
    require_own_origin(request.uri(), request.headers())?;
    Ok(next.run(request).await)
}

/// The request must come from this machine, as far as it shows.
pub(crate) fn require_own_machine(request: &Request) -> Result<(), OAuthError> {
    require_loopback_peer(request.extensions())?;
    require_direct(request.headers())
}

/// A reverse proxy on this machine is a loopback peer and speaks for anybody; an honest one says so (RFC 7239 §4, RFC 9110
/// §7.6.3, and the `X-` fields that came before them). A bare tunnel adds nothing and cannot be told apart.
fn require_direct(headers: &HeaderMap) -> Result<(), OAuthError> {
    let forwarding = headers
        .keys()
        .map(http::HeaderName::as_str)
        .find(|name| matches!(*name, "forwarded" | "via" | "x-real-ip") || name.starts_with("x-forwarded-"));
    match forwarding {
        None => Ok(()),
        Some(name) => Err(OAuthError::new(
            Kind::Forbidden,
            format!(
                "expected a request sent directly from this machine, got one through a proxy (it has {name})"
            ),
        )),
    }
}

/// The peer of the connection must be this machine.
fn require_loopback_peer(extensions: &Extensions) -> Result<(), OAuthError> {
    let peer = extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(address)| address.ip().to_canonical());
    match peer {
        Some(address) if address.is_loopback() => Ok(()),
        Some(address) => Err(OAuthError::new(
            Kind::Forbidden,
            format!("the development issuer answers callers on its own machine only, got one at {address}"),
        )),
        None => Err(OAuthError::new(
            Kind::Forbidden,
            "the development issuer does not know where this request comes from",
        )),
    }
}

/// A web page elsewhere can point a name of its own at 127.0.0.1 and then read our answers as its own origin (DNS
/// rebinding); the name it used is in `Host`.
fn require_own_name(issuer: &Issuer, uri: &Uri, headers: &HeaderMap) -> Result<(), OAuthError> {
    let authority = authority(uri, headers).unwrap_or_default();
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    };
    let address = name
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<std::net::IpAddr>();
    let own = name.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.is_loopback())
        || issuer
            .host
            .as_deref()
            .is_some_and(|host| host.eq_ignore_ascii_case(name));
    if own {
        Ok(())
    } else {
        Err(OAuthError::new(
            Kind::Forbidden,
            format!("expected localhost, a loopback address or this issuer's own host as Host, got {name}"),
        ))
    }
}

/// A form of ours is sent from a page of ours.
fn require_own_origin(uri: &Uri, headers: &HeaderMap) -> Result<(), OAuthError> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let host = origin.split_once("://").map(|(_, host)| host);
    if host.is_some() && host == authority(uri, headers) {
        Ok(())
    } else {
        Err(OAuthError::new(
            Kind::Forbidden,
            format!("expected a request from this issuer's own pages, got one from {origin}"),
        ))
    }
}

/// HTTP/2 has the authority in the request target, HTTP/1.1 in `Host` (RFC 9110 §7.2).
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    uri.authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| headers.get(header::HOST)?.to_str().ok())
}
