//! Verifying a repository as a client does (TUF §5), without fetching: an [`Update`] asks for files
//! and is given them.

use std::time::SystemTime;

use common_tlog::sha256;
use serde::{Deserialize, Serialize};

use super::{
    MAX_ROOT_ROTATIONS, MAX_TARGET, Role, TufError,
    metadata::{
        Envelope, Meta, Metadata, Root, TargetFile, Targets, Timestamped, check_target_name, in_time,
        target_path, too_large,
    },
    writer::listed,
};
use crate::trust::Timestamp;

/// A file that an update needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its path below the repository's URL.
    pub path: String,
    /// Reading may stop after this many bytes.
    pub limit: usize,
}

/// What a client remembers of a repository, so that nobody can show it an older one (TUF §5.3.8, §5.4.3, §5.5.5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seen {
    /// Version of the newest root.
    pub version: u64,
    /// Version of the newest timestamp metadata, 0 for none; that of snapshot and targets metadata that it leads to.
    pub timestamp: u64,
    /// Of snapshot metadata.
    pub snapshot: u64,
    /// Of targets metadata.
    pub targets: u64,
    /// The newest root itself.
    pub root: String,
}

/// An update under way.
///
/// Ask [`Update::request`] for the next file, hand what the server gave to [`Update::give`] (`None` for
/// 404), until no request is left; then [`Update::finish`].
#[derive(Debug)]
pub struct Update {
    now: SystemTime,
    root: Root,
    /// Versions that were verified, now or before; what comes must not be older.
    seen: Seen,
    /// The earliest end of the metadata that was verified, of roots the last.
    expires: Timestamp,
    rotations: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Root,
    Timestamp,
    Snapshot(Meta),
    Targets(Meta),
    Done(Targets),
}

impl Update {
    /// Starts from root metadata that is already trusted, of any age: it is checked against itself.
    pub fn new(trusted_root: &[u8], now: SystemTime) -> Result<Self, TufError> {
        let (envelope, root): (_, Root) = Envelope::parse(Role::Root, trusted_root)?;
        root.check()?;
        envelope.verify(Role::Root, &root)?;
        Ok(Self {
            now,
            seen: Seen {
                version: root.version,
                timestamp: 0,
                snapshot: 0,
                targets: 0,
                root: text(trusted_root),
            },
            expires: root.expires,
            root,
            rotations: 0,
            state: State::Root,
        })
    }

    /// Starts from what an earlier update has seen.
    ///
    /// # Errors
    /// What was seen is no root metadata.
    pub fn resume(seen: Seen, now: SystemTime) -> Result<Self, TufError> {
        let mut update = Self::new(seen.root.as_bytes(), now)?;
        update.seen = Seen {
            version: update.root.version,
            ..seen
        };
        Ok(update)
    }

    /// What to resume from: all that was verified so far, also where the update failed later.
    #[must_use]
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The file needed next, or none at the end.
    #[must_use]
    pub fn request(&self) -> Option<Request> {
        let versioned = |version, role: Role| {
            // TUF §6.2: the version is part of the name only where snapshots are consistent.
            if self.root.consistent_snapshot {
                format!("{version}.{role}.json")
            } else {
                format!("{role}.json")
            }
        };
        let (path, role) = match &self.state {
            State::Root => (
                format!("{}.root.json", self.root.version.saturating_add(1)),
                Role::Root,
            ),
            State::Timestamp => ("timestamp.json".to_owned(), Role::Timestamp),
            State::Snapshot(meta) => (versioned(meta.version, Role::Snapshot), Role::Snapshot),
            State::Targets(meta) => (versioned(meta.version, Role::Targets), Role::Targets),
            State::Done(_) => return None,
        };
        Some(Request {
            path,
            limit: role.max_bytes(),
        })
    }

    /// Takes the file last asked for; `None` if the server does not have it, which for the next root
    /// means that there is none.
    pub fn give(&mut self, file: Option<&[u8]>) -> Result<(), TufError> {
        let asked = self.request().ok_or(TufError::Incomplete)?;
        let file = match (file, &self.state) {
            (None, State::Root) => {
                // TUF §5.3.10: only the last root has to be in time.
                in_time(Role::Root, &self.root, self.now)?;
                self.expires = self.root.expires;
                self.state = State::Timestamp;
                return Ok(());
            }
            (None, _) => return Err(TufError::Missing(asked.path)),
            (Some(file), _) => file,
        };
        let next = match &self.state {
            State::Root => {
                self.next_root(file)?;
                State::Root
            }
            State::Timestamp => {
                let timestamp: Timestamped = self.verified(Role::Timestamp, file)?;
                let meta = listed(Role::Timestamp, &timestamp, "snapshot.json")?;
                check_newer(Role::Timestamp, self.seen.timestamp, timestamp.version)?;
                check_newer(Role::Snapshot, self.seen.snapshot, meta.version)?;
                self.seen.timestamp = timestamp.version;
                self.expires = self.expires.min(timestamp.expires);
                State::Snapshot(meta.clone())
            }
            State::Snapshot(meta) => {
                check_meta(Role::Snapshot, meta, file)?;
                let snapshot: Timestamped = self.verified(Role::Snapshot, file)?;
                check_version(Role::Snapshot, meta.version, snapshot.version)?;
                let meta = listed(Role::Snapshot, &snapshot, "targets.json")?;
                check_newer(Role::Targets, self.seen.targets, meta.version)?;
                self.seen.snapshot = snapshot.version;
                self.expires = self.expires.min(snapshot.expires);
                State::Targets(meta.clone())
            }
            State::Targets(meta) => {
                check_meta(Role::Targets, meta, file)?;
                let targets: Targets = self.verified(Role::Targets, file)?;
                check_version(Role::Targets, meta.version, targets.version)?;
                targets
                    .targets
                    .keys()
                    .try_for_each(|name| check_target_name(name))?;
                self.seen.targets = targets.version;
                self.expires = self.expires.min(targets.expires);
                State::Done(targets)
            }
            State::Done(_) => return Err(TufError::Incomplete),
        };
        self.state = next;
        Ok(())
    }

