//! What the key registry says about stored logs: their checks, with public keys alone.

use std::sync::Arc;

use common_bundle::trust::{KeyRecord, Registry, Role};
use common_engine::fsck::{KindCheck, LogCheck};
use common_engine::{Head, LogKind, LogSpec, StoredLog};
use common_pki::key::PublicKey;
use common_tlog::checkpoint::{Checkpoint, CheckpointError};
use common_tlog::note::{Note, NoteError};
use fulcio_ct::CtCheck;
use rekor_api::{RekorV1Check, RekorV2Check, v1};

use crate::services::logs;

/// A checkpoint that does not count.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unproven {
    /// Not a note.
    #[error("it is not a signed note: {0}")]
    Note(#[from] NoteError),
    /// Not of a tree.
    #[error("it is a note but no checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Of another log.
    #[error("it is of log {got:?}, expected that of one of: {expected}")]
    Origin {
        /// Origins of the logs there are.
        expected: String,
        /// Its origin.
        got: String,
    },
    /// Of a log of that name, signed by somebody else.
    #[error("no signature of log {0:?} on it verifies")]
    Signature(String),
}

/// Whose keys sign logs of a kind.
pub(crate) const fn role(kind: LogKind) -> Role {
    match kind {
        LogKind::Ct => Role::CtLog,
        LogKind::RekorV1 => Role::RekorV1,
        LogKind::RekorV2 => Role::RekorV2,
    }
}

/// The check of a log among those `stored` with it, under the key that its row names; `None` if the registry does not
/// list that key.
pub(crate) fn of(registry: &Registry, stored: &[StoredLog], log: &StoredLog) -> Option<LogCheck> {
    let mut matching = registry
        .by_role(role(log.info.spec.kind))
        .into_iter()
        .filter_map(|record| {
            let key = record.public_key().ok()?;
            let (spec, kind) = by_key(&log.info.spec, record, key, first_index(registry, stored, log))?;
            (spec == log.info.spec).then_some((spec, kind))
        });
    let (spec, kind) = matching.next_back()?;
    Some(LogCheck {
        id: log.info.id,
        spec,
        kind,
    })
}

/// The virtual index of the first entry of a Rekor v1 shard: behind all of the shards before it.
fn first_index(registry: &Registry, stored: &[StoredLog], log: &StoredLog) -> u64 {
    let keys = registry.by_role(Role::RekorV1);
    let before = keys
        .into_iter()
        .take_while(|record| logs::key_id(record) != log.info.spec.key_id);
    before
        .map(|record| {
            let key = logs::key_id(record);
            logs::indexes(record, stored.iter().find(|other| other.info.spec.key_id == key))
        })
        .fold(0, u64::saturating_add)
}

fn by_key(
    stored: &LogSpec,
    record: &KeyRecord,
    key: PublicKey,
    first_index: u64,
) -> Option<(LogSpec, Arc<dyn KindCheck>)> {
    let (limit, created) = (stored.leaf_limit, stored.created);
    match stored.kind {
        LogKind::Ct => {
            let check = CtCheck::new(&record.origin, key);
            Some((check.spec(created), Arc::new(check)))
        }
        LogKind::RekorV1 => {
            let shard = v1::Shard::new(v1::TreeId::new(stored.tree_id)?, first_index, key);
            let check = RekorV1Check::new(shard, &record.origin);
            Some((check.spec(limit, created), Arc::new(check)))
        }
        LogKind::RekorV2 => {
            let check = RekorV2Check::new(&record.origin, key).ok()?;
            Some((check.spec(limit, created).ok()?, Arc::new(check)))
        }
    }
}

/// Verifies a checkpoint that somebody kept, under the key of the log it names. Lines of others, witnesses among them,
/// are passed over.
///
/// # Errors
/// [`Unproven`].
pub(crate) fn verify_checkpoint(checks: &[LogCheck], text: &[u8]) -> Result<Checkpoint, Unproven> {
    let note = Note::parse(text)?;
    let checkpoint = Checkpoint::parse(note.text())?;
    let Some(check) = checks.iter().find(|check| check.spec.origin == checkpoint.origin) else {
        let origins: Vec<String> = checks
            .iter()
            .map(|check| format!("{:?}", check.spec.origin))
            .collect();
        return Err(Unproven::Origin {
            expected: origins.join(", "),
            got: checkpoint.origin,
        });
    };
    for line in note.signatures() {
        // A stored head has one line, so each is tried by itself.
        let mut alone = Note::new(note.text())?;
        alone.push(&line.name, line.hint, line.signature.clone())?;
        // A tree head signature begins with its time (C2SP static-ct-api "Checkpoints").
        let time = line
            .signature
            .first_chunk()
            .map_or(0, |time| u64::from_be_bytes(*time));
        let head = Head {
            size: checkpoint.size,
            root: checkpoint.root,
            checkpoint: alone.to_string(),
            time,
        };
        if check.kind.head(&head).is_ok() {
            return Ok(checkpoint);
        }
    }
    Err(Unproven::Signature(checkpoint.origin))
}
