//! Writing a repository.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::SystemTime,
};

use common_pki::key::{PublicKey, Signer};
use common_tlog::sha256;

use super::{
    MAX_TARGET, Proposal, Role, Target, TufError,
    metadata::{
        Envelope, Key, Meta, Metadata, RoleKeys, Root, SPEC_VERSION, Signature, TargetFile, Targets,
        Timestamped, canonical, check_target_name, target_path, too_large,
    },
};
use crate::trust::Timestamp;

/// Files to publish as (path, bytes), in the order to write them: whoever stops between two leaves a
/// repository that clients still verify, since the timestamp comes last.
pub type Files = Vec<(String, Vec<u8>)>;

/// The public keys of one role and how many of them must sign.
#[derive(Debug, Clone)]
pub struct KeySet {
    /// The keys.
    pub keys: Vec<PublicKey>,
    /// How many must sign.
    pub threshold: u32,
}

/// The keys of all roles: what a root says.
#[derive(Debug, Clone)]
pub struct RootKeys {
    /// Best kept offline.
    pub root: KeySet,
    /// May be kept offline.
    pub targets: KeySet,
    /// Held by the server.
    pub snapshot: KeySet,
    /// Held by the server.
    pub timestamp: KeySet,
}

impl KeySet {
    /// One key that signs alone.
    #[must_use]
    pub fn single(key: &PublicKey) -> Self {
        Self {
            keys: vec![key.clone()],
            threshold: 1,
        }
    }
}

/// Signers at hand, for each role. A role whose metadata stays as it is needs none.
#[derive(Clone, Copy, Default)]
pub struct Signers<'a> {
    /// For root metadata: on a rotation those of the old and of the new root.
    pub root: &'a [&'a dyn Signer],
    /// For targets metadata.
    pub targets: &'a [&'a dyn Signer],
    /// For snapshot metadata.
    pub snapshot: &'a [&'a dyn Signer],
    /// For timestamp metadata.
    pub timestamp: &'a [&'a dyn Signer],
}

impl<'a> Signers<'a> {
    const fn of(&self, role: Role) -> &'a [&'a dyn Signer] {
        match role {
            Role::Root => self.root,
            Role::Targets => self.targets,
            Role::Snapshot => self.snapshot,
            Role::Timestamp => self.timestamp,
        }
    }
}

/// How long metadata is good for, in seconds from its signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Root metadata: renewing it takes the root keys.
    pub root: i64,
    /// Targets metadata.
    pub targets: i64,
    /// Snapshot metadata.
    pub snapshot: i64,
    /// Timestamp metadata: how long a frozen repository goes unnoticed.
    pub timestamp: i64,
}

impl Default for Lifetimes {
    /// Two years for root; the rest as sigstore's root-signing has it: ten years for targets and
    /// snapshot, which only say what is current together with a timestamp of seven days.
    fn default() -> Self {
        const DAY: i64 = 86_400;
        Self {
            root: 730 * DAY,
            targets: 3_650 * DAY,
            snapshot: 3_650 * DAY,
            timestamp: 7 * DAY,
        }
    }
}

/// A repository's current metadata. Its methods change it and give the files that say so; nothing is
/// changed where they fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    root: Root,
    targets: Targets,
    snapshot: Timestamped,
    timestamp: Timestamped,
}

impl Repository {
    /// Version 1 of everything, published together with `targets`.
    pub fn create(
        keys: &RootKeys,
        targets: &[Target],
        lifetimes: Lifetimes,
        now: SystemTime,
        signers: Signers<'_>,
    ) -> Result<(Self, Files), TufError> {
        let root = new_root(keys, 1, expiry(now, lifetimes.root)?)?;
        let head = |role: Role, lifetime| {
            let meta = BTreeMap::new();
            expiry(now, lifetime).map(|expires| Timestamped {
                kind: role.name().to_owned(),
                spec_version: SPEC_VERSION.to_owned(),
                version: 0,
                expires,
                meta,
            })
        };
        let mut repository = Self {
            targets: Targets {
                kind: Role::Targets.name().to_owned(),
                spec_version: SPEC_VERSION.to_owned(),
                version: 0,
                expires: expiry(now, lifetimes.targets)?,
                targets: describe(targets)?,
            },
            snapshot: head(Role::Snapshot, lifetimes.snapshot)?,
            timestamp: head(Role::Timestamp, lifetimes.timestamp)?,
            root,
        };
        let mut files = contents(targets);
        files.extend(root_files(
            &repository.root,
            &seal(Role::Root, &repository.root, &[&repository.root], signers)?,
        ));
        files.extend(repository.advance(Role::Targets, lifetimes, now, signers)?);
        Ok((repository, files))
    }

