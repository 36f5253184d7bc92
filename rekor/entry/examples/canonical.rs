//! Reads proposed v1 entries, one JSON text a line, and writes for each what would be logged or why it is refused.
//!
//! For comparing with another implementation, see `tests/clients/rekor-judge`.

#![allow(clippy::print_stdout, reason = "its output is its result")]

use std::io::BufRead as _;

use rekor_entry::v1::{Policy, ProposedEntry};
use serde_json::json;

fn main() -> std::io::Result<()> {
    let policy = Policy::default();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let logged = ProposedEntry::parse(line.as_bytes()).and_then(|entry| entry.canonicalize(&policy));
        let answer = match logged {
            Ok(canonical) => json!({
                "body": String::from_utf8_lossy(&canonical.body),
                "keys": canonical.index_keys,
            }),
            Err(cause) => json!({ "error": cause.to_string() }),
        };
        println!("{answer}");
    }
    Ok(())
}
