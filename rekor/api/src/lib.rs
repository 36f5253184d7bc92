//! The HTTP APIs of the two Rekor generations over the log engine.
//!
//! Implements: [`v1`], the REST API of rekor-server with its signed entry timestamps, shards, index search
//! and attestations; [`v2`], the write API of rekor-tiles and the C2SP tlog-tiles reads; and the [`RekorV1`]
//! and [`RekorV2`] personalities with which the engine seals entries and signs tree heads of the two. Each
//! API maps every failure to its answer in one file, `error.rs`.
//!
//! Leaves out: what an entry is and whether its signatures hold (`rekor-entry`), sequencing, proofs and
//! storage (`common-engine`), keys (a `common_pki` signer is given), listeners, metrics endpoint and request
//! IDs (`common-server`), the search page, gRPC.
//!
//! Built upon by `deploy-bin`, which composes both routers with those of the other services on one origin.

mod json;
mod personality;
pub mod search;
mod terms;
pub mod v1;
pub mod v2;

pub use personality::{RekorV1, RekorV1Check, RekorV2, RekorV2Check};

#[cfg(test)]
mod testing;
