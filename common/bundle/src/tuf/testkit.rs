//! A repository in memory for tests.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "tests")]

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use common_pki::key::{KeyAlgorithm, LocalSigner, Signer};

use super::{
    Files, KeySet, Lifetimes, Repository, RootKeys, Signers, Target, TufError, VerifiedTargets, verify,
};
use crate::trust::testkit::{START, signer};

pub(crate) const DAY: u64 = 86_400;

pub(crate) fn day(day: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(START.unsigned_abs() + day * DAY)
}

/// One root and targets key, one online key.
pub(crate) struct Keys {
    pub(crate) root: LocalSigner,
    pub(crate) online: LocalSigner,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self {
            root: signer(KeyAlgorithm::EcdsaP256),
            online: signer(KeyAlgorithm::EcdsaP256),
        }
    }

    pub(crate) fn keys(&self) -> RootKeys {
        let (root, online) = (
            KeySet::single(self.root.public_key()),
            KeySet::single(self.online.public_key()),
        );
        RootKeys {
            root: root.clone(),
            targets: root,
            snapshot: online.clone(),
            timestamp: online,
        }
    }

    /// Calls `f` with every signer at hand.
    pub(crate) fn with<T>(&self, f: impl FnOnce(Signers<'_>) -> T) -> T {
        let (root, online): ([&dyn Signer; 1], [&dyn Signer; 1]) = ([&self.root], [&self.online]);
        f(Signers {
            root: &root,
            targets: &root,
            snapshot: &online,
            timestamp: &online,
        })
    }

    /// Calls `f` with the online signer only.
    pub(crate) fn online<T>(&self, f: impl FnOnce(Signers<'_>) -> T) -> T {
        let online: [&dyn Signer; 1] = [&self.online];
        f(Signers {
            snapshot: &online,
            timestamp: &online,
            ..Signers::default()
        })
    }
}

pub(crate) fn target(name: &str, bytes: &str) -> Target {
    Target {
        name: name.to_owned(),
        bytes: bytes.as_bytes().to_vec(),
        custom: None,
    }
}

/// What a server has published.
#[derive(Clone, Default)]
pub(crate) struct Server(pub(crate) HashMap<String, Vec<u8>>);

impl Server {
    pub(crate) fn create(keys: &Keys, targets: &[Target]) -> (Repository, Self) {
        let (repository, files) = keys
            .with(|signers| Repository::create(&keys.keys(), targets, Lifetimes::default(), day(0), signers))
            .unwrap();
        let mut server = Self::default();
        server.publish(files);
        (repository, server)
    }

    /// Publishes files; versioned ones must be new.
    pub(crate) fn publish(&mut self, files: Files) {
        for (path, bytes) in files {
            let old = self.0.insert(path.clone(), bytes.clone());
            let versioned = path.starts_with(|first: char| first.is_ascii_digit());
            assert!(
                !versioned || old.is_none_or(|old| old == bytes),
                "{path} was changed"
            );
        }
    }

    pub(crate) fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.get(path).cloned()
    }

    /// What a client that trusts `root` makes of it.
    pub(crate) fn verified(&self, root: &str, now: SystemTime) -> Result<VerifiedTargets, TufError> {
        verify(self.0.get(root).unwrap(), now, |path| self.read(path))
    }
}
