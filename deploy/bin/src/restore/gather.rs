//! What is known of published checkpoints.

use std::fs;
use std::path::Path;

use common_backend::anchor::FileAnchor;
use common_backend::archive::evidence::{Kind, Seen};
use common_backend::folder::{DataFolder, FolderError};
use common_backend::sqlite::{SqliteError, SqliteStorage};
use common_bundle::format::Bundle;
use common_bundle::trust::Registry;
use common_engine::fsck::LogCheck;
use common_engine::{Anchor, Published, Storage, StoredLog};

use crate::console::Console;
use crate::exit::Failure;
use crate::layout::Layout;
use crate::log_checks;
use crate::restore::RestoreArgs;

/// Largest file that is looked into for a checkpoint: a bundle with its chain is a few KiB.
const MAX_CHECKPOINT: u64 = 16 << 20;

/// Everything the arguments lead to, and the lock of the old folder: its server must not run.
pub(super) async fn gather(
    args: &RestoreArgs,
    checks: &[LogCheck],
    console: Console,
) -> Result<(Vec<Seen>, Option<DataFolder>), Failure> {
    let mut seen = Vec::new();
    let mut lock = None;
    if let Some(old) = &args.replaces {
        if !old.is_dir() {
            return Err(Failure::failed(format!(
                "--replaces {}: there is no such folder",
                old.display()
            )));
        }
        lock = lock_old(old, console)?;
        seen.extend(record(&Layout::new(old.clone()).published()).await?);
        seen.extend(store(old, lock.is_some(), console).await?);
    }
    for path in &args.published {
        seen.extend(record(path).await?);
    }
    for path in &args.checkpoint {
        seen.extend(checkpoints(path, checks)?);
    }
    Ok((seen, lock))
}

/// A server on the old folder publishes more while this runs. A folder that cannot be locked, on a disk that takes no
/// more writes, has none.
fn lock_old(old: &Path, console: Console) -> Result<Option<DataFolder>, Failure> {
    match DataFolder::open(old) {
        Ok(lock) => Ok(Some(lock)),
        Err(error @ FolderError::InUse { .. }) => Err(Failure::failed(format!(
            "{error}. While it runs it publishes more, which the backup does not have"
        ))),
        Err(error @ FolderError::Io { .. }) => {
            console.warning(&format!(
                "{error}; make sure that no server runs on it. It does not show where its logs ended"
            ));
            Ok(None)
        }
    }
}

/// The heads in the old database. Where nobody can write to it any more they are the end of its logs, which the record
/// beside it is not: that is written after the database, and a copy of it stands where it stood when it was copied.
async fn store(old: &Path, locked: bool, console: Console) -> Result<Vec<Seen>, Failure> {
    let heads = async {
        let storage = SqliteStorage::open_read_only(old).await?;
        let heads = storage.logs().await;
        storage.close().await;
        Ok::<_, SqliteError>(heads)
    };
    let failed = |error: String| {
        console.warning(&format!(
            "{error}. Without the old database nothing shows where its logs ended: the record of published checkpoints may \
             be behind it"
        ));
        Ok(Vec::new())
    };
    let logs = match heads.await {
        Ok(Ok(logs)) => logs,
        Ok(Err(error)) => return failed(error.to_string()),
        Err(error) => return failed(error.to_string()),
    };
    // An import that did not come to its end was never published.
    let registry = fs::read(Layout::new(old.to_owned()).registry());
    let registry = registry.ok().and_then(|json| Registry::parse(&json).ok());
    let listed = |log: &&StoredLog| {
        let registry = registry.as_ref();
        registry.is_none_or(|registry| log_checks::of(registry, &logs, log).is_some())
    };
    let seen = |log: &StoredLog| Seen {
        published: log.into(),
        kind: if locked { Kind::End } else { Kind::Checkpoint },
        source: format!("the database in {}", old.display()),
    };
    Ok(logs.iter().filter(listed).map(seen).collect())
}

/// The heads of a `published` file: more may have been published than it says.
async fn record(path: &Path) -> Result<Vec<Seen>, Failure> {
    if !path.is_file() {
        return Err(Failure::failed(format!(
            "{}: there is no such file; it is the record of published checkpoints of the old data folder",
            path.display()
        )));
    }
    let heads = FileAnchor::new(path).load().await.map_err(Failure::failed)?;
    let seen = |published| Seen {
        published,
        kind: Kind::Checkpoint,
        source: path.display().to_string(),
    };
    Ok(heads.into_iter().map(seen).collect())
}

/// The checkpoint of a file, or those of a bundle; each must be signed by its log.
fn checkpoints(path: &Path, checks: &[LogCheck]) -> Result<Vec<Seen>, Failure> {
    let wrong = |reason: String| {
        Failure::failed(format!(
            "--checkpoint {}: {reason}; expected a signed checkpoint of one of the backup's logs, or a bundle with one",
            path.display()
        ))
    };
    let size = fs::metadata(path)
        .map_err(|error| wrong(error.to_string()))?
        .len();
    if size > MAX_CHECKPOINT {
        return Err(wrong(format!(
            "the file has {size} bytes, at most {MAX_CHECKPOINT} are read"
        )));
    }
    let content = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let notes = if content.trim_ascii_start().starts_with(b"{") {
        let bundle = Bundle::from_json(&content).map_err(|error| wrong(error.to_string()))?;
        let proofs = bundle
            .tlog_entries
            .into_iter()
            .filter_map(|entry| entry.inclusion_proof);
        let notes = proofs.map(|proof| proof.checkpoint.envelope.into_bytes());
        notes.filter(|note| !note.is_empty()).collect()
    } else {
        vec![content]
    };
    if notes.is_empty() {
        return Err(wrong("the bundle has no checkpoint".to_owned()));
    }
    let seen = |note: Vec<u8>| {
        let checkpoint =
            log_checks::verify_checkpoint(checks, &note).map_err(|error| wrong(error.to_string()))?;
        Ok(Seen {
            published: Published {
                origin: checkpoint.origin,
                size: checkpoint.size,
                root: checkpoint.root,
            },
            kind: Kind::Checkpoint,
            source: path.display().to_string(),
        })
    };
    notes.into_iter().map(seen).collect()
}
