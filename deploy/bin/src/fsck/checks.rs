//! Which logs a data folder should have, and what checks them: public keys out of the registry, no private one.

use common_bundle::trust::{Registry, Role};
use common_engine::fsck::LogCheck;
use common_engine::{LogKind, LogState, StoredLog};

use crate::log_checks;
use crate::services::{V1_LEAF_LIMIT, V2_LEAF_LIMIT};

/// The logs that can be checked, and what is wrong with the others: where, what was expected, what came.
pub(super) struct Logs {
    pub(super) checks: Vec<LogCheck>,
    pub(super) wrong: Vec<(String, String, String)>,
}

/// Finds the key of every stored log, and a stored log for every kind that has a key.
pub(super) fn logs(registry: &Registry, stored: &[StoredLog]) -> Logs {
    let mut logs = Logs {
        checks: Vec::new(),
        wrong: Vec::new(),
    };
    for log in stored {
        match log_checks::of(registry, stored, log) {
            Some(mut check) => {
                // A closed log takes no more entries, and one that was taken over came with its own limit.
                if log.info.state != LogState::Frozen {
                    check.spec.leaf_limit = leaf_limit(&check);
                }
                logs.checks.push(check);
            }
            None => logs.wrong.push((
                format!("log {}", log.info.id),
                "origin, tree ID and key ID of a log whose key keys/registry.json lists".to_owned(),
                format!("{:?}", log.info.spec),
            )),
        }
    }
    let kinds = [
        (Role::CtLog, LogKind::Ct),
        (Role::RekorV1, LogKind::RekorV1),
        (Role::RekorV2, LogKind::RekorV2),
    ];
    for (role, kind) in kinds {
        if !registry.by_role(role).is_empty() && !stored.iter().any(|log| log.info.spec.kind == kind) {
            logs.wrong.push((
                "store".to_owned(),
                format!("a {} log: keys/registry.json has its key", kind.name()),
                "none".to_owned(),
            ));
        }
    }
    logs
}

/// As the services configure it; that of the certificate log follows from its kind.
fn leaf_limit(check: &LogCheck) -> u32 {
    match check.spec.kind {
        LogKind::RekorV1 => V1_LEAF_LIMIT,
        LogKind::RekorV2 => V2_LEAF_LIMIT,
        LogKind::Ct => check.spec.leaf_limit,
    }
}
