//! Checking a whole store: every leaf, tile, index row and attachment, against each other and the signed heads.
//!
//! The store may be in use: each log is checked at the head found at the start, and what a writer adds meanwhile is
//! neither read nor complained of. Memory stays bounded whatever the size of the logs: leaves pass in batches, and the
//! index is compared by sums before a row is held (see `index`).
//!
//! The engine checks what is its own: leaves against tiles, tiles against the root, keys of the index, order of times.
//! What a kind of log keeps in and beside its leaves it cannot judge; a [`KindCheck`] does. Built upon by
//! `sigbox fsck` and by whatever must trust a store again, such as a restore.

mod attachments;
mod index;
mod leaves;
mod report;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use common_tlog::Hash;

pub use self::report::{At, Finding, LogReport, Report};

use self::index::IndexSums;
use self::report::{Findings, Flaws};
use self::source::Source;
use crate::anchor::Published;
use crate::error::StorageError;
use crate::index::{IndexKey, IndexSecret};
use crate::storage::{Storage, StoredLog};
use crate::terms::{self, Indexed};
use crate::types::{Head, LogId, LogSpec, StoredLeaf};
use crate::verify;

/// Something beside or within a leaf, a head or an attachment is not as its kind of log writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// What it concerns: `signed entry timestamp`.
    pub what: &'static str,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub got: String,
}

/// The search terms of a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// As they were given with the entry, whatever version of the program logged it.
    pub known: Vec<String>,
    /// As [`crate::Personality::terms`]: those that an older leaf has only once they were written behind it.
    pub later: Vec<String>,
    /// False where the entry had others too, which are no longer to be told.
    pub complete: bool,
}

/// What one kind of log knows about its leaves and heads, with public keys alone. All methods are pure and run on
/// several threads.
pub trait KindCheck: Send + Sync + 'static {
    /// As [`crate::Personality::identity`].
    fn identity(&self, leaf: &StoredLeaf, hash: &Hash) -> Hash {
        let _ = leaf;
        *hash
    }

    /// Verifies the signature of the checkpoint, and the time where it is signed.
    ///
    /// # Errors
    /// [`Flaw`].
    fn head(&self, head: &Head) -> Result<(), Flaw>;

    /// As [`crate::Personality::terms_version`].
    fn terms_version(&self) -> u32 {
        0
    }

    /// The search terms of the leaf.
    ///
    /// # Errors
    /// [`Flaw`] if leaf or record are none of this kind.
    fn terms(&self, leaf: &StoredLeaf) -> Result<Terms, Flaw>;

    /// Keys of the attachments that the leaf refers to.
    ///
    /// # Errors
    /// [`Flaw`] if leaf or record are none of this kind.
    fn attachments(&self, leaf: &StoredLeaf) -> Result<Vec<String>, Flaw>;

    /// Checks index and time of a leaf, and what is kept beside it, against the leaf. `attachments` are those of
    /// [`KindCheck::attachments`], in that order, all of them.
    ///
    /// # Errors
    /// [`Flaw`].
    fn leaf(&self, leaf: &StoredLeaf, attachments: &[Bytes]) -> Result<(), Flaw>;

    /// Checks that an attachment is what its key says; `None` if it is none of this kind's.
    fn attachment(&self, key: &str, data: &[u8]) -> Option<Result<(), Flaw>>;
}

/// A log to check.
#[derive(Clone)]
pub struct LogCheck {
    /// Its number in the store.
    pub id: LogId,
    /// What its row must say; `created` is not compared.
    pub spec: LogSpec,
    /// What its kind knows.
    pub kind: Arc<dyn KindCheck>,
}

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A log is begun.
    Log {
        /// Which one.
        log: LogId,
        /// Leaves it has.
        size: u64,
    },
    /// So many of its leaves are done.
    Leaves(u64),
    /// So many index rows are done.
    Index(u64),
    /// So many attachments are done.
    Attachments(u64),
}

/// What is checked, and what with.
pub struct Fsck<'a> {
    /// The store.
    pub storage: &'a dyn Storage,
    /// The logs to check. Others of the store are left out, with their index rows.
    pub logs: &'a [LogCheck],
    /// Heads that were published before, read before this check began.
    pub published: &'a [Published],
    /// Most findings to keep.
    pub limit: usize,
    /// Told now and then how far the check is.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

