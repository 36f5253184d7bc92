//! `tests/clients/unread.toml`, and the part of the page that is made of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Deserialize;

use crate::matrix::expected::publish;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/unread.toml");

/// The whole file, and what of it was seen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unread {
    accepts: Vec<Accepts>,
    #[serde(skip)]
    seen: BTreeSet<Cell>,
}

/// A verifier, a kind of bundle, a change.
type Cell = (String, String, String);

/// Changes that do not make verifiers refuse.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepts {
    verifiers: Vec<String>,
    /// Kinds of bundle.
    bundles: Vec<String>,
    changes: Vec<String>,
    why: String,
    /// Whether it depends on what else is in the log.
    #[serde(default)]
    depends: bool,
}

impl Accepts {
    fn cells(&self) -> impl Iterator<Item = Cell> {
        let all = self.verifiers.iter().flat_map(move |verifier| {
            let bundles = self.bundles.iter();
            bundles.flat_map(move |bundle| self.changes.iter().map(move |change| (verifier, bundle, change)))
        });
        all.map(|(verifier, bundle, change)| (verifier.clone(), bundle.clone(), change.clone()))
    }
}

impl Unread {
    /// Reads the file.
    pub(super) fn read() -> Self {
        toml::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap()
    }

    /// Notes that `verifier` accepted a change; whether that is known.
    pub(super) fn accepted(&mut self, verifier: &str, bundle: &str, change: &str) -> bool {
        let cell = (verifier.to_owned(), bundle.to_owned(), change.to_owned());
        let known = self
            .accepts
            .iter()
            .any(|it| it.cells().any(|listed| listed == cell));
        self.seen.insert(cell);
        known
    }

    /// What is listed and was refused, whichever bundle the part came from.
    pub(super) fn read_now(&self) -> Vec<String> {
        let fixed = self.accepts.iter().filter(|it| !it.depends);
        fixed
            .flat_map(Accepts::cells)
            .filter(|cell| !self.seen.contains(cell))
            .map(|(verifier, bundle, change)| {
                format!("{verifier} on {bundle}: {change}: refused, and unread.toml says that it is accepted")
            })
            .collect()
    }

    /// Compares the page with the file, or writes it when told to.
    pub(super) fn publish(&self) {
        let mut table = String::from("\n| Verifiers | Bundles | Accepted | Because |\n|---|---|---|---|\n");
        for it in &self.accepts {
            let list = |items: &[String]| items.join(", ");
            writeln!(
                table,
                "| {} | {} | {} | {} |",
                list(&it.verifiers),
                list(&it.bundles),
                list(&it.changes),
                it.why
            )
            .unwrap();
        }
        table.push('\n');
        publish("tampering", &table);
    }
}
