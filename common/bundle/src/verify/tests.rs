#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

mod conformance;
mod keyed;
mod recorded;
mod tampering;

use std::path::PathBuf;

/// Folder of the recorded vectors, where it is beside the repository.
fn vectors() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if path.is_dir() {
        Some(path)
    } else {
        eprintln!("skipped: the recorded vectors are not beside this repository");
        None
    }
}

/// What the conformance suite's bundles were signed by, unless a case says otherwise.
const SUBJECT: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";
