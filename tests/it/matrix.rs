//! Every client signs, and every client verifies every other's bundle: `tests/clients/expectations.toml` lists each cell
//! with its outcome, and `docs/clients.md` shows it. An unexpected pass fails too.
//!
//! `SIGBOX_WRITE_DOCS=1 tests/run it matrix` writes the page anew.

pub(crate) mod clients;
pub(crate) mod expected;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tests::clients::Content;
use tests::stack::Stack;
use tests::{Ran, run, say};

use self::clients::Clients;
use self::expected::{Bundle, Expected, Outcome};

const WHO: &str = "dev@example.com";
/// Processes at a time: most are start-up.
const AT_ONCE: usize = 3;

/// Runs each job on a few threads; what they found wrong, in no order.
fn each<T: Sync>(jobs: &[T], work: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    found.lock().unwrap().extend(work(job));
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// Kind and version of the log entry in a bundle.
fn entry(bundle: &Path) -> String {
    let bundle: Value = serde_json::from_slice(&std::fs::read(bundle).unwrap()).unwrap();
    let kind = &bundle["verificationMaterial"]["tlogEntries"][0]["kindVersion"];
    format!(
        "{} {}",
        kind["kind"].as_str().unwrap(),
        kind["version"].as_str().unwrap()
    )
}

/// An artifact, a statement about it, and the bundles that the clients made of them.
struct Made {
    artifact: PathBuf,
    bundles: Vec<PathBuf>,
}

fn make(stack: &Stack, clients: &Clients<'_>, expected: &Expected) -> Made {
    let artifact = stack.file("artifact", "what everybody signs");
    let statement = clients::statement(stack, &artifact);
    let path = |bundle: &Bundle| stack.path(&format!("{}.json", bundle.name()));
    let wrong = each(&expected.bundle, |bundle| {
        let file = match bundle.content() {
            Content::Blob => &artifact,
            Content::Statement => &statement,
        };
        clients.sign(bundle, WHO, file, &artifact, &path(bundle));
        let made = entry(&path(bundle));
        (made != bundle.entry)
            .then(|| format!("{}: expected entry {}, got {made}", bundle.name(), bundle.entry))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Made {
        artifact,
        bundles: expected.bundle.iter().map(path).collect(),
    }
}

/// What is wrong with how a verifier ended, if anything is.
fn judge(outcome: &Outcome<'_>, ran: &Ran) -> Option<String> {
    match (outcome, ran.code) {
        (Outcome::Verifies, Some(0)) => None,
        (Outcome::Verifies, _) => Some("expected to verify, was refused".to_owned()),
        (Outcome::Refuses(reason), Some(0)) => {
            Some(format!("verified; expected a refusal because {}", reason.why))
        }
        (Outcome::Refuses(_), None) => Some("expected a refusal, ended by a signal".to_owned()),
        (Outcome::Refuses(reason), Some(_)) => (!ran.text().contains(&reason.says))
            .then(|| format!("expected a refusal that says {:?}", reason.says)),
    }
}

#[test]
fn the_page_shows_what_is_expected() {
    Expected::read().publish();
}

#[test]
fn every_client_verifies_every_other() {
    let expected = Expected::read();
    let stack = Stack::ephemeral();
    let clients = Clients::prepare(&stack);
    let made = make(&stack, &clients, &expected);

    let mut jobs = Vec::new();
    for (bundle, path) in expected.bundle.iter().zip(&made.bundles) {
        for verifier in &expected.verifiers {
            jobs.push((bundle, path, verifier));
        }
    }
    let wrong = each(&jobs, |(bundle, path, verifier)| {
        let cell = format!("{verifier} on {}", bundle.name());
        let content = bundle.content();
        let outcome = expected.outcome(bundle, verifier);
        let ran = run(&mut clients.verify(verifier, content, path, WHO, &made.artifact));
        if let Some(wrong) = judge(&outcome, &ran) {
            return Some(format!("{cell}: {wrong}\n{}\n{}", ran.line, ran.text()));
        }
        // Who signed is part of what is verified; a log's own client knows nobody.
        if matches!(outcome, Outcome::Verifies) && *verifier != clients::REKOR_CLI {
            let mut stranger = clients.verify(verifier, content, path, "other@example.com", &made.artifact);
            let ran = run(&mut stranger);
            if ran.code == Some(0) {
                return Some(format!("{cell}: verified for somebody else"));
            }
        }
        None
    });
    assert!(
        wrong.is_empty(),
        "{} of {} cells:\n{}",
        wrong.len(),
        jobs.len(),
        wrong.join("\n\n")
    );
    say(&format!(
        "{} bundles, {} cells as expected",
        made.bundles.len(),
        jobs.len()
    ));
}
