//! The one place where the time comes from.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time; every crate takes it as an argument.
pub(crate) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The system's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the composition root is where the real clock is made"
)]
pub(crate) fn system() -> Clock {
    Arc::new(SystemTime::now)
}

/// Unix time in milliseconds, as stores keep it: 0 before 1970.
pub(crate) fn unix_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn millis_are_those_of_the_epoch_and_never_negative() {
        for (time, millis) in [
            (
                UNIX_EPOCH + Duration::from_micros(1_800_000_000_123_999),
                1_800_000_000_123,
            ),
            (UNIX_EPOCH, 0),
            (UNIX_EPOCH - Duration::from_secs(1), 0),
        ] {
            assert_eq!(unix_millis(time), millis);
        }
    }
}
