//! The certificate transparency log: what the authority issues becomes public here before it is used.
//!
//! One log with one leaf encoding, read in two dialects: RFC 6962 (`v1/get-sth`, `v1/get-entries`, …) and C2SP
//! static-ct-api (`checkpoint`, `tile/…`, `issuer/…`), which explicitly permits an RFC 6962 front. Every leaf carries the
//! `leaf_index` extension that static-ct-api requires, so a leaf is sequenced, durably, before its timestamp is signed.
//!
//! - [`CtPersonality`] makes leaves and signs tree heads for `common-engine`;
//! - [`CtLog::add_pre_chain`] validates a precertificate, logs it and answers with a signed certificate timestamp;
//! - [`router`] serves the reads, and takes precertificates where that is switched on.
//!
//! Submission over HTTP is off unless switched on: the one authority that feeds the log mostly runs in the same process.
//!
//! Left out: X.509 entries (Fulcio logs precertificates only), the storage and the sequencing itself.
//!
//! Built upon by `deploy/bin`, which opens the engine with the personality, connects [`CtLog`] to `fulcio-ca` and
//! mounts [`router`] under `/ct`.

mod api;
mod beside;
mod chain;
mod check;
mod log;
mod origin;
mod personality;

pub use api::router;
pub use chain::{AcceptedRoots, ChainError};
pub use check::CtCheck;
pub use log::{AddError, CtLog};
pub use origin::{OriginError, origin_of};
pub use personality::{CtPersonality, PersonalityError};

#[cfg(test)]
mod tests;
