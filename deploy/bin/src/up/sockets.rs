//! The three listeners of `up`: bound before anything else, so that a taken port is said at once.

use std::io;

use common_server::listen::{Bound, ListenAddr};

use crate::cli::{Addresses, UpArgs};
use crate::public_url::{BadPublicUrl, PublicUrl};

/// The listeners cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketsError {
    /// Another interface without the words for it.
    #[error(
        "--{flag} is not a loopback address: expected localhost:PORT, 127.0.0.1:PORT or [::1]:PORT, because whoever \
         reaches the development issuer can sign as anyone; if that is what you want, add \
         --expose-development-issuer-to-the-network"
    )]
    Exposed {
        /// The flag.
        flag: &'static str,
    },
    /// Somebody else has the port.
    #[error(
        "port {port} is taken by another process (is another sigbox running?); choose a free one with --{flag} localhost:PORT"
    )]
    Taken {
        /// The port.
        port: u16,
        /// The flag that chooses another.
        flag: &'static str,
    },
    /// Any other refusal.
    #[error("cannot listen at --{flag}: {source}")]
    Bind {
        /// The flag.
        flag: &'static str,
        /// The operating system's reason.
        source: io::Error,
    },
    /// No URL can be derived.
    #[error(
        "--listen is every interface, which no URL names: say with --public-url how clients reach this instance"
    )]
    NoUrl,
    /// A URL elsewhere without the words for it.
    #[error(
        "the public URL {0} is not on loopback: whoever reaches the development issuer can sign as anyone; if that is what \
         you want, add --expose-development-issuer-to-the-network"
    )]
    ExposedUrl(String),
    /// Tokens over the network in the clear.
    #[error(
        "the public URL {0} is http on another host, where tokens would be read on the way: expected \
         --public-url https://HOST:PORT of --tls-listen (clients then trust tls/ca.pem of the data folder), or of your own proxy"
    )]
    ClearText(String),
    /// Not a public URL.
    #[error("--public-url: {0}")]
    Url(#[from] BadPublicUrl),
}

/// Bound, not yet served.
pub(crate) struct Sockets {
    /// All services in clear text.
    pub(crate) http: Bound,
    /// The same on loopback, where `http` is not there: the canary and `sigbox token` come this way, because the direct
    /// grant answers this machine only.
    pub(crate) loopback: Option<Bound>,
    /// All services over TLS.
    pub(crate) tls: Bound,
    /// Metrics.
    pub(crate) metrics: Bound,
    addresses: Addresses,
}

impl Sockets {
    /// Binds them.
    ///
    /// # Errors
    /// [`SocketsError`] names the flag to change.
    pub(crate) fn bind(args: &UpArgs) -> Result<Sockets, SocketsError> {
        let addresses = args.addresses();
        let Addresses { http, tls, metrics } = &addresses;
        let named = [(http, "listen"), (tls, "tls-listen"), (metrics, "metrics-listen")];
        if let Some((_, flag)) = named.iter().find(|(address, _)| !address.is_loopback())
            && !args.expose_development_issuer_to_the_network
        {
            return Err(SocketsError::Exposed { flag });
        }
        let all = bind(http, "listen")?;
        let loopback = if http.is_loopback() || http.is_unspecified() {
            None
        } else {
            Some(bind(&ListenAddr::localhost(all.port()), "listen")?)
        };
        Ok(Sockets {
            http: all,
            loopback,
            tls: bind(tls, "tls-listen")?,
            metrics: bind(metrics, "metrics-listen")?,
            addresses,
        })
    }

