//! What `up` lets clients take: the flags, and the limits made of them.

use clap::Args;
use common_server::admission::Bounds;
use common_server::client::{ClientLimit, TrustedProxies};
use common_server::quota::{Quota, Rate};
use common_server::serve::Limits;
use ipnet::IpNet;

use super::descriptors;

/// Descriptors that are not connections: the store, its readers, listeners, and what the runtime holds.
const OTHER_DESCRIPTORS: u64 = 256;

/// How much clients may ask for.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LimitArgs {
    /// Limit each client to so many requests a second, and so many at once [default burst: twice the rate]. A client is an
    /// identity where a token proves one (certificates), else an address (IPv6: a network of 64 bits) [default: no limit].
    #[arg(long, value_name = "RATE[/BURST]")]
    pub(crate) limit_per_client: Option<Rate>,
    /// Limit clients on this machine too.
    #[arg(long, requires = "limit_per_client")]
    pub(crate) limit_loopback: bool,
    /// Take the word of proxies in this network about the address of a client (X-Forwarded-For) [default: nobody's].
    #[arg(long, value_name = "CIDR")]
    pub(crate) trust_proxy: Vec<IpNet>,
    /// Writes of each kind that are worked on at once; more are refused with 503 [default: 1024].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) writes_at_once: Option<u16>,
}

impl LimitArgs {
    /// Bounds on each kind of write.
    pub(crate) fn writes(&self) -> Bounds {
        match self.writes_at_once {
            Some(most) => Bounds::WRITES.at_most(most.into()),
            None => Bounds::WRITES,
        }
    }

    /// How often one identity may ask for a certificate.
    pub(crate) fn per_identity(&self) -> Option<Quota> {
        self.limit_per_client.map(|rate| Quota::new("identity", rate))
    }

    /// How often one address may ask for everything else.
    pub(crate) fn per_address(&self) -> Option<ClientLimit> {
        let rate = self.limit_per_client?;
        Some(ClientLimit {
            quota: Quota::new("address", rate),
            proxies: self.proxies(),
            loopback: self.limit_loopback,
            exempt,
        })
    }

    /// Limits on connections, within what the operating system lets this process open.
    pub(crate) fn connections(&self) -> Limits {
        let limits = Limits {
            proxies: self.proxies(),
            ..Limits::default()
        };
        let room = descriptors::raise().map(|limit| limit.saturating_sub(OTHER_DESCRIPTORS).max(1));
        let room = room
            .and_then(|room| usize::try_from(room).ok())
            .unwrap_or(usize::MAX);
        if room < limits.connections {
            tracing::warn!(
                connections = room,
                wanted = limits.connections,
                "fewer connections than usual: raise the limit of open files (ulimit -Hn)"
            );
        }
        Limits {
            connections: limits.connections.min(room),
            ..limits
        }
    }

    fn proxies(&self) -> TrustedProxies {
        TrustedProxies::new(self.trust_proxy.clone())
    }
}

/// Paths that are not counted by address: probes, whose sender may share its address with many, and certificates, where the
/// identity counts.
fn exempt(path: &str) -> bool {
    const PATHS: [&str; 4] = [
        "/healthz",
        "/readyz",
        "/api/v2/signingCert",
        "/api/v1/signingCert",
    ];
    PATHS.contains(&path) || path.ends_with("/CreateSigningCertificate")
}

#[cfg(test)]
mod tests;
