//! What has to be signed anew, and when.

use std::time::{Duration, SystemTime};

use common_bundle::trust::Timestamp;
use common_bundle::tuf::{Lifetimes, Repository, Role};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A root is renewed this long before its end: long enough for an operator whose root key is offline by then.
const ROOT_MARGIN: Duration = Duration::from_secs(90 * 24 * 3600);

/// The expiry of each role, and which of them are due at a time.
pub(super) struct Due {
    now: SystemTime,
    expiries: [(Role, Timestamp); 4],
    timestamp_lifetime: Duration,
}

impl Due {
    pub(super) fn at(now: SystemTime, repository: &Repository, lifetimes: Lifetimes) -> Due {
        let expiries = Role::ALL.map(|role| (role, repository.current(role).1));
        let timestamp_lifetime = Duration::from_secs(u64::try_from(lifetimes.timestamp).unwrap_or_default());
        Due {
            now,
            expiries,
            timestamp_lifetime,
        }
    }

    pub(super) fn expiries(&self) -> [(Role, Timestamp); 4] {
        self.expiries
    }

    /// Whether the root has to be renewed.
    pub(super) fn root(&self) -> bool {
        self.ends_within(Role::Root, ROOT_MARGIN)
    }

    /// Whether the timestamp is a day old, or something it leads to runs out within two of its lifetimes, which is when
    /// the writer renews it.
    pub(super) fn online(&self) -> bool {
        self.ends_within(Role::Timestamp, self.timestamp_lifetime.saturating_sub(DAY))
            || [Role::Snapshot, Role::Targets]
                .into_iter()
                .any(|role| self.ends_within(role, self.timestamp_lifetime.saturating_mul(2)))
    }

    fn ends_within(&self, wanted: Role, margin: Duration) -> bool {
        let limit = self.now.checked_add(margin);
        let ends = self
            .expiries
            .iter()
            .find(|(role, _)| *role == wanted)
            .map(|(_, expires)| expires.system_time());
        ends.zip(limit).is_none_or(|(ends, limit)| ends <= limit)
    }
}