    /// Picks up a repository from its published files; `read` gives a file by its path.
    pub fn load(read: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Self, TufError> {
        let file = |path: &str| read(path).ok_or_else(|| TufError::Missing(path.to_owned()));
        let (_, root): (_, Root) = Envelope::parse(Role::Root, &file("root.json")?)?;
        root.check()?;
        let (_, timestamp): (_, Timestamped) = Envelope::parse(Role::Timestamp, &file("timestamp.json")?)?;
        let version = listed(Role::Timestamp, &timestamp, "snapshot.json")?.version;
        let (_, snapshot): (_, Timestamped) =
            Envelope::parse(Role::Snapshot, &file(&format!("{version}.snapshot.json"))?)?;
        let version = listed(Role::Snapshot, &snapshot, "targets.json")?.version;
        let (_, targets) = Envelope::parse(Role::Targets, &file(&format!("{version}.targets.json"))?)?;
        Ok(Self {
            root,
            targets,
            snapshot,
            timestamp,
        })
    }

    /// The current root metadata.
    #[must_use]
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// The version and expiry of a role's current metadata.
    #[must_use]
    pub const fn current(&self, role: Role) -> (u64, Timestamp) {
        match role {
            Role::Root => (self.root.version, self.root.expires),
            Role::Targets => (self.targets.version, self.targets.expires),
            Role::Snapshot => (self.snapshot.version, self.snapshot.expires),
            Role::Timestamp => (self.timestamp.version, self.timestamp.expires),
        }
    }

    /// Replaces the targets. Nothing is published where they are the same already.
    pub fn set_targets(
        &mut self,
        targets: &[Target],
        lifetimes: Lifetimes,
        now: SystemTime,
        signers: Signers<'_>,
    ) -> Result<Files, TufError> {
        let described = describe(targets)?;
        if described == self.targets.targets {
            return Ok(Files::new());
        }
        let mut next = self.clone();
        next.targets.targets = described;
        let mut files = contents(targets);
        files.extend(next.advance(Role::Targets, lifetimes, now, signers)?);
        *self = next;
        Ok(files)
    }

    /// Publishes a new timestamp, and before it a new snapshot and new targets metadata where these
    /// would run out within two lifetimes of the timestamp and their signers are at hand.
    pub fn refresh(
        &mut self,
        lifetimes: Lifetimes,
        now: SystemTime,
        signers: Signers<'_>,
    ) -> Result<Files, TufError> {
        let soon = expiry(now, lifetimes.timestamp.saturating_mul(2))?;
        let from = [Role::Targets, Role::Snapshot]
            .into_iter()
            .find(|role| self.current(*role).1 < soon && !signers.of(*role).is_empty())
            .unwrap_or(Role::Timestamp);
        let mut next = self.clone();
        let files = next.advance(from, lifetimes, now, signers)?;
        *self = next;
        Ok(files)
    }

    /// Publishes the next root, signed by the thresholds of the old and of the new root keys (TUF
    /// §5.3.4), and new metadata of the roles whose keys changed.
    pub fn rotate_root(
        &mut self,
        keys: &RootKeys,
        lifetimes: Lifetimes,
        now: SystemTime,
        signers: Signers<'_>,
    ) -> Result<Files, TufError> {
        let version = next_version(self.root.version)?;
        let root = new_root(keys, version, expiry(now, lifetimes.root)?)?;
        let bytes = seal(Role::Root, &root, &[&self.root, &root], signers)?;
        self.adopt(root, &bytes, lifetimes, now, signers)
    }

    /// Publishes the next root with the keys it has now, good for another lifetime.
    pub fn renew_root(
        &mut self,
        lifetimes: Lifetimes,
        now: SystemTime,
        signers: Signers<'_>,
    ) -> Result<Files, TufError> {
        let root = Root {
            version: next_version(self.root.version)?,
            expires: expiry(now, lifetimes.root)?,
            ..self.root.clone()
        };
        let bytes = seal(Role::Root, &root, &[&self.root, &root], signers)?;
        self.adopt(root, &bytes, lifetimes, now, signers)
    }

    /// Publishes the root that its holders have signed, and new metadata of the roles whose keys it changes, which the
    /// signers at hand must be able to sign.
    pub fn accept_root(
        &mut self,
        proposal: &Proposal,
        lifetimes: Lifetimes,
        now: SystemTime,
        signers: Signers<'_>,
    ) -> Result<Files, TufError> {
        let (root, bytes) = proposal.accepted(&self.root, now)?;
        self.adopt(root, &bytes, lifetimes, now, signers)
    }

    fn adopt(
        &mut self,
        root: Root,
        bytes: &[u8],
        lifetimes: Lifetimes,
        now: SystemTime,
        signers: Signers<'_>,
    ) -> Result<Files, TufError> {
        let changed = [Role::Targets, Role::Snapshot, Role::Timestamp]
            .into_iter()
            .find(|role| self.root.roles.get(role.name()) != root.roles.get(role.name()));
        let mut files = root_files(&root, bytes);
        let mut next = Self { root, ..self.clone() };
        if let Some(from) = changed {
            files.extend(next.advance(from, lifetimes, now, signers)?);
        }
        *self = next;
        Ok(files)
    }

    /// Signs new versions of everything below the root, as after a change of keys that was cut short.
    pub fn sign_again(
        &mut self,
        lifetimes: Lifetimes,
        now: SystemTime,
        signers: Signers<'_>,
    ) -> Result<Files, TufError> {
        let mut next = self.clone();
        let files = next.advance(Role::Targets, lifetimes, now, signers)?;
        *self = next;
        Ok(files)
    }

    /// Signs everything below the root anew, each of it `count` versions further on. For a repository that was restored:
    /// clients refuse any role that is behind what they have seen (TUF §5.4.3, §5.5.5), and a version that they have
    /// seen may have had other content.
    pub fn skip(
        &mut self,
        count: u64,
        lifetimes: Lifetimes,
        now: SystemTime,
        signers: Signers<'_>,
    ) -> Result<Files, TufError> {
        // The last version on is what signing adds.
        let Some(unsigned) = count.checked_sub(1) else {
            return Ok(Files::new());
        };
        let mut next = self.clone();
        for version in [
            &mut next.targets.version,
            &mut next.snapshot.version,
            &mut next.timestamp.version,
        ] {
            *version = version.checked_add(unsigned).ok_or(TufError::Time)?;
        }
        let files = next.advance(Role::Targets, lifetimes, now, signers)?;
        *self = next;
        Ok(files)
    }

    /// Signs new versions of `from` and of the roles that list it.
    fn advance(
        &mut self,
        from: Role,
        lifetimes: Lifetimes,
        now: SystemTime,
        signers: Signers<'_>,
    ) -> Result<Files, TufError> {
        let mut files = Files::new();
        let root = [&self.root];
        if from <= Role::Targets {
            self.targets.version = next_version(self.targets.version)?;
            self.targets.expires = expiry(now, lifetimes.targets)?;
            let bytes = seal(Role::Targets, &self.targets, &root, signers)?;
            self.snapshot
                .meta
                .insert("targets.json".to_owned(), meta(self.targets.version));
            files.push((format!("{}.targets.json", self.targets.version), bytes.clone()));
            files.push(("targets.json".to_owned(), bytes));
        }
        if from <= Role::Snapshot {
            self.snapshot.version = next_version(self.snapshot.version)?;
            self.snapshot.expires = expiry(now, lifetimes.snapshot)?;
            let bytes = seal(Role::Snapshot, &self.snapshot, &root, signers)?;
            self.timestamp
                .meta
                .insert("snapshot.json".to_owned(), meta(self.snapshot.version));
            files.push((format!("{}.snapshot.json", self.snapshot.version), bytes.clone()));
            files.push(("snapshot.json".to_owned(), bytes));
        }
        self.timestamp.version = next_version(self.timestamp.version)?;
        self.timestamp.expires = expiry(now, lifetimes.timestamp)?;
        files.push((
            "timestamp.json".to_owned(),
            seal(Role::Timestamp, &self.timestamp, &root, signers)?,
        ));
        Ok(files)
    }
}

/// The entry of a metadata file in snapshot or timestamp metadata.
pub(super) fn listed<'a>(role: Role, metadata: &'a Timestamped, file: &str) -> Result<&'a Meta, TufError> {
    metadata.meta.get(file).ok_or(TufError::Invalid {
        role,
        problem: "it does not list the metadata it should",
    })
}

