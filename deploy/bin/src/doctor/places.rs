//! Which services are asked, and where. One address serves a whole instance, whatever its clients call it; but where the
//! published signing configuration has services at several, each is asked at its own. What it does not list is not there.

use common_bundle::trust::{Role, SigningConfig, TrustedRoot};
use url::Url;

use crate::http::Client;
use crate::site::Roles;

/// What is published of the services.
#[derive(Default)]
pub(super) struct Places {
    /// Those that there are; nobody says so where no signing configuration is published.
    listed: Option<Roles>,
    /// Clients of those that are at addresses of their own.
    clients: Vec<(Role, Client)>,
}

impl Places {
    /// As `configs` and `root` are published.
    pub(super) fn published(configs: &[SigningConfig], root: &TrustedRoot) -> Places {
        let mut urls: Vec<(Role, &str)> = Vec::new();
        for config in configs {
            urls.extend(
                config
                    .ca_urls
                    .iter()
                    .map(|service| (Role::FulcioCa, &*service.url)),
            );
            urls.extend(config.tsa_urls.iter().map(|service| (Role::Tsa, &*service.url)));
            urls.extend(config.rekor_tlog_urls.iter().map(|service| {
                let role = match service.major_api_version {
                    1 => Role::RekorV1,
                    _ => Role::RekorV2,
                };
                (role, &*service.url)
            }));
        }
        // Logs that have ended may be listed at former addresses.
        urls.extend(root.ctlogs.last().map(|log| (Role::CtLog, &*log.base_url)));
        let listed = (!configs.is_empty()).then(|| urls.iter().map(|(role, _)| *role).collect());
        let origins: Vec<(Role, String)> = urls
            .into_iter()
            .filter_map(|(role, url)| Some((role, Url::parse(url).ok()?.origin().ascii_serialization())))
            .collect();
        let (_, first) = origins.first().cloned().unzip();
        let elsewhere = origins.iter().any(|(_, origin)| Some(origin) != first.as_ref());
        let clients = origins
            .iter()
            .filter(|_| elsewhere)
            .filter_map(|(role, origin)| Some((*role, Client::new(origin).ok()?)));
        Places {
            listed,
            clients: clients.collect(),
        }
    }

    /// Whether the service of a role is published, where that is known.
    pub(super) fn has(&self, role: Role) -> bool {
        self.listed.as_ref().is_none_or(|listed| listed.has(role))
    }

    /// Who is asked for the service of a role: `whole` where it has no address of its own.
    pub(super) fn of<'a>(&'a self, role: Role, whole: &'a Client) -> &'a Client {
        let own = self.clients.iter().find(|(known, _)| *known == role);
        own.map_or(whole, |(_, client)| client)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use common_bundle::trust::{Service, ValidFor};

    use super::*;

    fn config(ca: &str, rekor: &str) -> SigningConfig {
        let service = |url: &str| Service {
            url: url.to_owned(),
            major_api_version: 2,
            valid_for: ValidFor::default(),
            operator: String::new(),
        };
        SigningConfig {
            media_type: String::new(),
            ca_urls: vec![service(ca)],
            oidc_urls: Vec::new(),
            rekor_tlog_urls: vec![service(rekor)],
            rekor_tlog_config: None,
            tsa_urls: vec![service(&format!("{ca}/api/v1/timestamp"))],
            tsa_config: None,
        }
    }

    fn root() -> TrustedRoot {
        TrustedRoot {
            media_type: String::new(),
            tlogs: Vec::new(),
            certificate_authorities: Vec::new(),
            ctlogs: Vec::new(),
            timestamp_authorities: Vec::new(),
        }
    }

    #[test]
    fn services_at_several_addresses_are_asked_at_their_own() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let whole = Client::new("http://127.0.0.1:1").unwrap();
        // Reached by another name.
        let one = Places::published(&[config("https://a.example", "https://a.example")], &root());
        assert_eq!(one.of(Role::RekorV2, &whole).base(), whole.base());
        let two = Places::published(&[config("https://a.example", "https://b.example")], &root());
        assert_eq!(two.of(Role::RekorV2, &whole).base(), "https://b.example");
        assert_eq!(two.of(Role::Tsa, &whole).base(), "https://a.example");
    }

    #[test]
    fn what_is_not_listed_is_not_there_at_however_many_addresses() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        for rekor in ["https://a.example", "https://b.example"] {
            let places = Places::published(&[config("https://a.example", rekor)], &root());
            assert!(places.has(Role::RekorV2) && places.has(Role::FulcioCa) && places.has(Role::Tsa));
            assert!(!places.has(Role::RekorV1), "{rekor}");
        }
        // Nothing is published while a service of another process is not known: what there is has to be tried.
        let unknown = Places::published(&[], &root());
        assert!(unknown.has(Role::RekorV1) && unknown.has(Role::RekorV2));
    }
}
