//! A log for tests of the databases under a real engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use common_engine::{
    Anchor, Clock, Engine, Entry, LogConfig, LogId, LogKind, LogSpec, OpenError, Options, Outcome,
    Personality, SealError, Sealed, Storage,
};
use common_tlog::checkpoint::Checkpoint;
use common_tlog::note::{KeyHint, Note};
use common_tlog::{Hash, leaf_hash};

struct TestLog;

impl Personality for TestLog {
    fn seal(&self, entry: &Entry, _index: u64, _time: u64) -> Result<Sealed, SealError> {
        Ok(Sealed {
            leaf: entry.body.clone(),
            extra: Bytes::from_static(b"extra"),
        })
    }

    fn checkpoint(&self, size: u64, root: &Hash, _time: u64) -> Result<String, SealError> {
        let mut note =
            Note::new(Checkpoint::new("log.test", size, *root).to_string()).map_err(SealError::new)?;
        note.push("log.test", KeyHint([1; 4]), vec![7; 64])
            .map_err(SealError::new)?;
        Ok(note.to_string())
    }
}

pub(crate) const LOG: LogId = LogId(1);

pub(crate) fn entry(body: String) -> Entry {
    let body = Bytes::from(body);
    Entry {
        identity: leaf_hash(&body),
        terms: vec!["all".to_owned(), format!("body:{}", leaf_hash(&body))],
        body,
        aux: Bytes::new(),
        attachments: Vec::new(),
    }
}

pub(crate) async fn open_engine(
    storage: Arc<dyn Storage>,
    anchor: Arc<dyn Anchor>,
) -> Result<Engine, OpenError> {
    let spec = LogSpec {
        kind: LogKind::RekorV2,
        origin: "log.test".to_owned(),
        tree_id: 0,
        key_id: String::new(),
        leaf_limit: 65_535,
        created: 0,
    };
    let log = LogConfig {
        id: LOG,
        spec,
        personality: Arc::new(TestLog),
    };
    let clock = Clock::new(|| -> SystemTime { UNIX_EPOCH + Duration::from_secs(1_800_000_000) });
    Engine::open(storage, vec![log], anchor, clock, Options::default()).await
}

pub(crate) async fn fill(engine: &Engine, name: &str, count: usize) {
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let (engine, entry) = (engine.clone(), entry(format!("{name} {n}")));
            tokio::spawn(async move { engine.submit(LOG, entry).await })
        })
        .collect();
    for task in tasks {
        assert!(matches!(task.await.unwrap().unwrap(), Outcome::Sequenced(_)));
    }
}
