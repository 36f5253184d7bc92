//! Packages have a thread of their own.
//!
//! A JAR, an APK, an RPM or a chart is hashed as a whole, and a body of some hundred KiB may unpack to 256 MiB. On the pool that
//! verifies every signature of the process, a few of them would hold up certificates and all logs for seconds. Here they
//! wait for each other, a few of them, and the operating system shares the processors between them and the rest.

use std::sync::LazyLock;

use common_server::body::Read;
use common_server::cpu::{self, Overloaded, Pool};

use super::Kind;
use super::error::ApiError;

/// Packages that wait or are read; more are refused.
const QUEUE_LIMIT: usize = 32;

static THREAD: LazyLock<Result<Pool, Overloaded>> = LazyLock::new(|| Pool::new(1, QUEUE_LIMIT));

/// Where a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    /// Where all signatures are verified: no packages.
    Shared,
    /// On the thread for packages.
    Packages,
}

impl Here {
    /// Whether an entry of that kind is read here.
    pub(super) fn takes(self, kind: Kind) -> bool {
        self == Here::Packages || !kind.is_package()
    }
}

/// Does `job` on `body`. From the shared pool it gives `None` when there is a package in the body; it is then done again, on
/// the thread for packages: what it had read until then is little, and nearly no body has one.
///
/// # Errors
/// Those of `job`; [`ApiError::Overloaded`] when a queue is full.
pub(super) async fn run<T, J>(body: Read, job: J) -> Result<T, ApiError>
where
    T: Send + 'static,
    J: Fn(&[u8], Here) -> Result<Option<T>, ApiError> + Send + 'static,
{
    let (done, body, job) = cpu::run(move || (job(&body.bytes, Here::Shared), body, job)).await?;
    if let Some(done) = done? {
        return Ok(done);
    }
    let thread = THREAD.as_ref().map_err(|refused| *refused)?;
    let done = thread.run(move || job(&body.bytes, Here::Packages)).await??;
    done.ok_or(ApiError::Overloaded)
}

#[cfg(test)]
mod tests;
