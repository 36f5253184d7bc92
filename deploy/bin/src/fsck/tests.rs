#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]
//! A byte flipped anywhere in a small store is found, and named by its leaf, tile, row or attachment.
//!
//! The store is made by the real services: hashedrekord, dsse and intoto entries in Rekor v1, entries in v2,
//! precertificates in the certificate log. Every some-hundredth byte is flipped, or every single one with
//! `SIGBOX_FAULTS=all`.

mod file;
mod store;
mod values;

/// Between two bytes that are flipped: 1 in the long form.
fn step(short: usize) -> usize {
    match std::env::var_os("SIGBOX_FAULTS") {
        Some(form) if form == "all" => 1,
        _ => short,
    }
}
