//! The loop around the writer: it collects what has queued, has it committed, publishes the heads, and answers.
//!
//! No entry waits for a timer: an idle log commits a single one at once, and while a commit is under way the next batch
//! gathers. Where others write to the same store, their commits are looked for once a second ([`LOOK`]). The loop ends only when the engine is shut down; every failure leads back into it through
//! [`Poisoned::reload`].

use std::sync::Arc;
use std::time::Duration;

use common_tlog::proof::verify_inclusion;
use common_tlog::{Hash, leaf_hash};
use rayon::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Interval;

use crate::anchor::Published;
use crate::batch::{Attempt, Submission, Verdict};
use crate::change::Change;
use crate::engine::Shared;
use crate::error::SubmitError;
use crate::read::proof_failed;
use crate::types::{LogId, Outcome, Receipt, StoredLeaf};
use crate::writer::{Fate, Poisoned, Recovered, Writer};

/// Times a batch is tried again after another replica was first.
const CONFLICT_RETRIES: u32 = 8;
/// Failed reloads after which submitters in doubt are told to try again.
const PATIENCE: u32 = 6;
/// Leaves of earlier batches that are proven at once, for one batch.
const PROVING: usize = 8;
/// How often other writers' commits are looked for.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
const FIRST_DELAY: Duration = Duration::from_millis(10);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

pub(crate) type Answer = Result<Outcome, SubmitError>;

/// A queued submission.
pub(crate) struct Job {
    pub(crate) submission: Submission,
    pub(crate) waiter: Waiter,
}

/// Who waits for it. Its room in the queue is free again once it is answered.
pub(crate) struct Waiter {
    pub(crate) reply: oneshot::Sender<Answer>,
    pub(crate) room: OwnedSemaphorePermit,
}

impl Waiter {
    fn answer(self, answer: Answer) {
        // Whoever is answered may submit again at once.
        drop(self.room);
        // The submitter may have gone away, which changes nothing for the others.
        let _ = self.reply.send(answer);
    }
}

/// What the sequencer does next.
enum Work {
    /// Looks for commits of other writers.
    Look,
    Batch(Vec<Job>),
    Change(Change),
}

pub(crate) struct Sequencer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: mpsc::Receiver<Job>,
    /// Done between two batches.
    pub(crate) changes: mpsc::Receiver<Change>,
    pub(crate) stop: watch::Receiver<bool>,
    /// Followed by the anchor.
    pub(crate) published: watch::Sender<Vec<Published>>,
    pub(crate) answering: JoinSet<()>,
    /// When others' commits are looked for next, where there may be any.
    pub(crate) look: Interval,
}

impl Sequencer {
    /// Runs until the engine is shut down and everything that had queued is answered.
    pub(crate) async fn run(mut self, writer: Writer) {
        self.publish(&writer);
        let mut writer = Some(writer);
        while let Some(current) = writer.take() {
            writer = match self.next().await {
                Some(Work::Look) => self.look(current).await,
                Some(Work::Batch(jobs)) => self.process(current, jobs).await,
                Some(Work::Change(change)) => Some(self.change(current, change)),
                None => break,
            };
            while self.answering.try_join_next().is_some() {}
        }
        self.refuse_queued(&SubmitError::ShuttingDown);
        while self.answering.join_next().await.is_some() {}
    }

    /// The next change, or the next batch: waits for one entry, then takes what has queued behind it.
    async fn next(&mut self) -> Option<Work> {
        let first = tokio::select! {
            biased;
            () = stopped(&mut self.stop), if !self.queue.is_closed() => {
                self.queue.close();
                self.queue.recv().await?
            }
            Some(change) = self.changes.recv() => return Some(Work::Change(change)),
            _ = self.look.tick(), if self.shared.core.storage.is_shared() => return Some(Work::Look),
            job = self.queue.recv() => job?,
        };
        let options = &self.shared.options;
        let mut bytes = first.submission.entry.weight();
        let mut rows = first.submission.entry.rows();
        let mut jobs = vec![first];
        while jobs.len() < options.batch_entries && bytes < options.batch_bytes && rows < options.batch_rows {
            let Ok(job) = self.queue.try_recv() else { break };
            bytes = bytes.saturating_add(job.submission.entry.weight());
            rows = rows.saturating_add(job.submission.entry.rows());
            jobs.push(job);
        }
        metrics::histogram!("sigbox_engine_batch_entries").record(jobs.len() as f64);
        metrics::gauge!("sigbox_engine_queue_entries").set(self.queue.len() as f64);
        Some(Work::Batch(jobs))
    }

