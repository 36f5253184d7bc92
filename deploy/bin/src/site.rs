//! Which services a process runs, and where clients reach each of them.
//!
//! `up` runs all at one URL. `serve` runs those that its listeners have: others may run in other processes on other
//! hosts, and nothing of theirs is opened here, neither a key nor a store.

use std::collections::{BTreeMap, BTreeSet};

use common_bundle::trust::Role;
use serde::Deserialize;

use crate::public_url::PublicUrl;

/// A service that a listener may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// Certificates, over HTTP and gRPC.
    Fulcio,
    /// The certificate log.
    Ct,
    /// Rekor v1, and what is built on its API.
    RekorV1,
    /// Rekor v2.
    RekorV2,
    /// Timestamps.
    Tsa,
    /// The TUF repository, the exported trust files, and the lines that set up clients.
    Trust,
}

impl Part {
    /// All of them.
    pub(crate) const ALL: [Part; 6] = [
        Self::Fulcio,
        Self::Ct,
        Self::RekorV1,
        Self::RekorV2,
        Self::Tsa,
        Self::Trust,
    ];

    /// As the configuration file has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fulcio => "fulcio",
            Self::Ct => "ct",
            Self::RekorV1 => "rekor-v1",
            Self::RekorV2 => "rekor-v2",
            Self::Tsa => "tsa",
            Self::Trust => "trust",
        }
    }

    /// Whose keys it signs with. A certificate is nothing without its place in the certificate log.
    const fn roles(self) -> &'static [Role] {
        match self {
            Self::Fulcio => &[Role::FulcioCa, Role::CtLog],
            Self::Ct => &[Role::CtLog],
            Self::RekorV1 => &[Role::RekorV1],
            Self::RekorV2 => &[Role::RekorV2],
            Self::Tsa => &[Role::Tsa],
            Self::Trust => &[Role::TufRoot, Role::TufOnline],
        }
    }

    /// What a key of `role` is for.
    const fn of(role: Role) -> Part {
        match role {
            Role::FulcioCa => Self::Fulcio,
            Role::CtLog => Self::Ct,
            Role::RekorV1 => Self::RekorV1,
            Role::RekorV2 => Self::RekorV2,
            Role::Tsa => Self::Tsa,
            Role::TufRoot | Role::TufOnline => Self::Trust,
        }
    }
}

/// What keys of a process are for: the only ones that it makes or opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roles(BTreeSet<Role>);

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Roles {
        Roles(roles.into_iter().collect())
    }
}

impl Roles {
    /// Every one.
    pub(crate) fn all() -> Roles {
        Roles::of(&Part::ALL)
    }

    /// Those of some services.
    pub(crate) fn of(parts: &[Part]) -> Roles {
        parts.iter().flat_map(|part| part.roles()).copied().collect()
    }

    /// Whether it is one of them.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether logs are among them, so that there is a store.
    pub(crate) fn have_logs(&self) -> bool {
        self.0.iter().any(|role| role.is_log())
    }
}

/// The services of a process, and the URLs of these and of others.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    url: PublicUrl,
    own: BTreeMap<Part, PublicUrl>,
    roles: Roles,
}

impl From<PublicUrl> for Site {
    /// Everything at one URL.
    fn from(url: PublicUrl) -> Site {
        Site::new(url, BTreeMap::new(), Roles::all())
    }
}

impl Site {
    /// Services at `url`, but those that have a URL of their own.
    pub(crate) fn new(url: PublicUrl, own: BTreeMap<Part, PublicUrl>, roles: Roles) -> Site {
        Site { url, own, roles }
    }

    /// The URL of all that has none of its own; its host names the instance.
    pub(crate) fn url(&self) -> &PublicUrl {
        &self.url
    }

    /// Where clients reach a service.
    pub(crate) fn url_of(&self, part: Part) -> &PublicUrl {
        self.own.get(&part).unwrap_or(&self.url)
    }

    /// Where clients reach the service behind a key.
    pub(crate) fn url_behind(&self, role: Role) -> &PublicUrl {
        self.url_of(Part::of(role))
    }

    /// What the process does.
    pub(crate) fn roles(&self) -> &Roles {
        &self.roles
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_service_opens_what_it_signs_with_and_nothing_else() {
        let roles = Roles::of(&[Part::RekorV2, Part::Tsa]);
        assert!(roles.has(Role::RekorV2) && roles.has(Role::Tsa) && roles.have_logs());
        for other in [
            Role::FulcioCa,
            Role::CtLog,
            Role::RekorV1,
            Role::TufRoot,
            Role::TufOnline,
        ] {
            assert!(!roles.has(other), "{other}");
        }
        assert!(Roles::of(&[Part::Fulcio]).has(Role::CtLog));
        assert!(!Roles::of(&[Part::Tsa, Part::Trust]).have_logs());
    }

    #[test]
    fn a_service_is_where_the_instance_is_unless_it_has_a_url_of_its_own() {
        let url = |text: &str| text.parse::<PublicUrl>().unwrap();
        let own = BTreeMap::from([(Part::Tsa, url("https://tsa.example"))]);
        let site = Site::new(url("https://s.example"), own, Roles::all());
        assert_eq!(site.url_behind(Role::Tsa).as_str(), "https://tsa.example");
        assert_eq!(site.url_of(Part::Trust).as_str(), "https://s.example");
    }
}