impl Fsck<'_> {
    /// Checks everything.
    ///
    /// # Errors
    /// The store cannot be read at all: its rows of logs or its secret. Whatever else cannot be read is a finding.
    pub async fn run(&self) -> Result<Report, StorageError> {
        let mut findings = Findings::new(self.limit);
        let secret = self.storage.secret().await?;
        let heads = self.heads().await?;
        for published in self.published {
            self.check_published(&heads, published, &mut findings).await;
        }
        let mut sums = IndexSums::default();
        let mut logs = Vec::new();
        let mut checked = Vec::new();
        for check in self.logs {
            let Some(stored) = heads.get(&check.id) else {
                findings.add(
                    At::Log(check.id),
                    "log",
                    &check.spec.origin,
                    "no such log in the store",
                );
                continue;
            };
            check_row(stored, &check.spec, &mut findings);
            (self.progress)(Progress::Log {
                log: check.id,
                size: stored.head.size,
            });
            let source = Source {
                storage: self.storage,
                log: check.id,
                leaf_limit: check.spec.leaf_limit,
            };
            // Before the leaves: what is written behind them meanwhile may be there, and need not.
            let indexed = self.indexed(check, &secret).await?;
            let rows = Arc::new(Rows {
                kind: Arc::clone(&check.kind),
                secret,
                log: check.id,
                indexed,
            });
            let pass = leaves::Pass {
                source: &source,
                rows: &rows,
                head: &stored.head,
                progress: self.progress,
            };
            let (root, walked) = pass.run(&mut findings, &mut sums).await;
            let head = check.kind.head(&stored.head);
            findings.flaw(At::Head(check.id), head);
            logs.push(LogReport {
                log: check.id,
                origin: stored.info.spec.origin.clone(),
                kind: stored.info.spec.kind,
                size: stored.head.size,
                root,
            });
            checked.push(index::Walked {
                source,
                rows,
                marks: terms::mark_keys(&secret, check.id, check.kind.terms_version()),
                size: walked,
            });
        }
        let whole = heads.keys().all(|id| self.logs.iter().any(|log| log.id == *id));
        let index = index::Pass {
            storage: self.storage,
            logs: &checked,
            whole,
            progress: self.progress,
        };
        let index_rows = index.run(sums, &mut findings).await;
        let attachments =
            attachments::check(self.storage, self.logs, whole, self.progress, &mut findings).await;
        for walked in &checked {
            self.check_beyond(&walked.source, walked.size, &mut findings)
                .await?;
        }
        let Flaws { found, more } = findings.finish();
        Ok(Report {
            logs,
            index_rows,
            attachments,
            findings: found,
            more,
        })
    }

    /// Which leaves of a log must have the terms of this version. A log that no such version has opened yet has none.
    async fn indexed(&self, check: &LogCheck, secret: &IndexSecret) -> Result<Indexed, StorageError> {
        let all_missing = Indexed {
            from: u64::MAX,
            ..Indexed::default()
        };
        match check.kind.terms_version() {
            0 => Ok(Indexed::default()),
            version => {
                let found = terms::load(self.storage, secret, check.id, version).await?;
                Ok(found.unwrap_or(all_missing))
            }
        }
    }

    async fn heads(&self) -> Result<BTreeMap<LogId, StoredLog>, StorageError> {
        let logs = self.storage.logs().await?;
        Ok(logs.into_iter().map(|log| (log.info.id, log)).collect())
    }

    async fn check_published(
        &self,
        heads: &BTreeMap<LogId, StoredLog>,
        published: &Published,
        findings: &mut Findings,
    ) {
        let log = heads
            .values()
            .find(|log| log.info.spec.origin == published.origin);
        let expected = || {
            format!(
                "{} size {} root {}",
                published.origin, published.size, published.root
            )
        };
        let Some(log) = log else {
            findings.add(
                At::Store,
                "published checkpoint",
                expected(),
                "no such log in the store",
            );
            return;
        };
        let extends = verify::verify_extends(
            self.storage,
            log.info.id,
            &log.head,
            published.size,
            &published.root,
        );
        if let Err(error) = extends.await {
            findings.add(At::Log(log.info.id), "published checkpoint", expected(), error);
        }
    }

    /// Behind the head is nothing but what a writer has added since, under a head of its own.
    async fn check_beyond(
        &self,
        source: &Source<'_>,
        walked: u64,
        findings: &mut Findings,
    ) -> Result<(), StorageError> {
        let size_now = async || -> Result<u64, StorageError> {
            let heads = self.heads().await?;
            Ok(heads.get(&source.log).map_or(0, |log| log.head.size))
        };
        let before = size_now().await?.max(walked);
        let (leaves, tiles) = source.beyond(before, findings).await;
        if leaves.is_empty() && tiles.is_empty() {
            return Ok(());
        }
        // Whatever was seen is under the head that is read after it.
        let now = size_now().await?;
        for index in leaves.into_iter().filter(|index| *index >= now) {
            let at = At::Leaf(source.log, index);
            findings.add(
                at,
                "leaf",
                format!("none behind the head of size {now}"),
                "a leaf",
            );
        }
        for (tile, got) in tiles {
            let width = usize::from(tile.width(now));
            if got > width.saturating_mul(32) {
                let at = At::Tile(source.log, tile, tile.width(now).max(1));
                findings.add(
                    at,
                    "tile",
                    format!("{width} hashes at size {now}"),
                    format!("{got} bytes"),
                );
            }
        }
        Ok(())
    }
}

