//! Keys of other processes of the same instance, as `keys export` wrote them: public facts, published beside our own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use common_bundle::trust::{KeyRecord, Registry, Role};
use tokio::sync::Mutex;

use super::{Keys, KeysError};
use crate::disk;

/// A registry without what concerns its own process alone: where private halves are, and the keys of a trust repository.
pub(super) fn exported(registry: &Registry) -> Registry {
    let mut exported = registry.clone();
    exported.keys.retain(is_service);
    for key in &mut exported.keys {
        key.signer.clear();
    }
    exported
}

fn is_service(key: &KeyRecord) -> bool {
    !matches!(key.role, Role::TufRoot | Role::TufOnline)
}

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The files in which other processes tell of their keys.
#[derive(Debug, Default)]
pub(crate) struct Others {
    files: Vec<PathBuf>,
    /// What they held when they were last read.
    seen: Mutex<Vec<Option<Vec<u8>>>>,
}

impl Others {
    /// In `files`.
    pub(crate) fn new(files: Vec<PathBuf>) -> Others {
        Others {
            files,
            seen: Mutex::default(),
        }
    }

    /// The keys that they list.
    ///
    /// # Errors
    /// [`KeysError`] names the file.
    pub(crate) async fn read(&self) -> Result<Vec<KeyRecord>, KeysError> {
        *self.seen.lock().await = contents(&self.files);
        let mut keys = Vec::new();
        for file in &self.files {
            keys.extend(parse(file)?.into_iter().filter(is_service));
        }
        Ok(keys)
    }

    /// Waits until one holds something else than when they were read.
    pub(crate) async fn changed(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if contents(&self.files) != *self.seen.lock().await {
                return;
            }
        }
    }
}

fn contents(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| disk::read(file).ok().flatten()).collect()
}

fn parse(file: &Path) -> Result<Vec<KeyRecord>, KeysError> {
    let path = || file.display().to_string();
    let json = disk::read(file)?.ok_or_else(|| KeysError::NotExported { path: path() })?;
    let registry = Registry::parse(&json).map_err(|source| KeysError::Registry { path: path(), source })?;
    Ok(registry.keys)
}

impl Keys {
    /// With these keys of other processes in place of those known before.
    ///
    /// # Errors
    /// [`KeysError`] if one of them has the name of another key, or one that was published is not among them: what it signed
    /// would verify no more.
    pub(crate) fn with_others(mut self, others: Vec<KeyRecord>) -> Result<Keys, KeysError> {
        let same = |one: &KeyRecord, other: &KeyRecord| one.role == other.role && one.spki == other.spki;
        // One that has not signed yet may be given up.
        let mut signed = self.others.iter().filter(|key| key.successor.is_none());
        if let Some(gone) = signed.find(|before| !others.iter().any(|key| same(before, key))) {
            return Err(KeysError::Gone(gone.id.clone()));
        }
        let mut registry = self.registry.clone();
        self.others.clear();
        for key in others {
            // A folder may have begun with the registry of all: what it says of the keys of others is as old as that.
            registry
                .keys
                .retain(|own| !same(own, &key) || self.roles.has(own.role));
            if !registry.keys.iter().any(|own| same(own, &key)) {
                registry.add(key.clone())?;
                self.others.push(key);
            }
        }
        Ok(self)
    }

    /// What clients are told to trust: our keys, and those of other processes.
    pub(crate) fn published(&self) -> Registry {
        self.published_with(&self.registry)
    }

    /// The same, were `registry` ours.
    pub(crate) fn published_with(&self, registry: &Registry) -> Registry {
        let mut all = registry.clone();
        let theirs = |own: &KeyRecord| self.others.iter().any(|key| key.spki == own.spki);
        all.keys.retain(|own| !theirs(own));
        all.keys.extend(self.others.iter().cloned());
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

    use std::collections::BTreeMap;
    use std::time::{Duration, SystemTime};

    use common_bundle::trust::RekorVersions;

    use super::*;
    use crate::keys::Places;
    use crate::layout::Layout;
    use crate::public_url::PublicUrl;
    use crate::site::{Part, Roles, Site};

    fn open(url: &str, parts: &[Part]) -> (tempfile::TempDir, Keys) {
        let folder = tempfile::tempdir().unwrap();
        let url: PublicUrl = url.parse().unwrap();
        let site = Site::new(url, BTreeMap::new(), Roles::of(parts));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let layout = Layout::new(folder.path().to_owned());
        let keys = Keys::open(&layout, &site, &Places::default(), now).unwrap();
        (folder, keys)
    }

    #[tokio::test]
    async fn two_processes_are_one_instance_to_clients() {
        let (_one, issuing) = open("https://a.example", &[Part::Fulcio, Part::Trust]);
        let (_two, logging) = open("https://b.example", &[Part::RekorV2, Part::Tsa]);
        let alone = issuing.published().signing_config(RekorVersions::V2Only);
        assert!(alone.is_err(), "without a log there is nothing to sign with");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b.json");
        let exported = exported(logging.registry());
        assert!(exported.keys.iter().all(|key| key.signer.is_empty()));
        std::fs::write(&file, exported.to_json().unwrap()).unwrap();
        let listed = Others::new(vec![file]).read().await.unwrap();
        let both = issuing.clone().with_others(listed).unwrap();
        let config = both.published().signing_config(RekorVersions::V2Only).unwrap();
        assert_eq!(config.ca_urls.first().unwrap().url, "https://a.example");
        assert_eq!(config.rekor_tlog_urls.first().unwrap().url, "https://b.example");
        assert_eq!(both.published().trusted_root().unwrap().tlogs.len(), 1);
        assert_eq!(both.registry(), issuing.registry(), "they do not become ours");
        // What was published stays, and names are not given twice.
        let error = both.clone().with_others(Vec::new()).err().unwrap();
        assert!(error.to_string().contains("rekor-v2-1"), "{error}");
        let (_three, other) = open("https://c.example", &[Part::Fulcio]);
        assert!(issuing.with_others(other.registry().keys.clone()).is_err());
    }
}