    /// The verified result, once [`Update::request`] asks for nothing more.
    pub fn finish(self) -> Result<VerifiedTargets, TufError> {
        match self.state {
            State::Done(targets) => Ok(VerifiedTargets {
                root: self.root,
                expires: self.expires,
                targets,
            }),
            _ => Err(TufError::Incomplete),
        }
    }

    /// TUF §5.3.3 to §5.3.8: one version on, signed by the keys of both.
    fn next_root(&mut self, file: &[u8]) -> Result<(), TufError> {
        if self.rotations >= MAX_ROOT_ROTATIONS {
            return Err(TufError::TooManyRoots);
        }
        let (envelope, next): (_, Root) = Envelope::parse(Role::Root, file)?;
        next.check()?;
        envelope.verify(Role::Root, &self.root)?;
        envelope.verify(Role::Root, &next)?;
        check_version(Role::Root, self.root.version.saturating_add(1), next.version)?;
        // TUF §5.3.11: other keys start anew, or whoever had the old ones could have used up the versions.
        for role in [Role::Timestamp, Role::Snapshot] {
            if self.root.role(role)? != next.role(role)? {
                (self.seen.timestamp, self.seen.snapshot, self.seen.targets) = (0, 0, 0);
            }
        }
        (self.seen.version, self.seen.root) = (next.version, text(file));
        self.root = next;
        self.rotations = self.rotations.saturating_add(1);
        Ok(())
    }

    fn verified<M: Metadata>(&self, role: Role, file: &[u8]) -> Result<M, TufError> {
        let (envelope, metadata): (_, M) = Envelope::parse(role, file)?;
        envelope.verify(role, &self.root)?;
        in_time(role, &metadata, self.now)?;
        Ok(metadata)
    }
}

/// Runs an update over a function that reads files: a map, a folder.
pub fn verify(
    trusted_root: &[u8],
    now: SystemTime,
    read: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<VerifiedTargets, TufError> {
    let mut update = Update::new(trusted_root, now)?;
    while let Some(request) = update.request() {
        update.give(read(&request.path).as_deref())?;
    }
    update.finish()
}

/// What a repository distributes, by metadata that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTargets {
    root: Root,
    expires: Timestamp,
    targets: Targets,
}

impl VerifiedTargets {
    /// The root that everything was verified with.
    #[must_use]
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// When the first of the metadata ends: from then on clients do not take the repository as it is.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The targets by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.targets.targets.keys().map(String::as_str)
    }

    /// What to fetch for a target.
    pub fn request(&self, name: &str) -> Result<Request, TufError> {
        let file = self.file(name)?;
        let digest = sha256_of(name, file)?;
        let path = target_path(name, self.root.consistent_snapshot.then_some(digest));
        let limit = usize::try_from(file.length.min(MAX_TARGET)).unwrap_or(usize::MAX);
        Ok(Request { path, limit })
    }

    /// Checks a fetched target's length and digest.
    pub fn check(&self, name: &str, bytes: &[u8]) -> Result<(), TufError> {
        let file = self.file(name)?;
        let mismatch = |property| {
            Err(TufError::Mismatch {
                what: name.to_owned(),
                property,
            })
        };
        if bytes.len() as u64 != file.length {
            return mismatch("length");
        }
        if !sha256(&[bytes])
            .to_string()
            .eq_ignore_ascii_case(sha256_of(name, file)?)
        {
            return mismatch("sha256");
        }
        Ok(())
    }

    fn file(&self, name: &str) -> Result<&TargetFile, TufError> {
        let file = self
            .targets
            .targets
            .get(name)
            .ok_or_else(|| TufError::UnknownTarget(name.to_owned()))?;
        if file.length > MAX_TARGET {
            return Err(too_large(name, MAX_TARGET, file.length));
        }
        Ok(file)
    }
}

/// The digest becomes part of a path, so it must be one.
fn sha256_of<'a>(name: &str, file: &'a TargetFile) -> Result<&'a str, TufError> {
    file.hashes
        .get("sha256")
        .map(String::as_str)
        .filter(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .ok_or_else(|| TufError::Mismatch {
            what: name.to_owned(),
            property: "sha256",
        })
}

/// Length and digest of metadata, where the file that lists it says them (TUF §5.5.2).
fn check_meta(role: Role, meta: &Meta, file: &[u8]) -> Result<(), TufError> {
    let mismatch = |property| {
        Err(TufError::Mismatch {
            what: format!("{role}.json"),
            property,
        })
    };
    if meta.length.is_some_and(|length| length != file.len() as u64) {
        return mismatch("length");
    }
    let digest = sha256(&[file]).to_string();
    if meta
        .hashes
        .get("sha256")
        .is_some_and(|expected| !expected.eq_ignore_ascii_case(&digest))
    {
        return mismatch("sha256");
    }
    Ok(())
}

/// Metadata that parsed is JSON, and so UTF-8.
fn text(json: &[u8]) -> String {
    String::from_utf8_lossy(json).into_owned()
}

fn check_newer(role: Role, seen: u64, got: u64) -> Result<(), TufError> {
    if got >= seen {
        Ok(())
    } else {
        Err(TufError::Older { role, seen, got })
    }
}

fn check_version(role: Role, expected: u64, got: u64) -> Result<(), TufError> {
    if got == expected {
        Ok(())
    } else {
        Err(TufError::Version { role, expected, got })
    }
}

#[cfg(test)]
mod tests;
