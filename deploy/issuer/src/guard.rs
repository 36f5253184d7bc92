//! Who is let in: loopback peers that address us by our own name, unless every interface is allowed.

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
        require_loopback_peer(request.extensions())?;
        require_own_name(&issuer, request.uri(), request.headers())?;
    }
    require_own_origin(request.uri(), request.headers())?;
    Ok(next.run(request).await)
}

/// The peer of the connection must be this machine.
pub(crate) fn require_loopback_peer(extensions: &Extensions) -> Result<(), OAuthError> {
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
            format!("expected a loopback name as Host, got {name}"),
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
