//! A bounded pool for work that burns processor time: verifying and making signatures, canonicalising, hashing.
//!
//! Tokio's workers keep moving bytes while a burst of signatures waits here; when the queue is full the caller gets
//! [`Overloaded`] at once (503 and `Retry-After` outside) instead of an unbounded queue. A job that has been taken runs
//! to its end even when the caller has gone away, so nothing it started is left half done.
//!
//! [`run`] takes one job there and comes back. Work that is heavy again and again, with waiting in between, goes there as
//! a whole with [`drive`]: what a request costs in wake-ups and changes of thread is paid once, not for each step.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Jobs waiting or running at once before [`run`] refuses: a few times the most connections one listener takes, so
/// that only a real excess is turned away.
pub const QUEUE_LIMIT: usize = 8_192;

/// Signatures at once that wait for a key outside the process: more than a token or a key service makes at a time.
pub const WAITING_LIMIT: usize = 128;

/// The pool's queue is full, or its threads could not be started: the caller should answer 503 with `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server is at its limit of queued work; retry shortly")]
pub struct Overloaded;

/// A pool of its own size; the process-wide one is behind [`run`].
pub struct Pool {
    threads: Arc<rayon::ThreadPool>,
    pending: Arc<AtomicUsize>,
    limit: usize,
}

impl Pool {
    /// A pool with `threads` workers (0: one per core) that holds at most `limit` jobs.
    ///
    /// # Errors
    /// [`Overloaded`] when the operating system gives no threads.
    pub fn new(threads: usize, limit: usize) -> Result<Pool, Overloaded> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|n| format!("cpu-{n}"))
            .build()
            .map_err(|error| {
                tracing::error!(%error, "cannot start the processor pool");
                Overloaded
            })?;
        Ok(Pool {
            threads: Arc::new(threads),
            pending: Arc::new(AtomicUsize::new(0)),
            limit,
        })
    }

    /// Runs `job` on the pool, at once when this is a thread of it already. A panic of the job resumes in the caller,
    /// where the catch-panic layer answers it.
    ///
    /// # Errors
    /// [`Overloaded`] when the queue is full; the job has then not been started.
    pub async fn run<T, F>(&self, job: F) -> Result<T, Overloaded>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        if self.threads.current_thread_index().is_some() {
            return Ok(job());
        }
        let slot = Slot::take(&self.pending, self.limit)?;
        let (reply, answer) = oneshot::channel();
        self.threads.spawn_fifo(move || {
            let outcome = catch_unwind(AssertUnwindSafe(job));
            drop(slot);
            // A caller that has gone away wants no answer.
            let _ = reply.send(outcome);
        });
        match answer.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(Overloaded),
        }
    }

    /// Polls `future` on the pool until it is done; what it gives to [`Pool::run`] runs within the poll. While it waits it
    /// keeps its place in the queue but no thread. It is dropped when the caller goes away; the step that is running
    /// then still ends. A panic resumes in the caller.
    ///
    /// Call it within a Tokio runtime, which the future finds there too.
    ///
    /// # Errors
    /// [`Overloaded`] when the queue is full; the future has then not been polled.
    pub async fn drive<T, F>(&self, future: F) -> Result<T, Overloaded>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let slot = Slot::take(&self.pending, self.limit)?;
        let runtime = Handle::current();
        let mut future = Box::pin(future);
        let within = poll_fn(move |context| {
            // The place in the queue ends with the future, wherever that is dropped.
            let _held = &slot;
            // The future may start tasks and set timers.
            let _runtime = runtime.enter();
            future.as_mut().poll(context)
        });
        let threads = Arc::clone(&self.threads);
        let schedule = move |turn: async_task::Runnable| {
            threads.spawn_fifo(move || {
                turn.run();
            });
        };
        let (first_turn, task) = async_task::Builder::new()
            .propagate_panic(true)
            .spawn(|()| within, schedule);
        first_turn.schedule();
        Ok(task.await)
    }

    /// Jobs waiting or running now.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }
}

/// One place in the queue, given back when dropped, whatever happened to the job.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(pending: &Arc<AtomicUsize>, limit: usize) -> Result<Slot, Overloaded> {
        pending
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                if n < limit { n.checked_add(1) } else { None }
            })
            .map(|_| Slot(Arc::clone(pending)))
            .map_err(|_| Overloaded)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn shared() -> Result<&'static Pool, Overloaded> {
    static SHARED: OnceLock<Result<Pool, Overloaded>> = OnceLock::new();
    SHARED
        .get_or_init(|| Pool::new(0, QUEUE_LIMIT))
        .as_ref()
        .map_err(|error| *error)
}

/// Runs `job` on the process-wide pool, one worker per core and at most [`QUEUE_LIMIT`] jobs.
///
/// # Errors
/// [`Overloaded`] when the queue is full; the job has then not been started.
pub async fn run<T, F>(job: F) -> Result<T, Overloaded>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    shared()?.run(job).await
}

/// Runs `job`, which signs: as [`run`] does or, where the key `waits` for something outside the process (a token, a key
/// service), on a thread that may wait, so that verifying goes on while the key is slow. At most [`WAITING_LIMIT`] wait.
///
/// # Errors
/// [`Overloaded`] when the queue is full or too many wait; the job has then not been started.
pub async fn sign<T, F>(waits: bool, job: F) -> Result<T, Overloaded>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    static WAITING: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);
    if !waits {
        return run(job).await;
    }
    let slot = Slot::take(&WAITING, WAITING_LIMIT)?;
    let work = tokio::task::spawn_blocking(move || {
        let _held = slot;
        job()
    });
    match work.await {
        Ok(value) => Ok(value),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is going down.
            Err(_) => Err(Overloaded),
        },
    }
}

/// Polls `future` on the process-wide pool until it is done: see [`Pool::drive`].
///
/// # Errors
/// [`Overloaded`] when the queue is full; the future has then not been polled.
pub async fn drive<T, F>(future: F) -> Result<T, Overloaded>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    shared()?.drive(future).await
}

#[cfg(test)]
mod tests;