    /// What `--public-url` says; else the URL that the instance has, `stored`; else the address that was bound.
    ///
    /// # Errors
    /// [`SocketsError`] when the one is wrong or the other has no URL.
    pub(crate) fn public_url(
        &self,
        args: &UpArgs,
        stored: Option<&PublicUrl>,
    ) -> Result<PublicUrl, SocketsError> {
        let url: PublicUrl = match (&args.public_url, stored) {
            (Some(url), _) => url.parse()?,
            // It was that of a listener, whose port may be another now.
            (None, Some(stored)) if self.answers_at(stored) => stored.with_port(self.http.port())?,
            // It is that of a proxy, or of another interface.
            (None, Some(stored)) if !stored.is_plain_loopback() || !self.addresses.http.is_loopback() => {
                stored.clone()
            }
            (None, _) if self.addresses.http.is_unspecified() => return Err(SocketsError::NoUrl),
            (None, _) => url("http", &self.addresses.http, &self.http).parse()?,
        };
        match (url.is_loopback(), args.expose_development_issuer_to_the_network) {
            (true, _) => Ok(url),
            (false, false) => Err(SocketsError::ExposedUrl(url.as_str().to_owned())),
            (false, true) if !url.is_https() => Err(SocketsError::ClearText(url.as_str().to_owned())),
            (false, true) => Ok(url),
        }
    }

    /// Whether clients on this machine reach the listener by the host of `url`.
    fn answers_at(&self, url: &PublicUrl) -> bool {
        let host = url.host().parse::<std::net::IpAddr>();
        let bound = self.http.addresses();
        self.addresses.http.is_loopback()
            && url.is_plain_loopback()
            && host.map_or(true, |host| bound.iter().any(|address| address.ip() == host))
    }

    /// Where this process itself finds the services, whatever the public URL is.
    pub(crate) fn local_url(&self) -> String {
        let here = self.loopback.as_ref().unwrap_or(&self.http);
        let address = here.addresses().into_iter().next();
        let address = address.map(|mut address| {
            if address.ip().is_unspecified() {
                address.set_ip(if address.is_ipv4() {
                    std::net::Ipv4Addr::LOCALHOST.into()
                } else {
                    std::net::Ipv6Addr::LOCALHOST.into()
                });
            }
            address
        });
        address.map_or_else(
            || url("http", &self.addresses.http, &self.http),
            |address| format!("http://{address}"),
        )
    }

    /// The TLS listener's URL.
    pub(crate) fn tls_url(&self) -> String {
        url("https", &self.addresses.tls, &self.tls)
    }

    /// The metrics listener's URL, without path.
    pub(crate) fn metrics_url(&self) -> String {
        url("http", &self.addresses.metrics, &self.metrics)
    }
}

fn url(scheme: &str, address: &ListenAddr, bound: &Bound) -> String {
    let host = if address.is_unspecified() {
        "localhost".to_owned()
    } else {
        address.url_host()
    };
    format!("{scheme}://{host}:{}", bound.port())
}

