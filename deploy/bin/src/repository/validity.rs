//! Until when clients accept the repository that is served, for whoever has to say whether the instance is ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use common_bundle::trust::Timestamp;

/// The end of the first role to expire; shared with the repository, which moves it. Nothing is valid before the first
/// publication.
#[derive(Debug, Clone)]
pub(crate) struct Validity(Arc<AtomicI64>);

impl Default for Validity {
    fn default() -> Validity {
        Validity(Arc::new(AtomicI64::new(i64::MIN)))
    }
}

impl Validity {
    /// What is served expires at `end` from now on.
    pub(crate) fn set(&self, end: Timestamp) {
        self.0.store(end.unix(), Ordering::Release);
    }

    /// Whether clients accept it at `now`: until, not at, the end (TUF §5.4.4).
    pub(crate) fn includes(&self, now: SystemTime) -> bool {
        Timestamp::from_system_time(now).is_some_and(|now| now.unix() < self.0.load(Ordering::Acquire))
    }
}
