//! Watching logs from the outside: everything here comes from public reads of a log, ours or another's.
//!
//! Implements: a bounded reader of C2SP tlog-tiles and static-ct-api logs over HTTP ([`Client`], [`LogReader`]), keys
//! of logs as their operators publish them ([`LogKey`]), single entries with their proofs ([`Proven`]), and [`check`],
//! which reads a whole log and builds its tree anew.
//!
//! Leaves out: the log engine, on purpose (an auditor that shares the writer shares its bugs); following a log over
//! time and watching for identities; Rekor v1, which serves no tiles.
//!
//! Whoever serves a log is not trusted: sizes are bounded before they are read, nothing is followed to another host,
//! and an answer is what it hashes to.
//!
//! Built upon by `deploy-bin` (`sigbox fsck --url`, `sigbox log`).

mod check;
mod client;
mod entry;
mod key;
mod leaves;
mod reader;

pub use check::{At, CheckError, Finding, Options, Report, Signature, check};
pub use client::{Client, FetchError, Limits};
pub use entry::{EntryError, Proven};
pub use key::{KeyError, LogKey};
pub use leaves::Dialect;
pub use reader::{LogReader, ReadError};
