//! The key that takes over from another: made, registered, given up.

use std::net::IpAddr;
use std::time::SystemTime;

use common_bundle::trust::{KeyRecord, Registry, Role, Succession};
use common_pki::key::KeyAlgorithm;

use super::create::Maker;
use super::{Keys, KeysError, Places, keyring, load_where_kept, shard_path, signs};
use crate::disk;
use crate::layout::Layout;
use crate::site::Site;

/// What is to take over.
pub(crate) struct Wanted<'a> {
    /// In which role.
    pub(crate) role: Role,
    /// The name of a Rekor v2 shard.
    pub(crate) host: Option<&'a str>,
    /// Where its key is made.
    pub(crate) places: &'a Places,
    /// When.
    pub(crate) succession: Succession,
}

impl Keys {
    /// Makes the key that is `wanted`, writes it, and registers it.
    ///
    /// # Errors
    /// [`KeysError`]; a key file may be there that nothing names, and the next attempt writes over it.
    pub(crate) fn with_successor(
        &self,
        layout: &Layout,
        site: &Site,
        wanted: &Wanted<'_>,
        now: SystemTime,
    ) -> Result<Keys, KeysError> {
        let mut record = make(&self.registry, layout, site, wanted, now)?;
        record.successor = Some(wanted.succession);
        let mut registry = self.registry.clone();
        registry.add(record)?;
        self.with_registry(layout, registry)
    }

    /// The same keys under another registry, which is written first. Keys that it adds are loaded, of those that it
    /// ends the private half is forgotten.
    ///
    /// # Errors
    /// [`KeysError`].
    pub(crate) fn with_registry(&self, layout: &Layout, registry: Registry) -> Result<Keys, KeysError> {
        let mut signers = self.signers.clone();
        let roles = self.roles.clone();
        let signing = || registry.keys.iter().filter(|key| signs(key, &roles));
        signers.retain(|id, _| signing().any(|key| key.id == *id));
        for record in signing() {
            if !signers.contains_key(&record.id)
                && let Some(signer) = load_where_kept(&keyring(layout), record)?
            {
                signers.insert(record.id.clone(), signer);
            }
        }
        disk::write_if_changed(&layout.registry(), registry.to_json()?.as_bytes())?;
        Ok(Keys {
            registry,
            signers,
            roles,
            others: self.others.clone(),
        })
    }
}

fn make(
    registry: &Registry,
    layout: &Layout,
    site: &Site,
    wanted: &Wanted<'_>,
    now: SystemTime,
) -> Result<KeyRecord, KeysError> {
    let Wanted {
        role, host, places, ..
    } = *wanted;
    let maker = Maker::new(registry, layout, site, places, now)?;
    let url = site.url_behind(role);
    let prefix = match role {
        Role::FulcioCa => "fulcio-ca",
        Role::CtLog => "ct-log",
        Role::RekorV1 => "rekor-v1",
        Role::RekorV2 => "rekor-v2",
        Role::Tsa => "tsa",
        Role::TufRoot => "tuf-root",
        Role::TufOnline => "tuf-online",
    };
    let number = next_number(registry, role, prefix);
    let id = format!("{prefix}-{number}");
    match role {
        Role::FulcioCa => maker.certificate_authority(number),
        Role::Tsa => maker.timestamp_authority(number),
        Role::CtLog => {
            let origin = fulcio_ct::origin_of(&url.join(&shard_path(&id)))?;
            maker.log(role, &id, &origin, KeyAlgorithm::EcdsaP256)
        }
        Role::RekorV1 => maker.log(role, &id, url.host(), KeyAlgorithm::EcdsaP256),
        Role::RekorV2 => {
            let host = host.map_or_else(|| shard_host(&id, url.host()), str::to_owned);
            maker.log(role, &id, &host, KeyAlgorithm::Ed25519)
        }
        Role::TufRoot | Role::TufOnline => Ok(maker.key(role, &id, "", KeyAlgorithm::EcdsaP256)?.0),
    }
}

fn next_number(registry: &Registry, role: Role, prefix: &str) -> u32 {
    let keys = registry.by_role(role);
    let numbers = keys.iter().filter_map(|key| {
        let number = key.id.strip_prefix(prefix)?.strip_prefix('-')?;
        number.parse::<u32>().ok()
    });
    numbers.max().unwrap_or(0).saturating_add(1)
}

/// The name of a Rekor v2 shard. Clients take the host of its base URL for the origin of its checkpoints and for the
/// name of its key (sigstore-go `pkg/verify/tlog.go`), so each shard needs a host of its own. It need not be reachable.
fn shard_host(id: &str, host: &str) -> String {
    if host.parse::<IpAddr>().is_err() {
        return format!("{id}.{host}");
    }
    // An address has no names below it. `.internal` is for private use, and is no name in the public tree.
    let labels: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("{id}.ip-{}.internal", labels.trim_matches('-'))
}

#[cfg(test)]
mod tests;
