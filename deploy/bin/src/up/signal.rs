//! When to stop: SIGINT or SIGTERM, once in order, twice at once.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Two signals closer together are one wish: timeout(1) signals its child and then the whole process group.
const ONE_WISH: Duration = Duration::from_millis(500);
/// 128 and the number of SIGINT, as shells report it.
const INTERRUPTED: i32 = 130;

/// The wish to stop, from a signal or from within.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Sender<bool>);

impl Stop {
    /// Listens from now on.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn listen() -> io::Result<Stop> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let stop = Stop(watch::Sender::new(false));
        let told = stop.clone();
        tokio::spawn(async move {
            let mut first: Option<Instant> = None;
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                told.now();
                if first.get_or_insert_with(Instant::now).elapsed() > ONE_WISH {
                    // Acknowledged entries are durable: there is nothing left to save.
                    std::process::exit(INTERRUPTED);
                }
            }
        });
        Ok(stop)
    }

    /// Asks to stop.
    pub(crate) fn now(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was asked.
    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when asked to stop, at once if it was asked before.
    pub(crate) fn wait(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut told = self.0.subscribe();
        async move {
            let _ = told.wait_for(|stop| *stop).await;
        }
    }
}