    /// Takes over what other writers have logged, verified like everything that is loaded: whoever only reads learns of it
    /// too. `None` if shut down while the store failed.
    async fn look(&mut self, writer: Writer) -> Option<Writer> {
        match writer.is_current().await {
            Ok(false) => {}
            Ok(true) => return Some(writer),
            Err(error) => {
                tracing::debug!(%error, "other writers' commits could not be looked for");
                return Some(writer);
            }
        }
        let recovered = self.recover(writer.overtaken(), &mut Vec::new()).await?;
        self.shared.publish_states(recovered.writer.tips());
        self.publish(&recovered.writer);
        Some(recovered.writer)
    }

    /// Every batch before it is published.
    fn change(&self, mut writer: Writer, change: Change) -> Writer {
        match change {
            Change::Open { tip, indexed, done } => {
                self.shared.add(&tip, indexed);
                writer.add(*tip);
                self.publish(&writer);
                let _ = done.send(());
            }
            Change::Settle { done } => {
                let _ = done.send(());
            }
        }
        writer
    }

    /// Commits a batch and answers it, through failures if need be. `None` if shut down while the store failed.
    async fn process(&mut self, mut writer: Writer, jobs: Vec<Job>) -> Option<Writer> {
        let (submissions, mut waiters): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.submission, job.waiter)).unzip();
        let submissions = Arc::new(submissions);
        for _ in 0..=CONFLICT_RETRIES {
            writer.take_states(|log| self.shared.info(log));
            let poisoned = match writer.commit(&submissions).await {
                Ok((writer, attempt)) => {
                    self.publish(&writer);
                    self.answer(attempt, waiters);
                    return Some(writer);
                }
                Err(poisoned) => poisoned,
            };
            let recovered = self.recover(poisoned, &mut waiters).await?;
            self.shared.publish_states(recovered.writer.tips());
            self.publish(&recovered.writer);
            writer = recovered.writer;
            match recovered.fate {
                Fate::Applied(attempt) => {
                    self.answer(attempt, waiters);
                    return Some(writer);
                }
                Fate::NotApplied => break,
                Fate::Conflict if waiters.is_empty() => break,
                Fate::Conflict => {}
            }
        }
        refuse(&mut waiters, &SubmitError::Unavailable);
        Some(writer)
    }

    /// Reloads until it succeeds, ever more slowly. Meanwhile whatever queues is refused rather than left to wait.
    async fn recover(&mut self, mut poisoned: Poisoned, waiters: &mut Vec<Waiter>) -> Option<Recovered> {
        // Of several writers one is always first.
        if !poisoned.is_conflict() {
            tracing::warn!(cause = poisoned.describe(), "the writer is reloaded");
            self.shared.set_writable(false);
        }
        if !poisoned.in_doubt() {
            refuse(waiters, &SubmitError::Unavailable);
        }
        let mut delay = FIRST_DELAY;
        for failures in 1u32.. {
            if !poisoned.is_conflict() {
                metrics::counter!("sigbox_engine_reloads_total").increment(1);
            }
            poisoned = match poisoned.reload().await {
                Ok(recovered) => {
                    self.shared.set_writable(true);
                    return Some(recovered);
                }
                Err(poisoned) => poisoned,
            };
            self.shared.set_writable(false);
            if let Some(error) = &poisoned.reload {
                tracing::error!(%error, failures, "the reload failed, no entry can be logged");
            }
            if failures == PATIENCE {
                refuse(waiters, &SubmitError::Unavailable);
            }
            self.refuse_queued(&SubmitError::Unavailable);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stopped(&mut self.stop) => break,
            }
            delay = delay.saturating_mul(2).min(LONGEST_DELAY);
        }
        self.queue.close();
        refuse(waiters, &SubmitError::Unavailable);
        None
    }

    /// Shows the durable heads to readers, and then to the anchor.
    fn publish(&self, writer: &Writer) {
        self.shared.publish(writer.tips());
        self.published.send_replace(self.shared.heads());
    }

    fn refuse_queued(&mut self, error: &SubmitError) {
        while let Ok(job) = self.queue.try_recv() {
            job.waiter.answer(Err(error.clone()));
        }
    }

    /// Answers a committed batch beside the loop, so that the next batch need not wait for proofs.
    fn answer(&mut self, attempt: Box<Attempt>, waiters: Vec<Waiter>) {
        let shared = Arc::clone(&self.shared);
        self.answering.spawn(async move {
            let work = move || answer_new(&attempt, waiters);
            let Ok(repeats) = shared.core.pool.run(work).await else {
                tracing::error!("answering a committed batch panicked");
                return;
            };
            let mut proving = JoinSet::new();
            for (log, leaf, waiter) in repeats {
                if proving.len() >= PROVING {
                    let _ = proving.join_next().await;
                }
                let shared = Arc::clone(&shared);
                proving.spawn(async move { waiter.answer(prove_stored(&shared, log, leaf).await) });
            }
            while proving.join_next().await.is_some() {}
        });
    }
}