/// The row of the log, and its checkpoint, say the same (C2SP tlog-checkpoint "Note text").
fn check_row(stored: &StoredLog, spec: &LogSpec, findings: &mut Findings) {
    let (id, got) = (stored.info.id, &stored.info.spec);
    let fields = [
        ("kind", spec.kind.name().to_owned(), got.kind.name().to_owned()),
        ("origin", spec.origin.clone(), got.origin.clone()),
        ("tree ID", spec.tree_id.to_string(), got.tree_id.to_string()),
        ("key ID", spec.key_id.clone(), got.key_id.clone()),
        (
            "leaf limit",
            spec.leaf_limit.to_string(),
            got.leaf_limit.to_string(),
        ),
    ];
    for (what, expected, got) in fields {
        if expected != got {
            findings.add(At::Log(id), what, expected, got);
        }
    }
    if let Err(corrupt) = verify::check_checkpoint(id, &spec.origin, &stored.head) {
        findings.add(At::Head(id), "checkpoint", "the text of this head", corrupt);
    }
    if stored.head.size == 0 && stored.head.root != common_tlog::empty_root() {
        let expected = common_tlog::empty_root();
        findings.add(At::Head(id), "root", expected, stored.head.root);
    }
}

/// What makes the index rows of one log's leaves.
struct Rows {
    kind: Arc<dyn KindCheck>,
    secret: IndexSecret,
    log: LogId,
    indexed: Indexed,
}

/// Index rows of one leaf.
#[derive(Default)]
struct LeafRows {
    /// Keys that must be there, each once.
    keys: Vec<IndexKey>,
    /// Keys that may be there: they are being written behind an older leaf.
    allowed: Vec<IndexKey>,
    /// There may be others, which are no longer to be told.
    others: bool,
}

impl Rows {
    fn of(&self, leaf: &StoredLeaf, hash: &Hash) -> Result<LeafRows, Flaw> {
        let Terms {
            known,
            later,
            complete,
        } = self.kind.terms(leaf)?;
        let mut keys = vec![
            self.secret.leaf(self.log, hash),
            self.secret.leaf(self.log, &self.kind.identity(leaf, hash)),
        ];
        let of = |terms: Vec<String>| -> Vec<IndexKey> {
            terms.iter().map(|term| self.secret.term(term)).collect()
        };
        keys.extend(of(known));
        let mut allowed = Vec::new();
        match self.indexed.covers(leaf.index) {
            true => keys.extend(of(later)),
            false => allowed = of(later),
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(LeafRows {
            keys,
            allowed,
            others: !complete,
        })
    }

    /// Those of a leaf that its kind may not understand: then it has its hash, and nobody knows what else.
    fn at_least(&self, leaf: &StoredLeaf, hash: &Hash) -> LeafRows {
        self.of(leaf, hash).unwrap_or_else(|_| LeafRows {
            keys: vec![self.secret.leaf(self.log, hash)],
            others: true,
            ..LeafRows::default()
        })
    }
}

#[cfg(test)]
mod tests;
