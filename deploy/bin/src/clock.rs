//! The one place where the time comes from.

use std::sync::Arc;
use std::time::SystemTime;

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
