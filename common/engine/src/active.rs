//! What takes entries now, exchanged for another without refusing one.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The shard, or the list of shards, that takes entries. Writers [`enter`](Active::enter) and stay until they are
/// answered. Whoever exchanges it [`close`](Active::close)s it first, which waits for those inside and holds up those
/// that come: they go on with what is there afterwards. Readers [`load`](Active::load) and never wait.
#[derive(Debug)]
pub struct Active<T> {
    gate: RwLock<()>,
    current: ArcSwap<T>,
}

/// No writer is inside as long as this lives. Dropped, it lets them in to what was there before.
pub struct Closed<'a, T> {
    active: &'a Active<T>,
    _gate: RwLockWriteGuard<'a, ()>,
}

/// A writer that is inside.
pub struct Entered<'a, T> {
    current: Arc<T>,
    _gate: RwLockReadGuard<'a, ()>,
}

impl<T> Active<T> {
    /// With this to begin with.
    pub fn new(current: T) -> Self {
        Self {
            gate: RwLock::new(()),
            current: ArcSwap::from_pointee(current),
        }
    }

    /// What is there now, for reading.
    pub fn load(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// What is there now, and stays until the guard is dropped, for writing.
    pub async fn enter(&self) -> Entered<'_, T> {
        let gate = self.gate.read().await;
        Entered {
            current: self.current.load_full(),
            _gate: gate,
        }
    }

    /// Waits until no writer is inside. Those that come wait behind it, also while it waits itself: give it a limit.
    pub async fn close(&self) -> Closed<'_, T> {
        let gate = self.gate.write().await;
        Closed {
            active: self,
            _gate: gate,
        }
    }
}

impl<T> Closed<'_, T> {
    /// Lets the writers in to another.
    pub fn reopen(self, next: T) {
        self.active.current.store(Arc::new(next));
    }
}

impl<T> std::ops::Deref for Entered<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.current
    }
}

#[cfg(test)]
mod tests;
