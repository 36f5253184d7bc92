//! Serving: HTTP/1.1 and HTTP/2 on every listener (clear-text HTTP/2 by prior knowledge, RFC 9113 §3.3; by ALPN over
//! TLS), with limits on what a peer may hold open, and a drain with a deadline.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, Version};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::client::{TrustedProxies, Whose};
use crate::connections::{Connections, Place};
use crate::delivery::{Delivery, Pace};
use crate::idle::Idle;
use crate::linger::Lingering;
use crate::listen::Bound;
use crate::reply;
use crate::unsent::Unsent;

/// Silence after which the kernel asks whether the peer is still there, how often, and how many times.
const KEEPALIVE: Duration = Duration::from_secs(30);
const PROBES_APART: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;
/// How long the kernel keeps what a peer does not acknowledge.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// What a peer may hold open, and for how long.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections over all listeners. One more displaces the one that has been without a request for longest; where all
    /// have one, it waits in the operating system's backlog.
    pub connections: usize,
    /// Connections of one peer (of one IPv6 network of 64 bits); more are closed at once. This machine and trusted
    /// proxies are exempt.
    pub per_peer: usize,
    /// Peers that are proxies for many.
    pub proxies: TrustedProxies,
    /// How long a connection without a request is safe from being displaced.
    pub spared: Duration,
    /// Time for the first bytes, for a TLS handshake, and for a request head.
    pub head: Duration,
    /// The longest silence of a peer on an open connection, and the longest time it may take nothing of what is written.
    pub idle: Duration,
    /// Time to take each 64 KiB of an answer, however lively the connection is otherwise.
    pub answer: Duration,
    /// Time that open requests get to finish once the shutdown has begun.
    pub drain: Duration,
    /// HTTP/2 streams open at once on one connection.
    pub streams: u32,
}

impl Default for Limits {
    /// Fulcio's 10 s for a request head (`cmd/app/serve.go`); the rest leaves room for a thousand clients on one host.
    fn default() -> Self {
        Limits {
            connections: 4_096,
            per_peer: 1_024,
            proxies: TrustedProxies::default(),
            spared: Duration::from_secs(1),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            answer: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            streams: 64,
        }
    }
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every connection ended by itself.
    All,
    /// The deadline passed; the rest were cut.
    Cut,
}

/// Serves `router` on `listeners`, every request carrying its peer as [`ConnectInfo`], until `shutdown` resolves, then stops accepting, lets open requests finish within
/// [`Limits::drain`] and cuts what is left.
pub async fn serve(
    listeners: Vec<Bound>,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let graceful = GracefulShutdown::new();
    let (cut, _) = watch::channel(());
    let server = Arc::new(Server {
        router,
        connections: Arc::new(Connections::new(
            limits.connections,
            limits.per_peer,
            limits.proxies.clone(),
            limits.spared,
        )),
        limits,
        unsent: Arc::new(Unsent::new()),
        cut,
    });
    let (stop, stopped) = watch::channel(());
    let mut accepting = JoinSet::new();
    // Each accept loop owns a way to make watchers, and gives it back by ending: `GracefulShutdown` then waits for
    // connections only.
    let graceful = Arc::new(graceful);
    for Bound { sockets, tls, .. } in listeners {
        for socket in sockets {
            let (server, tls, mut stopped) = (Arc::clone(&server), tls.clone(), stopped.clone());
            let graceful = Arc::clone(&graceful);
            accepting.spawn(async move {
                loop {
                    let accepted = tokio::select! {
                        accepted = server.accept(&socket) => accepted,
                        _ = stopped.changed() => return,
                    };
                    let Some(Accepted { stream, peer, place }) = accepted else {
                        continue;
                    };
                    let (server, tls, watcher) = (Arc::clone(&server), tls.clone(), graceful.watcher());
                    let mut cut = server.cut.subscribe();
                    tokio::spawn(async move {
                        let place = Arc::new(place);
                        tokio::select! {
                            () = server.connection(stream, peer, &place, tls, watcher) => {}
                            () = place.evicted() => {}
                            _ = cut.changed() => {}
                        }
                    });
                }
            });
        }
    }
    shutdown.await;
    let _ = stop.send(());
    while accepting.join_next().await.is_some() {}
    let Ok(graceful) = Arc::try_unwrap(graceful) else {
        return Drained::Cut;
    };
    match tokio::time::timeout(server.limits.drain, graceful.shutdown()).await {
        Ok(()) => Drained::All,
        Err(_) => {
            let _ = server.cut.send(());
            Drained::Cut
        }
    }
}

