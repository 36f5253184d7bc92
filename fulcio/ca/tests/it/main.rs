//! The authority through its doors: HTTP and gRPC requests against the real router, with an issuer and a
//! certificate log made for the test. No network.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

mod advisories;
mod authority;
mod explain;
mod grpc;
mod hostile;
mod issuers;
mod keys;
mod limits;
mod policies;
mod requests;
mod shapes;
mod support;
mod tokens;
mod vectors;
