//! Tests of the engine as a whole, on storage in memory. Each invariant of the design has one named after it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "tests"
)]

mod change;
mod clock;
mod faults;
mod flips;
mod harness;
mod import;
mod interleave;
mod matrix;
mod model;
mod obligations;
mod reads;
mod start;
mod workload;
mod writes;