const fn meta(version: u64) -> Meta {
    Meta {
        version,
        length: None,
        hashes: BTreeMap::new(),
    }
}

pub(super) fn next_version(version: u64) -> Result<u64, TufError> {
    // Clients read versions into signed integers.
    version
        .checked_add(1)
        .filter(|version| i64::try_from(*version).is_ok())
        .ok_or(TufError::Time)
}

pub(super) fn expiry(now: SystemTime, lifetime: i64) -> Result<Timestamp, TufError> {
    let now = Timestamp::from_system_time(now).ok_or(TufError::Time)?;
    now.unix()
        .checked_add(lifetime)
        .and_then(Timestamp::from_unix)
        .ok_or(TufError::Time)
}

pub(super) fn new_root(keys: &RootKeys, version: u64, expires: Timestamp) -> Result<Root, TufError> {
    let mut root = Root {
        kind: Role::Root.name().to_owned(),
        spec_version: SPEC_VERSION.to_owned(),
        version,
        expires,
        consistent_snapshot: true,
        keys: BTreeMap::new(),
        roles: BTreeMap::new(),
    };
    let sets = [
        (Role::Root, &keys.root),
        (Role::Targets, &keys.targets),
        (Role::Snapshot, &keys.snapshot),
        (Role::Timestamp, &keys.timestamp),
    ];
    for (role, set) in sets {
        let mut keyids = BTreeSet::new();
        for key in &set.keys {
            let key = Key::new(key)?;
            let id = key.id()?;
            keyids.insert(id.clone());
            root.keys.insert(id, key);
        }
        let keyids = keyids.into_iter().collect();
        root.roles.insert(
            role.name().to_owned(),
            RoleKeys {
                keyids,
                threshold: set.threshold,
            },
        );
    }
    root.check()?;
    Ok(root)
}

