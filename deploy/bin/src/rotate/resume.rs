//! What a start does about a key that was taking over when the process ended.

use common_bundle::trust::{Role, Timestamp};
use common_engine::{LogState, StoredLog};

use super::{ROLES, RotateError, end_of};
use crate::clock::Clock;
use crate::keys::Keys;
use crate::layout::Layout;
use crate::repository;
use crate::services::logs;

/// Finishes in the registry what had begun in the store or in the trust repository, before either is opened.
///
/// # Errors
/// [`RotateError`].
pub(crate) fn resume(
    keys: Keys,
    layout: &Layout,
    stored: &[StoredLog],
    clock: &Clock,
) -> Result<Keys, RotateError> {
    let now = Timestamp::from_system_time(clock()).ok_or(RotateError::Clock)?;
    let mut registry = keys.registry().clone();
    for role in ROLES {
        let known = keys.registry().successor(role);
        let Some((successor, succession)) = known.filter(|_| keys.roles().has(role)) else {
            continue;
        };
        let due = succession.due().is_some_and(|due| due <= now);
        if due && has_begun(role, &keys, stored, layout, now) {
            tracing::warn!(
                key = successor.id,
                "a key was taking over when the process ended: it has now"
            );
            registry.take_over(role, end_of(role, clock)?);
        }
    }
    Ok(keys.with_registry(layout, registry)?)
}

/// Whether the successor of a role is due, and the log in use closed in favour of it, or the root of the trust repository
/// lists it. Authorities leave no trace but in the registry.
pub(super) fn has_begun(
    role: Role,
    keys: &Keys,
    stored: &[StoredLog],
    layout: &Layout,
    now: Timestamp,
) -> bool {
    let Some((successor, succession)) = keys.registry().successor(role) else {
        return false;
    };
    if matches!(role, Role::TufRoot | Role::TufOnline) {
        return repository::lists(layout, role, successor);
    }
    // A log that was restored for reading alone is closed as well, and waits for its successor like any other.
    let due = succession.due().is_some_and(|due| due <= now);
    let Some(in_use) = keys.registry().in_use(role).filter(|_| due && role.is_log()) else {
        return false;
    };
    let row = stored
        .iter()
        .find(|log| log.info.spec.key_id == logs::key_id(in_use));
    row.is_some_and(|log| log.info.state == LogState::Frozen)
}
