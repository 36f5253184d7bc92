//! The row of a log, the same columns in both databases.

use common_engine::{Head, LogId, LogInfo, LogKind, LogSpec, LogState, StoredLog};
use common_tlog::Hash;

/// The columns of [`LogRow`].
macro_rules! select_logs {
    ($tail:literal) => {
        concat!(
            "SELECT id, kind, origin, tree_id, key_id, leaf_limit, created, state, size, root, checkpoint, time \
             FROM logs ORDER BY id",
            $tail
        )
    };
}
pub(crate) use select_logs;

/// As the columns come: see [`select_logs`].
pub(crate) type LogRow = (
    i64,
    String,
    String,
    i64,
    String,
    i64,
    i64,
    String,
    i64,
    Vec<u8>,
    String,
    i64,
);

/// The log; `None` if the row holds what is never written.
pub(crate) fn log_of(row: LogRow) -> Option<StoredLog> {
    let (id, kind, origin, tree_id, key_id, leaf_limit, created, state, size, root, checkpoint, time) = row;
    let spec = LogSpec {
        kind: LogKind::from_name(&kind)?,
        origin,
        tree_id: tree_id.cast_unsigned(),
        key_id,
        leaf_limit: u32::try_from(leaf_limit).ok()?,
        created: created.cast_unsigned(),
    };
    let head = Head {
        size: size.cast_unsigned(),
        root: Hash::from_slice(&root).ok()?,
        checkpoint,
        time: time.cast_unsigned(),
    };
    Some(StoredLog {
        info: LogInfo {
            id: LogId(u32::try_from(id).ok()?),
            spec,
            state: LogState::from_name(&state)?,
        },
        head,
    })
}
