//! Search over all Rekor logs of an instance, v1 and v2 alike, old shards and new, and reading of single entries.
//!
//! Terms are in the index from the transaction that made a leaf durable, so an entry is found as soon as it was
//! acknowledged. The index has 64 bits of a hash for a term: every leaf that it points to is read, hashed into the tree and
//! asked whether it is meant ([`rekor_entry::facts`]). Each page says of each log which leaves it speaks of, up to which
//! checkpoint, and what is not indexed yet; the pages of a search adjoin, so that a search that was followed to its end
//! is complete for a range that the client can name.
//!
//! A page does a bounded amount of work. Where that is not enough (two frequent terms that seldom meet), it comes with
//! fewer entries and a cursor to go on from, never as if there were no more.

mod answer;
mod cursor;
mod entry;
mod error;
mod query;
mod routes;
mod scan;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use common_engine::{Engine, LogId, LogKind};
use common_server::admission::{Bounds, Gate};

pub use answer::{
    Answer, Certificate, EntryAnswer, Found, InclusionProof, LogAnswer, Name, Range, Signer, Unindexed,
};
pub use error::Error;
pub use query::{Match, Query};
pub use routes::router;

use crate::v1::Shard;

/// A log that is searched.
#[derive(Debug, Clone)]
pub struct Log {
    /// The engine's number.
    pub id: LogId,
    /// Its shard where it is one of Rekor v1; else it is one of Rekor v2.
    pub v1: Option<Shard>,
}

impl Log {
    fn kind(&self) -> LogKind {
        match self.v1 {
            Some(_) => LogKind::RekorV1,
            None => LogKind::RekorV2,
        }
    }
}

/// What handlers work on.
pub struct Service {
    engine: Engine,
    /// By number. One is added when a shard is opened.
    logs: ArcSwap<Vec<Log>>,
    gate: Gate,
}

impl Service {
    /// Searches `logs`, all of which the engine runs.
    #[must_use]
    pub fn new(engine: Engine, logs: Vec<Log>, bounds: Bounds) -> Self {
        let service = Self {
            engine,
            logs: ArcSwap::default(),
            gate: Gate::new("rekor_search", bounds),
        };
        service.add(logs);
        service
    }

    /// Searches these logs too, as far as they are new; the engine runs them.
    pub fn add(&self, new: Vec<Log>) {
        self.logs.rcu(|logs| {
            let known = |log: &Log| logs.iter().any(|other| other.id == log.id);
            let fresh = new.iter().filter(|log| !known(log));
            let mut logs: Vec<Log> = logs.iter().chain(fresh).cloned().collect();
            logs.sort_by_key(|log| log.id);
            logs
        });
    }

    /// First line of the log's checkpoints.
    fn origin(&self, log: &Log) -> String {
        let info = self.engine.log(log.id);
        info.map(|info| info.spec.origin.clone()).unwrap_or_default()
    }

    /// The logs as they are now, by number.
    fn logs(&self) -> Arc<Vec<Log>> {
        self.logs.load_full()
    }
}
