//! The URL clients reach the instance at, and what follows from it.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use url::{Host, Url};

/// An origin: scheme, host and port, no path, because sigstore-python joins `/api/v2/signingCert` absolutely
/// (`_internal/fulcio/client.py`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    text: String,
    host: String,
    /// Where clients sign in, if it is not the development issuer.
    issuer: Option<String>,
}

/// Not a public URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an origin such as http://localhost:3000 or https://sigstore.example, without path, query or user, got {0:?}"
)]
pub(crate) struct BadPublicUrl(String);

impl FromStr for PublicUrl {
    type Err = BadPublicUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || BadPublicUrl(text.to_owned());
        let url = Url::parse(text).map_err(|_| wrong())?;
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !bare || !matches!(url.scheme(), "http" | "https") {
            return Err(wrong());
        }
        // Go's `url.Hostname` strips the brackets of an IPv6 address, and so must the name in checkpoints.
        let host = match url.host().ok_or_else(wrong)? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => Ipv6Addr::to_string(&address),
        };
        Ok(PublicUrl {
            text: url.as_str().trim_end_matches('/').to_owned(),
            host,
            issuer: None,
        })
    }
}

impl PublicUrl {
    /// Without trailing slash.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Host without port or brackets: name in checkpoints and signed notes (sigstore-go `pkg/verify/tlog.go`).
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether tokens and keys go over the wire in the clear.
    pub(crate) fn is_https(&self) -> bool {
        self.text.starts_with("https:")
    }

    /// Whether the host is this machine by its very spelling. Names under `localhost` are not among them: RFC 6761 §6.3
    /// only recommends that a resolver keeps them on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// Whether it is this machine in clear text, as a listener of `up` is unless told otherwise.
    pub(crate) fn is_plain_loopback(&self) -> bool {
        self.is_loopback() && !self.is_https()
    }

    /// The same scheme and port under another host name.
    pub(crate) fn with_host(&self, host: &str) -> String {
        let (scheme, rest) = self.text.split_once("://").unwrap_or(("http", &self.text));
        let own = rest.rfind(']').map_or(0, |end| end.saturating_add(1));
        let port = rest.get(own..).and_then(|rest| rest.rsplit_once(':'));
        match port {
            Some((_, port)) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }
    }

    /// The URL with `path` behind it.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }

    /// With another issuer than the development issuer for clients to sign in at, or none where it is empty.
    pub(crate) fn with_issuer(self, issuer: String) -> PublicUrl {
        PublicUrl {
            issuer: Some(issuer),
            ..self
        }
    }

    /// Whether clients sign in at the development issuer.
    pub(crate) fn is_development(&self) -> bool {
        self.issuer.is_none()
    }

    /// The same at another port.
    ///
    /// # Errors
    /// [`BadPublicUrl`], which does not come of a URL with a host.
    pub(crate) fn with_port(&self, port: u16) -> Result<PublicUrl, BadPublicUrl> {
        let wrong = || BadPublicUrl(self.text.clone());
        let mut url = Url::parse(&self.text).map_err(|_| wrong())?;
        url.set_port(Some(port)).map_err(|()| wrong())?;
        let moved: PublicUrl = url.as_str().parse()?;
        Ok(PublicUrl {
            issuer: self.issuer.clone(),
            ..moved
        })
    }

    /// Where the development issuer is, if there is one.
    pub(crate) fn development_issuer(&self) -> String {
        self.join("/oidc")
    }

    /// Where clients sign in: the development issuer, unless told otherwise.
    pub(crate) fn issuer(&self) -> String {
        self.issuer.clone().unwrap_or_else(|| self.development_issuer())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn origins_are_taken_and_everything_else_is_not() {
        for (text, url, host) in [
            ("http://localhost:3000", "http://localhost:3000", "localhost"),
            (
                "https://Sigstore.Example/",
                "https://sigstore.example",
                "sigstore.example",
            ),
            ("http://[::1]:80", "http://[::1]", "::1"),
            ("http://127.0.0.1:65535/", "http://127.0.0.1:65535", "127.0.0.1"),
        ] {
            let parsed: PublicUrl = text.parse().unwrap();
            assert_eq!((parsed.as_str(), parsed.host()), (url, host));
        }
        for bad in [
            "",
            "localhost:3000",
            "ftp://x",
            "http://x/y",
            "http://x/?q",
            "http://x/#f",
            "http://u@x",
            "http://",
        ] {
            assert!(
                bad.parse::<PublicUrl>()
                    .unwrap_err()
                    .to_string()
                    .contains(&format!("{bad:?}")),
                "{bad}"
            );
        }
    }

    #[test]
    fn another_port_changes_nothing_else() {
        for (text, expected) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:4000"),
            ("http://[::1]", "http://[::1]:4000"),
            ("https://sigstore.example", "https://sigstore.example:4000"),
        ] {
            let url: PublicUrl = text.parse().unwrap();
            assert_eq!(url.with_port(4_000).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn loopback_is_recognised_by_name_and_address() {
        for (url, loopback) in [
            ("http://localhost:1", true),
            ("http://sigstore.localhost", false),
            ("http://127.8.0.1", true),
            ("http://[::1]:3000", true),
            ("http://localhost.example", false),
            ("https://192.0.2.1", false),
        ] {
            assert_eq!(url.parse::<PublicUrl>().unwrap().is_loopback(), loopback, "{url}");
        }
    }
}
