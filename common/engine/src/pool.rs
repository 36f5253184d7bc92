//! The threads that seal, hash, sign and prove, apart from the async runtime: a signer may block.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

/// The work panicked; the pool lives on.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a panic was caught")]
pub(crate) struct Panicked;

pub(crate) struct Pool(ThreadPool);

impl Pool {
    pub(crate) fn new(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let named = ThreadPoolBuilder::new().thread_name(|n| format!("engine-{n}"));
        named.num_threads(threads.max(1)).build().map(Self)
    }

    /// Runs `work` here; parallel iterators inside it spread over the pool.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, Panicked>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (reply, result) = oneshot::channel();
        self.0.spawn(move || {
            // The receiver may have been dropped: nobody wants the result then.
            let _ = reply.send(guarded(work));
        });
        result.await.unwrap_or(Err(Panicked))
    }
}

/// Runs foreign code (a personality) so that its panic fails only the entry it was for.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}