/// Signs metadata so that each of `roots` accepts it.
fn seal<M: Metadata>(
    role: Role,
    metadata: &M,
    roots: &[&Root],
    signers: Signers<'_>,
) -> Result<Vec<u8>, TufError> {
    let signed = serde_json::to_value(metadata).map_err(|cause| TufError::Json { role, cause })?;
    let mut envelope = Envelope {
        signatures: Vec::new(),
        signed,
    };
    // Too large without signatures is too large to sign.
    encode(role, &envelope)?;
    let message = canonical(role, &envelope.signed)?;
    let mut signatures = BTreeMap::new();
    for root in roots {
        let keys = root.role(role)?;
        let mut count = 0usize;
        for signer in signers.of(role) {
            let keyid = Key::new(signer.public_key())?.id()?;
            if !keys.keyids.contains(&keyid) {
                continue;
            }
            count = count.saturating_add(1);
            if let Entry::Vacant(place) = signatures.entry(keyid) {
                place.insert(hex::encode(signer.sign(&message)?));
            }
        }
        if usize::try_from(keys.threshold).is_ok_and(|threshold| count < threshold) {
            return Err(TufError::TooFewSigners {
                role,
                threshold: keys.threshold,
                got: count,
            });
        }
    }
    envelope.signatures = signatures
        .into_iter()
        .map(|(keyid, sig)| Signature { keyid, sig })
        .collect();
    // A signer given twice must not pass for two, and one that signs wrongly must not be published.
    for root in roots {
        envelope.verify(role, root)?;
    }
    encode(role, &envelope)
}

pub(super) fn encode(role: Role, envelope: &Envelope) -> Result<Vec<u8>, TufError> {
    let mut bytes = serde_json::to_vec_pretty(envelope).map_err(|cause| TufError::Json { role, cause })?;
    bytes.push(b'\n');
    if bytes.len() > role.max_bytes() {
        return Err(too_large(
            role.name(),
            role.max_bytes() as u64,
            bytes.len() as u64,
        ));
    }
    Ok(bytes)
}

fn root_files(root: &Root, bytes: &[u8]) -> Files {
    vec![
        (format!("{}.root.json", root.version), bytes.to_vec()),
        ("root.json".to_owned(), bytes.to_vec()),
    ]
}

fn describe(targets: &[Target]) -> Result<BTreeMap<String, TargetFile>, TufError> {
    let mut described = BTreeMap::new();
    for target in targets {
        check_target_name(&target.name)?;
        let length = target.bytes.len() as u64;
        if length > MAX_TARGET {
            return Err(too_large(&target.name, MAX_TARGET, length));
        }
        // One hash only: clients pick any of several for the file name.
        let hashes = BTreeMap::from([("sha256".to_owned(), sha256(&[&target.bytes]).to_string())]);
        let file = TargetFile {
            length,
            hashes,
            custom: target.custom.clone(),
        };
        if described.insert(target.name.clone(), file).is_some() {
            return Err(TufError::Invalid {
                role: Role::Targets,
                problem: "two targets have the same name",
            });
        }
    }
    Ok(described)
}

/// Each target under its digest, and without for clients that do not know consistent snapshots.
fn contents(targets: &[Target]) -> Files {
    targets
        .iter()
        .flat_map(|target| {
            let digest = sha256(&[&target.bytes]).to_string();
            [
                (target_path(&target.name, Some(&digest)), target.bytes.clone()),
                (target_path(&target.name, None), target.bytes.clone()),
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests;