/// Has the kernel look after peers that are gone without a word, also while they owe us nothing and we them much: probes
/// after half a minute of silence (RFC 9293 §3.8.4), and an end to what stays unacknowledged (RFC 5482).
fn half_open(stream: &TcpStream) {
    let probes = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(PROBES_APART)
        .with_retries(PROBES);
    let socket = SockRef::from(stream);
    // Only a help: the limits on silence hold without it.
    let _ = socket.set_tcp_keepalive(&probes);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}

/// How long a body is at least; those of our services are in memory as a whole.
fn length(body: &Body) -> usize {
    usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX)
}

/// A connection and the place it takes.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
}

struct Server {
    router: Router,
    connections: Arc<Connections>,
    limits: Limits,
    unsent: Arc<Unsent>,
    cut: watch::Sender<()>,
}

impl Server {
    /// The next connection, once there is room for it; `None` when accepting failed and was waited out, or the peer has
    /// connections enough.
    async fn accept(&self, socket: &TcpListener) -> Option<Accepted> {
        match socket.accept().await {
            Ok((stream, peer)) => {
                // Small answers must not wait for the peer's delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                half_open(&stream);
                let place = self.connections.place(peer.ip()).await?;
                Some(Accepted { stream, peer, place })
            }
            Err(error) => {
                // Out of descriptors, or a peer that left while it queued: accept again, but do not spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }

    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: &Arc<Place>,
        tls: Option<TlsAcceptor>,
        watcher: Watcher,
    ) {
        let Some(tls) = tls else {
            return self.http(stream, peer, place, watcher).await;
        };
        match tokio::time::timeout(self.limits.head, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.http(stream, peer, place, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    async fn http<I>(&self, stream: I, peer: SocketAddr, place: &Arc<Place>, watcher: Watcher)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(Idle::new(stream, self.limits.head, self.limits.idle));
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(64 * 1024);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams)
            .max_header_list_size(
                // An identity token in `Authorization` may have several KiB.
                64 * 1024,
            );
        let pace = Arc::new(Pace::default());
        let unsent = Arc::clone(&self.unsent);
        let (router, answers, place) = (self.router.clone(), Arc::clone(&pace), Arc::clone(place));
        let service = service_fn(move |request: Request<Incoming>| {
            let http1 = request.version() <= Version::HTTP_11;
            let mut request = request.map(|body| {
                if http1 {
                    Body::new(Lingering::new(body))
                } else {
                    Body::new(body)
                }
            });
            request.extensions_mut().insert(ConnectInfo(peer));
            if let Some(client) = place.client(request.headers()) {
                request.extensions_mut().insert(Whose(client));
            }
            let (answer, answers) = (router.clone().oneshot(request), Arc::clone(&answers));
            let busy = place.busy();
            let (peer, unsent) = (place.peer(), Arc::clone(&unsent));
            async move {
                let mut answer = answer.await?;
                let share = unsent.hold(peer, length(answer.body()));
                if share.is_none() {
                    answer =
                        reply::overloaded("too many answers wait to be taken; take them, or retry shortly");
                }
                Ok::<_, Infallible>(answer.map(|body| Delivery::new(body, !http1, answers, (busy, share))))
            }
        });
        let connection = builder.serve_connection(stream, service);
        tokio::select! {
            ended = watcher.watch(connection.into_owned()) => {
                if let Err(error) = ended {
                    tracing::debug!(error, "connection ended");
                }
            }
            () = pace.stalled(self.limits.answer) => {
                tracing::debug!(%peer, "connection cut: an answer was not taken in time");
            }
        }
    }
}

#[cfg(test)]
mod tests;
