//! What is published follows the key registry, and the repository's own keys change.

use std::time::SystemTime;

use common_bundle::trust::{KeyRecord, Role};
use common_bundle::tuf::{self, Lifetimes, Root, Signers, published_targets, verify_role};
use common_pki::key::Signer;

use super::{Repository, RepositoryError, load, next_online_key, roles, root_key, store, with_signers};
use crate::clock::Clock;
use crate::disk;
use crate::keys::{Keys, KeysError};
use crate::layout::Layout;

impl Repository {
    /// Publishes what `keys` lists, signed by the keys in use. Whatever goes wrong, clients go on with what is
    /// published, and the next call begins where this one ended.
    pub(crate) async fn follow(
        self,
        keys: &Keys,
        clock: &Clock,
    ) -> (Repository, Result<(), RepositoryError>) {
        let (mut next, keys, now) = (self.clone(), keys.clone(), clock());
        let worked = tokio::task::spawn_blocking(move || {
            let outcome = next.try_follow(&keys, now);
            (next, outcome)
        });
        match worked.await {
            Ok((next, Ok(()))) => (next, Ok(())),
            Ok((_, Err(error))) => (self.reloaded(), Err(error)),
            Err(interrupted) => (self.reloaded(), Err(RepositoryError::Interrupted(interrupted))),
        }
    }

    fn try_follow(&mut self, keys: &Keys, now: SystemTime) -> Result<(), RepositoryError> {
        self.root_key = root_key(keys)?;
        (_, self.online_key) = keys.active(Role::TufOnline)?;
        self.next_online_key = next_online_key(keys)?;
        self.set_targets(&published_targets(&keys.published())?, now)?;
        self.refresh(now)?;
        self.export(&keys.published())?;
        self.publish()
    }

    /// Publishes a root that lists the successor of `role` in place of the key in use, signed by both where it is the
    /// root's own, and signs everything below it anew where it is the online key. Clients walk from root to root
    /// (TUF §5.3), so publication and change are one.
    ///
    /// # Errors
    /// [`RepositoryError`]; what is published is what it was.
    pub(crate) async fn hand_over(
        self,
        role: Role,
        keys: &Keys,
        clock: &Clock,
    ) -> Result<Repository, RepositoryError> {
        let (mut next, keys, now) = (self, keys.clone(), clock());
        let worked = tokio::task::spawn_blocking(move || {
            next.metadata = load(&next.layout)?;
            next.try_hand_over(role, &keys, now)?;
            Ok(next)
        });
        worked.await.map_err(RepositoryError::Interrupted)?
    }

    fn try_hand_over(&mut self, role: Role, keys: &Keys, now: SystemTime) -> Result<(), RepositoryError> {
        let Some((successor, _)) = keys.registry().successor(role) else {
            return Ok(());
        };
        let signer = keys.signer(successor)?;
        let old_root = self.root_key.clone();
        match role {
            Role::TufRoot => self.root_key = Some(signer),
            _ => self.online_key = signer,
        }
        if !is_listed(self.metadata.root(), role, successor) {
            let new_root = self.root_key.as_ref().ok_or(KeysError::NoKey(Role::TufRoot))?;
            let roots: Vec<&dyn Signer> = old_root.iter().chain([new_root]).map(|key| &**key).collect();
            let online: [&dyn Signer; 1] = [&*self.online_key];
            let signers = Signers {
                root: &roots,
                targets: &online,
                snapshot: &online,
                timestamp: &online,
            };
            let keys = roles(new_root, &self.online_key);
            let mut next = self.metadata.clone();
            let files = next.rotate_root(&keys, Lifetimes::default(), now, signers)?;
            store(&self.layout, &files)?;
            self.metadata = next;
        }
        self.complete(now)?;
        self.publish()
    }

    /// Whether the root that is published lists `key` for `role`.
    pub(crate) fn lists(&self, role: Role, key: &KeyRecord) -> bool {
        is_listed(self.metadata.root(), role, key)
    }

    /// Signs what the keys of the current root have not: a change of keys may have been cut short between the root
    /// and what is below it.
    pub(super) fn complete(&mut self, now: SystemTime) -> Result<(), RepositoryError> {
        let folder = self.layout.tuf();
        let read = |name: &str| disk::read(&folder.join(name)).map(Option::unwrap_or_default);
        let root = read("root.json")?;
        let below = ["timestamp.json", "snapshot.json", "targets.json"];
        for name in below {
            if verify_role(&root, &read(name)?).is_err() {
                let metadata = &mut self.metadata;
                let files = with_signers(self.root_key.as_ref(), &self.online_key, |signers| {
                    metadata.sign_again(Lifetimes::default(), now, signers)
                })?;
                store(&self.layout, &files)?;
                break;
            }
        }
        Ok(())
    }
}

fn is_listed(root: &Root, role: Role, key: &KeyRecord) -> bool {
    let role = match role {
        Role::TufRoot => tuf::Role::Root,
        _ => tuf::Role::Timestamp,
    };
    key.public_key().is_ok_and(|key| root.lists(role, &key))
}

/// Whether the root in the folder lists `key` for `role`: then the key has taken over.
pub(crate) fn lists(layout: &Layout, role: Role, key: &KeyRecord) -> bool {
    load(layout).is_ok_and(|metadata| is_listed(metadata.root(), role, key))
}
