//! The one session that writes, and what is known when a write fails.
//!
//! # Outcomes of a commit
//!
//! `COMMIT` is the last message of a transaction, sent only after every statement before it has succeeded. So:
//!
//! - A head is elsewhere, or a log takes no entries: nothing was written, [`Commit::Conflict`].
//! - The server gives the transaction up before `COMMIT` was sent, because of other transactions (serialization failure
//!   40001, deadlock 40P01): nothing was stored and nothing ever will be, [`Commit::Conflict`], and the engine tries again.
//! - Any other error before `COMMIT` was sent: nothing was stored either, but to try again at once would not help (the
//!   disk is full, a leaf is stored already, the server is gone). `Err` makes the engine try a write first.
//! - Any error after `COMMIT` was sent, also one that the server reports: unknown, `Err`.
//!
//! # A commit that is applied late
//!
//! A session lost during `COMMIT` leaves a transaction that may end in either way, a moment later: the server may be
//! writing its log, or the message may still be on its way. Whoever read the old head then could tell the submitters
//! that their entries are not in. But that transaction has locked its heads before `COMMIT` was sent and holds them until
//! it ends, and [`Inner::logs`], by which the engine reloads, locks all heads in share mode. So it returns after every
//! such transaction has ended, with what they left, and only then the engine settles the fate of its batch. The wait is
//! bounded: `lock_timeout` makes it an `Err`, after which the engine reloads again, and the server ends a transaction
//! whose client is gone by `idle_in_transaction_session_timeout`. A server that crashes meanwhile answers nobody
//! before it has replayed its log, and then that transaction is either in or gone.
//!
//! Even an answer that came too early could not fork a log: the next commit locks the head and finds it moved.
//!
//! # Turns
//!
//! Replicas on one log are always ahead of each other: who finds its head moved has to reload, and would find it moved
//! again, since the other one need not. So a commit that finds a head moved keeps it locked for a moment, for the
//! same batch built anew. The other replica finds its own head moved then, and has its turn next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common_engine::{Batch, Commit, IndexSecret, StorageError, StoredLog};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Executor, query_as};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::commit::{Heads, lock_heads, logs_of, store};
use super::session::{PostgresConfig, Use};
use super::{damaged, failed};
use crate::log_row::{LogRow, log_of, select_logs};

/// Longest that one write may take before it is given up and its outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a commit that found a head moved keeps it.
const TURN: Duration = Duration::from_millis(500);
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// What the handles of one store share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: PostgresConfig,
    pub(super) secret: IndexSecret,
    pub(super) public: PgPool,
    pub(super) reserved: PgPool,
    pub(super) writer: Mutex<Slot>,
    /// Counts the turns.
    pub(super) turns: AtomicU64,
}

/// The session that writes. Whoever uses it takes it out, and puts it back only if it is sound: a session that is dropped
/// is closed, and what it had begun is rolled back by the server.
#[derive(Debug, Default)]
pub(super) enum Slot {
    /// The next write opens one.
    #[default]
    Empty,
    /// In no transaction.
    Idle(PgConnection),
    /// In a transaction that has locked the heads of these logs, and has written nothing.
    Turn {
        session: PgConnection,
        logs: Vec<i64>,
        number: u64,
    },
}

impl Inner {
    /// Runs one statement, or several that need no transaction.
    pub(super) async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StorageError> {
        let mut slot = self.writer.lock().await;
        let found = std::mem::take(&mut *slot);
        let work = async {
            let mut session = self.open(found, "SELECT 1").await?;
            let outcome = work(&mut session).await.map_err(failed)?;
            Ok((session, outcome))
        };
        let (session, outcome) = bounded(work).await?;
        *slot = Slot::Idle(session);
        Ok(outcome)
    }

    /// Every log row, after every commit that had begun has ended: see "A commit that is applied late".
    pub(super) async fn logs(&self) -> Result<Vec<StoredLog>, StorageError> {
        let mut slot = self.writer.lock().await;
        let found = std::mem::take(&mut *slot);
        let work = async {
            match found {
                // The locks are held already, and to wait for those of other logs from here could be a deadlock.
                Slot::Turn {
                    mut session,
                    logs,
                    number,
                } => {
                    let rows = rows_of(&mut session, select_logs!("")).await?;
                    let turn = Slot::Turn {
                        session,
                        logs,
                        number,
                    };
                    Ok((turn, rows))
                }
                other => {
                    let mut session = self.open(other, "SELECT 1").await?;
                    let rows = rows_of(&mut session, select_logs!(" FOR SHARE")).await?;
                    Ok((Slot::Idle(session), rows))
                }
            }
        };
        let (next, rows) = bounded(work).await?;
        *slot = next;
        Ok(rows)
    }