/// Resolves once the engine is asked to stop, or when nobody is left to ask.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn refuse(waiters: &mut Vec<Waiter>, error: &SubmitError) {
    for waiter in waiters.drain(..) {
        waiter.answer(Err(error.clone()));
    }
}

/// Answers all that this batch alone decides; gives back who asked for leaves of earlier batches.
fn answer_new(attempt: &Attempt, waiters: Vec<Waiter>) -> Vec<(LogId, StoredLeaf, Waiter)> {
    let decided = waiters.into_par_iter().zip(&attempt.verdicts);
    let repeats = decided.filter_map(|(waiter, verdict)| {
        let answer = match verdict {
            Verdict::New(log, offset) => prove_new(attempt, *log, *offset).map(Outcome::Sequenced),
            Verdict::Repeated(log, offset) => prove_new(attempt, *log, *offset).map(Outcome::Duplicate),
            Verdict::Known(log, leaf) => return Some((*log, StoredLeaf::clone(leaf), waiter)),
            Verdict::Refused(error) => Err(error.clone()),
        };
        waiter.answer(answer);
        None
    });
    repeats.collect()
}

/// Proof of a new leaf, from memory.
fn prove_new(attempt: &Attempt, log: LogId, offset: usize) -> Result<Receipt, SubmitError> {
    let leaf = attempt.new_leaf(log, offset).ok_or(SubmitError::Unavailable)?;
    let next = attempt.tips.get(&log).ok_or(SubmitError::Unavailable)?;
    let proof = next.grown.inclusion(leaf.index).map_err(|error| {
        tracing::error!(%log, %error, "no proof for a new leaf");
        SubmitError::Unavailable
    })?;
    let hash = next.hashes.get(offset).ok_or(SubmitError::Unavailable)?;
    checked(
        Receipt {
            log,
            leaf: leaf.clone(),
            proof,
            head: Arc::clone(&next.head),
        },
        hash,
    )
}

/// Proof of a stored leaf at the current head.
async fn prove_stored(shared: &Shared, log: LogId, leaf: StoredLeaf) -> Answer {
    let view = shared.view(log).ok_or(SubmitError::UnknownLog(log))?;
    let proof = shared
        .reader
        .inclusion(log, &view, leaf.index, view.head.size)
        .await
        .map_err(|error| {
            tracing::error!(%log, %error, "no proof for a stored leaf");
            SubmitError::Unavailable
        })?;
    let hash = leaf_hash(&leaf.data);
    checked(
        Receipt {
            log,
            leaf,
            proof,
            head: Arc::clone(&view.head),
        },
        &hash,
    )
    .map(Outcome::Duplicate)
}

/// The proof of every receipt is verified before it leaves. One that fails is withheld: the submitter tries again,
/// and the operator sees the count.
fn checked(receipt: Receipt, hash: &Hash) -> Result<Receipt, SubmitError> {
    let head = &receipt.head;
    match verify_inclusion(receipt.leaf.index, head.size, hash, &receipt.proof, &head.root) {
        Ok(()) => Ok(receipt),
        Err(error) => {
            proof_failed(receipt.log, &error);
            Err(SubmitError::Unavailable)
        }
    }
}
