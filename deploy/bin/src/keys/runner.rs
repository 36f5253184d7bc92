//! What runs a data folder: `up`, whose development issuer answers for anybody, or `serve`, which has none.
//!
//! The registry tells: `up` sends clients to sign in at its own issuer, below the one URL that all its services have, and no
//! configuration of `serve` may name that place. It is written before the first key is used and at every start, so it is never
//! behind.

use std::path::Path;

use common_bundle::trust::{Registry, Role};

use super::KeysError;
use crate::paste::quoted;
use crate::public_url::PublicUrl;
use crate::site::Site;

/// The URL of an instance of `up`; `None` for one of `serve`.
pub(crate) fn development_url(registry: &Registry) -> Option<PublicUrl> {
    let url: PublicUrl = registry.in_use(Role::FulcioCa)?.url.parse().ok()?;
    (url.development_issuer() == registry.oidc_url).then_some(url)
}

/// That `site` may go on with the instance of `registry`: it has the name that checkpoints carry, and brings no development
/// issuer to an authority that had none.
///
/// # Errors
/// [`KeysError::Host`] and [`KeysError::Production`].
pub(crate) fn check(registry: &Registry, site: &Site) -> Result<(), KeysError> {
    let url = site.url();
    if registry.operator != url.host() {
        return Err(KeysError::Host {
            stored: registry.operator.clone(),
            asked: url.host().to_owned(),
        });
    }
    if url.is_development() && development_url(registry).is_none() {
        return Err(KeysError::Production);
    }
    Ok(())
}

/// The command that starts the instance in `folder`.
pub(crate) fn start_command(registry: &Registry, folder: &Path) -> String {
    let folder = folder.display().to_string();
    match development_url(registry) {
        Some(url) if url.is_loopback() => format!("sigbox up --data {}", quoted(&folder)),
        Some(_) => format!(
            "sigbox up --data {} --expose-development-issuer-to-the-network",
            quoted(&folder)
        ),
        None => format!("sigbox serve --config FILE (where FILE has data = {folder:?})"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

    use std::collections::BTreeMap;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::keys::{Keys, Places};
    use crate::layout::Layout;
    use crate::site::{Part, Roles};

    /// What `up` runs at `url`.
    fn up(url: &str) -> Site {
        url.parse::<PublicUrl>().unwrap().into()
    }

    /// What `serve` runs, with an `oidc-url`.
    fn serve(url: &str, oidc: &str, parts: &[Part]) -> Site {
        let url: PublicUrl = url.parse().unwrap();
        Site::new(
            url.with_issuer(oidc.to_owned()),
            BTreeMap::new(),
            Roles::of(parts),
        )
    }

    fn open(folder: &Path, site: &Site) -> Result<Registry, KeysError> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let layout = Layout::new(folder.to_owned());
        let keys = Keys::open(&layout, site, &Places::default(), now)?;
        Ok(keys.registry().clone())
    }

    #[test]
    fn the_development_issuer_comes_to_no_folder_of_serve() {
        let url = "http://localhost:3000";
        for (oidc, parts) in [
            ("", &Part::ALL[..]),
            ("https://login.example", &Part::ALL),
            ("http://localhost:5556/oidc", &Part::ALL),
            ("", &[Part::RekorV2, Part::Tsa]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let site = serve(url, oidc, parts);
            let before = open(folder.path(), &site).unwrap();
            assert_eq!(development_url(&before), None, "{oidc:?}");
            let refused = open(folder.path(), &up(url));
            assert!(matches!(refused, Err(KeysError::Production)), "{oidc:?}");
            assert_eq!(open(folder.path(), &site).unwrap(), before, "nothing was changed");
            let said = start_command(&before, Path::new("/srv/a b"));
            assert!(said.starts_with("sigbox serve --config FILE"), "{said}");
        }
    }

    #[test]
    fn a_folder_of_up_goes_on_and_serve_may_take_it_over_for_good() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), &up("http://localhost:3000")).unwrap();
        let moved = open(folder.path(), &up("http://localhost:4000")).unwrap();
        let known = development_url(&moved).unwrap();
        assert_eq!(known.as_str(), "http://localhost:4000");
        let said = start_command(&moved, Path::new("/srv/a b"));
        assert_eq!(said, "sigbox up --data '/srv/a b'");
        let elsewhere = open(folder.path(), &up("http://127.0.0.1:4000"));
        assert!(matches!(elsewhere, Err(KeysError::Host { .. })));
        open(folder.path(), &serve("http://localhost:4000", "", &Part::ALL)).unwrap();
        let back = open(folder.path(), &up("http://localhost:4000"));
        assert!(matches!(back, Err(KeysError::Production)));
    }

    #[test]
    fn the_command_for_another_host_has_the_words_that_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        let registry = open(folder.path(), &up("https://sigstore.example")).unwrap();
        let said = start_command(&registry, Path::new("/d"));
        assert!(
            said.ends_with("--data /d --expose-development-issuer-to-the-network"),
            "{said}"
        );
    }
}
