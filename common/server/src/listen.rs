//! Binding sockets. `localhost` means both loopback families, because a client may try either first and a refused
//! connection on one of them costs it a retry.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;

/// Connections that wait to be accepted: as many as [`crate::serve::Limits`] allows to be open, or what the system allows
/// (`net.core.somaxconn`). tokio's own 128 is less than one burst: whoever finds no room tries again after a whole second.
const BACKLOG: u32 = 4_096;

/// Where to listen: `localhost:PORT`, `IPV4:PORT` or `[IPV6]:PORT`; port 0 takes a free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddr {
    hosts: Vec<IpAddr>,
    port: u16,
}

/// Not a listen address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected localhost:PORT, IPV4:PORT or [IPV6]:PORT, got {0:?}")]
pub struct BadListenAddr(String);

impl FromStr for ListenAddr {
    type Err = BadListenAddr;

    /// A host name other than `localhost` is refused: it would be looked up, and what a name means to a resolver must
    /// not decide which interface is opened.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadListenAddr(text.to_owned());
        if let Some(port) = text.strip_prefix("localhost:") {
            return Ok(ListenAddr::localhost(port.parse().map_err(|_| bad())?));
        }
        let address: SocketAddr = text.parse().map_err(|_| bad())?;
        Ok(ListenAddr {
            hosts: vec![address.ip()],
            port: address.port(),
        })
    }
}

impl ListenAddr {
    /// Both loopback families.
    #[must_use]
    pub fn localhost(port: u16) -> ListenAddr {
        ListenAddr {
            hosts: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            port,
        }
    }

    /// Whether only this machine can connect.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.hosts.iter().all(IpAddr::is_loopback)
    }

    /// The host as a URL has it: `localhost`, or the one address asked for.
    #[must_use]
    pub fn url_host(&self) -> String {
        match self.hosts.as_slice() {
            [IpAddr::V4(address)] => address.to_string(),
            [IpAddr::V6(address)] => format!("[{address}]"),
            _ => "localhost".to_owned(),
        }
    }

    /// Whether it is every interface of a family, which no URL can name.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        self.hosts.iter().any(IpAddr::is_unspecified)
    }

    /// The port asked for; 0 means a free one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Bound sockets of one [`ListenAddr`], all on one port.
pub struct Bound {
    pub(crate) sockets: Vec<TcpListener>,
    pub(crate) tls: Option<TlsAcceptor>,
    port: u16,
}

impl Bound {
    /// Binds every host of `address`. The first must succeed; a further one whose family this machine lacks is left
    /// out, but one whose port is taken fails, because half the clients would then reach another process.
    ///
    /// # Errors
    /// The operating system's, `AddrInUse` for a taken port.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(address: &ListenAddr) -> io::Result<Bound> {
        // With a free port the second family may find it taken: take another.
        let attempts = if address.port == 0 { 16 } else { 1 };
        let mut last = None;
        for _ in 0..attempts {
            match Bound::bind_once(address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = Some(error),
                outcome => return outcome,
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
    }

    fn bind_once(address: &ListenAddr) -> io::Result<Bound> {
        let mut sockets: Vec<TcpListener> = Vec::new();
        let mut port = address.port;
        for host in &address.hosts {
            match listen(SocketAddr::new(*host, port)) {
                Ok(socket) => {
                    port = socket.local_addr()?.port();
                    sockets.push(socket);
                }
                Err(error) if !sockets.is_empty() && error.kind() != io::ErrorKind::AddrInUse => {
                    tracing::debug!(%host, %error, "this address family is not available");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Bound {
            sockets,
            tls: None,
            port,
        })
    }

    /// Speaks TLS on these sockets.
    #[must_use]
    pub fn with_tls(mut self, acceptor: TlsAcceptor) -> Bound {
        self.tls = Some(acceptor);
        self
    }

    /// The port in use.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The addresses in use.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets
            .iter()
            .filter_map(|socket| socket.local_addr().ok())
            .collect()
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restart must not wait for what is left of the last process's connections.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests;