fn bind(address: &ListenAddr, flag: &'static str) -> Result<Bound, SocketsError> {
    Bound::bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => SocketsError::Taken {
            port: address.port(),
            flag,
        },
        _ => SocketsError::Bind { flag, source },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(more: &[&str]) -> UpArgs {
        let words = ["sigbox", "up", "--ephemeral"].iter().chain(more);
        match Cli::parse_from(words).command {
            Command::Up(args) => args,
            other => panic!("asked for up, got {other:?}"),
        }
    }

    #[tokio::test]
    async fn another_interface_needs_the_words() {
        for flag in ["listen", "tls-listen", "metrics-listen"] {
            let asked = format!("--{flag}=0.0.0.0:0");
            let error = Sockets::bind(&args(&[&asked])).err().unwrap().to_string();
            assert!(error.contains(flag) && error.contains("loopback"), "{error}");
            Sockets::bind(&args(&[&asked, "--expose-development-issuer-to-the-network"])).unwrap();
        }
    }

    #[tokio::test]
    async fn a_taken_port_names_the_flag() {
        let first = Sockets::bind(&args(&[])).unwrap();
        for (bound, flag) in [
            (&first.http, "listen"),
            (&first.tls, "tls-listen"),
            (&first.metrics, "metrics-listen"),
        ] {
            let asked = format!("--{flag}=localhost:{}", bound.port());
            let error = Sockets::bind(&args(&[&asked])).err().unwrap().to_string();
            assert!(
                error.contains(&format!("--{flag} ")) && error.contains(&bound.port().to_string()),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn the_public_url_follows_the_listener_unless_given() {
        let sockets = Sockets::bind(&args(&[])).unwrap();
        let expected = format!("http://localhost:{}", sockets.http.port());
        assert_eq!(sockets.public_url(&args(&[]), None).unwrap().as_str(), expected);
        let exposed = "--expose-development-issuer-to-the-network";
        for (url, words, expected) in [
            (
                "https://sigstore.example/",
                vec![exposed],
                Ok("https://sigstore.example"),
            ),
            ("http://127.0.0.1:80", vec![], Ok("http://127.0.0.1")),
            ("https://sigstore.example", vec![], Err("add --expose")),
            (
                "http://sigstore.example",
                vec![exposed],
                Err("--public-url https"),
            ),
            ("sigstore.example", vec![exposed], Err("expected an origin")),
        ] {
            let words: Vec<_> = [vec!["--public-url", url], words].concat();
            match (sockets.public_url(&args(&words), None), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got.as_str(), expected),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, expected) => panic!("{url}: expected {expected:?}, got {got:?}"),
            }
        }
        let all = args(&[
            "--listen",
            "0.0.0.0:0",
            "--expose-development-issuer-to-the-network",
        ]);
        let sockets = Sockets::bind(&all).unwrap();
        assert!(matches!(sockets.public_url(&all, None), Err(SocketsError::NoUrl)));
        assert!(sockets.local_url().starts_with("http://127.0.0.1:"));
    }

    /// Nobody has to repeat `--public-url`, and a listener may have another port than before.
    #[tokio::test]
    async fn an_instance_keeps_its_url_unless_another_is_given() {
        let exposed = "--expose-development-issuer-to-the-network";
        let all = ["--listen", "0.0.0.0:0", exposed];
        for (stored, words, expected) in [
            ("http://localhost:1", &[][..], "http://localhost:PORT"),
            ("http://127.0.0.1:1", &[], "http://127.0.0.1:PORT"),
            ("https://localhost:3443", &[], "https://localhost:3443"),
            ("https://sigstore.example", &[exposed], "https://sigstore.example"),
            ("https://sigstore.example", &[], "not on loopback"),
            ("http://localhost:1", &all, "http://localhost:1"),
            // Nobody would answer at the host that it has; the folder is then refused by its keys.
            (
                "http://127.0.0.2:1",
                &["--listen", "127.0.0.1:0"],
                "http://127.0.0.1:PORT",
            ),
        ] {
            let stored: PublicUrl = stored.parse().unwrap();
            let asked = args(words);
            let sockets = Sockets::bind(&asked).unwrap();
            let expected = expected.replace("PORT", &sockets.http.port().to_string());
            let got = match sockets.public_url(&asked, Some(&stored)) {
                Ok(url) => url.as_str().to_owned(),
                Err(error) => error.to_string(),
            };
            assert!(got.contains(&expected), "{stored:?} {words:?}: {got}");
            let given = args(&[words, &["--public-url", "http://[::1]:5"]].concat());
            let given = sockets.public_url(&given, Some(&stored)).unwrap();
            assert_eq!(given.as_str(), "http://[::1]:5", "what is given comes first");
        }
    }

    /// The address of this machine towards another; `None` without a network. Connecting a datagram socket sends nothing.
    fn outward_address() -> Option<std::net::IpAddr> {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.connect("192.0.2.1:9").ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_loopback() && !address.is_unspecified()).then_some(address)
    }

    #[tokio::test]
    async fn one_address_elsewhere_is_bound_on_loopback_as_well() {
        let Some(address) = outward_address() else {
            println!("skipped: this machine has no address but loopback");
            return;
        };
        let asked = format!("--listen={address}:0");
        let sockets = Sockets::bind(&args(&[&asked, "--expose-development-issuer-to-the-network"])).unwrap();
        let words = args(&[&asked, "--expose-development-issuer-to-the-network"]);
        let error = sockets.public_url(&words, None);
        assert!(
            matches!(error, Err(SocketsError::ClearText(_))),
            "also when it is derived"
        );
        let local = sockets.local_url();
        assert_eq!(local, format!("http://127.0.0.1:{}", sockets.http.port()));
        assert!(sockets.loopback.is_some());
    }
}
