#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

//! Reading the exchanges recorded from released servers.

use serde_json::Value;

use crate::Canonical;
use crate::committed::{self, CommittedEntry};

pub(crate) struct Exchange(Value);

impl Exchange {
    pub(crate) fn name(&self) -> &str {
        self.0["name"].as_str().unwrap()
    }

    pub(crate) fn request(&self) -> &str {
        self.0["request"].as_str().unwrap()
    }

    pub(crate) fn status(&self) -> u64 {
        self.0["status"].as_u64().unwrap()
    }

    pub(crate) fn posts_to(&self, path: &str) -> bool {
        self.0["method"] == "POST" && self.0["path"] == path && self.0.get("content_type").is_none()
    }

    /// `message` and `code` of the recorded answer.
    pub(crate) fn answer(&self) -> (String, u64) {
        let answer: Value = serde_json::from_str(self.0["response"].as_str().unwrap()).unwrap();
        (
            answer["message"].as_str().unwrap().to_owned(),
            answer["code"].as_u64().unwrap(),
        )
    }

    /// The leaf is the recorded one, is RFC 8785 JSON, and reads back; gives what was read.
    pub(crate) fn assert_same_leaf(&self, canonical: &Canonical) -> CommittedEntry {
        let (name, text) = (self.name(), |member: &str| self.0[member].as_str().unwrap());
        assert_eq!(
            std::str::from_utf8(&canonical.body).unwrap(),
            text("canonical_body"),
            "{name}"
        );
        assert_eq!(
            common_tlog::leaf_hash(&canonical.body).to_string(),
            text("leaf_hash"),
            "{name}"
        );
        let value: Value = serde_json::from_slice(&canonical.body).unwrap();
        assert_eq!(
            serde_json_canonicalizer::to_vec(&value).unwrap(),
            canonical.body,
            "{name}"
        );
        let read = committed::read(&canonical.body).unwrap();
        assert_eq!(
            (read.kind, read.api_version),
            (canonical.kind, canonical.api_version),
            "{name}"
        );
        read
    }
}

/// The exchanges of one file, or none where the vectors are not there.
#[allow(clippy::print_stderr, reason = "a skipped test says why")]
pub(crate) fn exchanges(file: &str) -> Vec<Exchange> {
    let path = format!("{}/../../../shared/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: recorded exchanges {file} are not beside this repository");
        return Vec::new();
    };
    text.lines()
        .map(|line| Exchange(serde_json::from_str(line).unwrap()))
        .collect()
}
