//! Changes to the set of logs while the engine runs: one more is opened, one is closed for good.
//!
//! Both go through the sequencer, between two batches. So a log that is opened is in the writer's memory before the
//! first entry for it can queue, and a final head is told only when every batch before it is published.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::batch::Tip;
use crate::engine::Engine;
use crate::error::{OpenError, ReadError, StoreError};
use crate::open::{check_spec, create};
use crate::options::LogConfig;
use crate::terms::{self, Indexed};
use crate::types::{Head, LogId, LogInfo, LogState};

/// What the sequencer does between two batches.
pub(crate) enum Change {
    /// Takes up a verified log.
    Open {
        tip: Box<Tip>,
        indexed: Option<Indexed>,
        done: oneshot::Sender<()>,
    },
    /// Tells that whatever was committed before is published.
    Settle { done: oneshot::Sender<()> },
}

impl Engine {
    /// Opens one more log, which is verified as at a start; a log that the store does not have is created. When it
    /// returns, entries can be submitted to it.
    ///
    /// # Errors
    /// As [`Engine::open`]. The log's row may have been created: the same call, or a start with the same
    /// configuration, goes on from there.
    pub async fn open_log(&self, config: LogConfig) -> Result<Arc<LogInfo>, OpenError> {
        let id = config.id;
        if id > LogId::MAX || self.log(id).is_some() {
            return Err(OpenError::LogNumber(id));
        }
        let core = &self.shared.core;
        let stored = async || {
            let logs = core.storage.logs().await.map_err(StoreError::from)?;
            Ok::<_, OpenError>(logs.into_iter().find(|log| log.info.id == id))
        };
        let log = match stored().await? {
            Some(log) => {
                check_spec(id, &log.info.spec, &config.spec)?;
                log
            }
            None => {
                create(core, &config).await?;
                stored().await?.ok_or(OpenError::Race(id))?
            }
        };
        let tip = Box::new(Tip::load(core.storage.as_ref(), log, config.personality).await?);
        let indexed = terms::begin(core.storage.as_ref(), &core.secret, std::iter::once(&*tip)).await?;
        let (done, opened) = oneshot::channel();
        let change = Change::Open {
            tip,
            indexed: indexed.get(&id).copied(),
            done,
        };
        self.changes.send(change).await.map_err(|_| OpenError::Stopping)?;
        opened.await.map_err(|_| OpenError::Stopping)?;
        tokio::spawn(terms::complete(
            Arc::clone(&self.shared),
            id,
            self.stop.subscribe(),
        ));
        self.log(id).ok_or(OpenError::Stopping)
    }

    /// Closes a log for good, in favour of another, and gives its final head, which is published. Closing it again gives
    /// the same. Until whoever submits is sent to the other, it is told to come again.
    ///
    /// # Errors
    /// [`ReadError::Busy`] while the final head is not the published one: another replica logged the last entry, or
    /// the writer is being reloaded. The log is closed then; ask again.
    pub async fn freeze(&self, id: LogId) -> Result<Arc<Head>, ReadError> {
        if self.log(id).is_none_or(|info| info.state != LogState::Frozen) {
            self.set_state(id, LogState::Frozen).await?;
            self.shared.set_succeeded(id);
        }
        let (done, settled) = oneshot::channel();
        let settle = Change::Settle { done };
        self.changes.send(settle).await.map_err(|_| ReadError::Busy)?;
        settled.await.map_err(|_| ReadError::Busy)?;
        let stored = self.shared.core.storage.logs().await?;
        let last = stored.into_iter().find(|log| log.info.id == id);
        match (last, self.head(id)) {
            (Some(last), Some(head)) if last.head == *head => {
                let (origin, size, root) = (&last.info.spec.origin, head.size, head.root);
                // Upstream keeps it in the checkpoint; here the log alone tells, so at the level that is on unless told otherwise.
                tracing::warn!(log = %id, origin, size, %root, "Log frozen");
                Ok(head)
            }
            (Some(_), Some(_)) => Err(ReadError::Busy),
            _ => Err(ReadError::UnknownLog(id)),
        }
    }
}
