//! Whether a log may go on from where a backup has it.
//!
//! A log that is continued from a point before a checkpoint that was published signs a second history from there on: a
//! fork, which is for ever, and which every client that kept a checkpoint can prove. So a restore continues a log only if
//! it is shown, or told in words, that nothing came after the backup.
//!
//! | What is known of a log with head (N, R) | Verdict |
//! |---|---|
//! | somebody has size N with another root, or a smaller size whose root is not the backup's | fork: refused always |
//! | somebody has a size above N | frozen if asked for, else refused |
//! | the store of the instance, which is stopped and locked, stands at N | goes on |
//! | nothing, or only what is older than the backup, or single checkpoints of size N | goes on only if the operator says so in words; frozen if asked for; else refused |
//!
//! A single checkpoint of size N shows that N was published, not that nothing came after it. The same goes for a copy of
//! the instance's record (`published`), which says where the log stood when it was copied, and for that record itself,
//! which follows its store some time later. None of them shows the end of the log.

use common_engine::{Published, StoredLog};

use super::ArchiveError;

/// Where a published head was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The head in the store of the instance, of which it is certain that nobody writes to it any more.
    End,
    /// It was published, and more may have been: a checkpoint that somebody kept, or a record of checkpoints.
    Checkpoint,
}

/// A head that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The head.
    pub published: Published,
    /// What it shows.
    pub kind: Kind,
    /// Where it was found, for messages.
    pub source: String,
}

/// What the operator said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Logs that cannot go on may be restored frozen.
    pub freeze: bool,
    /// Nothing was published after the backup.
    pub nothing_since: bool,
}

/// What becomes of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes entries again.
    Continues,
    /// It is read, and never written again.
    Frozen,
}

/// Why a log is not restored.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Two histories.
    #[error(transparent)]
    Fork(ArchiveError),
    /// The backup is too old.
    #[error(
        "log {origin}: the backup ends at size {size}, but size {published} was published (seen in {source_name})"
    )]
    Newer {
        /// The log.
        origin: String,
        /// Size in the backup.
        size: u64,
        /// Largest published size known.
        published: u64,
        /// Where it was found.
        source_name: String,
    },
    /// Nobody knows whether it is.
    #[error("log {origin}: the backup ends at size {size}, and nothing shows whether more was published after it{}", hint(.older))]
    Unknown {
        /// The log.
        origin: String,
        /// Size in the backup.
        size: u64,
        /// Where something was found that does not show it.
        older: Option<String>,
    },
    /// A log that the backup does not have.
    #[error(
        "log {origin}: size {published} was published (seen in {source_name}), but the backup has no such log"
    )]
    Missing {
        /// The log.
        origin: String,
        /// Largest published size known.
        published: u64,
        /// Where it was found.
        source_name: String,
    },
}

fn hint(older: &Option<String>) -> String {
    older.as_ref().map_or_else(String::new, |source| {
        format!(" ({source} does not show the end of the log)")
    })
}

/// What becomes of one log. Smaller heads of `seen` are checked against the tree while it is rebuilt.
///
/// # Errors
/// [`Refusal`].
pub fn decide(log: &StoredLog, seen: &[Seen], word: Word) -> Result<Verdict, Refusal> {
    let (origin, head) = (&log.info.spec.origin, &log.head);
    let of_log: Vec<&Seen> = seen.iter().filter(|s| s.published.origin == *origin).collect();
    let other_root = |s: &&&Seen| s.published.size == head.size && s.published.root != head.root;
    if let Some(fork) = of_log.iter().find(other_root) {
        return Err(Refusal::Fork(ArchiveError::Fork {
            origin: origin.clone(),
            size: head.size,
            root: fork.published.root,
            got: head.root,
            seen_in: fork.source.clone(),
        }));
    }
    let newest = of_log.iter().max_by_key(|s| s.published.size);
    if let Some(newer) = newest.filter(|s| s.published.size > head.size) {
        return if word.freeze {
            Ok(Verdict::Frozen)
        } else {
            Err(Refusal::Newer {
                origin: origin.clone(),
                size: head.size,
                published: newer.published.size,
                source_name: newer.source.clone(),
            })
        };
    }
    let ends_here = |s: &&Seen| s.kind == Kind::End && s.published.size == head.size;
    if word.nothing_since || of_log.iter().any(ends_here) {
        Ok(Verdict::Continues)
    } else if word.freeze {
        Ok(Verdict::Frozen)
    } else {
        Err(Refusal::Unknown {
            origin: origin.clone(),
            size: head.size,
            older: newest.map(|s| s.source.clone()),
        })
    }
}

/// Published logs that the backup does not have: restoring it would let them begin again at nothing.
#[must_use]
pub fn missing(logs: &[StoredLog], seen: &[Seen]) -> Vec<Refusal> {
    let known = |s: &&Seen| logs.iter().any(|log| log.info.spec.origin == s.published.origin);
    let missing = seen.iter().filter(|s| !known(s) && s.published.size > 0);
    missing
        .map(|s| Refusal::Missing {
            origin: s.published.origin.clone(),
            published: s.published.size,
            source_name: s.source.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
