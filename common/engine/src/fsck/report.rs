//! What a check found.

use std::fmt;

use common_tlog::{Hash, TileId};

use super::Flaw;
use crate::index::IndexKey;
use crate::storage::Place;
use crate::types::{LogId, LogKind};

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// The store as a whole.
    Store,
    /// The row of a log.
    Log(LogId),
    /// The head of a log: size, root, checkpoint, time.
    Head(LogId),
    /// A leaf, or what is beside it.
    Leaf(LogId, u64),
    /// A tile, with its width in the tree.
    Tile(LogId, TileId, u16),
    /// An index row.
    Index(IndexKey, Place),
    /// An attachment.
    Attachment(String),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store => f.write_str("store"),
            Self::Log(log) => write!(f, "log {log}"),
            Self::Head(log) => write!(f, "log {log} head"),
            Self::Leaf(log, index) => write!(f, "log {log} leaf {index}"),
            Self::Tile(log, tile, width) => write!(f, "log {log} {}", tile.path(*width)),
            Self::Index(key, place) => {
                write!(
                    f,
                    "index row {:016x} of log {} leaf {}",
                    key.0, place.log, place.index
                )
            }
            Self::Attachment(key) => write!(f, "attachment {key:?}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub at: At,
    /// What it concerns there: `hash`, `checkpoint`, `signed entry timestamp`.
    pub what: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub got: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            what,
            expected,
            got,
        } = self;
        write!(f, "{at}: {what}: expected {expected}, got {got}")
    }
}

/// A log that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogReport {
    /// Its number.
    pub log: LogId,
    /// Its name.
    pub origin: String,
    /// Its kind.
    pub kind: LogKind,
    /// Leaves at the head found at the start.
    pub size: u64,
    /// The root over its leaves, computed anew.
    pub root: Hash,
}

/// What a check has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The logs, in the order asked for.
    pub logs: Vec<LogReport>,
    /// Index rows of these logs.
    pub index_rows: u64,
    /// Attachments in the store.
    pub attachments: u64,
    /// What is wrong, as far as it was kept.
    pub findings: Vec<Finding>,
    /// How much more is wrong.
    pub more: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }
}

/// Findings, the first so many of them.
pub(super) struct Findings {
    limit: usize,
    flaws: Flaws,
}

/// What remains of them.
#[derive(Default)]
pub(super) struct Flaws {
    pub(super) found: Vec<Finding>,
    pub(super) more: u64,
}

/// Longest text of a value in a finding: a leaf's content is not for a terminal.
const LONGEST: usize = 400;

impl Findings {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            flaws: Flaws::default(),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn add(&mut self, at: At, what: &str, expected: impl ToString, got: impl ToString) {
        if self.flaws.found.len() >= self.limit {
            return self.skip(1);
        }
        let cut = |text: String| -> String { text.chars().take(LONGEST).collect() };
        self.flaws.found.push(Finding {
            at,
            what: what.to_owned(),
            expected: cut(expected.to_string()),
            got: cut(got.to_string()),
        });
    }

    /// Counts what is not described.
    pub(super) fn skip(&mut self, count: u64) {
        self.flaws.more = self.flaws.more.saturating_add(count);
    }

    pub(super) fn flaw(&mut self, at: At, outcome: Result<(), Flaw>) {
        if let Err(Flaw { what, expected, got }) = outcome {
            self.add(at, what, expected, got);
        }
    }

    pub(super) fn finish(self) -> Flaws {
        self.flaws
    }
}
