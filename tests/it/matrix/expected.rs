//! `tests/clients/expectations.toml`, and the page made of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use tests::clients::{Content, Rekor};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/expectations.toml");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/clients.md");
/// The cell of a bundle that verifies.
const YES: &str = "yes";

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// The columns, in order.
    pub(crate) verifiers: Vec<String>,
    /// The rows, in order.
    pub(crate) bundle: Vec<Bundle>,
    /// Rows that cannot be.
    absent: Vec<Absent>,
    reasons: BTreeMap<String, Reason>,
}

/// A row.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bundle {
    /// The client that signs.
    pub(crate) made_by: String,
    content: String,
    rekor: String,
    /// Kind and version of the entry that it writes.
    pub(crate) entry: String,
    cells: BTreeMap<String, String>,
}

/// A bundle that a client has no way to make.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Absent {
    made_by: String,
    what: String,
    why: String,
}

/// Why a verifier refuses what others accept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    /// Part of what it prints.
    pub(crate) says: String,
    /// For people.
    pub(crate) why: String,
}

/// What a cell holds.
pub(crate) enum Outcome<'a> {
    Verifies,
    Refuses(&'a Reason),
}

impl Bundle {
    /// For file names and messages.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}-{}", self.made_by, self.content, self.rekor)
    }

    /// What is signed.
    pub(crate) fn content(&self) -> Content {
        match self.content.as_str() {
            "blob" => Content::Blob,
            "statement" => Content::Statement,
            other => panic!("content is blob or statement, got {other}"),
        }
    }

    /// The Rekor it is logged in.
    pub(crate) fn rekor(&self) -> Rekor {
        let known = Rekor::BOTH.into_iter().find(|rekor| rekor.name() == self.rekor);
        known.unwrap_or_else(|| panic!("rekor is v1 or v2, got {}", self.rekor))
    }
}

impl Expected {
    /// Reads the file: every row has a cell for every column, every reason is given and used.
    pub(crate) fn read() -> Self {
        let expected: Self = toml::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
        let mut unused: Vec<&String> = expected.reasons.keys().collect();
        for bundle in &expected.bundle {
            let mut columns: Vec<&String> = bundle.cells.keys().collect();
            let mut verifiers: Vec<&String> = expected.verifiers.iter().collect();
            columns.sort();
            verifiers.sort();
            assert_eq!(
                columns,
                verifiers,
                "{}: one cell for each verifier",
                bundle.name()
            );
            unused.retain(|reason| !bundle.cells.values().any(|cell| cell == *reason));
        }
        assert!(unused.is_empty(), "reasons of no cell: {unused:?}");
        expected
    }

    /// What is expected of `verifier`.
    pub(crate) fn outcome(&self, bundle: &Bundle, verifier: &str) -> Outcome<'_> {
        let cell = &bundle.cells[verifier];
        if cell == YES {
            return Outcome::Verifies;
        }
        let reason = self.reasons.get(cell);
        Outcome::Refuses(reason.unwrap_or_else(|| panic!("{}: {cell} is no reason", bundle.name())))
    }

    /// Compares the page with the file, or writes it when told to.
    pub(crate) fn publish(&self) {
        publish("matrix", &self.markdown());
    }

    fn markdown(&self) -> String {
        let mut out = String::from("\n| Signed by | What | Rekor | Entry |");
        for verifier in &self.verifiers {
            write!(out, " {verifier} |").unwrap();
        }
        out.push_str("\n|---|---|---|---|");
        out.push_str(&":-:|".repeat(self.verifiers.len()));
        out.push('\n');
        let numbers: BTreeMap<&String, usize> = self.reasons.keys().zip(1..).collect();
        for bundle in &self.bundle {
            let Bundle {
                made_by,
                content,
                rekor,
                entry,
                cells,
            } = bundle;
            write!(out, "| {made_by} | {content} | {rekor} | {entry} |").unwrap();
            for verifier in &self.verifiers {
                match cells[verifier].as_str() {
                    YES => out.push_str(" ✓ |"),
                    reason => write!(out, " no [{}] |", numbers[&reason.to_owned()]).unwrap(),
                }
            }
            out.push('\n');
        }
        out.push('\n');
        for ((name, reason), number) in self.reasons.iter().zip(1..) {
            writeln!(
                out,
                "{number}. `{name}`: {} It says “{}”.",
                reason.why, reason.says
            )
            .unwrap();
        }
        out.push_str("\nNot in the table:\n\n");
        for Absent { made_by, what, why } in &self.absent {
            writeln!(out, "- {made_by}, {what}: {why}").unwrap();
        }
        out.push('\n');
        out
    }
}

/// Compares what the page has between the marks of a story with what the story found, or writes it when told to.
pub(crate) fn publish(story: &str, found: &str) {
    let begin = format!(
        "<!-- {story}: written by the story `{story}`; SIGBOX_WRITE_DOCS=1 tests/run it {story} -->\n"
    );
    let end = format!("<!-- {story}: end -->\n");
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page
        .split_once(&begin)
        .unwrap_or_else(|| panic!("docs/clients.md has no line {begin}"));
    let (_, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("docs/clients.md has no line {end}"));
    let fresh = format!("{before}{begin}{found}{end}{after}");
    if std::env::var_os("SIGBOX_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, fresh).unwrap();
    } else {
        assert!(
            page == fresh,
            "docs/clients.md is stale: SIGBOX_WRITE_DOCS=1 tests/run it {story}"
        );
    }
}
