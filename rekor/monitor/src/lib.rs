//! Watching logs from the outside: everything here comes from public reads of a log, ours or another's.
//!
//! Implements: a bounded reader of C2SP tlog-tiles and static-ct-api logs over HTTP ([`Client`], [`LogReader`]), keys
//! of logs as their operators publish them ([`LogKey`]), single entries with their proofs ([`Proven`]), [`check`], which
//! reads a whole log and builds its tree anew, and following: [`discover`] finds the logs of an instance by the keys that
//! are trusted, whatever interface they have, [`advance`] reads what is new and proves that it extends what was there, and a
//! [`Watch`] says whom it concerns.
//!
//! Leaves out: the log engine, on purpose (an auditor that shares the writer shares its bugs); what becomes of what was
//! found, and where the place of a follower is kept between two runs.
//!
//! Whoever serves a log is not trusted: sizes are bounded before they are read, nothing is followed to another host,
//! and an answer is what it hashes to.
//!
//! Built upon by `deploy-bin` (`sigbox monitor`, `sigbox fsck --url`, `sigbox log`).

mod check;
mod client;
mod discover;
mod entry;
mod follow;
mod key;
mod leaves;
mod reader;
mod source;
mod watch;

pub use check::{At, CheckError, Finding, Options, Report, Signature, check};
pub use client::{Client, FetchError, Limits};
pub use discover::{Discovered, Found, LogKind, discover};
pub use entry::{EntryError, Proven};
pub use follow::{FollowError, Inconsistent, Step, advance, extends, join};
pub use key::{KeyError, LogKey};
pub use leaves::Dialect;
pub use reader::{LogReader, ReadError};
pub use source::{Content, Head, Leaf, RekorV1, Rfc6962, Source, SourceError, Tiled};
pub use watch::{Sighting, Unreadable, Watch, facts};
