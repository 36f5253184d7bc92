//! What the tests of this crate read: material made with OpenSSL, and vectors where they are present.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::path::PathBuf;

pub(crate) const MESSAGE: &[u8] = b"sigbox test message";

pub(crate) fn read_bytes(name: &str) -> Vec<u8> {
    std::fs::read(
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("testdata")
            .join(name),
    )
    .unwrap()
}

pub(crate) fn read(name: &str) -> String {
    String::from_utf8(read_bytes(name)).unwrap()
}

/// The folder of captured vectors, or a printed reason why the test does nothing.
pub(crate) fn vectors() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: no captured vectors at ../shared/vectors");
    None
}
