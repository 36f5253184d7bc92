//! Every verifier of the matrix behind one question: a list of cases. Libraries answer it in one process.

use std::path::Path;
use std::process::Command;

use tests::stack::Stack;
use tests::{ok, run};

use super::cases::{Case, Sound};
use crate::matrix::clients::{Clients, REKOR_CLI, SIGBOX};

/// What is judged side by side. Those that start a process for each case take most of the time.
pub(super) const IN_PARALLEL: [&[&str]; 3] = [
    &["cosign", REKOR_CLI],
    &[SIGBOX, "go", "rust"],
    &["java", "python", "js", "js-cli"],
];

/// Whether a verifier is asked about a case. A process for each would take minutes, so those are asked about
/// fewer swaps than the libraries that they are made of.
pub(super) fn is_asked(verifier: &str, sound: &[Sound], case: &Case) -> bool {
    let bundle = &sound[case.sound];
    let whole = case.donor.is_none();
    match verifier {
        // It is asked for the entry alone, by the hash of its body.
        REKOR_CLI => case.is_sound() || case.change == "flipped tlogEntries.canonicalizedBody",
        "cosign" => {
            let twin = case.donor.is_none_or(|donor| sound[donor].kind == bundle.kind);
            bundle.made_by == "cosign" && twin
        }
        // Of the library `js` it is the command line.
        "js-cli" => {
            let flipped = case.change.starts_with("flipped");
            let asked = bundle.kind == "blob v1" || bundle.kind == "statement v1" && !flipped;
            whole && bundle.made_by == "cosign" && asked
        }
        SIGBOX => whole || bundle.made_by == SIGBOX,
        // The slowest library: one bundle of each kind is enough.
        "js" => whole || bundle.made_by != SIGBOX,
        _ => true,
    }
}

/// How a verifier judged.
pub(super) struct Verdict {
    /// Exit code 0, or the line `verified`.
    pub(super) accepted: bool,
    /// What it said.
    pub(super) says: String,
}

/// All of them, set up for one stack.
pub(super) struct Verifiers<'a> {
    stack: &'a Stack,
    clients: &'a Clients<'a>,
}

impl<'a> Verifiers<'a> {
    pub(super) fn new(stack: &'a Stack, clients: &'a Clients<'a>) -> Self {
        Self { stack, clients }
    }

    /// The verdicts of one verifier, in the order of the cases.
    pub(super) fn judge(&self, verifier: &str, sound: &[Sound], cases: &[&Case]) -> Vec<Verdict> {
        let list = self.stack.path(&format!("{verifier}.list"));
        match self.clients.verify_list(verifier, &list) {
            Some(mut command) => Self::listed(&mut command, &list, cases),
            None => cases
                .iter()
                .map(|case| self.alone(verifier, sound, case))
                .collect(),
        }
    }

    fn alone(&self, verifier: &str, sound: &[Sound], case: &Case) -> Verdict {
        let content = sound[case.sound].content;
        let clients = self.clients.expecting(&case.issuer);
        let mut command = clients.verify(verifier, content, &case.bundle, &case.who, &case.artifact);
        let ran = run(&mut command);
        Verdict {
            accepted: ran.code == Some(0),
            says: ran.text(),
        }
    }

    fn listed(command: &mut Command, list: &Path, cases: &[&Case]) -> Vec<Verdict> {
        let line = |case: &&Case| {
            let Case {
                bundle,
                who,
                issuer,
                artifact,
                ..
            } = case;
            format!("{}\t{who}\t{issuer}\t{}\n", bundle.display(), artifact.display())
        };
        std::fs::write(list, cases.iter().map(line).collect::<String>()).unwrap();
        let said = ok(command);
        let verdict = |line: &str| match line.split_once('\t') {
            None if line == "verified" => Verdict {
                accepted: true,
                says: String::new(),
            },
            Some(("refused", why)) => Verdict {
                accepted: false,
                says: why.to_owned(),
            },
            _ => panic!("{}: got {line:?}", said.line),
        };
        let verdicts: Vec<Verdict> = said.stdout.lines().map(verdict).collect();
        assert_eq!(
            verdicts.len(),
            cases.len(),
            "{}: some of the cases only",
            said.line
        );
        verdicts
    }
}