    /// The transaction of a batch.
    pub(super) async fn commit(self: &Arc<Self>, batch: &Batch) -> Result<Commit, StorageError> {
        let mut slot = self.writer.lock().await;
        let found = std::mem::take(&mut *slot);
        let (next, outcome) = bounded(self.try_commit(found, batch)).await?;
        *slot = next;
        if let Slot::Turn { number, .. } = &*slot {
            self.end_turn(*number);
        }
        Ok(outcome)
    }

    async fn try_commit(&self, found: Slot, batch: &Batch) -> Result<(Slot, Commit), StorageError> {
        let wanted = logs_of(batch);
        let mut session = match found {
            Slot::Turn { session, logs, .. } if wanted.iter().all(|log| logs.contains(log)) => session,
            other => self.open(other, BEGIN).await?,
        };
        let heads = async {
            let heads = lock_heads(&mut session, batch).await?;
            if heads == Heads::Stand {
                store(&mut session, batch).await?;
            }
            Ok(heads)
        };
        match heads.await {
            Ok(Heads::Stand) => {}
            Ok(Heads::Moved) => {
                let turn = Slot::Turn {
                    session,
                    logs: wanted,
                    number: self.turns.fetch_add(1, Ordering::Relaxed),
                };
                return Ok((turn, Commit::Conflict));
            }
            Ok(Heads::Closed) => {
                let slot = session.execute("ROLLBACK").await.map(|_| Slot::Idle(session));
                return Ok((slot.unwrap_or_default(), Commit::Conflict));
            }
            // The session is dropped, and with it whatever the transaction had locked.
            Err(error) if gave_way(&error) => {
                tracing::debug!(%error, "the transaction of a batch gave way to another one");
                return Ok((Slot::Empty, Commit::Conflict));
            }
            Err(error) => return Err(failed(error)),
        }
        // From here on every error is an unknown outcome. (A `COMMIT` of a transaction in which a statement has failed
        // would be answered by success and a rollback; every such failure has ended above.)
        let committed = session.execute("COMMIT").await;
        committed.map_err(|error| StorageError::new(format!("the outcome of COMMIT is unknown: {error}")))?;
        Ok((Slot::Idle(session), Commit::Committed))
    }

    /// A session that has run `first`. One that was idle may have been closed meanwhile, and then there is a new one:
    /// nothing was asked of it before.
    async fn open(&self, found: Slot, first: &'static str) -> Result<PgConnection, StorageError> {
        let idle = match found {
            Slot::Empty => None,
            Slot::Idle(session) => Some(session),
            Slot::Turn { mut session, .. } => session.execute("ROLLBACK").await.is_ok().then_some(session),
        };
        if let Some(mut session) = idle
            && session.execute(first).await.is_ok()
        {
            return Ok(session);
        }
        let mut session = self.config.connect(Use::Write).await.map_err(StorageError::new)?;
        session.execute(first).await.map_err(failed)?;
        Ok(session)
    }

    /// Gives the heads free if the turn was not used.
    fn end_turn(self: &Arc<Self>, current: u64) {
        let store = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(TURN).await;
            let Some(store) = store.upgrade() else { return };
            let mut slot = store.writer.lock().await;
            if matches!(&*slot, Slot::Turn { number, .. } if *number == current)
                && let Slot::Turn { mut session, .. } = std::mem::take(&mut *slot)
            {
                let ended = bounded(async { session.execute("ROLLBACK").await.map_err(failed) }).await;
                if ended.is_ok() {
                    *slot = Slot::Idle(session);
                }
            }
        });
    }
}

/// The server ended the transaction because of another one (PostgreSQL manual, appendix A: `serialization_failure`,
/// `deadlock_detected`).
fn gave_way(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

/// Ends what takes too long; the session in it is dropped.
async fn bounded<T>(work: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
    let silent = || StorageError::new(format!("no answer within {} seconds", PATIENCE.as_secs()));
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(silent()))
}

/// Runs one of the selections of log rows.
pub(super) async fn rows_of(
    connection: &mut PgConnection,
    select: &'static str,
) -> Result<Vec<StoredLog>, StorageError> {
    let rows: Vec<LogRow> = query_as(select).fetch_all(connection).await.map_err(failed)?;
    rows.into_iter()
        .map(|row| log_of(row).ok_or_else(|| damaged("log row")))
        .collect()
}
