//! Start-up: everything that must hold before the engine takes an entry or shows a head.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use common_tlog::empty_root;

use crate::anchor::{Anchor, Published};
use crate::batch::CLOCK_TOLERANCE;
use crate::error::{Corrupt, OpenError, StoreError};
use crate::options::{Clock, LogConfig, Options};
use crate::pool::Pool;
use crate::storage::{Commit, Storage, StoredLog};
use crate::types::{Head, LogId, LogInfo, LogSpec, LogState};
use crate::verify::verify_extends;
use crate::writer::{Core, Writer};

/// Verifies what is stored, creates the logs that are new, and gives a writer for all of `configs`.
pub(crate) async fn open(
    storage: Arc<dyn Storage>,
    configs: Vec<LogConfig>,
    anchor: &dyn Anchor,
    clock: Clock,
    options: &Options,
) -> Result<(Arc<Core>, Writer), OpenError> {
    let mut numbers = BTreeSet::new();
    for config in &configs {
        if config.id > LogId::MAX || !numbers.insert(config.id) {
            return Err(OpenError::LogNumber(config.id));
        }
    }
    let secret = storage.secret().await.map_err(StoreError::from)?;
    let stored = storage.logs().await.map_err(StoreError::from)?;
    for published in anchor.load().await? {
        check_published(storage.as_ref(), &stored, &published).await?;
    }
    let by_id: BTreeMap<LogId, &StoredLog> = stored.iter().map(|log| (log.info.id, log)).collect();
    let (known, new): (Vec<_>, Vec<_>) = configs
        .into_iter()
        .partition(|config| by_id.contains_key(&config.id));
    for config in &known {
        if let Some(log) = by_id.get(&config.id) {
            check_spec(config.id, &log.info.spec, &config.spec)?;
        }
    }
    let now = clock.unix_millis();
    for log in stored.iter().filter(|log| numbers.contains(&log.info.id)) {
        if log.head.time.saturating_sub(now) > CLOCK_TOLERANCE {
            return Err(OpenError::Clock {
                log: log.info.id,
                head: log.head.time,
                now,
                tolerance: CLOCK_TOLERANCE,
            });
        }
    }
    for log in stored.iter().filter(|log| !numbers.contains(&log.info.id)) {
        tracing::warn!(log = %log.info.id, origin = log.info.spec.origin, "a stored log is not configured");
    }
    let personalities: BTreeMap<_, _> = known
        .iter()
        .chain(&new)
        .map(|c| (c.id, Arc::clone(&c.personality)))
        .collect();
    let pool = Pool::new(options.threads).map_err(|error| OpenError::Threads(error.to_string()))?;
    let core = Arc::new(Core {
        storage,
        secret,
        personalities: ArcSwap::from_pointee(personalities),
        pool,
        clock,
    });
    for config in &new {
        create(&core, config).await?;
    }
    let writer = Writer::load(Arc::clone(&core)).await?;
    Ok((core, writer))
}

/// A store that is older than a published checkpoint, or holds another tree, or not the log at all, would sign a
/// second history.
async fn check_published(
    storage: &dyn Storage,
    stored: &[StoredLog],
    published: &Published,
) -> Result<(), StoreError> {
    let log = stored.iter().find(|log| log.info.spec.origin == published.origin);
    let log = log.ok_or_else(|| Corrupt::LogMissing(published.origin.clone()))?;
    verify_extends(storage, log.info.id, &log.head, published.size, &published.root).await
}

pub(crate) fn check_spec(log: LogId, stored: &LogSpec, configured: &LogSpec) -> Result<(), OpenError> {
    let fields = [
        (
            "kind",
            stored.kind.name().to_owned(),
            configured.kind.name().to_owned(),
        ),
        ("origin", stored.origin.clone(), configured.origin.clone()),
        (
            "tree ID",
            stored.tree_id.to_string(),
            configured.tree_id.to_string(),
        ),
        ("key ID", stored.key_id.clone(), configured.key_id.clone()),
        (
            "leaf limit",
            stored.leaf_limit.to_string(),
            configured.leaf_limit.to_string(),
        ),
    ];
    match fields.into_iter().find(|(_, expected, got)| expected != got) {
        None => Ok(()),
        Some((field, expected, got)) => Err(OpenError::Spec {
            log,
            field,
            expected,
            got,
        }),
    }
}

/// Stores the row of a new log, with the signed head of the empty tree.
pub(crate) async fn create(core: &Core, config: &LogConfig) -> Result<(), OpenError> {
    let id = config.id;
    let time = core.clock.unix_millis();
    let personality = Arc::clone(&config.personality);
    let sign = move || personality.checkpoint(0, &empty_root(), time);
    let signed = core
        .pool
        .run(sign)
        .await
        .map_err(|panic| OpenError::Threads(panic.to_string()))?;
    let checkpoint = signed.map_err(|error| OpenError::Sign(id, error))?;
    let log = StoredLog {
        info: LogInfo {
            id,
            spec: config.spec.clone(),
            state: LogState::Active,
        },
        head: Head {
            size: 0,
            root: empty_root(),
            checkpoint,
            time,
        },
    };
    match core.storage.create_log(&log).await.map_err(StoreError::from)? {
        Commit::Committed => Ok(()),
        Commit::Conflict => Err(OpenError::Race(id)),
    }
}
