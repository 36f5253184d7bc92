#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use common_engine::{Head, LogId, LogInfo, LogKind, LogSpec, LogState};
use common_tlog::Hash;

use super::*;

const ORIGIN: &str = "log.test";
const R: Hash = Hash([1; 32]);
const OTHER: Hash = Hash([2; 32]);

fn log(size: u64) -> StoredLog {
    StoredLog {
        info: LogInfo {
            id: LogId(3),
            spec: LogSpec {
                kind: LogKind::RekorV2,
                origin: ORIGIN.to_owned(),
                tree_id: 0,
                key_id: String::new(),
                leaf_limit: 100,
                created: 0,
            },
            state: LogState::Active,
        },
        head: Head {
            size,
            root: R,
            checkpoint: String::new(),
            time: 0,
        },
    }
}

fn seen(kind: Kind, size: u64, root: Hash) -> Seen {
    Seen {
        published: Published {
            origin: ORIGIN.to_owned(),
            size,
            root,
        },
        kind,
        source: format!("{kind:?} of {size}"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Continues,
    Frozen,
    Fork,
    Newer(u64),
    Unknown,
}

fn got(verdict: Result<Verdict, Refusal>) -> Expect {
    match verdict {
        Ok(Verdict::Continues) => Expect::Continues,
        Ok(Verdict::Frozen) => Expect::Frozen,
        Err(Refusal::Fork(_)) => Expect::Fork,
        Err(Refusal::Newer { published, .. }) => Expect::Newer(published),
        Err(Refusal::Unknown { .. }) => Expect::Unknown,
        Err(other @ Refusal::Missing { .. }) => panic!("{other}"),
    }
}

#[test]
fn every_row_of_the_table() {
    use Expect::{Continues, Fork, Frozen, Newer, Unknown};
    use Kind::{Checkpoint, End};
    // Head (10, R). What was seen; then the verdict without a word, with --frozen, with the words that nothing was
    // published since, and with both.
    let rows: &[(&[Seen], [Expect; 4])] = &[
        (&[], [Unknown, Frozen, Continues, Continues]),
        (&[seen(End, 10, R)], [Continues; 4]),
        (
            &[seen(Checkpoint, 10, R)],
            [Unknown, Frozen, Continues, Continues],
        ),
        // Of before the backup was made: it shows nothing of what came after.
        (&[seen(End, 9, OTHER)], [Unknown, Frozen, Continues, Continues]),
        (
            &[seen(Checkpoint, 3, OTHER)],
            [Unknown, Frozen, Continues, Continues],
        ),
        // Newer: words do not help against evidence.
        (&[seen(End, 11, OTHER)], [Newer(11), Frozen, Newer(11), Frozen]),
        (
            &[seen(Checkpoint, 12, OTHER)],
            [Newer(12), Frozen, Newer(12), Frozen],
        ),
        // A store that stands at the backup does not outweigh a checkpoint that somebody has.
        (
            &[seen(End, 10, R), seen(Checkpoint, 12, OTHER)],
            [Newer(12), Frozen, Newer(12), Frozen],
        ),
        (
            &[seen(End, 11, OTHER), seen(Checkpoint, 12, OTHER)],
            [Newer(12), Frozen, Newer(12), Frozen],
        ),
        (&[seen(End, 10, R), seen(Checkpoint, 3, OTHER)], [Continues; 4]),
        // The same size with another root: always a fork, also beside what agrees or is newer.
        (&[seen(End, 10, OTHER)], [Fork; 4]),
        (&[seen(Checkpoint, 10, OTHER)], [Fork; 4]),
        (&[seen(End, 10, R), seen(Checkpoint, 10, OTHER)], [Fork; 4]),
        (&[seen(End, 11, R), seen(Checkpoint, 10, OTHER)], [Fork; 4]),
    ];
    for (seen, expected) in rows {
        let words = [(false, false), (true, false), (false, true), (true, true)];
        for ((freeze, nothing_since), expected) in words.into_iter().zip(expected) {
            let word = Word {
                freeze,
                nothing_since,
            };
            assert_eq!(got(decide(&log(10), seen, word)), *expected, "{seen:?} {word:?}");
        }
    }
}

#[test]
fn evidence_about_another_log_says_nothing_about_this_one() {
    let mut other = seen(Kind::End, 10, R);
    other.published.origin = "other.test".to_owned();
    assert_eq!(
        got(decide(&log(10), std::slice::from_ref(&other), Word::default())),
        Expect::Unknown
    );
    // But a published log that the backup lacks is told.
    let missing = missing(&[log(10)], &[other, seen(Kind::End, 10, R)]);
    assert_eq!(missing.len(), 1);
    assert!(missing[0].to_string().contains("other.test"), "{}", missing[0]);
}

#[test]
fn an_empty_log_is_no_exception() {
    assert_eq!(got(decide(&log(0), &[], Word::default())), Expect::Unknown);
    assert_eq!(
        got(decide(&log(0), &[seen(Kind::End, 1, R)], Word::default())),
        Expect::Newer(1)
    );
    assert_eq!(
        got(decide(&log(0), &[seen(Kind::End, 0, R)], Word::default())),
        Expect::Continues
    );
}

#[test]
fn refusals_name_log_sizes_and_source() {
    let error = decide(&log(10), &[seen(Kind::End, 11, OTHER)], Word::default()).unwrap_err();
    let text = error.to_string();
    for part in [ORIGIN, "10", "11", "End of 11"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let error = decide(&log(10), &[seen(Kind::Checkpoint, 10, R)], Word::default()).unwrap_err();
    assert!(error.to_string().contains("does not show the end"), "{error}");
}
