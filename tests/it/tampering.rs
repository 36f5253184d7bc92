//! Nothing of a bundle can be changed, swapped or passed off as another's: each field flipped, each part of every other bundle
//! put in, another identity, issuer or artifact, and every verifier refuses.
//!
//! What a released verifier does not look at is listed in `tests/clients/unread.toml` with the reason; one that begins to look,
//! or stops to, fails the story. `docs/clients.md` shows the list.

mod cases;
mod unread;
mod verifiers;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use tests::say;
use tests::stack::Stack;

use self::cases::{Case, Sound};
use self::unread::Unread;
use self::verifiers::{Verdict, Verifiers};
use crate::matrix::clients::Clients;
use crate::matrix::expected::{Expected, Outcome};

/// Rows of the matrix that are damaged: every kind of entry that a client writes.
const ROWS: [(&str, &str, &str); 10] = [
    ("cosign", "blob", "v1"),
    ("cosign", "blob", "v2"),
    ("cosign", "statement", "v1"),
    ("cosign", "statement", "v2"),
    ("sigbox", "blob", "v1"),
    ("sigbox", "blob", "v2"),
    ("sigbox", "statement", "v1"),
    ("sigbox", "statement", "v2"),
    ("js-cli", "statement", "v1"),
    ("js", "statement", "v2"),
];

#[test]
fn the_page_shows_what_is_not_looked_at() {
    Unread::read().publish();
}

#[test]
fn no_verifier_accepts_a_flipped_field_a_swapped_part_or_a_wrong_name() {
    let (expected, mut unread) = (Expected::read(), Unread::read());
    let stack = Stack::ephemeral();
    let clients = Clients::prepare(&stack);
    let sound = Sound::all(&stack, &clients, &expected, &ROWS);
    let cases = cases::all(&stack, &sound);
    let verifiers = Verifiers::new(&stack, &clients);

    let judged = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for names in verifiers::IN_PARALLEL {
            let (judged, verifiers, cases, sound, expected) =
                (&judged, &verifiers, &cases, &sound, &expected);
            scope.spawn(move || {
                for name in names.iter().copied() {
                    // Only of a bundle that it accepts as it is does a refusal say something.
                    let asked: Vec<&Case> = cases
                        .iter()
                        .filter(|case| {
                            let row = &expected.bundle[sound[case.sound].row];
                            matches!(expected.outcome(row, name), Outcome::Verifies)
                                && verifiers::is_asked(name, sound, case)
                        })
                        .collect();
                    let begun = Instant::now();
                    let verdicts = verifiers.judge(name, sound, &asked);
                    say(&format!(
                        "{name}: {} verdicts in {:.1} s",
                        asked.len(),
                        begun.elapsed().as_secs_f32()
                    ));
                    judged.lock().unwrap().insert(name, (asked, verdicts));
                }
            });
        }
    });

    let judged = judged.into_inner().unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (verifier, (asked, verdicts)) in &judged {
        count += asked.len();
        for (case, verdict) in asked.iter().zip(verdicts) {
            wrong.extend(misjudged(verifier, case, &sound, verdict, &mut unread));
        }
    }
    wrong.extend(unread.read_now());
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    say(&format!(
        "{} changes of {} bundles, {count} verdicts of {} verifiers as expected",
        cases.len(),
        sound.len(),
        judged.len()
    ));
}

/// What is wrong with a verdict, if anything is.
fn misjudged(
    verifier: &str,
    case: &Case,
    sound: &[Sound],
    verdict: &Verdict,
    unread: &mut Unread,
) -> Option<String> {
    let kind = &sound[case.sound].kind;
    let cell = format!("{verifier} on {kind}: {}", case.name(sound));
    if case.is_sound() {
        return (!verdict.accepted).then(|| format!("{cell}: expected to verify, refused: {}", verdict.says));
    }
    let surprise = verdict.accepted && !unread.accepted(verifier, kind, &case.change);
    surprise.then(|| format!("{cell}: accepted"))
}
