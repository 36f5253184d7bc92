//! Client stories: each drives a real `sigbox` with the official clients, as a user would.
//!
//! One binary, a module per story. `tests/run it NAME` runs those whose name contains NAME.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

mod backup;
mod bombs;
mod completions;
mod conformance;
mod crash;
mod ct_log;
mod doctor;
mod doors;
mod durable;
mod folders;
mod fsck;
mod hardware_keys;
mod identities;
mod identity_records;
mod images;
mod import;
mod key_service;
mod login;
mod matrix;
mod monitor;
mod oidc;
mod openssl;
mod outbound;
mod overload;
mod own_client;
mod packages;
mod provenance;
mod readme;
mod refusals;
mod rekor_cli;
mod rekor_kinds;
mod rekor_v2;
mod rotation;
mod scorecard;
mod search;
mod separate;
mod serve;
mod setup;
mod signing;
mod slsa_vectors;
mod syscalls;
mod tampering;
mod tuf;
mod up;
